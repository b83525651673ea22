// Every golden case of the folder (MICA_GOLDEN_DIR, or the project's own), one test each.

#include "mica/tests/support/golden.h"

#include <cstdlib>

#include <gtest/gtest.h>

#include "mica/models/auto/table.h"

namespace mica::golden {
namespace {

std::string folder() {
  const char* given = std::getenv("MICA_GOLDEN_DIR");
  return given != nullptr ? given : MICA_SOURCE_DIR "/tests/golden";
}

class Golden : public ::testing::TestWithParam<Case> {};

TEST_P(Golden, EqualsTheReference) {
  for (const std::string& difference : run(GetParam())) ADD_FAILURE() << difference;
}

std::string title(const ::testing::TestParamInfo<Case>& info) {
  std::string text = info.param.model_type + "_" + info.param.name;
  for (char& c : text) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return text;
}

// Cases of families that the table lacks are no concern of this build; those of its families must all pass.
std::vector<Case> known_cases() {
  std::vector<Case> known;
  for (const Case& each : find_cases(folder())) {
    for (const Family& family : families_table()) {
      if (family.model_type == each.model_type) known.push_back(each);
    }
  }
  return known;
}

INSTANTIATE_TEST_SUITE_P(Cases, Golden, ::testing::ValuesIn(known_cases()), title);

TEST(HashStream, GivesThePublishedNumbers) {
  EXPECT_EQ(uniform("a", 0), -0.25653815269470215);
  EXPECT_EQ(uniform("a", 1), 0.9962445497512817);
  EXPECT_EQ(uniform("bert.pooler.dense.weight", 5), -0.4385793209075928);
}

}  // namespace
}  // namespace mica::golden
