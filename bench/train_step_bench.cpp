// One step of training on the CPU (forward, backward, clipping, AdamW): milliseconds of each phase, GFLOP/s and their
// share of this machine's peak, peak memory. Models have random weights; dropout is the config's 0.1.
//
//   train_step_bench minilm|bert|ragged|gpt2|lora float32|bfloat16 [STEPS [THREADS [checkpointing]]]
//
// lora trains adapters of rank 8 on queries and values of a decoder of 300 million parameters.
//
// Without arguments: all of them, two steps each. Results are lines of JSON, for compare/train_step.py.

#include <cstdio>
#include <functional>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include <sys/resource.h>

#include "mica/autograd/random.h"
#include "mica/autograd/tape.h"
#include "mica/bench/peak.h"
#include "mica/kernels/backend.h"
#include "mica/kernels/cpu/backend.h"
#include "mica/kernels/cpu/simd/pieces.h"
#include "mica/models/auto/auto_config.h"
#include "mica/models/auto/lora.h"
#include "mica/models/auto/model.h"
#include "mica/training/optimizers/adamw.h"

namespace mica::bench {
namespace {

struct Workload {
  const char* config;
  Task task;
  int64_t hidden, intermediate, layers, vocabulary;
  std::vector<int64_t> lengths;
  bool ragged = false;
  bool causal = false;
  int64_t lora_rank = 0;
};

std::map<std::string, Workload> workloads() {
  const std::vector<int64_t> minilm(16, 64), bert(8, 128), gpt2(4, 256);
  std::vector<int64_t> ragged;  // 8 to 128, evenly spread, in no order
  for (int64_t i = 0; i < 32; ++i) ragged.push_back(8 + i * 13 % 32 * 120 / 31);
  constexpr const char* kBert =
      R"({"model_type": "bert", "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12,
          "num_attention_heads": 12, "intermediate_size": 3072, "hidden_act": "gelu", "max_position_embeddings": 512,
          "type_vocab_size": 2, "layer_norm_eps": 1e-12, "hidden_dropout_prob": 0.1,
          "attention_probs_dropout_prob": 0.1, "pad_token_id": 0})";
  constexpr const char* kMiniLm =
      R"({"model_type": "bert", "vocab_size": 30522, "hidden_size": 384, "num_hidden_layers": 6,
          "num_attention_heads": 12, "intermediate_size": 1536, "hidden_act": "gelu", "max_position_embeddings": 512,
          "type_vocab_size": 2, "layer_norm_eps": 1e-12, "hidden_dropout_prob": 0.1,
          "attention_probs_dropout_prob": 0.1, "pad_token_id": 0})";
  constexpr const char* kGpt2 =
      R"({"model_type": "gpt2", "vocab_size": 50257, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024,
          "n_ctx": 1024, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "resid_pdrop": 0.1,
          "embd_pdrop": 0.1, "attn_pdrop": 0.1})";
  constexpr const char* kLlama =
      R"({"model_type": "llama", "vocab_size": 32000, "hidden_size": 1024, "intermediate_size": 2816,
          "num_hidden_layers": 20, "num_attention_heads": 16, "num_key_value_heads": 16, "hidden_act": "silu",
          "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true})";
  const std::vector<int64_t> lora(4, 256);
  return {{"lora", {kLlama, Task::causal_lm, 1024, 2816, 20, 32000, lora, false, true, 8}},
          {"minilm", {kMiniLm, Task::sequence_classification, 384, 1536, 6, 0, minilm}},
          {"bert", {kBert, Task::sequence_classification, 768, 3072, 12, 0, bert}},
          {"ragged", {kBert, Task::sequence_classification, 768, 3072, 12, 0, ragged, true}},
          {"gpt2", {kGpt2, Task::causal_lm, 768, 3072, 12, 50257, gpt2, false, true}}};
}

// Of the products of a step: three times those of the forward pass; twice where the weights do not learn (what the
// adapters themselves take is less than a hundredth).
double operations(const Workload& w) {
  double rows = 0, pairs = 0;
  for (const int64_t length : w.lengths) {
    rows += static_cast<double>(length);
    pairs += static_cast<double>(length * length) * (w.causal ? 0.5 : 1);
  }
  const auto h = static_cast<double>(w.hidden), layers = static_cast<double>(w.layers);
  const double matrices = w.lora_rank > 0 ? 3 : 2;  // of the feed-forward; a gated one has three
  const double linear =
      layers * (4 * h * h + matrices * h * static_cast<double>(w.intermediate)) + h * static_cast<double>(w.vocabulary);
  return (w.lora_rank > 0 ? 2 : 3) * 2 * rows * linear + 3 * 4 * layers * pairs * h;
}

ModelInputs inputs_of(const Workload& w, const Config& config) {
  ModelInputs inputs;
  const auto vocabulary = config.integer("vocab_size");
  std::vector<int64_t> ids;
  std::minstd_rand generator(7);
  for (const int64_t length : w.lengths)
    for (int64_t i = 0; i < length; ++i) ids.push_back(1 + static_cast<int64_t>(generator()) % (vocabulary - 1));
  const auto batch = static_cast<int64_t>(w.lengths.size());
  if (w.ragged) {
    inputs.lengths = w.lengths;
    inputs.input_ids = Tensor::from(ids);
  } else {
    inputs.input_ids = Tensor::from(ids, {batch, w.lengths[0]});
  }
  if (w.causal) {
    inputs.labels = inputs.input_ids;
  } else {
    std::vector<int64_t> labels;
    for (int64_t i = 0; i < batch; ++i) labels.push_back(i % 2);
    inputs.labels = Tensor::from(labels);
  }
  return inputs;
}

// FLOP/s of the loop that training's products end in, on operands that lie in L1.
double peak_of_products(int threads, bool bfloat16) {
  const int pieces = bfloat16 ? 1 : 3;
  if (!cpu::simd::multiplies_pieces(pieces)) return known_peak(threads, false);
  constexpr int64_t kSteps = 4, kRuns = 2000;
  double best = 0;
  for (int repeat = 0; repeat < 20; ++repeat) {
    const double start = seconds();
    parallel_for(threads, 1, [&](int64_t begin, int64_t end) {
      constexpr int64_t kWords = kSteps * 3 * cpu::simd::kPieceFloats;
      alignas(64) static thread_local float a[2 * kWords], b[2 * kWords], c[1024];
      cpu::simd::begin_pieces();
      for (int64_t i = 0; i < (end - begin) * kRuns; ++i) {
        cpu::simd::multiply_piece_block(
            {.a = a, .a_next = kWords, .b = b, .b_next = kWords, .steps = kSteps, .pieces = pieces}, c);
      }
      cpu::simd::end_pieces();
    });
    const double operations = 2.0 * 32 * 32 * 32 * static_cast<double>(kSteps * kRuns * threads);
    best = std::max(best, operations / (seconds() - start));
  }
  return best;
}

double median(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  return x[x.size() / 2];
}

int run(const std::string& name, const std::string& dtype, int steps, int threads, bool checkpointing) {
  const auto all = workloads();
  const auto found = all.find(name);
  if (found == all.end()) {
    std::cerr << "train_step_bench: no workload " << name << "\n";
    return 2;
  }
  const Workload& w = found->second;
  set_num_threads(threads);
  manual_seed(1);
  const Config config = AutoConfig::from_json(w.config);
  const Model model = Model::from_config(config, w.task, {.num_labels = 2, .dtype = dtype_from_name(dtype)});
  if (w.lora_rank > 0) {
    add_adapter(model,
                {.r = w.lora_rank, .lora_alpha = 16, .lora_dropout = 0.1, .target_modules = {"q_proj", "v_proj"}});
  }
  model.train();
  model.gradient_checkpointing_enable(checkpointing);
  const ModelInputs inputs = inputs_of(w, config);
  NamedTensors learning = adapter_parameters(model);
  for (const auto& parameter : model.parameters()) {
    if (parameter.second.requires_grad()) learning.push_back(parameter);
  }
  AdamW optimizer({{.parameters = learning}}, {.learning_rate = 1e-5});
  std::vector<double> forward, backward_, update, step;
  float loss = 0;
  int64_t faults = 0;
  double system = 0;
  auto& memory = dynamic_cast<CpuMemory&>(backend(Device{}).memory());
  int64_t most[3] = {};  // bytes of tensors at once in each phase, of the last step
  const auto phase_over = [&](int phase) {
    most[phase] = memory.most_used();
    memory.watch();
  };
  for (int i = 0; i < steps + 2; ++i) {
    memory.watch();
    const double start = seconds();
    double mid = 0;
    {
      const Tensor result = model(inputs).loss;  // nobody keeps the logits
      loss = result.item<float>();
      mid = seconds();
      phase_over(0);
      backward(result);
    }
    const double after = seconds();
    phase_over(1);
    optimizer.step(std::min(1.0, 1.0 / (optimizer.gradient_norm() + 1e-6)));
    optimizer.zero_grad();
    const double end = seconds();
    phase_over(2);
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    std::fprintf(
        stderr,
        "step %d: loss %.4f forward %.1f backward %.1f update %.1f ms, %ld page faults, %.0f ms of system time\n", i,
        static_cast<double>(loss), 1e3 * (mid - start), 1e3 * (after - mid), 1e3 * (end - after),
        usage.ru_minflt - faults,
        1e3 * static_cast<double>(usage.ru_stime.tv_sec) + 1e-3 * static_cast<double>(usage.ru_stime.tv_usec) - system);
    faults = usage.ru_minflt;
    system = 1e3 * static_cast<double>(usage.ru_stime.tv_sec) + 1e-3 * static_cast<double>(usage.ru_stime.tv_usec);
    if (i < 2) continue;
    forward.push_back(1e3 * (mid - start));
    backward_.push_back(1e3 * (after - mid));
    update.push_back(1e3 * (end - after));
    step.push_back(1e3 * (end - start));
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const double peak = peak_of_products(threads, dtype == "bfloat16"), rate = operations(w) / (1e-3 * median(step));
  std::printf(
      "{\"workload\": \"%s\", \"dtype\": \"%s\", \"forward_ms\": %.1f, \"backward_ms\": %.1f, \"optimizer_ms\": %.1f, "
      "\"step_ms\": %.1f, "
      "\"gflops\": %.0f, \"share\": %.3f, \"peak_rss_mb\": %.0f, \"tensors_mb\": [%.0f, %.0f, %.0f], \"loss\": %.4f}\n",
      name.c_str(), dtype.c_str(), median(forward), median(backward_), median(update), median(step), rate * 1e-9,
      rate / peak, static_cast<double>(usage.ru_maxrss) / 1024, static_cast<double>(most[0]) / (1 << 20),
      static_cast<double>(most[1]) / (1 << 20), static_cast<double>(most[2]) / (1 << 20), static_cast<double>(loss));
  return 0;
}

}  // namespace
}  // namespace mica::bench

int main(int argc, char** argv) {
  if (argc >= 3 && argv[1][0] != '-') {
    return mica::bench::run(argv[1], argv[2], argc > 3 ? std::atoi(argv[3]) : 5, argc > 4 ? std::atoi(argv[4]) : 2,
                            argc > 5 && std::string(argv[5]) == "checkpointing");
  }
  int status = 0;
  for (const auto& [name, workload] : mica::bench::workloads()) {
    for (const char* dtype : {"float32", "bfloat16"}) status |= mica::bench::run(name, dtype, 2, 2, false);
  }
  return status;
}
