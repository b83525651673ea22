// Whole runs of greedy and beam search against transformers' (data/generation/strategies.json).

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/base/json.h"
#include "mica/models/generation/generate.h"
#include "mica/tests/models/generation/toy_session.h"

namespace mica {
namespace {

float number(const Json& value) {
  return value == "-Infinity" ? -std::numeric_limits<float>::infinity() : value.get<float>();
}

// A sum of up to `terms` numbers as large as `value`, each rounded a few times.
void expect_near(float have, float wanted, int64_t terms, const std::string& what) {
  if (std::isinf(wanted)) {
    EXPECT_EQ(have, wanted) << what;
    return;
  }
  EXPECT_NEAR(have, wanted, 4e-7F * static_cast<float>(terms) * std::max(1.0F, std::abs(wanted))) << what;
}

// Rows of step 1, but for rows that had ended (all zero here, garbage there).
void expect_rows(const Tensor& have, const Json& wanted, const std::string& what) {
  const auto values = have.to_vector<float>();
  ASSERT_EQ(values.size(), wanted.size()) << what;
  const auto vocab = static_cast<size_t>(have.size(1));
  for (size_t begin = 0; begin < values.size(); begin += vocab) {
    if (std::all_of(values.begin() + static_cast<ptrdiff_t>(begin),
                    values.begin() + static_cast<ptrdiff_t>(begin + vocab), [](float x) { return x == 0; })) {
      continue;
    }
    for (size_t i = begin; i < begin + vocab; ++i) expect_near(values[i], number(wanted[i]), 4, what);
  }
}

TEST(Strategies, AgreeWithTheReference) {
  const Json cases = read_json_file(MICA_SOURCE_DIR "/tests/models/data/generation/strategies.json");
  ASSERT_GT(cases.size(), 20U);
  for (const Json& each : cases) {
    const std::string name = each["name"];
    SCOPED_TRACE(name);
    GenerationConfig config = GenerationConfig::from_json(each["settings"].dump(), name);
    config.output_scores = true;
    config.output_logits = true;
    toy::TableSession session;
    const auto prompts = each["prompts"].get<std::vector<std::vector<int64_t>>>();
    const GenerationOutput output = generate(session, prompts, config);
    ASSERT_EQ(output.tokens.size(), each["rows"].size());
    const int64_t width = output.sequences.size(1), longest = width - output.prompt_length;
    const auto sequences = output.sequences.to_vector<int64_t>();
    const auto transitions = output.transition_scores.to_vector<float>();
    const auto logs = output.log_probabilities.to_vector<float>();
    for (size_t row = 0; row < output.tokens.size(); ++row) {
      const Json& wanted = each["rows"][row];
      const std::vector<int64_t>& tokens = output.tokens[row];
      EXPECT_EQ(tokens, wanted["tokens"].get<std::vector<int64_t>>()) << "row " << row;
      if (tokens.size() != wanted["tokens"].size()) continue;
      const auto steps = static_cast<int64_t>(tokens.size());
      for (size_t i = 0; i < tokens.size() && wanted.contains("logs"); ++i) {
        const size_t at = row * static_cast<size_t>(longest) + i;
        expect_near(transitions[at], number(wanted["transitions"][i]), 8, "transition " + std::to_string(i));
        expect_near(logs[at], number(wanted["logs"][i]), 16, "log " + std::to_string(i));
      }
      if (output.beam_indices.defined()) {
        const float rank = output.sequences_scores.to_vector<float>()[row];
        expect_near(rank, number(wanted["score"]), 4 * steps, "score of row " + std::to_string(row));
        auto origins = output.beam_indices.to_vector<int64_t>();
        origins.assign(origins.begin() + static_cast<int64_t>(row) * longest,
                       origins.begin() + static_cast<int64_t>(row) * longest + steps);
        EXPECT_EQ(origins, wanted["beams"].get<std::vector<int64_t>>()) << "row " << row;
      }
      // Prompt to the left of column prompt_length, text to the right of it, padding around.
      const auto& prompt = prompts[row / each["returned"].get<size_t>()];
      std::vector<int64_t> line(
          static_cast<size_t>(width),
          config.pad_token_id.value_or(config.eos_token_id.empty() ? 0 : config.eos_token_id.values()[0]));
      std::copy(prompt.begin(), prompt.end(),
                line.begin() + output.prompt_length - static_cast<int64_t>(prompt.size()));
      std::copy(tokens.begin(), tokens.end(), line.begin() + output.prompt_length);
      EXPECT_EQ(std::vector<int64_t>(sequences.begin() + static_cast<int64_t>(row) * width,
                                     sequences.begin() + static_cast<int64_t>(row + 1) * width),
                line);
    }
    if (each.contains("logits")) {
      ASSERT_GT(output.logits.size(), 1U);
      expect_rows(output.logits[1], each["logits"], "logits");
      expect_rows(output.scores[1], each["scores"], "scores");
    }
  }
}

TEST(Strategies, ARowDoesNotDependOnItsBatch) {
  const std::vector<std::vector<int64_t>> prompts{{1}, {3, 4, 7}, {5, 6}, {2, 2, 2, 2}};
  for (const int64_t beams : {1, 3}) {
    const GenerationConfig config{.max_new_tokens = 11, .num_beams = beams, .eos_token_id = {5, 9}};
    toy::TableSession together;
    const GenerationOutput all = generate(together, prompts, config);
    for (size_t i = 0; i < prompts.size(); ++i) {
      toy::TableSession alone;
      EXPECT_EQ(generate(alone, {prompts[i]}, config).tokens[0], all.tokens[i]);
    }
  }
}

TEST(Strategies, RowsThatEndAreRunNoLonger) {
  toy::ScriptSession session(8, {0, 1, 2, 3, 4, 5});
  // Row 1 is two tokens ahead in the script.
  const GenerationOutput output = generate(session, {{7}, {7, 7, 7}}, {.max_new_tokens = 20, .eos_token_id = 5});
  EXPECT_EQ(output.tokens, (std::vector<std::vector<int64_t>>{{1, 2, 3, 4, 5}, {3, 4, 5}}));
  EXPECT_EQ(output.finish, (std::vector{FinishReason::end_token, FinishReason::end_token}));
  // The prompts, two steps of both rows, two of one.
  EXPECT_EQ(session.tokens_run, 4 + 2 * 2 + 2);
}

TEST(Strategies, ASessionThatHoldsThePromptsBeginningGoesOn) {
  const GenerationConfig config{.max_new_tokens = 6};
  toy::TableSession fresh, warm;
  warm.append(std::vector<std::vector<int64_t>>{{1, 2, 3}}, GenerationSession::Positions::last);
  EXPECT_EQ(generate(warm, {{1, 2, 3, 4, 5}}, config).tokens, generate(fresh, {{1, 2, 3, 4, 5}}, config).tokens);
  EXPECT_EQ(warm.tokens_run, fresh.tokens_run);
  EXPECT_THROW(generate(warm, {{1, 2, 3}}, config), Error);
}

TEST(Strategies, LimitsOfTheModel) {
  toy::TableSession small(16, 6);
  EXPECT_THROW(generate(small, {{1, 2, 3, 4, 5, 6, 7}}, {.max_new_tokens = 2}), Error);
  // The last token is not run, so six positions make a text of seven.
  EXPECT_EQ(generate(small, {{1, 2, 3, 4}}, {.max_new_tokens = 50}).tokens[0].size(), 3U);
  toy::TableSession again(16, 6);
  EXPECT_EQ(generate(again, {{1, 2, 3, 4}}, {.max_new_tokens = 50, .num_beams = 2}).tokens[0].size(), 3U);
  EXPECT_THROW(generate(again, {{1, 2, 3}}, {.max_length = 3}), Error);
}

TEST(Strategies, EmptyPromptsStartWithTheStartToken) {
  const GenerationConfig config{.max_new_tokens = 3, .bos_token_id = 1, .decoder_start_token_id = {2, 3}};
  toy::TableSession session;
  const GenerationOutput output = generate(session, {{}, {}}, config);
  EXPECT_EQ(output.sequences.to_vector<int64_t>()[0], 2);
  EXPECT_EQ(output.sequences.to_vector<int64_t>()[4], 3);
  toy::TableSession other;
  EXPECT_EQ(generate(other, {{}}, {.max_new_tokens = 1, .bos_token_id = 4}).sequences.to_vector<int64_t>()[0], 4);
  EXPECT_THROW(generate(other, {{}}, {.max_new_tokens = 1}), Error);
  EXPECT_THROW(generate(other, {}, {.max_new_tokens = 1}), Error);
  EXPECT_THROW(generate(other, {{}, {}, {}}, config), Error);
}

TEST(Strategies, ScoresThatAreNoNumbersAreErrors) {
  class Broken : public toy::Session {
   public:
    Broken(float value) : Session(4, 100), value_(value) {}
    void logits_of(std::span<const int64_t>, float* out) const override {
      std::fill(out, out + 4, 1.0F);
      out[2] = value_;
    }
    float value_;
  };
  for (const float value : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    for (const bool draw : {false, true}) {
      for (const int64_t beams : {1, 2}) {
        if (std::isinf(value) && !draw && beams == 1) continue;  // the likeliest token is well-defined
        Broken session(value);
        const GenerationConfig config{.max_new_tokens = 2, .do_sample = draw, .num_beams = beams};
        EXPECT_THROW(generate(session, {{1}}, config), Error) << value << draw << beams;
        Broken repaired(value);
        if (beams == 1) {
          EXPECT_NO_THROW(generate(repaired, {{1}}, config.with({.remove_invalid_values = true})));
        }
      }
    }
  }
  toy::TableSession session(4);
  EXPECT_THROW(generate(session, {{1}}, {.max_new_tokens = 2, .suppress_tokens = {0, 1, 2, 3}}), Error);
}

}  // namespace
}  // namespace mica
