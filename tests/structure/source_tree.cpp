#include "mica/tests/structure/source_tree.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <stdexcept>

namespace mica::structure {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string>& folders_of_the_house() {
  static const std::vector<std::string> folders{"base",     "kernels",  "tensor", "autograd", "tokenizers",
                                                "models",   "training", "cli",    "bench",    "tests",
                                                "examples", "docs",     "cmake",  ".ci"};
  return folders;
}

// Walks code: calls `code` with each stretch outside comments and literals, `literal` with the inside of each string.
template <typename Code, typename Literal>
void walk(const std::string& text, Code code, Literal literal) {
  size_t i = 0;
  size_t begin = 0;
  const auto flush = [&] { code(text.substr(begin, i - begin)); };
  while (i < text.size()) {
    if (text.compare(i, 2, "//") == 0 || text.compare(i, 2, "/*") == 0) {
      flush();
      const bool line = text[i + 1] == '/';
      const size_t end = text.find(line ? "\n" : "*/", i + 2);
      i = end == std::string::npos ? text.size() : end + (line ? 0 : 2);
      begin = i;
    } else if (text[i] == 'R' && text.compare(i, 2, "R\"") == 0) {
      flush();
      const size_t open = text.find('(', i);
      if (open == std::string::npos) throw std::runtime_error("raw string without an opening bracket");
      const std::string close = ")" + text.substr(i + 2, open - i - 2) + "\"";
      const size_t end = std::min(text.find(close, open), text.size());
      literal(text.substr(open + 1, end - open - 1));
      i = std::min(end + close.size(), text.size());
      begin = i;
    } else if (text[i] == '"') {
      flush();
      size_t end = i + 1;
      while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
      literal(text.substr(i + 1, std::min(end, text.size()) - i - 1));
      i = std::min(end + 1, text.size());
      begin = i;
    } else if (text[i] == '\'' && (i == 0 || std::isalnum(static_cast<unsigned char>(text[i - 1])) == 0)) {
      // A character; after a letter or digit it is a digit separator.
      size_t end = i + 1;
      while (end < text.size() && text[end] != '\'') end += text[end] == '\\' ? 2 : 1;
      i = std::min(end + 1, text.size());
    } else {
      ++i;
    }
  }
  flush();
}

}  // namespace

std::string root() {
  return MICA_SOURCE_DIR;
}

std::vector<std::string> all_files() {
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(root())) {
    if (entry.is_regular_file() && entry.path().filename() != ".git") files.push_back(entry.path().filename());
  }
  for (const std::string& folder : folders_of_the_house()) {
    if (!fs::exists(root() + "/" + folder)) continue;
    for (auto entry = fs::recursive_directory_iterator(root() + "/" + folder); entry != fs::end(entry); ++entry) {
      const std::string name = entry->path().filename();
      if (entry->is_directory() && (name == "__pycache__" || starts_with(name, "build")))
        entry.disable_recursion_pending();
      if (entry->is_regular_file()) files.push_back(fs::relative(entry->path(), root()).generic_string());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<std::string> code_files(const std::vector<std::string>& folders) {
  std::vector<std::string> code;
  for (const std::string& file : all_files()) {
    const std::string extension = fs::path(file).extension();
    if (extension != ".h" && extension != ".cpp" && extension != ".cu" && extension != ".cuh") continue;
    const auto holds = [&](const std::string& folder) { return starts_with(file, folder + "/"); };
    if (std::any_of(folders.begin(), folders.end(), holds)) code.push_back(file);
  }
  return code;
}

std::string read(const std::string& path) {
  std::ifstream file(root() + "/" + path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<Include> includes_of(const std::string& path) {
  static const std::regex pattern("^[ \t]*#[ \t]*include[ \t]*([<\"])([^>\"\n]+)[>\"]", std::regex::multiline);
  const std::string text = read(path);
  std::vector<Include> includes;
  for (std::sregex_iterator it(text.begin(), text.end(), pattern), end; it != end; ++it) {
    includes.push_back({(*it)[2], (*it)[1] == "\""});
  }
  return includes;
}

std::string without_comments(const std::string& text) {
  std::string result;
  walk(
      text, [&](const std::string& code) { result += code; },
      [&](const std::string& literal) { result += '"' + literal + '"'; });
  return result;
}

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : text + ' ') {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0 || std::string("_-./").find(c) != std::string::npos) {
      word += c;
    } else if (!word.empty()) {
      words.push_back(word);
      word.clear();
    }
  }
  return words;
}

std::vector<std::string> literals_of(const std::string& text) {
  std::vector<std::string> literals;
  walk(
      text, [](const std::string&) {}, [&](const std::string& literal) { literals.push_back(literal); });
  return literals;
}

bool starts_with(const std::string& text, const std::string& start) {
  return text.compare(0, start.size(), start) == 0;
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

}  // namespace mica::structure
