// JSON schemas: what is made parses and fits, what a schema admits can be made, and what is not known is refused.

#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/models/generation/constraints/constraints.h"
#include "mica/tests/models/constraints/support.h"

namespace mica::test {
namespace {

const std::vector<std::string>& schemas() {
  static const std::vector<std::string> all{
      R"({"type": "object"})",
      R"({})",
      R"({"type": "string"})",
      R"({"type": ["integer", "null", "boolean"]})",
      R"({"type": "number", "minimum": -2.5, "exclusiveMaximum": 1000})",
      R"({"type": "object", "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 12},
          "age": {"type": "integer", "minimum": 0, "maximum": 150}, "email": {"type": "string", "pattern": "^\\w{1,9}@\\w{1,9}$"},
          "tags": {"type": "array", "items": {"enum": ["red", "green", "\"quoted\"\n", null, 1.5]}, "minItems": 1,
          "maxItems": 4}}, "required": ["age", "tags"], "additionalProperties": false})",
      R"({"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "null"}, "c": {"type": "null"}},
          "additionalProperties": {"type": "boolean"}})",
      R"({"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object", "properties": {"value": {"type": "integer"},
          "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}, "required": ["value"]}}})",
      R"({"anyOf": [{"type": "object", "properties": {"kind": {"const": "circle"}, "radius": {"type": "number",
          "exclusiveMinimum": 0}}, "required": ["kind", "radius"]}, {"type": "object", "properties": {"kind":
          {"const": "box"}, "size": {"type": "array", "prefixItems": [{"type": "number"}, {"type": "number"}],
          "items": false, "minItems": 2}}, "required": ["kind", "size"]}]})",
      R"({"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, {"properties":
          {"b": {"type": "integer", "multipleOf": 7}, "a": {"minLength": 2}}}, {"properties": {"a": {"maxLength": 3}}}]})",
      R"({"type": "array", "items": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 3}},
          "maxItems": 2})",
      R"({"type": "array", "prefixItems": [{"type": "string", "maxLength": 4}, {"type": "boolean"}],
          "items": {"type": "integer"}, "minItems": 1, "maxItems": 5})",
      R"({"type": "string", "pattern": "[0-9]", "minLength": 3, "maxLength": 6})",
      R"({"type": "string", "pattern": "^[^\\s]{2,5}$|^\\W+\\D$"})",
      R"({"type": "object", "properties": {"when": {"format": "date-time"}, "id": {"format": "uuid"}, "for": {"format":
          "duration"}, "ip": {"format": "ipv4"}, "mail": {"format": "email"}, "host": {"format": "hostname"}, "at":
          {"format": "time"}, "on": {"format": "date"}}, "required": ["when", "id", "for", "ip", "mail", "host"]})",
      R"({"type": "object", "properties": {"x": {"type": "integer", "nullable": true}, "y": {"anyOf": [{"type": "null"},
          {"type": "integer", "minimum": -1000, "maximum": -17}]}}, "anyOf": [{"required": ["x"]}, {"required": ["y"]}]})",
      R"({"enum": [1, "two", [3, {"four": 5}], null, true]})",
      R"({"type": "integer", "multipleOf": 12, "minimum": 100, "maximum": 99999})",
  };
  return all;
}

TEST(ConstraintSchemas, WhatIsMadeParsesAndFits) {
  const auto& tokens = published_tokens("qwen2.5");
  std::mt19937 random(17);
  int made_in_all = 0, whole = 0;
  for (const std::string& text : schemas()) {
    const Json schema = Json::parse(text);
    const auto fresh = json_schema_constraint(published_vocabulary("qwen2.5"), text);
    for (int i = 0; i < 60; ++i) {
      const auto constraint = fresh->clone();
      const Made made = random_text(*constraint, tokens, random, 60);
      ++made_in_all;
      if (!made.ended) ADD_FAILURE() << text << "\nmade, without end, " << made.text;
      if (!made.ended) continue;
      ++whole;
      const Json value = Json::parse(made.text, nullptr, false);
      ASSERT_FALSE(value.is_discarded()) << text << "\nmade " << made.text;
      EXPECT_EQ(why_invalid(schema, value, schema), "") << "made " << made.text;
    }
  }
  EXPECT_GE(made_in_all, 1000);
  EXPECT_EQ(whole, made_in_all);
}

// Follows a text byte by byte; says after how many bytes it was refused, or -1.
int refused_at(const std::string& schema, const std::string& text) {
  std::vector<std::string> bytes;
  for (int b = 0; b < 256; ++b) bytes.emplace_back(1, static_cast<char>(b));
  bytes.emplace_back();
  const auto constraint = json_schema_constraint(ConstraintVocabulary(bytes, {256}), schema);
  for (size_t i = 0; i <= text.size(); ++i) {
    try {
      constraint->advance(i < text.size() ? static_cast<unsigned char>(text[i]) : 256);
    } catch (const Error&) {
      return static_cast<int>(i);
    }
  }
  return -1;
}

TEST(ConstraintSchemas, WhatFitsCanBeMade) {
  struct Case {
    std::string schema;
    std::vector<std::string> fits, fails;
  };
  const std::vector<Case> cases{
      {R"({})",
       {R"({"a": [1,-0.5e+10, "x\"\\\/\b\u00e9\ud83d\ude00 é😀", true,false, null], "a":{}})", "[]", "0", "\"\x7f\""},
       {"01", "[1,]", "{\"a\"}", "\"\\ud83d\"", "\"\\ude00\"", "\"\n\"", "[ 1]", "\"\xff\"", "\"\xc3\"",
        "\"\xed\xa0\x80\"", "1.", "-", "tru"}},
      {R"({"type": "object", "properties": {"b": {"type": "integer"}, "a": {"type": "string"}, "c": {}}, "required": ["a"]})",
       {R"({"b":1,"a":""})", R"({"a":"x", "c":[]})", R"({"b": 1, "a": "", "c": null})"},
       {"{}", R"({"b":1})", R"({"a":"","b":1})", R"({"a":"","d":1})", R"({"a":"",})", R"({,"a":""})"}},
      {R"({"properties": {"a": {"type": "null"}, "ab": {"type": "null"}}, "additionalProperties": {"type": "integer"}})",
       {R"({"a":null,"b":1,"abc":2,"":3})", R"({"A":1})", R"({"ab":null,"\n":1})"},
       {R"({"a":1})", R"({"b":1,"a":null})", R"({"b":1,"ab":2})", R"({"\u0061":1})", R"({"b":null})"}},
      {R"({"type": "object", "properties": {}, "additionalProperties": false})", {"{}"}, {R"({"a":1})"}},
      {R"({"type": "object", "properties": {"a": {}}, "maxProperties": 1, "additionalProperties": false})",
       {"{}", R"({"a":1})"},
       {R"({"b":1})"}},
      {R"({"type": "object", "minProperties": 1})", {R"({"a":1})", R"({"a":1,"b":2})"}, {"{}"}},
      {R"({"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3})",
       {"[1, 2]", "[1,2,3]"},
       {"[]", "[1]", "[1,2,3,4]", "[1,\"\"]"}},
      {R"({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]})",
       {"[]", "[1]", "[1, \"a\"]"},
       {"[\"a\"]", "[1, \"a\", 2]"}},
      {R"({"type": "array", "prefixItems": [{"type": "integer"}], "minItems": 3})",
       {"[1, \"a\", {}]"},
       {"[1]", "[1, 2]", "[1,2,3,4]"}},
      {R"({"type": "string", "minLength": 1, "maxLength": 2})",
       {"\"a\"", "\"😀é\"", "\"\\ud83d\\ude00\\n\"", "\"\\u0041b\""},
       {"\"\"", "\"abc\"", "\"\\ud83d\\ude00\\nb\""}},
      {R"({"type": "string", "pattern": "b+\"?$"})",
       {"\"b\"", "\"abb\\\"\"", "\"\\nb\""},
       {"\"\"", "\"ba\"", "\"\\u0062\""}},
      {R"({"type": "integer", "minimum": -12, "exclusiveMaximum": 105})",
       {"-12", "-1", "0", "9", "10", "99", "100", "104"},
       {"-13", "105", "1000", "-20", "00", "1.0", "1e1"}},
      {R"({"type": "number", "minimum": 0.5, "maximum": 12.25})",
       {"0.5", "0.50", "1", "0.51", "12.25", "12.250", "12.2", "9.99999", "12"},
       {"0.49", "0", "12.26", "13", "-1", "12.2501", "1e1"}},
      {R"({"type": "number", "exclusiveMinimum": -3.5, "exclusiveMaximum": 0})",
       {"-3.49", "-3", "-0.001", "-3.4999"},
       {"-3.5", "-3.50", "0", "-0", "-0.0", "-4", "1"}},
      {R"({"type": "number", "minimum": 1e-3})", {"0.001", "1", "0.0011"}, {"0.0009", "0", "-1"}},
      {R"({"type": "number"})", {"1e5", "-0", "1.5E-10"}, {"1e500", "+1", ".5", "1234567890123456789"}},
      {R"({"const": {"a": [1, "é\n"], "b": {}}})",
       {R"({"a":[1,"é\n"],"b":{}})", R"({"a": [1, "é\n"], "b": {}})"},
       {"{}"}},
      {R"({"enum": ["a", 1, 2.5, null], "type": ["string", "integer"]})", {"\"a\"", "1"}, {"2.5", "null"}},
      {R"({"enum": ["a", "abc", 5, 50], "maxLength": 2, "maximum": 10})", {"\"a\"", "5"}, {"\"abc\"", "50"}},
      {R"({"allOf": [{"enum": [1, 2, 3]}, {"enum": [2, 3, 4]}, {"minimum": 3}]})", {"3"}, {"2", "4", "1"}},
      {R"({"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": false},
           {"properties": {"b": {"type": "integer"}}}]})",
       {"{}", R"({"a":1})"},
       {R"({"b":1})", R"({"a":1,"b":1})"}},
      {R"({"oneOf": [{"type": "null"}, {"$ref": "#/definitions/a~1b"}], "definitions": {"a/b": {"type": "boolean"}}})",
       {"null", "true"},
       {"1", "\"\""}},
      {R"({"type": "array", "items": {"$ref": "#"}})", {"[]", "[[],[[]]]"}, {"[1]"}},
      {R"({"type": "object", "properties": {"next": {"$ref": "#"}, "no": false}})",
       {R"({"next":{"next": {}}})"},
       {R"({"no":1})"}},
      {R"({"type": "integer", "nullable": true, "multipleOf": 5})", {"null", "-15", "0"}, {"3", "-14"}},
      {R"({"format": "date"})",
       {"\"2024-02-29\"", "\"2023-12-31\""},
       {"\"2023-02-29\"", "\"2024-04-31\"", "\"2024-1-1\"", "1"}},
      {R"({"format": "date-time"})",
       {"\"2000-02-29T23:59:59.5+01:00\"", "\"2021-06-30T00:00:00Z\""},
       {"\"1900-02-29T00:00:00Z\"", "\"2021-06-30T24:00:00Z\"", "\"2021-06-30 00:00:00Z\""}},
      {R"({"format": "duration"})", {"\"P1Y2M3DT4H5M6S\"", "\"PT5M\"", "\"P3W\""}, {"\"P\"", "\"PT\"", "\"P1S\""}},
      {R"({"format": "ipv4"})", {"\"0.25.255.199\""}, {"\"256.1.1.1\"", "\"1.2.3\"", "\"01.2.3.4\""}},
      {R"({"type": "integer", "format": "int32"})", {"2147483647", "-2147483648"}, {"2147483648", "-2147483649"}},
  };
  for (const Case& c : cases) {
    for (const std::string& text : c.fits) EXPECT_EQ(refused_at(c.schema, text), -1) << c.schema << ": " << text;
    for (const std::string& text : c.fails) EXPECT_NE(refused_at(c.schema, text), -1) << c.schema << ": " << text;
  }
}

TEST(ConstraintSchemas, BoundsOfIntegersAreExact) {
  std::mt19937 random(23);
  for (int i = 0; i < 60; ++i) {
    const int span = i % 3 == 0 ? 30 : 1500;
    int low = static_cast<int>(random() % (2 * span)) - span, high = low + static_cast<int>(random() % span);
    const std::string schema =
        R"({"type": "integer", "minimum": )" + std::to_string(low) + R"(, "maximum": )" + std::to_string(high) + "}";
    for (int value :
         {low - 1, low, low + 1, (low + high) / 2, high - 1, high, high + 1, -low, 0, 10 * high, high / 10}) {
      const bool fits = value >= low && value <= high;
      EXPECT_EQ(refused_at(schema, std::to_string(value)) == -1, fits) << schema << ": " << value;
    }
  }
}

TEST(ConstraintSchemas, BoundsOfNumbersAreExact) {
  std::mt19937 random(29);
  const auto decimal = [&] {
    std::string text = random() % 2 != 0 ? "-" : "";
    text += std::to_string(random() % (random() % 2 != 0 ? 12 : 1200));
    if (const auto digits = random() % 4; digits > 0) {
      text += '.';
      for (unsigned d = 0; d < digits; ++d) text += static_cast<char>('0' + random() % 10);
    }
    return text;
  };
  for (int i = 0; i < 40; ++i) {
    std::string low = decimal(), high = decimal();
    if (std::stod(low) > std::stod(high)) std::swap(low, high);
    const bool strict_low = random() % 2 != 0, strict_high = random() % 2 != 0;
    if (std::stod(low) == std::stod(high)) continue;
    const std::string schema = R"({"type": "number", ")" + std::string(strict_low ? "exclusiveMinimum" : "minimum") +
                               "\": " + low + ", \"" + (strict_high ? "exclusiveMaximum" : "maximum") + "\": " + high +
                               "}";
    for (int n = 0; n < 40; ++n) {
      std::string value = n % 10 == 0   ? low
                          : n % 10 == 1 ? high
                          : n % 10 == 2 ? low + (low.find('.') == low.npos ? ".01" : "1")
                                        : decimal();
      const double v = std::stod(value);
      const bool fits = (strict_low ? v > std::stod(low) : v >= std::stod(low)) &&
                        (strict_high ? v < std::stod(high) : v <= std::stod(high));
      if (v == 0 && value[0] == '-') continue;  // -0 is made where negative numbers are
      EXPECT_EQ(refused_at(schema, value) == -1, fits) << schema << ": " << value;
    }
  }
}

TEST(ConstraintSchemas, UnknownKeywordsAreNamedWithTheirPlace) {
  const auto problem = [](const std::string& schema) -> std::string {
    try {
      json_schema_constraint(ConstraintVocabulary({"a", ""}, {1}), schema);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  const auto names = [&](const std::string& schema, const std::string& what) {
    EXPECT_NE(problem(schema).find(what), std::string::npos) << schema << ": " << problem(schema);
  };
  names(R"({"properties": {"a/b": {"items": {"uniqueItems": true}}}})",
        "\"uniqueItems\" is not known at #/properties/a~1b/items/uniqueItems");
  for (const char* keyword : {"not", "if", "then", "else", "patternProperties", "propertyNames", "contains",
                              "minContains", "dependentRequired", "dependentSchemas", "contentEncoding", "$dynamicRef",
                              "$anchor", "additionalItems", "unevaluatedItems", "whatever", "Type"}) {
    names(std::string(R"({"type": "string", ")") + keyword + R"(": {}})",
          std::string("\"") + keyword + "\" is not known");
  }
  names(R"({"format": "iri"})", "unknown format \"iri\" at #/format");
  names(R"({"type": "text"})", "unknown type \"text\" at #/type");
  names(R"({"multipleOf": 0.5})", "at #/multipleOf");
  names(R"({"minLength": -1})", "at #/minLength");
  names(R"({"exclusiveMinimum": true})", "not a number at #/exclusiveMinimum");
  names(R"({"minimum": NaN})", "not finite");
  names(R"x({"pattern": "a(?=b)"})x", "not known");
  names(R"({"pattern": 1})", "not a string at #/pattern");
  names(R"({"$ref": "other.json"})", "not in this schema at #/$ref");
  names(R"({"$ref": "#/$defs/a"})", "does not exist");
  names(R"({"$ref": "#"})", "refers to itself");
  names(R"({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}, {}]}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"})",
        "refers to itself");
  names(R"({"items": [{}]})", "prefixItems");
  names(R"({"properties": {"a": 1}})", "not a schema");
  names(R"({"maxProperties": 2})", "number of properties");
  names(R"({"enum": [{"a": 1}], "properties": {}})", "list of values");
  names(R"({"anyOf": []})", "at #/anyOf");
  names(R"({"nullable": true})", "nullable");
  names("[]", "not a schema");
  names("{", "JSON schema");
  // What nothing fits.
  for (const char* schema :
       {"false", R"({"type": "integer", "minimum": 2, "maximum": 1})", R"({"enum": [1], "type": "string"})",
        R"({"allOf": [{"type": "string"}, {"type": "integer"}]})",
        R"({"type": "string", "minLength": 2, "maxLength": 1})",
        R"({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]})",
        R"({"type": "object", "properties": {"a": false}, "required": ["a"]})",
        R"({"type": "string", "allOf": [{"pattern": "^a"}, {"pattern": "^b"}]})",
        R"({"type": "number", "exclusiveMinimum": 1, "exclusiveMaximum": 1})"}) {
    names(schema, "nothing fits");
  }
  // What says nothing about values.
  EXPECT_EQ(
      problem(R"({"title": "T", "description": "d", "default": 1, "examples": [1], "$schema": "s", "$comment": "c",
                        "deprecated": true, "readOnly": true, "x-y": 1, "$id": "i", "uniqueItems": false,
                        "unevaluatedProperties": false, "discriminator": {"propertyName": "kind"}})"),
      "");
}

}  // namespace
}  // namespace mica::test
