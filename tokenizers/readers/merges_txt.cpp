#include "mica/tokenizers/readers/merges_txt.h"

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/json.h"
#include "mica/tokenizers/python_text.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

// Calls `take(line, number)` with each line that a line end closes.
template <typename Take>
void for_lines(std::string_view text, const std::string& path, const Take& take) {
  if (!utf8::is_valid(text)) throw Error("the file is not UTF-8", printable(path, 400), "fetch the file again");
  size_t number = 0;
  for (size_t end = text.find('\n'); end != text.npos; end = text.find('\n')) {
    take(text.substr(0, end), ++number);
    text.remove_prefix(end + 1);
  }
}

// The first of the words with white space between; the line goes on behind it.
std::string_view take_word(std::string_view& line) {
  line = strip_python_space(line);
  const char* p = line.data();
  const char* end = p;
  while (p < line.data() + line.size() && !is_python_space(utf8::next(p))) end = p;
  const std::string_view word = line.substr(0, static_cast<size_t>(end - line.data()));
  line.remove_prefix(word.size());
  return word;
}

std::string closed(std::string_view text) {
  return std::string(text) + (text.empty() || text.back() == '\n' ? "" : "\n");
}

// Without the last of the words with blanks between, which must be there.
std::string_view without_count(std::string_view line, size_t number, const std::string& path) {
  line = strip_python_space(line);
  const size_t space = line.rfind(' ');
  if (space == line.npos) {
    throw Error("line " + std::to_string(number) + " has no count: \"" + printable(line, 60) + "\"",
                printable(path, 400), "give a count behind each token and each pair");
  }
  return strip_python_space(line.substr(0, space));
}

}  // namespace

std::shared_ptr<const Vocabulary> parse_vocab_json(std::string_view text, const std::string& path) {
  const Json json = parse_json(text, path);
  if (!json.is_object()) throw Error("not a JSON object", printable(path, 400), "give an object of tokens and ids");
  auto vocabulary = std::make_shared<Vocabulary>();
  for (const auto& [token, id] : json.items()) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > Vocabulary::kMaxId) {
      throw Error("\"" + printable(token, 60) + "\" has no id", printable(path, 400),
                  "ids are whole numbers from 0 to " + std::to_string(Vocabulary::kMaxId));
    }
    vocabulary->add(token, id.get<int64_t>(), path);
  }
  vocabulary->finish(path);
  return vocabulary;
}

std::shared_ptr<const Vocabulary> read_vocab_json(const std::string& path) {
  return parse_vocab_json(read_file(path), path);
}

Merges parse_merges_txt(std::string_view text, const std::string& path) {
  if (!utf8::is_valid(text)) throw Error("merges are not UTF-8", printable(path, 400), "fetch the file again");
  Merges merges;
  size_t number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    ++number;
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
    if (line.empty() || line.substr(0, 8) == "#version") continue;
    const size_t space = line.find(' ');
    if (space == line.npos || space == 0 || line.find(' ', space + 1) != line.npos) {
      throw Error("line " + std::to_string(number) + " is no pair of tokens: \"" + printable(line, 60) + "\"",
                  printable(path, 400), "give two tokens with one space between them on each line");
    }
    merges.add(line.substr(0, space), line.substr(space + 1));
  }
  return merges;
}

Merges read_merges_txt(const std::string& path) {
  return parse_merges_txt(read_file(path), path);
}

Merges parse_marked_merges(std::string_view text, bool counts, const std::string& path) {
  Merges merges;
  for_lines(text, path, [&](std::string_view line, size_t number) {
    if (!counts && number == 1) return;
    line = counts ? without_count(line, number, path) : strip_python_space(line);
    if (line.empty()) return;
    const size_t space = line.find(' ');
    if (space == line.npos || line.find(' ', space + 1) != line.npos) {
      throw Error("line " + std::to_string(number) + " is no pair of tokens: \"" + printable(line, 60) + "\"",
                  printable(path, 400), "give two tokens with one space between them on each line");
    }
    merges.add(line.substr(0, space), line.substr(space + 1));
  });
  return merges;
}

Merges parse_moses_merges(std::string_view text, const std::string& path) {
  Merges merges;
  for_lines(text, path, [&](std::string_view line, size_t number) {
    const std::string_view whole = line, left = take_word(line), right = take_word(line);
    if (left.empty()) return;
    if (right.empty()) {
      throw Error("line " + std::to_string(number) + " is no pair of tokens: \"" + printable(whole, 60) + "\"",
                  printable(path, 400), "give two tokens with white space between them on each line");
    }
    merges.add(left, right);
  });
  return merges;
}

std::shared_ptr<const Vocabulary> parse_counted_vocab(std::string_view text, const std::vector<std::string>& first,
                                                      const std::string& path) {
  auto vocabulary = std::make_shared<Vocabulary>();
  int64_t next = 0;
  for (const std::string& token : first) vocabulary->add(token, next++, path);
  for_lines(closed(text), path, [&](std::string_view line, size_t number) {
    vocabulary->add(without_count(line, number, path), next++, path);
  });
  vocabulary->finish(path);
  return vocabulary;
}

std::shared_ptr<const Vocabulary> parse_piece_list(std::string_view text, const std::vector<std::string>& first,
                                                   const std::string& last, const std::string& path) {
  auto vocabulary = std::make_shared<Vocabulary>();
  int64_t next = 0;
  bool has_last = false;
  const auto add = [&](std::string_view token) {
    has_last = has_last || token == last;
    vocabulary->add(token, next++, path);
  };
  for (const std::string& token : first) add(token);
  for_lines(closed(text), path, [&](std::string_view line, size_t number) {
    const std::string_view token = take_word(line);
    if (token.empty()) {
      throw Error("line " + std::to_string(number) + " is empty", printable(path, 400), "give a token on each line");
    }
    add(token);
  });
  if (!has_last) add(last);
  vocabulary->finish(path);
  return vocabulary;
}

}  // namespace mica
