#include "mica/tokenizers/tweet_words.h"

#include <string>
#include <string_view>

#include "mica/tokenizers/tweet_characters.h"
#include "mica/tokenizers/tweet_links.h"

namespace mica {
namespace {

using namespace tweet;

bool is_in(char32_t c, std::u32string_view set) {
  return c != 0 && set.find(c) != set.npos;
}

// Each function looks at one place and says where the word of its kind that starts there ends; at that place itself
// when there is none.
class Scanner {
 public:
  explicit Scanner(std::u32string_view text)
      : text_(text), links_(text), stops_(text.size() + 1), mail_(text.size() + 1) {
    find_stops();
    find_mail();
  }

  size_t word(size_t begin) const {
    if (const size_t end = links_.end_of(begin); end != begin) return end;
    for (const auto kind :
         {&Scanner::telephone, &Scanner::emoticon, &Scanner::tag, &Scanner::arrow, &Scanner::name, &Scanner::hashtag,
          &Scanner::e_mail, &Scanner::joined, &Scanner::number, &Scanner::plain, &Scanner::dots}) {
      if (const size_t end = (this->*kind)(begin); end != begin) return end;
    }
    return begin + 1;
  }

 private:
  char32_t at(size_t i) const { return i < text_.size() ? text_[i] : U'\0'; }

  template <typename Accept>
  size_t skip(size_t i, const Accept& accept) const {
    while (i < text_.size() && accept(text_[i])) ++i;
    return i;
  }

  size_t digits(size_t i, size_t count) const {
    for (size_t k = 0; k < count; ++k) {
      if (!is_digit(at(i + k))) return i;
    }
    return i + count;
  }

  // +1 (234) 567-8901: the first two parts may be missing.
  size_t telephone(size_t begin) const {
    const auto gap = [&](size_t i) { return skip(i, [](char32_t c) { return is_in(c, U" *-.)"); }); };
    const auto base = [&](size_t i) {
      const size_t exchange = digits(i, 3);
      if (exchange == i) return begin;
      const size_t last = gap(exchange);
      const size_t end = digits(last, 4);
      return end == last ? begin : end;
    };
    const auto with_area = [&](size_t i) {
      const size_t open = at(i) == U'(' ? i + 1 : i;
      const size_t area = digits(open, 3);
      const size_t end = area == open ? begin : base(gap(area));
      return end != begin ? end : base(i);
    };
    const size_t country = at(begin) == U'+' ? begin + 1 : begin;
    if (at(country) == U'0' || at(country) == U'1') {
      if (const size_t end = with_area(gap(country + 1)); end != begin) return end;
    }
    return with_area(begin);
  }

  static bool is_mouth(char32_t c) { return is_in(c, U")][(dDpP/:}{@|\\"); }
  static bool is_nose(char32_t c) { return is_in(c, U"-oO*'"); }
  static bool is_eyes(char32_t c) { return is_in(c, U":;=8"); }

  size_t emoticon(size_t begin) const {
    const bool brow = is_in(at(begin), U"<>");
    size_t i = begin + (brow ? 1 : 0);
    if (is_eyes(at(i))) {
      i += is_nose(at(i + 1)) ? 2 : 1;
      if (is_mouth(at(i))) return i + 1;
    }
    if (is_mouth(at(begin))) {
      i = begin + (is_nose(at(begin + 1)) ? 2 : 1);
      if (is_eyes(at(i))) return i + 1 + (is_in(at(i + 1), U"<>") ? 1 : 0);
    }
    return at(begin) == U'<' && at(begin + 1) == U'3' ? begin + 2 : begin;
  }

  // <b>
  size_t tag(size_t begin) const {
    if (at(begin) != U'<' || begin + 1 >= text_.size()) return begin;
    const size_t stop = stops_[begin + 1];
    return at(stop) == U'>' && stop > begin + 1 ? stop + 1 : begin;
  }

  // --> and <--
  size_t arrow(size_t begin) const {
    const auto is_dash = [](char32_t c) { return c == U'-'; };
    if (at(begin) == U'-') {
      const size_t end = skip(begin, is_dash);
      return at(end) == U'>' ? end + 1 : begin;
    }
    return at(begin) == U'<' && at(begin + 1) == U'-' ? skip(begin + 1, is_dash) : begin;
  }

  size_t name(size_t begin) const {
    return at(begin) == U'@' && is_word(at(begin + 1)) ? skip(begin + 1, is_word) : begin;
  }

  // Two word characters or more; between them apostrophes and dashes.
  size_t hashtag(size_t begin) const {
    const size_t first = skip(begin, [](char32_t c) { return c == U'#'; });
    if (first == begin || !is_word(at(first))) return begin;
    size_t end = skip(first, [](char32_t c) { return is_word(c) || c == U'\'' || c == U'-'; });
    while (!is_word(text_[end - 1])) --end;
    return end > first + 1 ? end : begin;
  }

  size_t e_mail(size_t begin) const { return mail_[begin] > begin ? mail_[begin] : begin; }

  // A word with apostrophes or dashes inside, of three characters or more.
  size_t joined(size_t begin) const {
    if (!is_letter(at(begin))) return begin;
    size_t end = skip(begin, [](char32_t c) { return is_letter(c) || c == U'\'' || c == U'-' || c == U'_'; });
    while (!is_letter(text_[end - 1])) --end;
    return end > begin + 2 ? end : begin;
  }

  // 3.5, 10/12, 8:30
  size_t number(size_t begin) const {
    const size_t first = begin + (is_in(at(begin), U"+-") ? 1 : 0);
    const size_t sign = skip(first, is_digit);
    if (sign == first || !is_in(at(sign), U",/.:-")) return begin;
    const size_t end = skip(sign + 1, is_digit);
    return end == sign + 1 ? begin : end + (is_in(at(end), U"+-") ? 1 : 0);
  }

  size_t plain(size_t begin) const { return skip(begin, is_word); }

  // Two dots or more, white space between them or not.
  size_t dots(size_t begin) const {
    size_t end = begin;
    for (size_t i = begin; at(i) == U'.'; i = skip(end, is_space)) end = i + 1;
    return end > begin + 1 ? end : begin;
  }

  // Where the next > or white space is.
  void find_stops() {
    stops_[text_.size()] = text_.size();
    for (size_t i = text_.size(); i-- > 0;) stops_[i] = text_[i] == U'>' || is_space(text_[i]) ? i : stops_[i + 1];
  }

  // For each place of what may stand before an @: where the address ends, 0 for none.
  void find_mail() {
    const auto is_host = [](char32_t c) { return is_word(c) || c == U'-'; };
    size_t found = 0;
    for (size_t i = text_.size(); i-- > 0;) {
      if (text_[i] == U'@') {
        found = 0;
        const size_t dot = skip(i + 1, is_host);
        if (dot == i + 1 || at(dot) != U'.') continue;
        // Host characters, at most one dot behind each; the last one ends it.
        size_t end = dot + 1, characters = 0;
        for (size_t k = dot + 1; is_host(at(k)); k += at(k + 1) == U'.' ? 2 : 1) {
          end = k + 1;
          ++characters;
        }
        if (characters >= 2) found = end;
      } else if (is_word(text_[i]) || is_in(text_[i], U".+-")) {
        mail_[i] = found;
      } else {
        found = 0;
      }
    }
  }

  std::u32string_view text_;
  TweetLinks links_;
  std::vector<size_t> stops_, mail_;
};

}  // namespace

std::vector<TweetWord> tweet_words(const PlacedText& text) {
  std::u32string characters;
  characters.reserve(text.size());
  for (const PlacedCharacter& one : text) characters += one.c;
  const Scanner scanner(characters);
  std::vector<TweetWord> words;
  for (size_t i = 0; i < characters.size();) {
    if (is_space(characters[i])) {
      ++i;
      continue;
    }
    words.push_back({i, scanner.word(i)});
    i = words.back().end;
  }
  return words;
}

}  // namespace mica
