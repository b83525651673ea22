#include "mica/models/generation/generation_config.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/json.h"
#include "mica/models/generation/cache_settings.h"
#include "mica/tests/support/tiny_model.h"

namespace mica {
namespace {

GenerationConfig read(const std::string& text) {
  return GenerationConfig::from_json(text, "test.json");
}

std::string problem_of(const GenerationConfig& config) {
  try {
    config.validate();
  } catch (const Error& error) {
    return error.problem();
  }
  return "";
}

TEST(GenerationConfig, ReadsWhatFilesHold) {
  const GenerationConfig c = read(R"({
    "_from_model_config": true, "bos_token_id": 128000, "do_sample": true, "eos_token_id": [128001, 128009],
    "temperature": 0.6, "top_p": 0.9, "max_length": 4096, "early_stopping": "never", "min_p": null,
    "bad_words_ids": [[1], [2, 3]], "suppress_tokens": [], "forced_eos_token_id": 2, "stop_strings": "END",
    "sequence_bias": [[[1, 2], -1.5]], "exponential_decay_length_penalty": [5, 1.1], "top_k": 50.0,
    "transformers_version": "4.40.0", "lang_to_id": {"<|en|>": 50259}})");
  EXPECT_EQ(c.eos_token_id, (TokenIds{128001, 128009}));
  EXPECT_EQ(c.forced_eos_token_id, TokenIds(2));
  EXPECT_EQ(c.temperature, 0.6);
  EXPECT_EQ(c.top_k, 50);
  EXPECT_FALSE(c.min_p.has_value());
  EXPECT_TRUE(c.suppress_tokens.has_value());
  EXPECT_TRUE(c.suppress_tokens.empty());
  EXPECT_EQ(*c.early_stopping, EarlyStopping::never);
  EXPECT_EQ(*c.sequence_bias, (std::vector<SequenceBias>{{{1, 2}, -1.5}}));
  EXPECT_EQ(*c.exponential_decay_length_penalty, (LengthDecay{5, 1.1}));
  EXPECT_EQ(c.stop_strings, Texts("END"));
  const std::string tuples = R"x({"sequence_bias": {"(5, 77)": 2.0, "(3,)": -1}})x";
  EXPECT_EQ(*read(tuples).sequence_bias, (std::vector<SequenceBias>{{{5, 77}, 2}, {{3}, -1}}));
}

TEST(GenerationConfig, WritesBackWhatItRead) {
  const std::string text = R"({"do_sample": true, "eos_token_id": [1, 2], "early_stopping": false, "max_length": 30,
    "sequence_bias": [[[1, 2], -1.5]], "other": {"x": [1, null]}, "transformers_version": "4.40.0"})";
  const Json before = parse_json(text, "before"), after = parse_json(read(text).to_json(), "after");
  EXPECT_EQ(tiny::difference(after, before, 0), "");
  const tiny::TemporaryFolder folder;
  read(text).save_pretrained(folder.path());
  const auto again = GenerationConfig::from_pretrained(folder.path());
  EXPECT_EQ(again.to_json(), read(text).to_json());
}

TEST(GenerationConfig, TheOlderPlaceIsTheModelsConfig) {
  const tiny::TemporaryFolder folder;
  write_file_atomically(folder / "config.json", R"({"model_type": "bart", "num_beams": 4, "max_length": 142,
    "eos_token_id": 2, "bos_token_id": 0, "force_bos_token_to_be_generated": true, "seed": "of something else",
    "decoder": {"pad_token_id": 7, "eos_token_id": 9}, "hidden_size": 8})");
  const auto c = GenerationConfig::from_pretrained(folder.path());
  EXPECT_EQ(c.num_beams, 4);
  EXPECT_EQ(c.max_length, 142);
  EXPECT_EQ(c.eos_token_id, TokenIds(2));
  EXPECT_EQ(c.pad_token_id, 7);
  EXPECT_EQ(c.forced_bos_token_id, 0);
  EXPECT_EQ(c.other_keys, "{}");
  write_file_atomically(folder / "generation_config.json", R"({"num_beams": 2})");
  EXPECT_EQ(GenerationConfig::from_pretrained(folder.path()).num_beams, 2);
  EXPECT_FALSE(GenerationConfig::from_pretrained(folder.path()).max_length.has_value());
}

TEST(GenerationConfig, ACallOverrulesTheFile) {
  const GenerationConfig file =
      read(R"({"max_new_tokens": 10, "top_k": 5, "suppress_tokens": [1], "guidance_scale": 3.0})");
  const GenerationConfig c = file.with({.max_length = 30,
                                        .top_p = 0.5,
                                        .suppress_tokens = TokenIds::none(),
                                        .other_keys = R"({"guidance_scale": null})"});
  EXPECT_EQ(c.max_length, 30);
  EXPECT_FALSE(c.max_new_tokens.has_value()) << "the file's limit would win";
  EXPECT_EQ(c.top_k, 5);
  EXPECT_EQ(c.top_p, 0.5);
  EXPECT_TRUE(c.suppress_tokens.empty());
  EXPECT_NE(problem_of(file), "");
  EXPECT_EQ(problem_of(c), "");
}

TEST(GenerationConfig, WhatCannotBe) {
  EXPECT_EQ(problem_of({}), "");
  EXPECT_EQ(problem_of({.temperature = 0.0}), "") << "of no effect";
  EXPECT_EQ(problem_of({.do_sample = true, .temperature = 0.0}), "temperature is 0.0");
  EXPECT_EQ(problem_of({.do_sample = true, .top_p = 0.0}), "top_p is 0.0");
  for (const GenerationConfig& wrong : std::vector<GenerationConfig>{
           {.do_sample = true, .temperature = -1.0},
           {.do_sample = true, .top_k = -1},
           {.do_sample = true, .top_p = 1.5},
           {.do_sample = true, .min_p = 1.5},
           {.do_sample = true, .top_h = 0.0},
           {.do_sample = true, .typical_p = 0.0},
           {.do_sample = true, .epsilon_cutoff = 1.0},
           {.do_sample = true, .eta_cutoff = -0.1},
           {.max_length = 0},
           {.max_new_tokens = 0},
           {.min_length = -1},
           {.max_time = 0.0},
           {.stop_strings = {"a", ""}},
           {.num_beams = 0},
           {.repetition_penalty = 0.0},
           {.no_repeat_ngram_size = -2},
           {.bad_words_ids = {{{1}, {}}}},
           {.bad_words_ids = {{{-1}}}},
           {.exponential_decay_length_penalty = LengthDecay{1, 1.1}},
           {.forced_bos_token_id = 4, .suppress_tokens = {3, 4}},
           {.forced_eos_token_id = {3, 4}, .suppress_tokens = {3, 4}},
           {.num_return_sequences = 0},
           {.num_return_sequences = 2},
           {.num_beams = 2, .num_return_sequences = 3},
           {.do_sample = true, .num_beams = 2, .num_return_sequences = 3},
           {.num_assistant_tokens_schedule = "sometimes"},
           {.prompt_lookup_num_tokens = 0},
           {.cache_implementation = "offloaded"},
           {.cache_implementation = "paged"},
           {.cache_config = CacheConfig{.nbits = 8}},
           {.cache_implementation = "static", .cache_config = CacheConfig{.nbits = 8}},
           {.cache_implementation = "quantized", .cache_config = CacheConfig{.nbits = 4}},
           {.cache_implementation = "quantized", .cache_config = CacheConfig{.backend = "quanto"}},
           {.cache_implementation = "quantized", .cache_config = CacheConfig{.axis_key = 0}},
           {.cache_implementation = "quantized", .cache_config = CacheConfig{.axis_value = -1}},
           {.cache_implementation = "quantized", .cache_config = CacheConfig{.q_group_size = 0}},
           {.cache_implementation = "quantized", .cache_config = CacheConfig{.residual_length = -1}},
           {.cache_implementation = "quantized", .cache_config = CacheConfig{.residual_length = int64_t{1} << 40}},
           {.other_keys = R"({"num_beam_groups": 2})"},
           {.other_keys = R"({"penalty_alpha": 0.6})"},
           {.other_keys = R"({"force_words_ids": [[1]]})"},
           {.other_keys = R"({"watermarking_config": {}})"},
       }) {
    EXPECT_NE(problem_of(wrong), "") << wrong.to_json();
  }
  EXPECT_EQ(problem_of({.other_keys = R"({"num_beam_groups": 1, "diversity_penalty": 0.0, "guidance_scale": 1.0})"}),
            "");
  EXPECT_THROW(EarlyStopping("sometimes"), Error);
  EXPECT_EQ(EarlyStopping("never"), EarlyStopping::never);
}

TEST(GenerationConfig, TheCacheIsReadAndWritten) {
  const std::string text = R"({"cache_implementation": "quantized", "cache_config": {"backend": "hqq", "nbits": 8,
    "axis_key": 1, "axis_value": 1, "q_group_size": 32, "residual_length": 64}})";
  const GenerationConfig c = read(text);
  EXPECT_EQ(*c.cache_config, (CacheConfig{"hqq", 8, 1, 1, 32, 64}));
  EXPECT_EQ(*cache_quantization(c), (CacheQuantization{32, 64}));
  EXPECT_EQ(tiny::difference(parse_json(c.to_json(), "after"), parse_json(text, "before"), 0), "");
  const tiny::TemporaryFolder folder;
  c.save_pretrained(folder.path());
  EXPECT_EQ(GenerationConfig::from_pretrained(folder.path()).to_json(), c.to_json());

  EXPECT_EQ(*cache_quantization(read(R"({"cache_implementation": "quantized"})")), (CacheQuantization{64, 128}));
  EXPECT_EQ(*cache_quantization(c.with({.cache_config = CacheConfig{.nbits = 8}})), (CacheQuantization{64, 128}));
  for (const char* plain : {"dynamic", "static", "sliding_window", "hybrid"}) {
    const GenerationConfig other = c.with({.cache_implementation = plain});
    EXPECT_FALSE(cache_quantization(other).has_value()) << plain;
    EXPECT_FALSE(other.cache_config.has_value()) << "not of this cache";
  }
  EXPECT_TRUE(c.with({.top_k = 3}).cache_config.has_value());
  EXPECT_FALSE(cache_quantization(read(R"({"cache_implementation": null, "cache_config": null})")).has_value());
}

TEST(GenerationConfig, NegativeIdsStandForNone) {
  const auto c = GenerationConfig{.pad_token_id = -1, .eos_token_id = {-1, 4}}.resolved();
  EXPECT_FALSE(c.pad_token_id.has_value());
  EXPECT_EQ(c.eos_token_id, TokenIds(4));
}

TEST(GenerationConfig, WrongTypesNameTheKey) {
  for (const char* text :
       {R"({"top_k": "5"})", R"({"top_k": 1.5})", R"({"top_p": true})", R"({"do_sample": 1})",
        R"({"eos_token_id": [1, "2"]})", R"({"eos_token_id": {}})", R"({"early_stopping": "x"})",
        R"({"bad_words_ids": [1]})", R"({"sequence_bias": [[1, 2]]})", R"({"sequence_bias": {"a": 2}})",
        R"({"sequence_bias": {"99999999999999999999": 2}})", R"({"exponential_decay_length_penalty": [1]})",
        R"({"stop_strings": [1]})", R"({"cache_config": 8})", R"({"cache_config": {"nbits": "8"}})",
        R"({"cache_config": {"bits": 8}})", R"({"cache_implementation": 8})"}) {
    try {
      read(text);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.where(), "test.json") << text;
      EXPECT_NE(error.problem().find("key \""), std::string::npos) << error.problem();
    }
  }
  EXPECT_THROW(read("[]"), Error);
}

}  // namespace
}  // namespace mica
