// mica template: a conversation's text, from files and from standard input.

#include "tests/cli/program.h"
#include "tests/support/tiny_model.h"
#include <gtest/gtest.h>

#include "mica/base/json.h"

namespace mica {
namespace {

using testing_program::mica;
using testing_program::Outcome;

class TemplateProgram : public testing::Test {
 protected:
  void SetUp() override {
    tiny::write_text(folder_ / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nada\nhello\n:\n");
    tiny::write_text(folder_ / "tokenizer_config.json",
                     R"({"tokenizer_class": "BertTokenizer", "chat_template": [{"name": "default", "template":
                     "{% for m in messages %}{{ m.role }}: {% generation %}{{ m.content }}{% endgeneration %}{{ '\\n' }}{% endfor %}{{ tools|length if tools }}{{ '>' if add_generation_prompt }}"},
                     {"name": "loud", "template": "{{ messages[0].content|upper }}{{ x }}"}]})");
    tiny::write_text(messages(), R"([{"role": "user", "content": "hello"}, {"role": "ada", "content": "hello ada"}])");
    tiny::write_text(folder_ / "tools.json", R"([{"name": "look"}])");
    tiny::write_text(folder_ / "x.json", R"({"x": "!"})");
  }

  std::string messages() const { return folder_ / "messages.json"; }
  std::string model() const { return folder_.path(); }

  tiny::TemporaryFolder folder_;
};

TEST_F(TemplateProgram, PrintsTheText) {
  const Outcome plain = mica({"template", model(), messages()});
  EXPECT_EQ(plain.status, 0) << plain.err;
  EXPECT_EQ(plain.out, "user: hello\nada: hello ada\n\n");
  EXPECT_EQ(mica({"template", model(), messages(), "--add-generation-prompt", "--tools", folder_ / "tools.json"}).out,
            "user: hello\nada: hello ada\n1>\n");
  EXPECT_EQ(mica({"template", model(), messages(), "--template", "loud", "--variables", folder_ / "x.json"}).out,
            "HELLO!\n");
  EXPECT_EQ(mica({"template", model(), messages(), "--template", "{{ messages|length }}"}).out, "2\n");
  EXPECT_EQ(mica({"template", model(), messages(), "--continue-final-message", "--json"}).out,
            "\"user: hello\\nada: hello ada\"\n");
  EXPECT_EQ(mica({"template", model(), "-"}, R"([{"role": "a", "content": "b"}])").out, "a: b\n\n");
}

TEST_F(TemplateProgram, PrintsIds) {
  const Outcome outcome = mica({"template", model(), messages(), "--ids"});
  const Json json = parse_json(outcome.out, "output");
  EXPECT_EQ(json["ids"], Json({1, 7, 6, 5, 7, 6, 5}));
  EXPECT_EQ(json["assistant_mask"], Json({0, 0, 1, 0, 0, 1, 1}));
}

TEST_F(TemplateProgram, Fails) {
  const auto expect_failure = [](const Outcome& outcome, int status, const std::string& part) {
    EXPECT_EQ(outcome.status, status);
    EXPECT_EQ(outcome.out, "");
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
  };
  expect_failure(mica({"template", model()}), 2, "messages");
  expect_failure(mica({"template", model(), folder_ / "nowhere.json"}), 1, "nowhere.json");
  expect_failure(mica({"template", model(), messages(), "--template", "quiet"}), 1, "default, loud");
  expect_failure(mica({"template", model(), "-"}, "[]"), 1, "empty conversation");
  expect_failure(mica({"template", model(), messages(), "--template", "{{ raise_exception('no such luck') }}"}), 1,
                 "no such luck (chat template, line 1)");
}

}  // namespace
}  // namespace mica
