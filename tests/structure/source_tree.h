#pragma once
// The repository's own files, as the tests of its structure read them.

#include <string>
#include <vector>

namespace mica::structure {

/// The folder that holds CMakeLists.txt.
std::string root();

/// Files below the rooms and beside CMakeLists.txt, as paths from the root with '/', sorted. Build folders and the like
/// are not among them.
std::vector<std::string> all_files();

/// Those that end in .h, .cpp, .cu or .cuh and lie below one of the folders.
std::vector<std::string> code_files(const std::vector<std::string>& folders);

std::string read(const std::string& path);

/// What a file includes, between the quotes or the angle brackets.
struct Include {
  std::string path;
  bool quoted;
};
std::vector<Include> includes_of(const std::string& path);

/// The text without comments. String literals stay.
std::string without_comments(const std::string& text);

/// Maximal runs of letters, digits and "_-./" of a text: "bert-base-uncased" is one word.
std::vector<std::string> words_of(const std::string& text);

/// The contents of string literals, escapes left as they stand.
std::vector<std::string> literals_of(const std::string& text);

bool starts_with(const std::string& text, const std::string& start);
bool ends_with(const std::string& text, const std::string& end);

}  // namespace mica::structure
