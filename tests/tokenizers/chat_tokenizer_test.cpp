// Chat templates of a tokenizer: where they come from, which one is used, what the ids are, how they are saved.

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/tests/tokenizers/small_tokenizer.h"
#include "mica/tests/tokenizers/test_data.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica {
namespace {

using test::ScratchFolder;

constexpr const char* kVocabulary =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nuser\nbot\n:\nhello\nyou\nwho\nare\nfine\n.\n?\n";
constexpr const char* kTemplate =
    "{{ cls_token }}{% for m in messages %}{{ m.role }}: {% generation %}{{ m.content if m.role == 'bot' }}{% "
    "endgeneration %}"
    "{{ m.content if m.role != 'bot' }}{{ sep_token }}{% endfor %}{% if add_generation_prompt %}bot:{% endif %}";

const Conversation& chat() {
  static const Conversation conversation{{"user", "who are you?"}, {"bot", "fine."}, {"user", "hello"}};
  return conversation;
}

ScratchFolder& fill(ScratchFolder& folder, const std::string& config = "{}") {
  folder.write("vocab.txt", kVocabulary);
  folder.write("tokenizer_config.json", config);
  return folder;
}

std::string message_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(TokenizerChats, TextIdsAndMask) {
  ScratchFolder folder;
  fill(folder).write("chat_template.jinja", kTemplate);
  const Tokenizer tokenizer = Tokenizer::from_pretrained(folder.path());
  EXPECT_EQ(tokenizer.apply_chat_template(chat()), "[CLS]user: who are you?[SEP]bot: fine.[SEP]user: hello[SEP]");
  EXPECT_EQ(tokenizer.apply_chat_template({{"user", "hello"}}, {.add_generation_prompt = true}),
            "[CLS]user: hello[SEP]bot:");
  const ChatEncoding encoding = tokenizer.encode_chat(chat());
  EXPECT_EQ(encoding.tokens(0),
            (std::vector<std::string>{"[CLS]", "user", ":", "who", "are", "you", "?", "[SEP]", "bot", ":", "fine", ".",
                                      "[SEP]", "user", ":", "hello", "[SEP]"}));
  EXPECT_EQ(encoding.assistant_masks[0], (std::vector<int8_t>{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0}));
  const ChatEncoding batch = tokenizer.encode_chats({chat(), {{"bot", "fine"}}}, {}, {.padding = true});
  EXPECT_EQ(batch.size(), 2U);
  EXPECT_EQ(batch.assistant_masks[1], (std::vector<int8_t>{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(batch.texts[1], "[CLS]bot: fine[SEP]");
}

TEST(TokenizerChats, TheFinalMessageGoesOn) {
  ScratchFolder folder;
  fill(folder).write("chat_template.jinja", "{% for m in messages %}<{{ m.content }}>{% endfor %}");
  const Tokenizer tokenizer = Tokenizer::from_pretrained(folder.path());
  EXPECT_EQ(tokenizer.apply_chat_template({{"user", "a"}, {"bot", "b "}}, {.continue_final_message = true}), "<a><b ");
  const auto refused = [&](const ChatTemplateOptions& options) {
    return message_of([&] { tokenizer.apply_chat_template({{"user", "a"}}, options); });
  };
  EXPECT_NE(refused({.add_generation_prompt = true, .continue_final_message = true}).find("together with"),
            std::string::npos);
  EXPECT_NE(refused({.chat_template = "{{ messages[0].role }}", .continue_final_message = true}).find("does not read"),
            std::string::npos);
  EXPECT_NE(refused({.chat_template = "{# content #}x", .continue_final_message = true}).find("not in the rendered"),
            std::string::npos);
  EXPECT_EQ(tokenizer.apply_chat_template({{"user", "a b"}}, {.chat_template = "[{{ messages[0].content | trim }}]",
                                                              .continue_final_message = true}),
            "[a b");
}

TEST(TokenizerChats, NamedTemplates) {
  ScratchFolder folder;
  fill(
      folder,
      R"({"chat_template": [{"name": "default", "template": "D{{ tools is none }}"}, {"name": "tool_use", "template": "T{{ tools|length }}"},
                   {"name": "rag", "template": "R{% for d in documents %}{{ d.title }}{% endfor %}"}]})");
  const Tokenizer tokenizer = Tokenizer::from_pretrained(folder.path());
  EXPECT_EQ(tokenizer.chat_template_names(), (std::vector<std::string>{"default", "tool_use", "rag"}));
  EXPECT_EQ(tokenizer.apply_chat_template(chat()), "DTrue");
  EXPECT_EQ(tokenizer.apply_chat_template(chat(), {.tools = "[{\"a\": 1}]"}), "T1");
  EXPECT_EQ(tokenizer.apply_chat_template(chat(), {.chat_template = "default", .tools = "[{\"a\": 1}]"}), "DFalse");
  EXPECT_EQ(tokenizer.apply_chat_template(chat(), {.chat_template = "rag", .documents = "[{\"title\": \"x\"}]"}), "Rx");
  EXPECT_EQ(tokenizer.apply_chat_template(
                chat(), {.chat_template = "{{ y }}{{ cls_token }}", .variables = "{\"y\": 1, \"cls_token\": \"C\"}"}),
            "1C");
  EXPECT_NE(message_of([&] {
              tokenizer.apply_chat_template(chat(), {.chat_template = "none"});
            }).find("default, tool_use, rag"),
            std::string::npos);
}

TEST(TokenizerChats, FilesWinOverTheConfigAndAreSaved) {
  ScratchFolder folder;
  fill(folder, R"({"chat_template": "from config"})");
  EXPECT_EQ(Tokenizer::from_pretrained(folder.path()).apply_chat_template(chat()), "from config");
  ScratchFolder legacy;
  fill(legacy).write("chat_template.json", R"({"chat_template": "from the old file"})");
  EXPECT_EQ(Tokenizer::from_pretrained(legacy.path()).apply_chat_template(chat()), "from the old file");
  folder.write("chat_template.jinja", "from file\n");
  folder.write("additional_chat_templates/tool_use.jinja", "with tools");
  const Tokenizer tokenizer = Tokenizer::from_pretrained(folder.path());
  EXPECT_EQ(tokenizer.apply_chat_template(chat()), "from file");
  EXPECT_EQ(tokenizer.apply_chat_template(chat(), {.tools = "[]"}), "with tools");

  ScratchFolder saved;
  const std::vector<std::string> written = tokenizer.save_pretrained(saved.path());
  EXPECT_EQ(read_file(saved.file("chat_template.jinja")), "from file\n");
  EXPECT_EQ(read_file(saved.file("additional_chat_templates/tool_use.jinja")), "with tools");
  EXPECT_EQ(read_file(saved.file("tokenizer_config.json")).find("chat_template"), std::string::npos);
  EXPECT_NE(std::find(written.begin(), written.end(), saved.file("chat_template.jinja")), written.end());
  EXPECT_EQ(Tokenizer::from_pretrained(saved.path()).chat_template("tool_use"), "with tools");

  Tokenizer changed = tokenizer;
  changed.set_chat_template("new");
  EXPECT_EQ(changed.apply_chat_template(chat()), "new");
  EXPECT_EQ(tokenizer.chat_template(), "from file\n");
  changed.set_chat_template("x", "../outside");
  EXPECT_NE(message_of([&] { changed.save_pretrained(saved.path()); }).find("no file name"), std::string::npos);
}

TEST(TokenizerChats, MessagesAsJson) {
  ScratchFolder folder;
  fill(folder).write("chat_template.jinja", "{{ messages }}");
  const Tokenizer tokenizer = Tokenizer::from_pretrained(folder.path());
  EXPECT_EQ(tokenizer.apply_chat_template(
                Conversation::from_json(R"([{"role": "user", "content": null, "n": [1, 2.0, true]}])")),
            "[{'role': 'user', 'n': [1, 2.0, True]}]");
  EXPECT_EQ(tokenizer.apply_chat_template({{"bot", "x", R"({"tool_calls": [1]})"}}),
            "[{'role': 'bot', 'content': 'x', 'tool_calls': [1]}]");
  const auto refused = [&](const std::string& json) {
    return message_of([&] { tokenizer.apply_chat_template(Conversation::from_json(json, "file.json")); });
  };
  EXPECT_NE(refused("[]").find("empty conversation (file.json)"), std::string::npos);
  EXPECT_NE(refused("{}").find("not a JSON array"), std::string::npos);
  EXPECT_NE(refused("[1]").find("no JSON object"), std::string::npos);
  EXPECT_NE(refused("[{").find("invalid JSON"), std::string::npos);
  EXPECT_NE(refused("").find("invalid JSON"), std::string::npos);
  EXPECT_NE(
      message_of([&] { tokenizer.apply_chat_template(chat(), {.tools = "{}"}); }).find("not a JSON array (tools)"),
      std::string::npos);
  EXPECT_NE(message_of([&] {
              tokenizer.apply_chat_template(chat(), {.variables = "{\"messages\": 1}"});
            }).find("no further variable"),
            std::string::npos);
}

TEST(TokenizerChats, MalformedFilesAreRefused) {
  const auto refused = [](const std::string& config) {
    ScratchFolder folder;
    fill(folder, config);
    return message_of([&] { Tokenizer::from_pretrained(folder.path()); });
  };
  EXPECT_NE(refused(R"({"chat_template": 1})").find("chat_template"), std::string::npos);
  EXPECT_NE(refused(R"({"chat_template": [{"name": "a"}]})").find("no template"), std::string::npos);
  EXPECT_NE(refused(R"({"chat_template": [{"name": "a", "template": ""}, {"name": "a", "template": ""}]})")
                .find("two chat templates"),
            std::string::npos);
  ScratchFolder none;
  fill(none);
  EXPECT_NE(message_of([&] {
              Tokenizer::from_pretrained(none.path()).apply_chat_template(chat());
            }).find("has no chat template"),
            std::string::npos);
}

}  // namespace
}  // namespace mica
