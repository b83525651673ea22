#include "mica/models/generation/constraints/code_points.h"

#include <algorithm>

#include "mica/tokenizers/utf8.h"

namespace mica::constraint_detail {
namespace {

constexpr char32_t kLast = 0x10ffff, kFirstSurrogate = 0xd800, kLastSurrogate = 0xdfff;

// Cuts first..last, all of the same length in bytes, until in each part every byte behind the first that differs takes
// all 64 values: the byte ranges of such a part are independent of each other.
void split(char32_t first, char32_t last, std::vector<std::vector<ByteRange>>& out) {
  char low[4], high[4];
  const int bytes = utf8::encode(first, low);
  utf8::encode(last, high);
  for (int i = 1; i < bytes; ++i) {
    const char32_t tail = (char32_t{1} << (6 * i)) - 1;  // the last i bytes
    if ((first & ~tail) == (last & ~tail)) continue;
    if ((first & tail) != 0) {
      split(first, first | tail, out);
      split((first | tail) + 1, last, out);
      return;
    }
    if ((last & tail) != tail) {
      split(first, (last & ~tail) - 1, out);
      split(last & ~tail, last, out);
      return;
    }
  }
  std::vector<ByteRange> sequence;
  for (int i = 0; i < bytes; ++i) sequence.push_back({static_cast<uint8_t>(low[i]), static_cast<uint8_t>(high[i])});
  out.push_back(std::move(sequence));
}

}  // namespace

CodePointSet CodePointSet::all() {
  CodePointSet set;
  set.add(0, kLast);
  return set;
}

void CodePointSet::add(char32_t first, char32_t last) {
  last = std::min(last, kLast);
  if (first > last) return;
  if (first <= kLastSurrogate && last >= kFirstSurrogate) {
    if (first < kFirstSurrogate) add(first, kFirstSurrogate - 1);
    if (last > kLastSurrogate) add(kLastSurrogate + 1, last);
    return;
  }
  // The ranges that touch the new one become one with it.
  auto from = std::find_if(ranges_.begin(), ranges_.end(), [&](const Range& r) { return r.last + 1 >= first; });
  auto to = from;
  for (; to != ranges_.end() && to->first <= last + 1; ++to) {
    first = std::min(first, to->first);
    last = std::max(last, to->last);
  }
  from = ranges_.erase(from, to);
  ranges_.insert(from, {first, last});
}

void CodePointSet::add(const CodePointSet& other) {
  for (const Range& range : other.ranges_) add(range.first, range.last);
}

CodePointSet CodePointSet::complement() const {
  CodePointSet result;
  char32_t next = 0;
  for (const Range& range : ranges_) {
    if (range.first > next) result.add(next, range.first - 1);
    next = range.last + 1;
  }
  if (next <= kLast) result.add(next, kLast);
  return result;
}

CodePointSet CodePointSet::without(const CodePointSet& other) const {
  CodePointSet rest = complement();
  rest.add(other);
  return rest.complement();
}

std::vector<std::vector<ByteRange>> CodePointSet::utf8() const {
  std::vector<std::vector<ByteRange>> out;
  constexpr char32_t last_of_length[] = {0x7f, 0x7ff, 0xffff, kLast};
  for (const Range& range : ranges_) {
    char32_t first = range.first;
    for (const char32_t end : last_of_length) {
      if (first > range.last) break;
      if (first > end) continue;
      split(first, std::min(range.last, end), out);
      first = end + 1;
    }
  }
  return out;
}

}  // namespace mica::constraint_detail
