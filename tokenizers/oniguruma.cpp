#include "mica/tokenizers/oniguruma.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <utility>
#include <vector>

#include "mica/base/error.h"

namespace mica {
namespace {

constexpr int kMaxNesting = 100;  // of classes

// Sets that both dialects name, but that hold other characters in PCRE2 (\s with U+180E, \w without marks, ...): as
// items of a class.
constexpr std::string_view kSpace = "\\p{White_Space}", kNotSpace = "\\P{White_Space}";
constexpr std::string_view kWord = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
// Alone, but not in a class, Oniguruma's \\w takes these numbers as well.
constexpr std::string_view kWordAlone = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";
constexpr std::string_view kHex = "0-9A-Fa-f";
constexpr std::string_view kAny = "(?s:.)";

// The names of POSIX brackets. Oniguruma takes most as properties too, punct and word with another meaning.
constexpr std::pair<std::string_view, std::string_view> kPosix[] = {
    {"alnum", "\\p{Alphabetic}\\p{Nd}"},
    {"alpha", "\\p{Alphabetic}"},
    {"blank", "\\t\\p{Zs}"},
    {"cntrl", "\\p{Cc}"},
    {"digit", "\\p{Nd}"},
    {"graph", "[^\\p{White_Space}\\p{Cc}\\p{Cn}\\p{Cs}]"},
    {"lower", "\\p{Lowercase}"},
    {"print", "[^\\t-\\r\\x{85}\\p{Zl}\\p{Zp}\\p{Cc}\\p{Cn}\\p{Cs}]"},
    {"punct", "\\p{P}\\p{S}"},
    {"space", kSpace},
    {"upper", "\\p{Uppercase}"},
    {"word", kWord},
    {"xdigit", kHex},
};

// General categories by their long names, of which PCRE2 knows the short ones only.
constexpr std::pair<std::string_view, std::string_view> kCategories[] = {
    {"letter", "L"},
    {"uppercaseletter", "Lu"},
    {"lowercaseletter", "Ll"},
    {"titlecaseletter", "Lt"},
    {"modifierletter", "Lm"},
    {"otherletter", "Lo"},
    {"mark", "M"},
    {"nonspacingmark", "Mn"},
    {"spacingmark", "Mc"},
    {"enclosingmark", "Me"},
    {"number", "N"},
    {"decimalnumber", "Nd"},
    {"letternumber", "Nl"},
    {"othernumber", "No"},
    {"punctuation", "P"},
    {"symbol", "S"},
    {"mathsymbol", "Sm"},
    {"currencysymbol", "Sc"},
    {"modifiersymbol", "Sk"},
    {"othersymbol", "So"},
    {"separator", "Z"},
    {"spaceseparator", "Zs"},
    {"lineseparator", "Zl"},
    {"paragraphseparator", "Zp"},
    {"other", "C"},
    {"control", "Cc"},
    {"format", "Cf"},
    {"privateuse", "Co"},
    {"connectorpunctuation", "Pc"},
    {"dashpunctuation", "Pd"},
    {"openpunctuation", "Ps"},
    {"closepunctuation", "Pe"},
    {"initialpunctuation", "Pi"},
    {"finalpunctuation", "Pf"},
    {"otherpunctuation", "Po"},
    {"unassigned", "Cn"},
};

// A set of characters: items of one PCRE2 class, and expressions for what a class cannot hold, each of which matches
// one character.
struct Set {
  std::string items;
  std::vector<std::string> more;

  std::string expression(bool negated) const {
    if (more.empty()) {
      if (items.empty()) return negated ? std::string(kAny) : "(?!)";
      return (negated ? "[^" : "[") + items + "]";
    }
    std::string any_of;
    if (!items.empty()) any_of = "[" + items + "]";
    for (const std::string& one : more) any_of += (any_of.empty() ? "" : "|") + one;
    return negated ? "(?:(?!" + any_of + ")" + std::string(kAny) + ")" : "(?:" + any_of + ")";
  }
};

class Translator {
 public:
  Translator(std::string_view pattern, const std::function<bool(const std::string&)>& is_script,
             const std::string& where)
      : in_(pattern), is_script_(is_script), where_(where) {}

  std::string run() {
    while (at_ < in_.size()) step();
    return std::move(out_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(what + " at byte " + std::to_string(at_) + " of the regular expression \"" + printable(in_, 120) + "\"",
                where_, "spell the expression without it");
  }
  bool starts(std::string_view text) const { return in_.substr(at_, text.size()) == text; }
  char peek(size_t ahead = 0) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }

  void atom(std::string_view text) {
    atom_ = out_.size();
    out_ += text;
  }
  void no_atom(std::string_view text) {
    out_ += text;
    atom_.reset();
  }

  void step() {
    const char c = in_[at_];
    if (c == '\\') {
      escape();
    } else if (c == '[') {
      atom(read_class(0));
    } else if (c == '(') {
      open();
    } else if (c == ')') {
      if (groups_.empty()) fail("a ) without its (");
      out_ += ')';
      ++at_;
      atom_ = groups_.back();
      groups_.pop_back();
    } else if (c == '|') {
      no_atom("|");
      ++at_;
    } else if (c == '{' && counted()) {
      // taken
    } else if (c == '*' || c == '+' || c == '?') {
      out_ += c;
      ++at_;
      if (peek() == '+' || peek() == '?') out_ += in_[at_++];
    } else {
      const size_t begin = at_++;
      while (at_ < in_.size() && (static_cast<unsigned char>(in_[at_]) & 0xc0) == 0x80) ++at_;
      atom(in_.substr(begin, at_ - begin));
    }
  }

  // {n}, {n,}, {,m}, {n,m}: a + behind it repeats it once more here, and ? behind {n} makes it optional.
  bool counted() {
    size_t end = at_ + 1;
    const auto digits = [&] {
      const size_t begin = end;
      while (end < in_.size() && std::isdigit(static_cast<unsigned char>(in_[end])) != 0) ++end;
      return std::string(in_.substr(begin, end - begin));
    };
    const std::string low = digits();
    const bool comma = end < in_.size() && in_[end] == ',';
    if (comma) ++end;
    const std::string high = comma ? digits() : "";
    if (end >= in_.size() || in_[end] != '}' || (low.empty() && high.empty()) || !atom_) return false;
    at_ = end + 1;
    out_ += "{" + (low.empty() ? "0" : low) + (comma ? "," : "") + high + "}";
    const char after = peek();
    if (after == '?' && comma) {
      out_ += '?';
      ++at_;
    } else if (after == '+' || after == '?') {
      out_.insert(*atom_, "(?:");
      out_ += ')';
      out_ += after;
      ++at_;
    }
    return true;
  }

  void open() {
    if (starts("(?#")) {
      const size_t end = in_.find(')', at_);
      if (end == in_.npos) fail("a comment without end");
      at_ = end + 1;
      return;
    }
    const size_t begin = out_.size();
    if (starts("(?~")) fail("the absent operator (?~");
    for (const std::string_view plain : {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!", "(?("}) {
      if (!starts(plain)) continue;
      at_ += plain == "(?(" ? 2 : plain.size();
      groups_.emplace_back(begin);
      no_atom(plain == "(?(" ? "(?" : plain);
      return;
    }
    if (starts("(?<") || starts("(?'")) {
      const size_t end = in_.find(peek(2) == '<' ? '>' : '\'', at_ + 3);
      if (end == in_.npos) fail("a group's name without end");
      groups_.emplace_back(begin);
      no_atom(in_.substr(at_, end + 1 - at_));
      at_ = end + 1;
      return;
    }
    if (!starts("(?")) {
      groups_.emplace_back(begin);
      no_atom("(");
      ++at_;
      return;
    }
    std::string options = "(?";
    size_t end = at_ + 2;
    for (; end < in_.size() && in_[end] != ')' && in_[end] != ':'; ++end) {
      const char c = in_[end];
      if (c != 'i' && c != 'm' && c != '-') fail(std::string("the group option ") + c);
      options += c == 'm' ? 's' : c;  // Ruby's m lets . match line ends
    }
    if (end == in_.size()) fail("group options without end");
    if (in_[end] == ')' && begin != 0) {
      // To Ruby, a(?i)b|c is a(?i:b|c).
      fail("options in the middle");
    }
    if (in_[end] == ':') groups_.emplace_back(begin);
    no_atom(options + in_[end]);
    at_ = end + 1;
  }

  // Where a set stands in the text, in or out of a class: what \p{...}, \w and the like mean. Null for other escapes.
  std::optional<Set> escaped_set(bool in_class) {
    const char c = peek(1);
    const std::string_view word = in_class ? kWord : kWordAlone;
    const auto simple = [&](std::string_view items) {
      at_ += 2;
      return Set{std::string(items), {}};
    };
    const auto negated = [&](std::string_view items) {
      at_ += 2;
      return Set{"", {"[^" + std::string(items) + "]"}};
    };
    switch (c) {
      case 's':
        return simple(kSpace);
      case 'S':
        return simple(kNotSpace);
      case 'w':
        return simple(word);
      case 'W':
        return negated(word);
      case 'd':
        return simple("\\p{Nd}");
      case 'D':
        return simple("\\P{Nd}");
      case 'h':
        return simple(kHex);
      case 'H':
        return negated(kHex);
      case 'p':
      case 'P':
        return property();
      default:
        return std::nullopt;
    }
  }

  Set property() {
    bool inverted = in_[at_ + 1] == 'P';
    if (peek(2) != '{') fail("a property without its {name}");
    const size_t end = in_.find('}', at_);
    if (end == in_.npos) fail("a property's name without end");
    std::string_view given = in_.substr(at_ + 3, end - at_ - 3);
    if (!given.empty() && given.front() == '^') {
      inverted = !inverted;
      given.remove_prefix(1);
    }
    std::string name, lower;
    for (const char c : given) {
      if (c == ' ' || c == '_' || c == '-') continue;
      if (std::isalnum(static_cast<unsigned char>(c)) == 0) fail("the property \"" + printable(given, 40) + "\"");
      name += c;
      lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    at_ = end + 1;
    if (lower == "punct") name = "P";
    for (const auto& [posix, items] : kPosix) {
      if (posix == lower && lower != "punct") return posix_set(lower == "word" ? kWordAlone : items, inverted);
    }
    for (const auto& [long_name, short_name] : kCategories) {
      if (long_name == lower) name = short_name;
    }
    // PCRE2 takes a script's name alone for its extensions too.
    if (name.size() > 2 && is_script_(name)) name = "sc:" + name;
    return {(inverted ? "\\P{" : "\\p{") + name + "}", {}};
  }

  static Set posix_set(std::string_view items, bool inverted) {
    if (items.front() == '[') {  // given by what it lacks
      if (inverted) return {std::string(items.substr(2, items.size() - 3)), {}};
      return {"", {std::string(items)}};
    }
    if (!inverted) return {std::string(items), {}};
    return {"", {"[^" + std::string(items) + "]"}};
  }

  void escape() {
    if (const auto set = escaped_set(false)) {
      atom(set->expression(false));
      return;
    }
    const char c = peek(1);
    const std::string word = "[" + std::string(kWordAlone) + "]";
    switch (c) {
      case '\0':
        fail("a backslash at the end");
      case 'b':
        atom("(?:(?<=" + word + ")(?!" + word + ")|(?<!" + word + ")(?=" + word + "))");
        break;
      case 'B':
        atom("(?:(?<=" + word + ")(?=" + word + ")|(?<!" + word + ")(?!" + word + "))");
        break;
      case 'O':
        atom(kAny);
        break;
      case 'k':
      case 'g': {
        const char close = peek(2) == '<' ? '>' : peek(2) == '\'' ? '\'' : '\0';
        const size_t end = close == '\0' ? in_.npos : in_.find(close, at_ + 3);
        if (end == in_.npos) fail("a reference without its <name>");
        atom(in_.substr(at_, end + 1 - at_));
        at_ = end - 1;
        break;
      }
      case 'A':
      case 'G':
      case 'K':
      case 'N':
      case 'R':
      case 'X':
      case 'Z':
      case 'z':
        atom(in_.substr(at_, 2));
        break;
      default:
        if (std::isdigit(static_cast<unsigned char>(c)) != 0) {
          atom(in_.substr(at_, 2));
          break;
        }
        atom(character());
        return;
    }
    at_ += 2;
  }

  // An escaped character, in or out of a class.
  std::string character() {
    const char c = peek(1);
    const size_t begin = at_;
    if (c == 'u') {
      const std::string_view digits = in_.substr(std::min(at_ + 2, in_.size()), 4);
      const auto is_hex = [](char d) { return std::isxdigit(static_cast<unsigned char>(d)) != 0; };
      if (digits.size() != 4 || !std::all_of(digits.begin(), digits.end(), is_hex)) fail("\\u without four digits");
      at_ += 6;
      return "\\x{" + std::string(digits) + "}";
    }
    if (c == 'x') {
      at_ += 2;
      if (peek() == '{') {
        const size_t end = in_.find('}', at_);
        if (end == in_.npos) fail("\\x{ without end");
        at_ = end + 1;
      } else {
        for (int i = 0; i < 2 && std::isxdigit(static_cast<unsigned char>(peek())) != 0; ++i) ++at_;
      }
      return std::string(in_.substr(begin, at_ - begin));
    }
    if (c == 'v') {
      at_ += 2;
      return "\\x0b";
    }
    if (std::string_view("aefnrt").find(c) != std::string_view::npos ||
        (static_cast<unsigned char>(c) < 0x80 && std::isalnum(static_cast<unsigned char>(c)) == 0)) {
      at_ += 2;
      return std::string(in_.substr(begin, 2));
    }
    if (static_cast<unsigned char>(c) < 0x80) fail(std::string("the escape \\") + c);
    ++at_;  // an escaped character beyond ASCII is itself
    const size_t first = at_++;
    while (at_ < in_.size() && (static_cast<unsigned char>(in_[at_]) & 0xc0) == 0x80) ++at_;
    return std::string(in_.substr(first, at_ - first));
  }

  // [...], whose [ is next: unions by nesting and intersections by && have no counterpart and become lookaheads.
  std::string read_class(int depth) {
    if (depth > kMaxNesting) fail("classes nested too deep");
    ++at_;
    const bool negated = peek() == '^';
    if (negated) ++at_;
    std::vector<Set> parts(1);  // to be intersected
    bool first = true;
    for (;; first = false) {
      if (at_ >= in_.size()) fail("a class without its ]");
      Set& set = parts.back();
      const char c = in_[at_];
      if (c == ']' && !first) {
        ++at_;
        break;
      }
      if (starts("[:") && posix_bracket(set)) continue;
      if (c == '[') {
        set.more.push_back(read_class(depth + 1));
      } else if (starts("&&")) {
        at_ += 2;
        parts.emplace_back();
      } else if (c == '\\') {
        if (auto inner = escaped_set(true)) {
          set.items += inner->items;
          std::move(inner->more.begin(), inner->more.end(), std::back_inserter(set.more));
        } else if (peek(1) == 'b') {
          set.items += "\\x08";
          at_ += 2;
        } else {
          set.items += character();
        }
      } else {
        // A bracket or a dash at an end is itself in both.
        if (c == ']' || (c == '^' && set.items.empty())) set.items += '\\';
        set.items += c;
        ++at_;
      }
    }
    if (parts.size() == 1) return parts[0].expression(negated);
    std::string all;
    for (size_t i = 1; i < parts.size(); ++i) all += "(?=" + parts[i].expression(false) + ")";
    all += parts[0].expression(false);
    return negated ? "(?:(?!" + all + ")" + std::string(kAny) + ")" : "(?:" + all + ")";
  }

  bool posix_bracket(Set& set) {
    const size_t end = in_.find(":]", at_);
    if (end == in_.npos) return false;
    std::string_view name = in_.substr(at_ + 2, end - at_ - 2);
    const bool inverted = !name.empty() && name.front() == '^';
    if (inverted) name.remove_prefix(1);
    for (const auto& [posix, items] : kPosix) {
      if (posix != name) continue;
      Set inner = posix_set(items, inverted);
      set.items += inner.items;
      std::move(inner.more.begin(), inner.more.end(), std::back_inserter(set.more));
      at_ = end + 2;
      return true;
    }
    if (name == "ascii") {
      set.items += in_.substr(at_, end + 2 - at_);
      at_ = end + 2;
      return true;
    }
    return false;
  }

  std::string_view in_;
  const std::function<bool(const std::string&)>& is_script_;
  const std::string& where_;
  size_t at_ = 0;
  std::string out_;
  std::optional<size_t> atom_;  // where the last repeatable part begins in out_
  std::vector<size_t> groups_;  // where the open groups begin in out_
};

}  // namespace

std::string pcre_from_oniguruma(std::string_view pattern, const std::function<bool(const std::string&)>& is_script,
                                const std::string& where) {
  return Translator(pattern, is_script, where).run();
}

std::string oniguruma_from_rust(std::string_view pattern, const std::string& where) {
  std::string out;
  size_t atom = 0;
  std::vector<size_t> groups;
  int depth = 0;  // of classes
  const auto fail = [&](const std::string& what) {
    throw Error(what + " in the regular expression \"" + printable(pattern, 120) + "\"", where,
                "spell the expression without it");
  };
  for (size_t at = 0; at < pattern.size();) {
    const char c = pattern[at];
    if (c == '\\') {
      if (depth == 0) atom = out.size();
      size_t end = at + 2;
      if (pattern.substr(at + 1, 2) == "p{" || pattern.substr(at + 1, 2) == "P{") end = pattern.find('}', at) + 1;
      if (end == 0 || end > pattern.size()) fail("an escape without end");
      out += pattern.substr(at, end - at);
      at = end;
      continue;
    }
    if (c == '[') {
      if (depth++ == 0) atom = out.size();
    } else if (c == ']' && depth > 0) {
      --depth;
    } else if (depth == 0 && c == '(') {
      groups.push_back(out.size());
      if (pattern.substr(at, 2) == "(?") {
        for (size_t i = at + 2; i < pattern.size() && std::isalpha(static_cast<unsigned char>(pattern[i])) != 0; ++i) {
          if (pattern[i] != 'i') fail(std::string("the group option ") + pattern[i]);
        }
      }
    } else if (depth == 0 && c == ')' && !groups.empty()) {
      atom = groups.back();
      groups.pop_back();
    } else if (depth == 0 && c == '$') {
      out += "\\z";
      ++at;
      continue;
    } else if (depth == 0 && c == '^') {
      out += "\\A";
      ++at;
      continue;
    } else if (depth == 0 && c == '{') {
      const size_t end = pattern.find('}', at);
      if (end == pattern.npos) fail("a { without its }");
      out += pattern.substr(at, end + 1 - at);
      at = end + 1;
      if (at < pattern.size() && pattern[at] == '+') {
        out.insert(atom, "(?>");
        out += ')';
        ++at;
      }
      continue;
    } else if (depth == 0 && c != '*' && c != '+' && c != '?' && (static_cast<unsigned char>(c) & 0xc0) != 0x80) {
      atom = out.size();
    }
    out += c;
    ++at;
  }
  return out;
}

}  // namespace mica
