// Whole models with random weights: a step of training (forward, backward, clipping, AdamW), inference, and a token of
// decoding. torch_models.py gives PyTorch the same cases.

#include <algorithm>
#include <numeric>
#include <utility>

#include "mica/autograd/random.h"
#include "mica/autograd/tape.h"
#include "mica/bench/gpu/measured.h"
#include "mica/models/auto/auto_config.h"
#include "mica/models/auto/model.h"
#include "mica/models/generation/generate.h"
#include "mica/training/optimizers/adamw.h"

namespace mica::bench {
namespace {

struct Sizes {
  int64_t hidden, layers, heads, intermediate, vocabulary;
};
constexpr Sizes kSmall = {32, 2, 2, 64, 100}, kBase = {768, 12, 12, 3072, 30522}, kMiniLm = {384, 6, 12, 1536, 30522};
constexpr Sizes kGpt2 = {768, 12, 12, 3072, 50257}, kLlama = {2048, 16, 32, 8192, 128256};

Config bert(const Sizes& s) {
  return AutoConfig::from_json(R"({"model_type": "bert", "vocab_size": )" + std::to_string(s.vocabulary) +
                               R"(, "hidden_size": )" + std::to_string(s.hidden) + R"(, "num_hidden_layers": )" +
                               std::to_string(s.layers) + R"(, "num_attention_heads": )" + std::to_string(s.heads) +
                               R"(, "intermediate_size": )" + std::to_string(s.intermediate) +
                               R"(, "max_position_embeddings": 512, "type_vocab_size": 2})");
}

Config gpt2(const Sizes& s) {
  return AutoConfig::from_json(R"({"model_type": "gpt2", "vocab_size": )" + std::to_string(s.vocabulary) +
                               R"(, "n_embd": )" + std::to_string(s.hidden) + R"(, "n_layer": )" +
                               std::to_string(s.layers) + R"(, "n_head": )" + std::to_string(s.heads) +
                               R"(, "n_positions": 1024})");
}

Config llama(const Sizes& s) {
  return AutoConfig::from_json(R"({"model_type": "llama", "vocab_size": )" + std::to_string(s.vocabulary) +
                               R"(, "hidden_size": )" + std::to_string(s.hidden) + R"(, "num_hidden_layers": )" +
                               std::to_string(s.layers) + R"(, "num_attention_heads": )" + std::to_string(s.heads) +
                               R"(, "num_key_value_heads": )" + std::to_string(s.heads / (s.heads > 4 ? 4 : 1)) +
                               R"(, "intermediate_size": )" + std::to_string(s.intermediate) +
                               R"(, "tie_word_embeddings": true, "max_position_embeddings": 4096})");
}

// Of the linear layers, and of the output layer with `head`.
double weights(const Sizes& s, bool gated, bool head) {
  const auto h = static_cast<double>(s.hidden), inner = static_cast<double>(s.intermediate);
  return static_cast<double>(s.layers) * (4 * h * h + (gated ? 3 : 2) * h * inner) +
         (head ? h * static_cast<double>(s.vocabulary) : 0);
}

ModelInputs ids_of(const std::vector<int64_t>& lengths, bool ragged, int64_t vocabulary) {
  ModelInputs inputs;
  const int64_t rows = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < rows; ++i) ids.push_back(1 + i * 7919 % (vocabulary - 1));
  if (ragged) inputs.lengths = lengths;
  const auto batch = static_cast<int64_t>(lengths.size());
  inputs.input_ids = ragged ? Tensor::from(ids) : Tensor::from(ids, {batch, lengths[0]});
  return inputs;
}

struct Case {
  std::string name;
  Sizes sizes;
  std::vector<int64_t> lengths;
  bool causal = false, ragged = false;

  double rows() const { return static_cast<double>(std::accumulate(lengths.begin(), lengths.end(), int64_t{0})); }
};

Model model_of(const Measured& m, const Case& c, Task task) {
  manual_seed(1);
  return Model::from_config(c.causal ? gpt2(c.sizes) : bert(c.sizes), task,
                            {.num_labels = 2, .dtype = DType::bfloat16, .device = m.device().device()});
}

void step(const Measured& m, const Case& c) {
  const Model model = model_of(m, c, c.causal ? Task::causal_lm : Task::sequence_classification);
  model.train();
  ModelInputs inputs = ids_of(c.lengths, c.ragged, c.sizes.vocabulary);
  std::vector<int64_t> classes;
  for (size_t i = 0; i < c.lengths.size(); ++i) classes.push_back(static_cast<int64_t>(i % 2));
  inputs.labels = c.causal ? inputs.input_ids : Tensor::from(classes);
  AdamW optimizer({{.parameters = model.parameters()}}, {.learning_rate = 1e-5});
  m.run(c.name, 0, 6 * c.rows() * weights(c.sizes, false, c.causal), [&] {
    backward(model(inputs).loss);
    optimizer.step(std::min(1.0, 1.0 / (optimizer.gradient_norm() + 1e-6)));
    optimizer.zero_grad();
  });
}

void forward(const Measured& m, const Case& c) {
  const Model model = model_of(m, c, Task::base);
  const ModelInputs inputs = ids_of(c.lengths, c.ragged, c.sizes.vocabulary);
  const double count = weights(c.sizes, false, false);
  const NoGrad no_grad;
  m.run(c.name, 2 * count, 2 * c.rows() * count, [&] { static_cast<void>(model(inputs)); });
}

// A token: the difference of a long and a short text, over the tokens between.
void decode(const Measured& m, const std::string& name, const Config& config, const Sizes& sizes, bool gated) {
  if (!m.wanted(name)) return;
  manual_seed(1);
  const Model model =
      Model::from_config(config, Task::causal_lm, {.dtype = DType::bfloat16, .device = m.device().device()});
  const ModelInputs prompt = ids_of({16}, false, sizes.vocabulary);
  const int64_t few = m.quick() ? 1 : 8, many = m.quick() ? 3 : 136;
  const auto text = [&](int64_t tokens) {
    static_cast<void>(model.generate(prompt, {.max_new_tokens = tokens, .min_new_tokens = tokens, .do_sample = false}));
  };
  const double per_token =
      (m.milliseconds([&] { text(many); }) - m.milliseconds([&] { text(few); })) / static_cast<double>(many - few);
  const double count = weights(sizes, gated, true);
  m.print(name, per_token, 2 * count, 2 * count);
}

}  // namespace

void models(const Measured& m) {
  const bool quick = m.quick();
  const auto same = [](int64_t batch, int64_t length) {
    return std::vector<int64_t>(static_cast<size_t>(batch), length);
  };
  std::vector<int64_t> ragged;
  for (int64_t i = 0; i < (quick ? 4 : 256); ++i) ragged.push_back(8 + i * 13 % 32 * 120 / 31);
  const Sizes base = quick ? kSmall : kBase, small_base = quick ? kSmall : kMiniLm, decoder = quick ? kSmall : kGpt2;
  for (const Case& c : {Case{"bert_step/32x128/bf16", base, quick ? same(2, 8) : same(32, 128)},
                        Case{"bert_step_ragged/256x128/bf16", base, ragged, false, true},
                        Case{"gpt2_step/8x1024/bf16", decoder, quick ? same(2, 8) : same(8, 1024), true}}) {
    if (m.wanted(c.name)) step(m, c);
  }
  for (const Case& c : {Case{"minilm_forward/1x128/bf16", small_base, quick ? same(1, 8) : same(1, 128)},
                        Case{"minilm_forward/64x128/bf16", small_base, quick ? same(2, 8) : same(64, 128)},
                        Case{"bert_forward/1x128/bf16", base, quick ? same(1, 8) : same(1, 128)},
                        Case{"bert_forward/64x128/bf16", base, quick ? same(2, 8) : same(64, 128)}}) {
    if (m.wanted(c.name)) forward(m, c);
  }
  decode(m, "gpt2_decode/bf16", gpt2(decoder), decoder, false);
  const Sizes billion = quick ? kSmall : kLlama;
  decode(m, "llama_1b_decode/bf16", llama(billion), billion, true);
}

}  // namespace mica::bench
