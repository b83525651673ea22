// The table of families against what is generated from it: the README's copy, and the golden cases.

#include "mica/models/auto/table.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "mica/tests/structure/source_tree.h"

namespace mica::structure {
namespace {

const std::string begin = "<!-- table:begin -->\n";
const std::string end = "<!-- table:end -->";

// `./dev table` sets MICA_REWRITE_TABLE.
TEST(Readme, ShowsTheTable) {
  const std::string readme = read("README.md");
  const size_t from = readme.find(begin);
  const size_t to = readme.find(end);
  ASSERT_TRUE(from != std::string::npos && to != std::string::npos && from < to) << "README.md lacks the table's marks";
  const std::string before = readme.substr(0, from + begin.size());
  const std::string expected = before + families_markdown() + readme.substr(to);
  if (std::getenv("MICA_REWRITE_TABLE") != nullptr) {
    std::ofstream(root() + "/README.md", std::ios::binary) << expected;
    return;
  }
  EXPECT_EQ(readme, expected) << "README.md and models/auto/table.cpp have drifted apart: run ./dev table";
}

TEST(Golden, EveryFamilyHasACaseForEachOfItsTasks) {
  for (const Family& family : families_table()) {
    for (const Task task : family.tasks) {
      const std::string path =
          "tests/golden/" + std::string(family.model_type) + "/" + std::string(name(task)) + ".json";
      EXPECT_TRUE(std::filesystem::exists(root() + "/" + path)) << path << " is missing";
    }
  }
}

}  // namespace
}  // namespace mica::structure
