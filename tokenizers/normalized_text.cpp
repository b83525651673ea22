#include "mica/tokenizers/normalized_text.h"

#include "mica/tokenizers/utf8.h"

namespace mica {

void NormalizedText::assign(std::string_view text, int32_t first) {
  text_.assign(text);
  origin_.clear();
  origin_.reserve(text.size());
  first_ = first;
  int32_t index = first - 1;
  for (const char byte : text) {
    if ((static_cast<unsigned char>(byte) & 0xc0) != 0x80) ++index;
    origin_.push_back({index, index + 1});
  }
}

void NormalizedText::assign(std::string text, std::vector<CharSpan> origin) {
  text_ = std::move(text);
  origin_ = std::move(origin);
}

CharSpan NormalizedText::original(ByteRange range) const {
  if (range.begin < range.end) return {origin_[range.begin].begin, origin_[range.end - 1].end};
  const int32_t place = range.begin < origin_.size() ? origin_[range.begin].begin
                        : origin_.empty()            ? first_
                                                     : origin_.back().end;
  return {place, place};
}

std::vector<char32_t> NormalizedText::characters() const {
  std::vector<char32_t> all;
  all.reserve(text_.size());
  for (const char *p = text_.data(), *end = p + text_.size(); p < end;) all.push_back(utf8::next(p));
  return all;
}

void NormalizedText::transform(const std::vector<unicode::Change>& changes) {
  std::string text;
  std::vector<CharSpan> origin;
  text.reserve(text_.size());
  origin.reserve(text_.size());
  size_t at = 0;  // the byte of the old text that comes next
  const auto skip = [&] {
    if (at < text_.size()) at += static_cast<size_t>(utf8::length(static_cast<unsigned char>(text_[at])));
  };
  for (const auto& [c, change] : changes) {
    // An inserted character stands where the one before it stood.
    CharSpan place{first_, first_};
    if (change > 0) {
      if (at > 0) place = origin_[at - 1];
    } else {
      if (at < origin_.size()) place = origin_[at];
      for (int32_t i = change; i <= 0; ++i) skip();
    }
    const size_t before = text.size();
    utf8::append(c, text);
    origin.insert(origin.end(), text.size() - before, place);
  }
  text_ = std::move(text);
  origin_ = std::move(origin);
}

void NormalizedText::filter(const std::function<bool(char32_t)>& keep) {
  size_t written = 0;
  for (const char *p = text_.data(), *end = p + text_.size(); p < end;) {
    const char* start = p;
    if (!keep(utf8::next(p))) continue;
    for (; start < p; ++start, ++written) {
      origin_[written] = origin_[static_cast<size_t>(start - text_.data())];
      text_[written] = *start;
    }
  }
  text_.resize(written);
  origin_.resize(written);
}

void NormalizedText::map(const std::function<char32_t(char32_t)>& mapped) {
  std::vector<unicode::Change> changes;
  changes.reserve(text_.size());
  for (const char32_t c : characters()) changes.push_back({mapped(c), 0});
  transform(changes);
}

void NormalizedText::crop(ByteRange range) {
  text_ = std::string(view(range));
  origin_ = {origin_.begin() + range.begin, origin_.begin() + range.end};
}

void NormalizedText::cut_out(ByteRange range) {
  const int32_t first = original(range).begin;
  crop(range);
  first_ = first;
}

void NormalizedText::start_like(const NormalizedText& other) {
  text_.clear();
  origin_.clear();
  text_.reserve(other.text_.size() + other.text_.size() / 2);
  origin_.reserve(other.text_.size() + other.text_.size() / 2);
  first_ = other.first_;
}

void NormalizedText::append(const NormalizedText& other, ByteRange range) {
  text_.append(other.text_, range.begin, range.end - range.begin);
  origin_.insert(origin_.end(), other.origin_.begin() + range.begin, other.origin_.begin() + range.end);
}

void NormalizedText::append(std::string_view content, CharSpan place) {
  text_.append(content);
  origin_.insert(origin_.end(), content.size(), place);
}

void NormalizedText::replace(const std::vector<ByteRange>& ranges, std::string_view content) {
  if (ranges.empty()) return;
  std::string text;
  std::vector<CharSpan> origin;
  size_t done = 0;
  for (const ByteRange range : ranges) {
    text.append(text_, done, range.begin - done);
    origin.insert(origin.end(), origin_.begin() + static_cast<std::ptrdiff_t>(done), origin_.begin() + range.begin);
    const CharSpan place = range.end > 0 ? origin_[range.end - 1] : CharSpan{first_, first_};
    text.append(content);
    origin.insert(origin.end(), content.size(), place);
    done = range.end;
  }
  text.append(text_, done);
  origin.insert(origin.end(), origin_.begin() + static_cast<std::ptrdiff_t>(done), origin_.end());
  text_ = std::move(text);
  origin_ = std::move(origin);
}

}  // namespace mica
