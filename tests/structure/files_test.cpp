// What holds for every file: its length, and that it names no machine.

#include <algorithm>
#include <filesystem>
#include <regex>
#include <string>

#include <gtest/gtest.h>

#include "mica/tests/structure/source_tree.h"

namespace mica::structure {
namespace {

constexpr long max_lines = 800;

bool is_text(const std::string& file) {
  static const std::vector<std::string> text{".h",  ".cpp", ".cu",    ".cuh", ".py",  ".sh",
                                             ".md", ".txt", ".cmake", ".in",  ".map", ""};
  const std::string extension = std::filesystem::path(file).extension();
  return std::find(text.begin(), text.end(), extension) != text.end() && !starts_with(file, "tests/fuzz/corpus/");
}

TEST(Files, FitInOneHead) {
  for (const std::string& file : all_files()) {
    if (!is_text(file)) continue;
    const std::string text = read(file);
    EXPECT_LE(std::count(text.begin(), text.end(), '\n'), max_lines) << file << ": one idea a file";
  }
}

TEST(Files, NameNoMachinePath) {
  // Absolute paths into somebody's home or workplace; addresses that hold such a part are none.
  const std::regex path("(^|[\\s\"'=(:])/(home|root|work|farm|Users)/");
  for (const std::string& file : all_files()) {
    if (!is_text(file) || starts_with(file, "tests/structure/")) continue;
    std::smatch found;
    const std::string text = read(file);
    EXPECT_FALSE(std::regex_search(text, found, path)) << file << " names a path of one machine: " << found.str();
  }
}

}  // namespace
}  // namespace mica::structure
