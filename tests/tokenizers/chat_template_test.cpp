// Chat templates of many families, and hundreds of expressions, against what transformers makes of them. The cases come
// from tools/make_chat_cases.py.

#include "mica/tokenizers/chat/chat_template.h"

#include <ctime>
#include <fstream>
#include <iterator>
#include <map>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/tests/tokenizers/test_data.h"

namespace mica {
namespace {

// 26 July 2024, a Friday, 13:04:05: the clock of the expected texts.
std::tm fixed_clock() {
  std::tm time{};
  time.tm_year = 124;
  time.tm_mon = 6;
  time.tm_mday = 26;
  time.tm_hour = 13;
  time.tm_min = 4;
  time.tm_sec = 5;
  time.tm_wday = 5;
  time.tm_yday = 207;
  return time;
}

std::string read(const std::string& name) {
  std::ifstream file(test::data_folder("chat") + "/" + name, std::ios::binary);
  EXPECT_TRUE(file) << name;
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

const Json& cases() {
  static const Json all = parse_json(test::read_gz(test::data_folder("chat") + "/cases.json.gz"), "cases");
  return all;
}

using SpecialTokens = std::vector<std::pair<std::string, std::string>>;

ChatTemplateOptions options_of(const Json& variant, const Json& source) {
  ChatTemplateOptions options;
  options.clock = fixed_clock;
  options.add_generation_prompt = variant.value("add_generation_prompt", false);
  options.continue_final_message = variant.value("continue_final_message", false);
  if (variant.value("tools", false)) options.tools = source["tools"].dump();
  if (variant.value("documents", false)) options.documents = source["documents"].dump();
  if (variant.contains("variables")) options.variables = variant["variables"].dump();
  return options;
}

Json spans_of(const RenderedChat& rendered) {
  Json spans = Json::array();
  for (const CharSpan& span : rendered.generation_spans) spans.push_back({span.begin, span.end});
  return spans;
}

// One chat against its expected text, or against an expected failure.
void check(const ChatTemplate& chat_template, const Conversation& conversation, const ChatTemplateOptions& options,
           const SpecialTokens& special, const Json& expected, const std::string& where) {
  if (expected.contains("error")) {
    try {
      const RenderedChat rendered = chat_template.apply(conversation, options, special);
      ADD_FAILURE() << where << " should fail, and gives " << rendered.text;
    } catch (const Error& error) {
      // What raise_exception was given comes through.
      const auto message = expected["error"].get<std::string>();
      if (!message.empty()) {
        EXPECT_EQ(error.problem(), message) << where;
      }
    }
    return;
  }
  try {
    const RenderedChat rendered = chat_template.apply(conversation, options, special);
    EXPECT_EQ(rendered.text, expected["text"].get<std::string>()) << where;
    if (expected.contains("spans")) {
      EXPECT_EQ(spans_of(rendered), expected["spans"]) << where;
    }
  } catch (const Error& error) {
    ADD_FAILURE() << where << ": " << error.what();
  }
}

TEST(ChatTemplates, GiveTheTextOfTheReference) {
  const Json source = parse_json(read("conversations.json"), "conversations.json");
  SpecialTokens special;
  for (const auto& [name, token] : source["special_tokens"].items())
    special.emplace_back(name, token.get<std::string>());
  std::map<std::string, Json> variants;
  for (const Json& variant : source["variants"]) variants[variant["name"].get<std::string>()] = variant;
  std::map<std::string, ChatTemplate> templates;
  size_t texts = 0;
  for (const Json& one : cases()["cases"]) {
    const auto name = one[0].get<std::string>();
    auto it = templates.find(name);
    if (it == templates.end()) {
      it = templates.emplace(name, ChatTemplate::parse(read("templates/" + name + ".jinja"), name)).first;
    }
    const Json& variant = variants.at(one[2].get<std::string>());
    check(it->second, Conversation::from_json(source["conversations"][one[1].get<std::string>()].dump()),
          options_of(variant, source), special, one[3], name + ", " + one[1].dump() + ", " + one[2].dump());
    texts += one[3].contains("text") ? 1 : 0;
  }
  EXPECT_GE(templates.size(), 24U);
  EXPECT_GE(texts, 2000U);
}

TEST(ChatTemplates, ExpressionsGiveTheTextOfTheReference) {
  const std::string variables = read("variables.json");
  ChatTemplateOptions options;
  options.clock = fixed_clock;
  size_t texts = 0;
  for (const Json& one : cases()["expressions"]) {
    const auto source = one[0].get<std::string>();
    try {
      const RenderedChat rendered = ChatTemplate::parse(source).render(variables, options);
      if (one[1].contains("error")) {
        ADD_FAILURE() << source << " should fail, and gives " << rendered.text;
      } else {
        EXPECT_EQ(rendered.text, one[1]["text"].get<std::string>()) << source;
        ++texts;
      }
    } catch (const Error& error) {
      EXPECT_TRUE(one[1].contains("error")) << source << ": " << error.what();
    }
  }
  EXPECT_GE(texts, 500U);
}

}  // namespace
}  // namespace mica
