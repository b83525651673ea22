#include "mica/models/generation/constraints/regex.h"

#include <optional>
#include <utility>
#include <vector>

#include "mica/base/error.h"
#include "mica/models/generation/constraints/text_reader.h"
#include "mica/tokenizers/unicode.h"
#include "mica/tokenizers/utf8.h"

namespace mica::constraint_detail {
namespace {

constexpr char32_t kEnd = TextReader::kEnd;
constexpr int kMaxDepth = 100;

// What a class holds for sure, and what it may hold where Unicode counts; a negated class is what is surely outside.
struct Class {
  CodePointSet surely, maybe;
  void add(const Class& other) {
    surely.add(other.surely);
    maybe.add(other.maybe);
  }
  void add(char32_t first, char32_t last) {
    surely.add(first, last);
    maybe.add(first, last);
  }
  Class opposite() const { return {maybe.complement(), surely.complement()}; }
};

CodePointSet with_property(unicode::Property property) {
  CodePointSet set;
  char32_t begin = kEnd;
  for (char32_t c = 0; c <= 0x110000; ++c) {
    const bool has = c <= 0x10ffff && unicode::has(c, property);
    if (has && begin == kEnd) begin = c;
    if (!has && begin != kEnd) set.add(begin, c - 1);
    if (!has) begin = kEnd;
  }
  return set;
}

Class make_class(char32_t letter, bool unicode_counts) {
  Class made;
  switch (letter) {
    case 'd':
      made.add('0', '9');
      break;
    case 's':
      made.add('\t', '\r');
      made.add(' ', ' ');
      break;
    default:
      made.add('a', 'z');
      made.add('A', 'Z');
      made.add('0', '9');
      made.add('_', '_');
  }
  if (!unicode_counts) return made;
  static const CodePointSet digits = with_property(unicode::kNumeric), words = with_property(unicode::kWord);
  static const CodePointSet spaces = with_property(unicode::kWhitespace);
  made.maybe.add(letter == 'd' ? digits : letter == 's' ? spaces : words);
  if (letter == 's') {
    made.maybe.add(0x1c, 0x1f);
    made.maybe.add(0xfeff);
  }
  return made;
}

class Parser {
 public:
  Parser(std::string_view text, const RegexOptions& options) : reader_(text), options_(options) {}

  ExpressionPtr parse() {
    ExpressionPtr result = alternatives(0);
    if (!reader_.at_end()) fail("unmatched )", "write \\) for the character");
    return result;
  }

 private:
  [[noreturn]] void fail(const std::string& problem, const std::string& mend) const {
    throw Error(problem + " at byte " + std::to_string(reader_.place()) + " of \"" + printable(reader_.text()) + "\"",
                options_.where, mend);
  }

  ExpressionPtr spell(const CodePointSet& set) const { return options_.spell ? options_.spell(set) : one_of(set); }

  ExpressionPtr alternatives(int depth) {
    if (depth > kMaxDepth) fail("groups are nested too deeply", "use at most " + std::to_string(kMaxDepth) + " levels");
    std::vector<ExpressionPtr> all;
    do {
      all.push_back(alternative(depth));
    } while (reader_.accept("|"));
    return choice(std::move(all));
  }

  ExpressionPtr alternative(int depth) {
    std::vector<ExpressionPtr> parts;
    const bool from_start = depth == 0 && reader_.accept("^");
    bool to_end = false;
    while (!to_end && !reader_.at_end() && !reader_.looks_at("|") && !reader_.looks_at(")")) {
      if (depth == 0 && reader_.accept("$")) {
        if (!reader_.at_end() && !reader_.looks_at("|")) fail("$ inside the expression", "write \\$ for the character");
        to_end = true;
      } else {
        parts.push_back(quantified(atom(depth)));
      }
    }
    if (options_.is_pattern && depth == 0) {
      const ExpressionPtr anything = repeat(spell(CodePointSet::all()), 0, -1);
      if (!from_start) parts.insert(parts.begin(), anything);
      if (!to_end) parts.push_back(anything);
    }
    return sequence(std::move(parts));
  }

  ExpressionPtr quantified(ExpressionPtr part) {
    Count count;
    if (reader_.accept("*")) {
      count = {0, -1};
    } else if (reader_.accept("+")) {
      count = {1, -1};
    } else if (reader_.accept("?")) {
      count = {0, 1};
    } else if (reader_.accept("{")) {
      const auto read = read_count(reader_);
      if (!read) fail("malformed count", "write {m}, {m,} or {m,n}, or \\{ for the character");
      count = *read;
    } else {
      return part;
    }
    reader_.accept("?");  // lazy: the same texts
    if (reader_.looks_at("+") || reader_.looks_at("*") || reader_.looks_at("?") || reader_.looks_at("{")) {
      fail("two quantifiers in a row", "put the first and its operand in a group; possessive forms are not known");
    }
    return repeat(std::move(part), count.min, count.max);
  }

  ExpressionPtr atom(int depth) {
    const char32_t c = reader_.next();
    switch (c) {
      case '(':
        return group(depth);
      case '[':
        return bracket();
      case '\\':
        return escape_outside();
      case '.': {
        CodePointSet breaks;
        breaks.add('\n');
        if (options_.is_pattern) {
          breaks.add('\r');
          breaks.add(0x85);
          breaks.add(0x2028, 0x2029);
        }
        return spell(breaks.complement());
      }
      case '*':
      case '+':
      case '?':
        fail("nothing to repeat", "write a backslash before the character");
      case '{':
      case '}':
        fail("a brace that is no count", "write a backslash before the brace");
      case ']':
        fail("unmatched ]", "write \\] for the character");
      case '^':
      case '$':
        fail("an anchor inside the expression", "write a backslash before the character, or take it out");
      default:
        return literal(c);
    }
  }

  ExpressionPtr literal(char32_t c) const {
    if (!options_.spell) {
      std::string bytes;
      utf8::append(c, bytes);
      return text(std::move(bytes));
    }
    CodePointSet set;
    set.add(c);
    return spell(set);
  }

  ExpressionPtr group(int depth) {
    if (reader_.accept("?")) {
      const bool named = reader_.accept("P<") || (reader_.looks_at("<") && !reader_.looks_at("<=") &&
                                                  !reader_.looks_at("<!") && reader_.accept("<"));
      if (named) {
        char32_t c = reader_.next();
        while (c != '>' && c != kEnd) c = reader_.next();
        if (c == kEnd) fail("a group's name does not end", "write (?<name>...)");
      } else if (!reader_.accept(":")) {
        fail("this kind of group is not known", "use (...), (?:...) or (?<name>...): no look-around, no flags");
      }
    } else if (reader_.looks_at("*")) {
      fail("verbs are not known", "take (*...) out");
    }
    ExpressionPtr inside = alternatives(depth + 1);
    if (!reader_.accept(")")) fail("a group does not end", "add )");
    return inside;
  }

  ExpressionPtr escape_outside() {
    if (const auto known = class_escape()) return spell(known->surely);
    return literal(character_escape(false));
  }

  std::optional<Class> class_escape() {
    const char32_t c = reader_.peek();
    for (const char32_t letter : {U'd', U's', U'w'}) {
      if (c != letter && c != letter - ('a' - 'A')) continue;
      reader_.next();
      const Class made = make_class(letter, options_.is_pattern);
      return c == letter ? made : made.opposite();
    }
    return {};
  }

  char32_t character_escape(bool in_class) {
    const char32_t c = reader_.next();
    std::optional<char32_t> code;
    switch (c) {
      case 'n':
        return '\n';
      case 't':
        return '\t';
      case 'r':
        return '\r';
      case 'f':
        return '\f';
      case 'v':
        return '\v';
      case 'a':
        return '\a';
      case 'e':
        return 0x1b;
      case '0':
        if (reader_.peek() < '0' || reader_.peek() > '9') return 0;
        break;
      case 'b':
        if (in_class) return '\b';
        break;
      case 'x':
      case 'u':
        if (reader_.accept("{")) {
          code = reader_.hex(0);
          if (!reader_.accept("}")) code.reset();
        } else {
          code = reader_.hex(c == 'x' ? 2 : 4);
        }
        if (!code) fail("malformed character code", "write \\x41, \\u0041 or \\x{41}, and no surrogate");
        return *code;
      default:
        break;
    }
    if (c == kEnd) fail("a backslash at the end", "write \\\\ for the character");
    if (c < 0x80 && (c < '0' || (c > '9' && c < 'A') || (c > 'Z' && c < 'a') || c > 'z')) return c;
    std::string name;
    utf8::append(c, name);
    fail("\\" + printable(name) + " is not known",
         "known are \\d \\w \\s \\D \\W \\S \\n \\t \\r \\f \\v \\a \\e \\0 \\xHH \\uHHHH and punctuation");
  }

  ExpressionPtr bracket() {
    const bool negated = reader_.accept("^");
    if (reader_.looks_at("]")) fail("a class that starts with ]", "write \\] for the character");
    Class all;
    bool after_class = false;
    while (!reader_.accept("]")) {
      if (reader_.at_end()) fail("a class does not end", "add ]");
      if (reader_.looks_at("[:") || reader_.looks_at("[.") || reader_.looks_at("[=")) {
        fail("POSIX classes are not known", "write \\[ for the character, a-z for letters");
      }
      const char32_t first = reader_.next();
      if (first == '\\') {
        if (const auto known = class_escape()) {
          all.add(*known);
          after_class = true;
          continue;
        }
      }
      const char32_t from = first == '\\' ? character_escape(true) : first;
      if (reader_.looks_at("-") && !reader_.looks_at("-]") && !(first == '-' && after_class)) {
        reader_.next();
        if (reader_.looks_at("\\d") || reader_.looks_at("\\w") || reader_.looks_at("\\s") || reader_.looks_at("\\D") ||
            reader_.looks_at("\\W") || reader_.looks_at("\\S")) {
          fail("a range that ends in a class", "put the hyphen last");
        }
        if (reader_.at_end()) fail("a class does not end", "add ]");
        const char32_t last = reader_.accept("\\") ? character_escape(true) : reader_.next();
        if (last < from) fail("a range that ends before it begins", "swap its ends");
        all.add(from, last);
      } else {
        all.add(from, from);
      }
      after_class = false;
    }
    return spell(negated ? all.maybe.complement() : all.surely);
  }

  TextReader reader_;
  const RegexOptions& options_;
};

}  // namespace

ExpressionPtr parse_regex(std::string_view text, const RegexOptions& options) {
  if (!utf8::is_valid(text)) throw Error("not UTF-8", options.where, "save it as UTF-8");
  return Parser(text, options).parse();
}

}  // namespace mica::constraint_detail
