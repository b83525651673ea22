// Turns: what is read again and what is not, and what happens where the context ends.

#include "mica/models/pipelines/chat_session.h"

#include "tests/support/tiny_model.h"
#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/base/json.h"
#include "mica/models/generation/generate.h"

namespace mica {
namespace {

const std::string kStories = std::string(MICA_SOURCE_DIR) + "/tests/data/models/stories260K";
constexpr const char* kTemplate =
    "{{ bos_token }}{% for m in messages %}{{ m.role }}:{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}";
// Shows of earlier turns only the last word, as templates do that leave out what the assistant thought.
constexpr const char* kForgetful =
    "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content.split()[-1] if m.content else '' }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}";

ChatSession session(const char* chat_template = kTemplate) {
  static const Model model = Model::from_pretrained(kStories, Task::causal_lm);
  static const Tokenizer tokenizer = Tokenizer::from_pretrained(kStories);
  return {model, tokenizer, chat_template};
}

ChatTurnOptions brief(int64_t tokens) {
  ChatTurnOptions options;
  options.generation.max_new_tokens = tokens;
  return options;
}

// Each answer is that of a chat that reads everything anew.
TEST(ChatSession, ReusesWhatItHasRead) {
  for (const char* chat_template : {kTemplate, kForgetful}) {
    ChatSession chat = session(chat_template);
    std::vector<ChatMessage> so_far;
    for (const char* message : {"Tell me a story.", "And then?", "Was Lily happy?"}) {
      const ChatAnswer answer = chat.send(message, brief(20));
      ChatSession fresh = session(chat_template);
      fresh.set_messages(so_far);
      const ChatAnswer anew = fresh.send(message, brief(20));
      EXPECT_EQ(answer.text, anew.text);
      EXPECT_EQ(answer.prompt_tokens, anew.prompt_tokens);
      EXPECT_EQ(anew.reused_tokens, 0);
      if (!so_far.empty()) {
        EXPECT_GT(answer.reused_tokens, 5);
      }
      if (!so_far.empty() && chat_template == kTemplate) {
        // All but the new message and what ends the answer before.
        EXPECT_GT(answer.reused_tokens, answer.prompt_tokens - 32);
      }
      so_far = chat.messages();
    }
    EXPECT_EQ(so_far.size(), 6U);
  }
}

// Turns long enough for tokens in 8 bits; and the kind of cache changed between two turns.
TEST(ChatSession, ReusesACacheInEightBits) {
  ChatSession chat = session();
  ChatTurnOptions options = brief(90);
  options.generation.cache_implementation = "quantized";
  options.generation.cache_config = CacheConfig{.residual_length = 0};
  std::vector<ChatMessage> so_far;
  for (const char* message : {"Tell me a story.", "And then?", "Was Lily happy?"}) {
    const ChatAnswer answer = chat.send(message, options);
    ChatSession fresh = session();
    fresh.set_messages(so_far);
    EXPECT_EQ(answer.text, fresh.send(message, options).text);
    EXPECT_EQ(answer.reused_tokens > 0, !so_far.empty());
    so_far = chat.messages();
  }
  EXPECT_EQ(chat.send("And?", brief(5)).reused_tokens, 0);
}

TEST(ChatSession, RegeneratesInPlace) {
  ChatSession chat = session();
  EXPECT_THROW(chat.regenerate(), Error);
  const ChatAnswer first = chat.send("Tell me a story.", brief(12));
  const ChatAnswer again = chat.regenerate(brief(12));
  EXPECT_EQ(again.text, first.text);
  EXPECT_EQ(again.reused_tokens, again.prompt_tokens - 1);
  ChatTurnOptions drawn = brief(12);
  drawn.generation.do_sample = true;
  drawn.generation.temperature = 2.0;
  drawn.generation.seed = 1;
  EXPECT_NE(chat.regenerate(drawn).text, first.text);
  EXPECT_EQ(chat.messages().size(), 2U);
}

TEST(ChatSession, BeamsAndStreams) {
  ChatSession chat = session();
  std::string streamed;
  ChatTurnOptions options = brief(10);
  options.on_text = [&](std::string_view text) { streamed += text; };
  EXPECT_EQ(chat.send("Tell me a story.", options).text, streamed);
  streamed.clear();
  options.generation.num_beams = 3;
  EXPECT_EQ(chat.send("And then?", options).text, streamed);
  EXPECT_FALSE(streamed.empty());
  options.generation.num_beams = 1;
  EXPECT_EQ(chat.send("And then?", options).reused_tokens, 0);
}

TEST(ChatSession, SystemMessageClearAndJson) {
  ChatSession chat = session();
  chat.set_system("Be kind.");
  chat.send("Hello", brief(3));
  EXPECT_EQ(chat.messages().size(), 3U);
  EXPECT_EQ(chat.system(), "Be kind.");
  const auto copy = ChatSession::messages_from_json(chat.to_json());
  ASSERT_EQ(copy.size(), 3U);
  EXPECT_EQ(copy[2].content, chat.messages()[2].content);
  chat.clear();
  EXPECT_EQ(chat.messages().size(), 1U);
  chat.set_system({});
  EXPECT_TRUE(chat.messages().empty());
  for (const char* bad : {"{}", "[1]", R"([{"role":"user"}])", R"([{"role":"user","content":3}])", "[",
                          R"([{"role":"user","content":"a"},{"role":"system","content":"b"}])"}) {
    EXPECT_THROW(ChatSession::messages_from_json(bad), Error) << bad;
  }
}

TEST(ChatSession, AFullContextLosesItsOldestTurns) {
  ChatSession chat = session();
  chat.set_system("Be kind.");
  int64_t dropped = 0;
  for (int turn = 0; turn < 12; ++turn) {
    const ChatAnswer answer = chat.send("Tell me more about the little dog and the big red ball.", brief(60));
    EXPECT_LE(answer.prompt_tokens + answer.new_tokens, 513);
    EXPECT_GT(answer.new_tokens, 0);
    dropped = answer.dropped_messages;
  }
  EXPECT_GT(dropped, 3);
  EXPECT_EQ(dropped % 2, 0) << "whole turns";
  EXPECT_EQ(chat.messages().size(), 25U);
  // A message that fits nowhere leaves no trace.
  std::string endless;
  for (int i = 0; i < 600; ++i) endless += "dog ";
  EXPECT_THROW(chat.send(endless), Error);
  EXPECT_EQ(chat.messages().size(), 25U);
  EXPECT_GT(chat.send("Hello", brief(5)).new_tokens, 0);
}

TEST(ChatSession, AnInterruptEndsTheAnswerAndKeepsTheChat) {
  ChatSession chat = session();
  std::atomic<bool> interrupt{false};
  ChatTurnOptions options = brief(200);
  options.interrupt = &interrupt;
  int pieces = 0;
  options.on_text = [&](std::string_view) { interrupt = ++pieces == 5; };
  const ChatAnswer answer = chat.send("Tell me a story.", options);
  EXPECT_EQ(answer.finish, FinishReason::interrupted);
  EXPECT_LT(answer.new_tokens, 30);
  EXPECT_EQ(chat.messages().back().content, answer.text);
  interrupt = false;
  EXPECT_GT(chat.send("And then?", brief(5)).reused_tokens, 10);
}

TEST(ChatSession, Refusals) {
  const Model model = Model::from_pretrained(kStories, Task::causal_lm);
  const Tokenizer tokenizer = Tokenizer::from_pretrained(kStories);
  EXPECT_THROW(ChatSession(model, tokenizer), Error) << "no template";
  ChatSession chat = session("{{ raise_exception('roles must alternate') }}");
  EXPECT_THROW(chat.send("Hello"), Error);
  EXPECT_TRUE(chat.messages().empty());
  ChatSession fine = session();
  EXPECT_THROW(fine.send("\xff"), Error);
  ChatTurnOptions impossible = brief(5);
  impossible.generation.top_p = 2.0;
  impossible.generation.do_sample = true;
  EXPECT_THROW(fine.send("Hello", impossible), Error);
  EXPECT_TRUE(fine.messages().empty());
}

}  // namespace
}  // namespace mica
