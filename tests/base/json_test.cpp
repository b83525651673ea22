#include "mica/base/json.h"

#include <cmath>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/tests/base/colliding_keys.h"

namespace mica {
namespace {

TEST(Json, KeepsKeyOrderAndNumbers) {
  const Json value = parse_json(R"({"b": 1, "a": [2.5, -3, true, null, "é"]})", "t");
  EXPECT_EQ(value.begin().key(), "b");
  EXPECT_EQ(value["a"][1].get<int>(), -3);
  EXPECT_EQ(value["a"][4].get<std::string>(), "é");
}

TEST(Json, ReadsPythonsInfinities) {
  const Json value =
      parse_json(R"({"a": -Infinity, "b": NaN, "c": "NaN Infinity", "d": {"__float__": "Infinity"}})", "t");
  EXPECT_EQ(value["a"].get<double>(), -INFINITY);
  EXPECT_TRUE(std::isnan(value["b"].get<double>()));
  EXPECT_EQ(value["c"].get<std::string>(), "NaN Infinity");
  EXPECT_EQ(value["d"].get<double>(), INFINITY);
}

TEST(Json, WritesInfinitiesAsPythonReadsThem) {
  const char* const text = R"({
  "time_step_limit": [
    0.0,
    Infinity
  ],
  "__float__": "__float__NaN",
  "low": -Infinity,
  "none": NaN
}
)";
  EXPECT_EQ(dump_json(parse_json(text, "t")), text);
}

TEST(Json, RefusesWhatIsMalformed) {
  for (const char* text :
       {"", "{", "[1,]", "{\"a\":1}x", "{\"a\":1,\"a\":2}", "\"\xff\"", "1e999", "{'a':1}", "[01]"}) {
    EXPECT_THROW(parse_json(text, "t"), Error) << text;
  }
  EXPECT_THROW(parse_json(std::string(100000, '['), "t"), Error);
  EXPECT_THROW(parse_json(std::string_view("{}\0x", 4), "t"), Error);
  EXPECT_THROW(parse_json("[1,2,3]", "t", {.max_depth = 4, .max_values = 2}), Error);
}

TEST(Json, RefusesKeysMadeToCollide) {
  const std::vector<std::string> keys = colliding_keys(200);
  if (keys.empty()) GTEST_SKIP() << "another standard library: its hash is not known";
  std::string text = "{";
  for (const std::string& key : keys) text.append(text.size() > 1 ? "," : "").append("\"" + key + "\":1");
  EXPECT_THROW(parse_json(text + "}", "t"), Error);
}

}  // namespace
}  // namespace mica
