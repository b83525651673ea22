#include "mica/models/generation/constraints/grammar.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "mica/base/error.h"
#include "mica/models/generation/constraints/text_reader.h"
#include "mica/tokenizers/utf8.h"

namespace mica::constraint_detail {
namespace {

constexpr char32_t kEnd = TextReader::kEnd;
constexpr int kMaxDepth = 100;

bool is_name(char32_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

class Parser {
 public:
  explicit Parser(std::string_view text) : reader_(text) {}

  Rules parse() {
    number("root");
    skip(true);
    while (!reader_.at_end()) {
      rule();
      skip(true);
    }
    if (!rules_[0].body) {
      throw Error("the grammar has no rule root", "grammar", "name the rule for the whole text root");
    }
    for (const auto& [name, at] : names_) {
      if (!rules_[at].body) {
        const auto [line, column] = position(first_use_[at]);
        throw Error("rule " + printable(name, 60) + " is missing, line " + line + ", column " + column, "grammar",
                    "define it: " + printable(name, 60) + " ::= ...");
      }
    }
    return std::move(rules_);
  }

 private:
  std::pair<std::string, std::string> position(size_t place) const {
    const std::string_view before = reader_.text().substr(0, place);
    const auto lines = std::count(before.begin(), before.end(), '\n');
    const size_t line = before.rfind('\n') + 1;  // npos + 1 is 0
    return {std::to_string(lines + 1), std::to_string(utf8::count(before.substr(line)) + 1)};
  }
  [[noreturn]] void fail(const std::string& problem, const std::string& mend) const {
    const auto [line, column] = position(reader_.place());
    throw Error(problem + ", line " + line + ", column " + column, "grammar", mend);
  }

  // Spaces and comments; line ends only where a rule may go on behind them.
  void skip(bool lines) {
    for (;;) {
      const char32_t c = reader_.peek();
      if (c == '#') {
        while (reader_.peek() != '\n' && !reader_.at_end()) reader_.next();
      } else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'))) {
        reader_.next();
      } else {
        return;
      }
    }
  }

  size_t number(const std::string& name) {
    const auto [it, added] = names_.try_emplace(name, rules_.size());
    if (added) {
      rules_.push_back({name, nullptr});
      first_use_.push_back(reader_.place());
    }
    return it->second;
  }

  std::string name() {
    std::string read;
    while (is_name(reader_.peek())) read += static_cast<char>(reader_.next());
    if (read.empty()) fail("a name is missing", "names are made of letters, digits, - and _");
    return read;
  }

  void rule() {
    const size_t at = number(name());
    skip(false);
    if (!reader_.accept("::=")) fail("::= is missing", "write name ::= ...");
    skip(true);
    if (rules_[at].body) fail("rule " + printable(rules_[at].name, 60) + " is defined twice", "join both with |");
    ExpressionPtr body = alternatives(0);
    rules_[at].body = std::move(body);
    const char32_t c = reader_.peek();
    if (c != '\n' && c != '\r' && c != kEnd)
      fail("a rule ends here but the line does not", "see whether a bracket is missing");
  }

  ExpressionPtr alternatives(int depth) {
    if (depth > kMaxDepth) fail("groups are nested too deeply", "use at most " + std::to_string(kMaxDepth) + " levels");
    std::vector<ExpressionPtr> all{alternative(depth)};
    while (accept_bar()) {
      skip(true);
      all.push_back(alternative(depth));
    }
    return choice(std::move(all));
  }

  // In this line, or first in one of the next.
  bool accept_bar() {
    const TextReader before = reader_;
    skip(true);
    if (reader_.accept("|")) return true;
    reader_ = before;
    return false;
  }

  ExpressionPtr alternative(int depth) {
    std::vector<ExpressionPtr> parts;
    for (;;) {
      const char32_t c = reader_.peek();
      ExpressionPtr part;
      if (c == '"' || c == '\'') {
        part = literal();
      } else if (c == '[') {
        part = bracket();
      } else if (c == '.') {
        reader_.next();
        part = one_of(CodePointSet::all());
      } else if (c == '(') {
        reader_.next();
        skip(true);
        part = alternatives(depth + 1);
        if (!reader_.accept(")")) fail("a group does not end", "add )");
      } else if (is_name(c)) {
        part = call(number(name()));
      } else if (c == '*' || c == '+' || c == '?' || c == '{') {
        fail("nothing to repeat, or two repetitions in a row", "put the operand in a group");
      } else if (c == '<' || c == '!') {
        fail("tokens by name are not known", "write the text of the token");
      } else {
        break;
      }
      skip(depth > 0);
      parts.push_back(repeated(std::move(part)));
      skip(depth > 0);
    }
    return sequence(std::move(parts));
  }

  ExpressionPtr repeated(ExpressionPtr part) {
    if (reader_.accept("*")) return repeat(std::move(part), 0, -1);
    if (reader_.accept("+")) return repeat(std::move(part), 1, -1);
    if (reader_.accept("?")) return optional(std::move(part));
    if (!reader_.accept("{")) return part;
    const auto count = read_count(reader_);
    if (!count) fail("malformed count", "write {m}, {m,} or {m,n}");
    return repeat(std::move(part), count->min, count->max);
  }

  char32_t character(char32_t closing) {
    const char32_t c = reader_.next();
    if (c == kEnd || c == '\n')
      fail("a literal or a class does not end", "close it in the same line, write \\n for the character");
    if (c != '\\') return c;
    const char32_t escaped = reader_.next();
    std::optional<char32_t> code;
    switch (escaped) {
      case 'n':
        return '\n';
      case 't':
        return '\t';
      case 'r':
        return '\r';
      case '\\':
      case '"':
      case '\'':
      case '[':
      case ']':
      case '-':
      case '^':
        return escaped;
      case 'x':
        code = reader_.hex(2);
        break;
      case 'u':
        code = reader_.hex(4);
        break;
      case 'U':
        code = reader_.hex(8);
        break;
      default:
        break;
    }
    if (!code) {
      fail("malformed escape",
           std::string("known are \\n \\t \\r \\\\ \\\" \\[ \\] \\- \\^ \\xHH \\uHHHH \\UHHHHHHHH") +
               (closing == ']' ? "; a class takes characters as they are" : ""));
    }
    return *code;
  }

  ExpressionPtr literal() {
    const char32_t quote = reader_.next();
    std::string bytes;
    while (reader_.peek() != quote) utf8::append(character(quote), bytes);
    reader_.next();
    return text(std::move(bytes));
  }

  ExpressionPtr bracket() {
    reader_.next();
    const bool negated = reader_.accept("^");
    CodePointSet set;
    while (!reader_.accept("]")) {
      const char32_t first = character(']');
      char32_t last = first;
      if (reader_.looks_at("-") && !reader_.looks_at("-]")) {
        reader_.next();
        last = character(']');
        if (last < first) fail("a range that ends before it begins", "swap its ends");
      }
      set.add(first, last);
    }
    return one_of(negated ? set.complement() : std::move(set));
  }

  TextReader reader_;
  Rules rules_;
  std::map<std::string, size_t> names_;
  std::vector<size_t> first_use_;
};

}  // namespace

Rules parse_grammar(std::string_view text) {
  if (!utf8::is_valid(text)) throw Error("not UTF-8", "grammar", "save it as UTF-8");
  return Parser(text).parse();
}

}  // namespace mica::constraint_detail
