// Assisted decoding: the same texts as without, in fewer runs.

#include <vector>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/models/generation/generate.h"
#include "mica/tests/models/generation/toy_session.h"

namespace mica {
namespace {

const std::vector<std::vector<int64_t>> kPrompts{{1}, {3, 4, 7}, {5, 6}, {2, 2, 2, 2}};

TEST(Assisted, GreedyTextsAreTheSameAsWithout) {
  for (const char* schedule : {"constant", "heuristic"}) {
    for (const double threshold : {0.0, 0.4, 0.9}) {
      for (const int64_t drafted : {1, 3, 20}) {
        for (const char* name : {"toy", "other"}) {
          for (const bool rules : {false, true}) {
            GenerationConfig config{.max_new_tokens = 17, .eos_token_id = {9, 12}};
            if (rules)
              config = config.with({.min_new_tokens = 4, .repetition_penalty = 1.4, .no_repeat_ngram_size = 2});
            toy::TableSession plain, assisted, draft(16, 64, name);
            GenerationHooks hooks;
            hooks.draft = &draft;
            const auto wanted = generate(plain, kPrompts, config);
            config = config.with({.num_assistant_tokens = drafted,
                                  .num_assistant_tokens_schedule = schedule,
                                  .assistant_confidence_threshold = threshold});
            const auto have = generate(assisted, kPrompts, config, hooks);
            EXPECT_EQ(have.tokens, wanted.tokens) << schedule << threshold << drafted << name << rules;
            EXPECT_EQ(have.finish, wanted.finish);
          }
        }
      }
    }
  }
}

TEST(Assisted, ScoresAreThoseOfTheModel) {
  const GenerationConfig config{.max_new_tokens = 9, .output_scores = true, .output_logits = true};
  toy::TableSession plain, assisted, draft(16, 64, "other");
  GenerationHooks hooks;
  hooks.draft = &draft;
  const auto wanted = generate(plain, kPrompts, config), have = generate(assisted, kPrompts, config, hooks);
  ASSERT_EQ(have.scores.size(), wanted.scores.size());
  for (size_t i = 0; i < wanted.scores.size(); ++i) {
    EXPECT_EQ(have.scores[i].to_vector<float>(), wanted.scores[i].to_vector<float>());
    EXPECT_EQ(have.logits[i].to_vector<float>(), wanted.logits[i].to_vector<float>());
  }
  EXPECT_EQ(have.transition_scores.to_vector<float>(), wanted.transition_scores.to_vector<float>());
}

TEST(Assisted, ADraftModelThatIsAlwaysRightSavesRuns) {
  toy::TableSession session, draft;
  GenerationHooks hooks;
  hooks.draft = &draft;
  generate(session, {{1, 2}}, {.max_new_tokens = 21, .num_assistant_tokens = 4, .assistant_confidence_threshold = 0.0},
           hooks);
  // The prompt gives one token, and each run of five tokens five more.
  EXPECT_EQ(session.appends, 1 + 4);
}

TEST(Assisted, LookUpFindsWhatIsRepeated) {
  // The script repeats the prompt.
  std::vector<int64_t> script;
  for (int i = 0; i < 5; ++i) {
    for (const int64_t token : {1, 2, 3, 4, 5, 6}) script.push_back(token);
  }
  toy::ScriptSession plain(8, script), assisted(8, script);
  const std::vector<std::vector<int64_t>> prompts{{1, 2, 3, 4, 5, 6, 1}};
  const GenerationConfig config{.max_new_tokens = 21};
  const auto wanted = generate(plain, prompts, config).tokens;
  EXPECT_EQ(generate(assisted, prompts, config.with({.prompt_lookup_num_tokens = 4})).tokens, wanted);
  EXPECT_EQ(plain.appends, 21);
  EXPECT_EQ(assisted.appends, 1 + 4);
  // In a batch, rows of other lengths and with other finds.
  const GenerationConfig batch{.max_new_tokens = 25, .eos_token_id = 9};
  toy::TableSession first, second;
  EXPECT_EQ(
      generate(second, kPrompts, batch.with({.prompt_lookup_num_tokens = 3, .max_matching_ngram_size = 1})).tokens,
      generate(first, kPrompts, batch).tokens);
}

TEST(Assisted, BothModelsLimitsAreKept) {
  // Sessions fail the test when they are fed more than they hold.
  for (const int64_t draft_length : {3, 8, 12, 64}) {
    for (const int64_t length : {8, 12}) {
      toy::TableSession plain(16, length), assisted(16, length), draft(16, draft_length);
      GenerationHooks hooks;
      hooks.draft = &draft;
      const GenerationConfig config{.max_new_tokens = 40, .assistant_confidence_threshold = 0.0};
      EXPECT_EQ(generate(assisted, kPrompts, config, hooks).tokens, generate(plain, kPrompts, config).tokens);
    }
  }
}

TEST(Assisted, WhatCannotBe) {
  toy::TableSession session, other_vocabulary(8), draft;
  GenerationHooks hooks;
  hooks.draft = &other_vocabulary;
  EXPECT_THROW(generate(session, {{1}}, {.max_new_tokens = 3}, hooks), Error);
  hooks.draft = &draft;
  EXPECT_THROW(generate(session, {{1}}, {.max_new_tokens = 3, .num_beams = 2}, hooks), Error);
  EXPECT_THROW(generate(session, {{1}}, {.max_new_tokens = 3, .do_sample = true, .num_return_sequences = 2}, hooks),
               Error);
}

}  // namespace
}  // namespace mica
