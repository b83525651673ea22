#include "mica/tokenizers/tweet_links.h"

#include <algorithm>

#include "mica/tokenizers/tweet_characters.h"

namespace mica {
namespace {

using namespace tweet;

// What a run inside a path consists of.
bool is_plain(char32_t c) {
  return !is_space(c) && std::u32string_view(U"()<>{}[]").find(c) == std::u32string_view::npos;
}

// What a path may end with.
bool may_end(char32_t c) {
  return !is_space(c) && std::u32string_view(U"`!()[]{};:'\".,<>?«»“”‘’").find(c) == std::u32string_view::npos;
}

}  // namespace

TweetLinks::TweetLinks(std::u32string_view text) : text_(text) {
  find_paths();
  find_domains();
}

// A path is one or more of: a run of plain characters; brackets with brackets inside; brackets around anything. It ends
// with brackets or a character that may end it. The longest run comes first, then the shorter ones; brackets around
// anything end at the first closing bracket first, then at later ones. From the right to the left, so that what follows
// is known.
void TweetLinks::find_paths() {
  const size_t size = text_.size();
  paths_.assign(size + 1, kNone);
  // From here on: through further parts or not. Where a bracket closes at or behind this place, in the same run without
  // white space, so that a path goes on behind it; and where any closes.
  std::vector<uint32_t> on(size + 1, kNone), closing_on(size + 2, kNone), closing(size + 2, kNone);
  uint32_t in_run = kNone;  // the best end of a path that a run of plain characters has reached from further right
  std::vector<uint32_t> next_bracket(size + 1, static_cast<uint32_t>(size));  // ( or ) or white space, at or behind
  for (size_t i = size; i-- > 0;) {
    const char32_t c = text_[i];
    next_bracket[i] = c == U'(' || c == U')' || is_space(c) ? static_cast<uint32_t>(i) : next_bracket[i + 1];
    closing[i] = is_space(c) ? kNone : c == U')' ? static_cast<uint32_t>(i) : closing[i + 1];
    closing_on[i] = is_space(c) ? kNone : closing_on[i + 1];
    if (c == U')' && on[i + 1] != kNone) closing_on[i] = static_cast<uint32_t>(i);
    // Brackets with one pair inside: ( no brackets ( some ) no brackets ).
    uint32_t pair = kNone;
    if (c == U'(') {
      const size_t inner = next_bracket[i + 1];
      const size_t inner_end = at(inner) == U'(' ? next_bracket[inner + 1] : size;
      const size_t outer_end = at(inner_end) == U')' && inner_end > inner + 1 ? next_bracket[inner_end + 1] : size;
      if (at(outer_end) == U')') pair = static_cast<uint32_t>(outer_end + 1);
    }
    uint32_t path = kNone;
    if (is_plain(c)) {
      // The run goes on, or ends here, which only counts if nothing further right does.
      if (i + 1 >= size || !is_plain(text_[i + 1])) in_run = kNone;
      path = in_run != kNone ? in_run : on[i + 1];
      in_run = path;
    } else {
      in_run = kNone;
      if (c == U'(') {
        if (pair != kNone) path = on[pair];
        // At least one character between the brackets.
        if (path == kNone && i + 2 <= size && !is_space(at(i + 1))) {
          const uint32_t close = closing_on[i + 2];
          if (close != kNone) path = on[close + 1];
        }
      }
    }
    paths_[i] = path;
    on[i] = path != kNone ? path : last_part(i, pair);
    if (on[i] == kNone && c == U'(' && i + 2 <= size && !is_space(at(i + 1)) && closing[i + 2] != kNone) {
      on[i] = closing[i + 2] + 1;
    }
  }
}

// What ends a path at this place: brackets with brackets inside, or one character.
uint32_t TweetLinks::last_part(size_t begin, uint32_t bracket) const {
  if (bracket != kNone) return bracket;
  return may_end(text_[begin]) ? static_cast<uint32_t>(begin + 1) : kNone;
}

// Runs of letters, digits, dots and dashes.
void TweetLinks::find_domains() {
  const size_t size = text_.size();
  before_slash_.assign(size + 1, kNone);
  bare_.assign(size + 1, kNone);
  const auto in_run = [](char32_t c) { return is_ascii_alnum(c) || c == U'.' || c == U'-'; };
  for (size_t begin = 0; begin < size;) {
    if (!in_run(text_[begin])) {
      ++begin;
      continue;
    }
    size_t end = begin;
    while (end < size && in_run(text_[end])) ++end;
    // Before a slash: the last dot has two to thirteen letters behind it and something before it.
    size_t dot = end;
    while (dot > begin && is_ascii_letter(text_[dot - 1])) --dot;
    const bool slash = at(end) == U'/' && dot > begin && text_[dot - 1] == U'.' && end - dot >= 2 && end - dot <= 13;
    // Alone: labels with one dot or dash between two of them; the last one behind a dot that can end it ends it.
    uint32_t best = kNone;
    for (size_t i = end; i-- > begin;) {
      if (slash && i + 1 < dot) before_slash_[i] = static_cast<uint32_t>(end);
      if (!is_ascii_alnum(text_[i])) {
        // Two signs in a row, or one at the end, part domains.
        if (i + 1 >= end || !is_ascii_alnum(text_[i + 1])) best = kNone;
        if (text_[i] == U'.' && best == kNone) {
          size_t last = i + 1;
          while (last < end && last < i + 15 && is_ascii_letter(text_[last])) ++last;
          const size_t letters = last - (i + 1);
          if (letters >= 2 && letters <= 13 && !is_word(at(last))) {
            if (at(last) == U'/' && at(last + 1) != U'@') {
              best = static_cast<uint32_t>(last + 1);
            } else if (at(last) != U'@') {
              best = static_cast<uint32_t>(last);
            }
          }
        }
      } else {
        bare_[i] = best;
      }
    }
    begin = end;
  }
}

// Behind http: or https: and one to three slashes, a letter, a digit or %; `begin` where that is not there or no path
// follows.
size_t TweetLinks::scheme(size_t begin) const {
  size_t i = begin;
  for (const char32_t wanted : std::u32string_view(U"http")) {
    if (fold(at(i)) != wanted) return begin;
    ++i;
  }
  if (fold(at(i)) == U's') ++i;
  if (at(i) != U':') return begin;
  ++i;
  size_t slashes = 0;
  while (slashes < 3 && at(i + slashes) == U'/') ++slashes;
  for (; slashes > 0; --slashes) {
    if (paths_[std::min(i + slashes, text_.size())] != kNone) return paths_[i + slashes];
  }
  const bool starts = is_ascii_alnum(at(i)) || at(i) == U'%';
  return starts && paths_[i + 1] != kNone ? paths_[i + 1] : begin;
}

size_t TweetLinks::end_of(size_t begin) const {
  if (const size_t end = scheme(begin); end != begin) return end;
  if (const uint32_t slash = before_slash_[begin]; slash != kNone && paths_[slash + 1] != kNone) {
    return paths_[slash + 1];
  }
  const bool behind_at = begin > 0 && text_[begin - 1] == U'@';
  return !behind_at && bare_[begin] != kNone ? bare_[begin] : begin;
}

}  // namespace mica
