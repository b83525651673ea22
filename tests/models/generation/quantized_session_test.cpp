// Texts with keys and values in 8 bits: in one call and many, cut, as beams; and what rounding does to logits.

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mica/autograd/random.h"
#include "mica/autograd/shape.h"
#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/models/auto/auto_model.h"
#include "mica/models/generation/cache_settings.h"
#include "mica/models/generation/generate.h"
#include "mica/models/generation/model_session.h"
#include "mica/tests/support/guarded_device.h"

namespace mica {
namespace {

using test::test_device;
using Positions = GenerationSession::Positions;
using Texts = std::vector<std::vector<int64_t>>;

constexpr int64_t kBlock = CacheQuantization::kBlock;

Model tiny(const std::string& fields, Task task = Task::causal_lm) {
  manual_seed(11);
  return Model::from_config(
      AutoConfig::from_json(R"({"vocab_size": 50, "hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2,
                               "initializer_range": 0.3, )" +
                            fields + "}"),
      task, {.device = test_device()});
}

const std::pair<const char*, Task> kModels[] = {
    {R"("model_type": "llama", "num_key_value_heads": 2, "intermediate_size": 48)", Task::causal_lm},
    {R"("model_type": "mistral", "num_key_value_heads": 2, "intermediate_size": 48, "sliding_window": 70)",
     Task::causal_lm},
    {R"("model_type": "gpt2", "n_embd": 32, "n_head": 4, "n_layer": 2)", Task::causal_lm},
    {R"("model_type": "t5", "d_model": 32, "num_heads": 4, "d_kv": 8, "d_ff": 48, "num_layers": 2)", Task::seq2seq_lm},
};

ModelInputs source_of(Task task, int64_t batch) {
  ModelInputs inputs;
  if (task != Task::seq2seq_lm) return inputs;
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < batch * 3; ++i) ids.push_back(5 + i % 3);
  inputs.input_ids = Tensor::from(ids, {batch, 3});
  return inputs;
}

std::vector<int64_t> text(int64_t length, int64_t kind = 0) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < length; ++i) ids.push_back((i * i + kind * i + 3) % 47 + 2);
  return ids;
}
std::vector<int64_t> part(const std::vector<int64_t>& ids, int64_t begin, int64_t end) {
  return {ids.begin() + begin, ids.begin() + end};
}

std::vector<float> last_row(const Tensor& logits) {
  return logits.slice(0, logits.size(0) - 1, logits.size(0)).to_vector<float>();
}

// Products of few rows round otherwise than those of many, with any cache; and may so tip a number to its neighbour
// among the 8 bits, now and then.
void expect_near(const std::vector<float>& have, const std::vector<float>& wanted) {
  ASSERT_EQ(have.size(), wanted.size());
  size_t off = 0;
  for (size_t i = 0; i < have.size(); ++i) {
    ASSERT_NEAR(have[i], wanted[i], 5e-3) << i;
    off += std::abs(have[i] - wanted[i]) > 2e-5F ? 1 : 0;
  }
  EXPECT_LE(off, have.size() / 4);
}

TEST(QuantizedSession, OneCallIsWhatManyAre) {
  const CacheQuantization quantization{.group_size = 4, .residual_length = 20};
  for (const auto& [fields, task] : kModels) {
    SCOPED_TRACE(fields);
    const Model model = tiny(fields, task);
    const std::vector<int64_t> a = text(400), b = text(170, 5);
    ModelSession once(model, source_of(task, 2), 2, 16, quantization);
    const Tensor whole = once.append(Texts{a, b}, Positions::all);
    EXPECT_EQ(whole.size(0), 570);
    ModelSession often(model, source_of(task, 2), 2, 16, quantization);
    std::vector<Tensor> rows[2];
    int64_t at = 0;
    for (const int64_t step : {1, 120, 10, 9, 1, 1, 28}) {
      const Tensor logits = often.append(Texts{part(a, at, at + step), part(b, at, at + step)}, Positions::all);
      rows[0].push_back(logits.slice(0, 0, step));
      rows[1].push_back(logits.slice(0, step, 2 * step));
      at += step;
    }
    rows[0].push_back(often.append(Texts{part(a, at, 400), {3}}, Positions::all).slice(0, 0, 400 - at));
    expect_near(cat(rows[0], 0).to_vector<float>(), whole.slice(0, 0, 400).to_vector<float>());
    expect_near(cat(rows[1], 0).to_vector<float>(), whole.slice(0, 400, 570).to_vector<float>());
    // Alone, a text is what it is in a batch.
    ModelSession alone(model, source_of(task, 1), 1, 16, quantization);
    expect_near(last_row(alone.append(Texts{b}, Positions::last)), last_row(whole));
  }
}

// Calls alike give bits alike, with and without what was cut off in between.
TEST(QuantizedSession, ATextThatIsCutGoesOnAsIfItHadNeverBeenLonger) {
  const CacheQuantization quantization{.group_size = 4, .residual_length = 20};
  for (const auto& [fields, task] : kModels) {
    SCOPED_TRACE(fields);
    const Model model = tiny(fields, task);
    const std::vector<int64_t> a = text(300);
    for (const int64_t length : {260, 250, 200, 5}) {
      ModelSession cut(model, source_of(task, 1), 1, 16, quantization);
      ModelSession fresh(model, source_of(task, 1), 1, 16, quantization);
      for (ModelSession* each : {&cut, &fresh}) each->append(Texts{part(a, 0, length)}, Positions::last);
      cut.append(Texts{part(a, length, std::min<int64_t>(300, length + 60))}, Positions::last);
      cut.truncate(0, length);
      EXPECT_EQ(cut.length(0), length);
      for (int64_t token = 7; token < 19; ++token) {
        const std::vector<float> have = cut.append(Texts{{token}}, Positions::last).to_vector<float>();
        EXPECT_EQ(have, fresh.append(Texts{{token}}, Positions::last).to_vector<float>());
      }
    }
    // Farther back than the cache can: the text is read again.
    ModelSession far(model, source_of(task, 1), 1, 16, quantization),
        anew(model, source_of(task, 1), 1, 16, quantization);
    far.append(Texts{a}, Positions::last);
    far.truncate(0, 130);
    std::vector<int64_t> all = part(a, 0, 130);
    all.push_back(9);
    expect_near(far.append(Texts{{9}}, Positions::last).to_vector<float>(),
                anew.append(Texts{all}, Positions::last).to_vector<float>());
  }
}

// Beams against their texts alone, token by token as well.
TEST(QuantizedSession, BeamsGoOnAsTheirTextsWould) {
  const CacheQuantization quantization{.group_size = 4, .residual_length = 20};
  for (const auto& [fields, task] : kModels) {
    SCOPED_TRACE(fields);
    const Model model = tiny(fields, task);
    const std::vector<int64_t> prompt = text(370);
    ModelSession beams(model, source_of(task, 1), 1, 16, quantization);
    beams.append(Texts{prompt}, Positions::last);
    Texts texts(3, prompt);
    beams.reorder(std::vector<int64_t>{0, 0, 0});
    for (int64_t step = 0; step < 30; ++step) {
      Texts next;
      for (int64_t beam = 0; beam < 3; ++beam) next.push_back({2 + (step * 7 + beam * 11) % 40});
      beams.append(next, Positions::last);
      for (size_t beam = 0; beam < 3; ++beam) texts[beam].push_back(next[beam][0]);
      if (step % 3 == 2) {
        beams.reorder(std::vector<int64_t>{1, 1, 2});
        texts = {texts[1], texts[1], texts[2]};
      }
    }
    const Tensor have = beams.append(Texts{{4}, {4}, {9}}, Positions::last);
    for (size_t beam = 0; beam < 3; ++beam) {
      texts[beam].push_back(beam == 2 ? 9 : 4);
      ModelSession alone(model, source_of(task, 1), 1, 16, quantization);
      alone.append(Texts{prompt}, Positions::last);
      std::vector<float> wanted;
      for (size_t i = prompt.size(); i < texts[beam].size(); ++i) {
        wanted = alone.append(Texts{{texts[beam][i]}}, Positions::last).to_vector<float>();
      }
      EXPECT_EQ(have.slice(0, static_cast<int64_t>(beam), static_cast<int64_t>(beam) + 1).to_vector<float>(), wanted);
    }
  }
}

// A text in one call of generate(), and the same in two of one session.
TEST(QuantizedSession, ASessionGoesOnWithTheBitsOfOneCall) {
  const Model model = tiny(kModels[0].first);
  const CacheQuantization quantization{.group_size = 4, .residual_length = 0};
  GenerationConfig config{.max_new_tokens = 300, .eos_token_id = TokenIds::none()};
  config.output_logits = true;
  ModelSession once(model, {}, 1, 16, quantization), twice(model, {}, 1, 16, quantization);
  const GenerationOutput whole = generate(once, {text(30)}, config);
  config.max_new_tokens = 140;
  const GenerationOutput first = generate(twice, {text(30)}, config);
  std::vector<int64_t> so_far = text(30);
  so_far.insert(so_far.end(), first.tokens[0].begin(), first.tokens[0].end());
  config.max_new_tokens = 160;
  const GenerationOutput second = generate(twice, {so_far}, config);
  EXPECT_EQ(part(whole.tokens[0], 0, 140), first.tokens[0]);
  EXPECT_EQ(part(whole.tokens[0], 140, 300), second.tokens[0]);
  EXPECT_EQ(whole.logits[299].to_vector<float>(), second.logits[159].to_vector<float>());
}

TEST(QuantizedSession, GenerateTakesItFromTheSettings) {
  const Model model = tiny(kModels[0].first);
  ModelInputs inputs;
  inputs.input_ids = Tensor::from(text(300), {1, 300});
  const GenerationConfig plain{.max_new_tokens = 40, .eos_token_id = TokenIds::none()};
  const GenerationConfig small =
      plain.with({.cache_implementation = "quantized", .cache_config = CacheConfig{.nbits = 8, .residual_length = 0}});
  GenerationConfig scored = small;
  scored.output_logits = true;
  GenerationConfig plainly = plain;
  plainly.output_logits = true;
  const GenerationOutput have = model.generate(inputs, scored), whole = model.generate(inputs, plainly);
  EXPECT_NE(have.logits[0].to_vector<float>(), whole.logits[0].to_vector<float>());
  ModelSession session(model, {}, 1, 16, cache_quantization(small));
  const GenerationOutput wanted = generate(session, {text(300)}, scored);
  EXPECT_EQ(have.tokens, wanted.tokens);
  EXPECT_EQ(have.logits[39].to_vector<float>(), wanted.logits[39].to_vector<float>());
  // Beams, draws, and texts that go on in one session.
  for (const GenerationConfig& more : {GenerationConfig{.num_beams = 3, .num_return_sequences = 2},
                                       GenerationConfig{.do_sample = true, .seed = 3, .num_return_sequences = 2},
                                       GenerationConfig{.prompt_lookup_num_tokens = 5}}) {
    const GenerationOutput first = model.generate(inputs, small.with(more));
    ModelSession other(model, {}, 1, 16, cache_quantization(small));
    other.append(Texts{text(120)}, Positions::last);
    const GenerationOutput second = generate(other, {text(300)}, small.with(more));
    EXPECT_EQ(first.tokens, second.tokens);
  }
}

TEST(QuantizedSession, AModelWithoutKeysToKeepIsAnError) {
  manual_seed(3);
  const Model model = Model::from_config(
      AutoConfig::from_json(R"({"model_type": "bert", "vocab_size": 50, "hidden_size": 32, "num_attention_heads": 4,
                               "num_hidden_layers": 2, "intermediate_size": 48, "is_decoder": false})"),
      Task::causal_lm, {.device = test_device()});
  ModelInputs inputs;
  inputs.input_ids = Tensor::from(std::vector<int64_t>{5, 6, 7}, {1, 3});
  try {
    model.generate(inputs, {.max_new_tokens = 2, .cache_implementation = "quantized"});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(error.problem().find("8 bits"), std::string::npos) << error.what();
  }
}

// ---- a published model

const Model& stories() {
  static const Model model = AutoModelForCausalLM::from_pretrained(MICA_SOURCE_DIR "/tests/data/models/stories260K",
                                                                   {.device = test_device()});
  return model;
}

std::vector<int64_t> story(int64_t length, const GenerationConfig& how = {}) {
  ModelInputs inputs;
  inputs.input_ids = Tensor::from(std::vector<int64_t>{1}, {1, 1});
  const GenerationConfig config{.max_new_tokens = length - 1, .eos_token_id = TokenIds::none()};
  std::vector<int64_t> ids = stories().generate(inputs, config.with(how)).tokens[0];
  ids.insert(ids.begin(), 1);
  return ids;
}

// All of a state's keys and values, [tokens, heads, size]: what one token more would read. float32 on the host.
std::vector<std::pair<Tensor, Tensor>> read_all(DecodingState* state, int64_t layers) {
  KeyValueCache& cache = state->cache();
  const int64_t length = cache.length(0);
  const Tensor none = Tensor::zeros({1, 4, 8}, DType::float32, test_device());
  std::vector<std::pair<Tensor, Tensor>> result;
  cache.begin(std::vector<int64_t>{1});
  for (int64_t layer = 0; layer < layers; ++layer) {
    const auto [key, value] = cache.append(layer, none, none);
    const int64_t begin = cache.offsets(layer).begin(0);
    const auto copied = [&](const Tensor& x) {
      return x.slice(0, begin, begin + length).contiguous().to(Device{}).clone();
    };
    result.emplace_back(copied(key), copied(value));
  }
  return result;
}

// The error of a logit is, to first order, its gradient by each key and value times how far that is off. So it is
// bounded by the gradient's size times half a step; and told by the errors themselves.
TEST(QuantizedSession, LogitsOfAStoryAreOffByWhatTheirGradientsSay) {
  constexpr int64_t kLayers = 5, kMore = 24;
  const std::vector<int64_t> ids = story(kBlock + kMore);
  const CacheQuantization quantization{.group_size = 64, .residual_length = 0};
  const auto read = [&](bool rounded) {
    const NoGrad no_grad;
    auto state = stories().network().start_decoding({}, 1, 256, test_device());
    if (rounded) state->cache().quantize(quantization);
    Rows rows;
    rows.device = test_device();
    rows.input_ids = Tensor::from(part(ids, 0, kBlock));
    rows.offsets = SequenceOffsets::from_lengths(std::vector<int64_t>{kBlock}, rows.device);
    rows.tokens_shape = {kBlock};
    stories().network().decode(rows, state.get());
    return read_all(state.get(), kLayers);
  };
  const auto whole = read(false), small = read(true);
  const auto last_logits = [&](const std::optional<CacheQuantization>& how) {
    ModelSession session(stories(), {}, 1, 256, how);
    return session.append(Texts{ids}, Positions::last).to_vector<float>();
  };
  const std::vector<float> wanted = last_logits({}), have = last_logits(quantization);
  double worst = 0, most = 0;
  for (const int64_t token : {0, 13, 47, 101, 261, 300, 402, 511}) {
    auto prefix = std::make_shared<PrefixStates>();
    prefix->length = kBlock;
    for (const auto& [key, value] : whole) {
      const auto leaf = [](const Tensor& x) {
        Tensor copy = x.clone().to(test_device());
        copy.set_requires_grad(true);
        return copy;
      };
      prefix->key_values.emplace_back(leaf(key), leaf(value));
    }
    ModelInputs inputs;
    inputs.input_ids = Tensor::from(part(ids, kBlock, kBlock + kMore), {1, kMore});
    inputs.prefix = prefix;
    const Tensor logit = select(select(select(stories()(inputs).logits, 0, 0), 0, kMore - 1), 0, token);
    const auto at = static_cast<size_t>(token);
    EXPECT_NEAR(logit.item<float>(), wanted[at], 1e-4);
    backward(logit);
    double bound = 0, told = 0;
    for (size_t layer = 0; layer < whole.size(); ++layer) {
      const std::pair<const Tensor*, std::pair<const Tensor*, const Tensor*>> parts[] = {
          {&prefix->key_values[layer].first, {&whole[layer].first, &small[layer].first}},
          {&prefix->key_values[layer].second, {&whole[layer].second, &small[layer].second}}};
      for (const auto& [leaf, values] : parts) {
        const std::vector<float> slopes = leaf->grad().to(Device{}).to_vector<float>();
        const std::vector<float> x = values.first->to_vector<float>(), y = values.second->to_vector<float>();
        for (size_t head = 0; head < x.size(); head += 8) {
          float largest = 0;
          for (size_t i = head; i < head + 8; ++i) largest = std::max(largest, std::abs(x[i]));
          for (size_t i = head; i < head + 8; ++i) {
            const double slope = static_cast<double>(slopes[i]);
            bound += std::abs(slope) * (0.5 + 0x1p-14) * static_cast<double>(largest) / 127;
            told += slope * (static_cast<double>(y[i]) - static_cast<double>(x[i]));
          }
        }
      }
    }
    const double error = static_cast<double>(have[at]) - static_cast<double>(wanted[at]);
    EXPECT_LE(std::abs(error), bound) << "token " << token;
    // Second order: the errors' squares, some hundredths of them.
    EXPECT_NEAR(error, told, 0.05 * bound + 1e-5) << "token " << token;
    worst = std::max(worst, std::abs(error));
    most = std::max(most, bound);
  }
  EXPECT_GT(worst, 1e-5) << "nothing was rounded";
  RecordProperty("worst", std::to_string(worst));
  RecordProperty("bound", std::to_string(most));
}

TEST(QuantizedSession, AStoryIsToldAsWithTheWholeCache) {
  const GenerationConfig small{.cache_implementation = "quantized", .cache_config = CacheConfig{.residual_length = 0}};
  const std::vector<int64_t> wanted = story(400), have = story(400, small);
  const auto same = std::mismatch(wanted.begin(), wanted.end(), have.begin()).first - wanted.begin();
  EXPECT_GE(same, kBlock + 40) << "tokens are the same";
  RecordProperty("same", std::to_string(same));
}

}  // namespace
}  // namespace mica
