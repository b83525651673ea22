// When texts end, what may come next under a constraint, and what is streamed.

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/models/generation/generate.h"
#include "mica/tests/models/generation/toy_session.h"

namespace mica {
namespace {

// Pieces of text; a character that is not whole yet is shown as decoders show it.
std::string decode(std::span<const int64_t> ids) {
  static const std::vector<std::string> pieces{"", "a", "b", "ab", " ", "\xC3", "\xA9", "stop", "st", "op!", "x", "\n"};
  std::string text;
  for (const int64_t id : ids) text += pieces.at(static_cast<size_t>(id));
  if (!text.empty() && text.back() == '\xC3') text.replace(text.size() - 1, 1, "\xEF\xBF\xBD");
  return text;
}

struct StopCase {
  std::vector<int64_t> script;  // the prompt is its first token
  std::vector<std::string> stops;
  size_t length;  // of the whole text
};

TEST(Stopping, StopStringsAcrossTokens) {
  GenerationHooks hooks;
  hooks.decode = decode;
  for (const StopCase& each : std::vector<StopCase>{
           {{10, 10, 7, 10, 10}, {"stop"}, 3},        // one token
           {{10, 10, 8, 9, 10, 10}, {"stop"}, 4},     // two, and more text behind it in the last
           {{10, 1, 2, 1, 2, 10}, {"abab"}, 5},       // four
           {{10, 3, 3, 10, 10}, {"ba"}, 3},           // in the middle of both
           {{10, 5, 6, 10, 10}, {"\xC3\xA9"}, 3},     // one character in two tokens
           {{7, 10, 10, 10}, {"stop"}, 4},            // in the prompt: does not count
           {{8, 9, 10, 10}, {"stop"}, 2},             // begins in the prompt
           {{10, 7, 10, 10}, {"nothing", "top"}, 2},  // one of several, within a token
           {{10, 8, 0, 0, 9, 10, 10}, {"stop"}, 5},   // tokens without text between
           {{10, 10, 10, 10, 10, 10}, {"stop"}, 6},   // never
           {{10, 3, 2, 3, 1, 10}, {"abba"}, 4},       // overlaps itself
       }) {
    for (const int64_t beams : {1, 2}) {
      toy::ScriptSession session(12, each.script);
      const auto limit = static_cast<int64_t>(each.script.size());
      const GenerationConfig config{.max_length = limit, .stop_strings = each.stops, .num_beams = beams};
      const auto output = generate(session, {{each.script[0]}}, config, hooks);
      EXPECT_EQ(output.tokens[0], std::vector<int64_t>(each.script.begin() + 1,
                                                       each.script.begin() + static_cast<ptrdiff_t>(each.length)))
          << each.stops[0];
      EXPECT_EQ(output.finish[0], each.length < each.script.size() || each.stops[0] == "x" ? FinishReason::stop_string
                                                                                           : FinishReason::length);
      if (beams == 1) {
        toy::ScriptSession assisted(12, each.script), draft(12, each.script);
        GenerationHooks with_draft = hooks;
        with_draft.draft = &draft;
        EXPECT_EQ(generate(assisted, {{each.script[0]}}, config, with_draft).tokens, output.tokens);
      }
    }
  }
  toy::ScriptSession session(12, {10, 10});
  EXPECT_THROW(generate(session, {{10}}, {.stop_strings = {"stop"}}), Error) << "no decoder";
}

TEST(Stopping, TimeAndInterruption) {
  class Slow : public toy::TableSession {
   public:
    Tensor append(std::span<const std::vector<int64_t>> tokens, Positions positions) override {
      if (appends == 4) flag = true;
      return TableSession::append(tokens, positions);
    }
    std::atomic<bool> flag{false};
  };
  for (const int64_t beams : {1, 2}) {
    toy::TableSession session(16, 100'000);
    const auto timed =
        generate(session, {{1, 2}, {3}}, {.max_new_tokens = 90'000, .max_time = 1e-9, .num_beams = beams});
    EXPECT_EQ(timed.finish[0], FinishReason::max_time);
    EXPECT_EQ(timed.tokens[1].size(), 1U);
    Slow slow;
    GenerationHooks hooks;
    hooks.interrupt = &slow.flag;
    const auto stopped = generate(slow, {{1, 2}, {3}}, {.max_new_tokens = 50, .num_beams = beams}, hooks);
    EXPECT_EQ(stopped.finish[0], FinishReason::interrupted);
    EXPECT_EQ(stopped.tokens[0].size(), 5U);
  }
}

// Even and odd tokens in turn, at most `most` of them; token 15 ends it when at least one has come.
class InTurn : public TokenConstraint {
 public:
  explicit InTurn(int most) : most_(most) {}
  void mask(std::span<uint64_t> bits) override {
    bits[0] &= count_ % 2 == 0 ? 0x5555 : 0xAAAA & 0x7FFF;
    if (count_ > 0) bits[0] |= 0x8000;
  }
  void advance(int64_t token) override {
    EXPECT_TRUE(token == 15 ? count_ > 0 : token % 2 == count_ % 2) << token;
    ++count_;
  }
  std::unique_ptr<TokenConstraint> clone() const override { return std::make_unique<InTurn>(*this); }
  bool finished() const override { return count_ == most_; }

 private:
  int most_, count_ = 0;
};

void expect_in_turn(const std::vector<int64_t>& tokens) {
  ASSERT_FALSE(tokens.empty());
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] != 15) {
      EXPECT_EQ(tokens[i] % 2, static_cast<int64_t>(i % 2));
    } else {
      EXPECT_EQ(i + 1, tokens.size());
    }
  }
}

TEST(Stopping, AConstraintHoldsInEveryStrategy) {
  const InTurn six(6), three(3);
  GenerationHooks hooks;
  hooks.constraints = {&six, &three, nullptr};
  const std::vector<std::vector<int64_t>> prompts{{1}, {2, 3}, {4}};
  for (int64_t seed = 0; seed < 20; ++seed) {
    for (const GenerationConfig& config : std::vector<GenerationConfig>{
             {},
             {.do_sample = true, .seed = seed, .top_k = 1},  // the cut chooses among what is allowed
             {.do_sample = true, .seed = seed, .temperature = 3.0},
             {.num_beams = 3, .num_return_sequences = 3},
             {.do_sample = true, .num_beams = 3, .seed = seed},
             {.prompt_lookup_num_tokens = 3},
         }) {
      toy::TableSession session;
      const auto output = generate(session, prompts, config.with({.max_new_tokens = 12, .eos_token_id = 15}), hooks);
      const size_t each = output.tokens.size() / 3;
      for (size_t i = 0; i < 2 * each; ++i) expect_in_turn(output.tokens[i]);
      EXPECT_LE(output.tokens[0].size(), 6U);
      EXPECT_LE(output.tokens[each].size(), 3U);
      if (output.tokens[each].back() != 15) {
        EXPECT_EQ(output.finish[each], FinishReason::constraint);
      }
    }
    toy::TableSession session, draft(16, 64, "other");
    GenerationHooks with_draft = hooks;
    with_draft.draft = &draft;
    const auto output = generate(
        session, prompts, {.max_new_tokens = 12, .do_sample = true, .seed = seed, .eos_token_id = 15}, with_draft);
    expect_in_turn(output.tokens[0]);
    expect_in_turn(output.tokens[1]);
  }
  hooks.constraints = {&six, &three};
  toy::TableSession session;
  EXPECT_THROW(generate(session, prompts, {.max_new_tokens = 2}, hooks), Error);
}

class Recorder : public TokenStreamer {
 public:
  void put(int64_t row, std::span<const int64_t> tokens) override {
    EXPECT_FALSE(ended[row]);
    rows[row].insert(rows[row].end(), tokens.begin(), tokens.end());
  }
  void end(int64_t row) override { ended[row] = true; }
  std::map<int64_t, std::vector<int64_t>> rows;
  std::map<int64_t, bool> ended;
};

TEST(Stopping, StreamedTokensAreTheTexts) {
  const std::vector<std::vector<int64_t>> prompts{{1}, {3, 4, 7}, {5, 6}};
  for (const GenerationConfig& config : std::vector<GenerationConfig>{
           {}, {.do_sample = true, .seed = 3, .num_return_sequences = 3}, {.prompt_lookup_num_tokens = 3}}) {
    Recorder recorder;
    GenerationHooks hooks;
    hooks.streamer = &recorder;
    toy::TableSession session;
    const auto output = generate(session, prompts, config.with({.max_new_tokens = 12, .eos_token_id = {5, 9}}), hooks);
    for (size_t i = 0; i < output.tokens.size(); ++i) {
      EXPECT_EQ(recorder.rows[static_cast<int64_t>(i)], output.tokens[i]);
      EXPECT_TRUE(recorder.ended[static_cast<int64_t>(i)]);
    }
  }
  Recorder recorder;
  GenerationHooks hooks;
  hooks.streamer = &recorder;
  toy::TableSession session;
  EXPECT_THROW(generate(session, prompts, {.max_new_tokens = 2, .num_beams = 2}, hooks), Error);
}

TEST(Stopping, TheCallersProcessorsComeBeforeTheCuts) {
  class Only : public LogitsProcessor {
   public:
    void process(const RowText&, std::span<float> scores, ProcessorScratch&) const override {
      for (size_t i = 0; i < scores.size(); ++i) scores[i] = i == 11 ? 0 : -1000;
    }
  };
  GenerationHooks hooks;
  hooks.processors.push_back(std::make_shared<Only>());
  toy::TableSession session;
  const auto output = generate(session, {{1}}, {.max_new_tokens = 4, .do_sample = true, .top_k = 1}, hooks);
  EXPECT_EQ(output.tokens[0], (std::vector<int64_t>{11, 11, 11, 11}));
}

}  // namespace
}  // namespace mica
