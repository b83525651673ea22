// No two classes of one full name: the linker would take one's virtual functions and type for the other's, without a
// word.

#include <map>
#include <regex>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "mica/tests/structure/source_tree.h"

namespace mica::structure {
namespace {

TEST(Names, EveryClassHasAFullNameOfItsOwn) {
  // As clang-format lays them out: at namespace scope a definition begins its line.
  const std::regex definition("^(?:class|struct|enum class) (\\w+)(?: final)?(?: :[^;]*| \\{.*|)$");
  const std::regex opened("^namespace ?([\\w:]*) \\{$");
  std::map<std::string, std::string> places;
  for (const std::string& file :
       code_files({"base", "kernels", "tensor", "autograd", "tokenizers", "models", "training", "cli"})) {
    std::istringstream lines(read(file));
    std::string space;
    bool hidden = false;  // in an unnamed namespace, whose names are the file's own
    for (std::string line; std::getline(lines, line);) {
      std::smatch found;
      if (std::regex_match(line, found, opened)) {
        if (found[1].length() == 0) {
          hidden = true;
        } else {
          space = found[1];
        }
      } else if (line == "}  // namespace") {
        hidden = false;
      } else if (!hidden && std::regex_match(line, found, definition)) {
        const auto [place, is_new] = places.emplace(space + "::" + found[1].str(), file);
        EXPECT_TRUE(is_new || place->second == file)
            << place->first << " is defined in " << place->second << " and in " << file << ": rename one";
      }
    }
  }
  EXPECT_GT(places.size(), 300U) << "the reader of definitions finds too few";
}

}  // namespace
}  // namespace mica::structure
