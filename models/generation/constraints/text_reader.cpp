#include "mica/models/generation/constraints/text_reader.h"

#include "mica/tokenizers/utf8.h"

namespace mica::constraint_detail {

char32_t TextReader::peek() const {
  if (at_end()) return kEnd;
  const char* p = text_.data() + at_;
  return utf8::next(p);
}

char32_t TextReader::next() {
  if (at_end()) return kEnd;
  const char* p = text_.data() + at_;
  const char32_t c = utf8::next(p);
  at_ = static_cast<size_t>(p - text_.data());
  return c;
}

std::optional<int64_t> TextReader::number() {
  const size_t begin = at_;
  int64_t value = 0;
  for (; !at_end() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
    value = value * 10 + (text_[at_] - '0');
    if (value > 1'000'000'000) return {};
  }
  if (at_ == begin) return {};
  return value;
}

std::optional<char32_t> TextReader::hex(int count) {
  const size_t begin = at_;
  const size_t most = count == 0 ? 8 : static_cast<size_t>(count);
  uint32_t value = 0;
  for (; !at_end() && at_ - begin < most; ++at_) {
    const char c = text_[at_];
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) break;
    value = value << 4 | static_cast<uint32_t>(digit);
  }
  const size_t read = at_ - begin;
  if (read == 0 || (count != 0 && read != most)) return {};
  if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) return {};
  return value;
}

std::optional<Count> read_count(TextReader& reader) {
  const auto min = reader.number();
  if (!min) return {};
  Count count{*min, *min};
  if (reader.accept(",")) {
    count.max = -1;
    if (reader.peek() != '}') {
      const auto max = reader.number();
      if (!max) return {};
      count.max = *max;
    }
  }
  if (!reader.accept("}") || (count.max >= 0 && count.max < count.min)) return {};
  return count;
}

}  // namespace mica::constraint_detail
