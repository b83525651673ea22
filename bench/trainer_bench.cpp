// What the Trainer takes beside a step's own work: collating, loading, logging, progress, callbacks. The share of the
// time between the end of one step and the start of the next one's forward pass, of a run of training.
//
//   trainer_bench [STEPS]
//
// MiniLM's shape, batches of 16 x 64 and BERT-base's of 8 x 128 from a data set of ids, logging at every step with all
// reports on. The result is a line of JSON each.

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

#include "mica/bench/peak.h"
#include "mica/models/auto/auto_config.h"
#include "mica/models/auto/model.h"
#include "mica/training/trainer.h"

namespace mica::bench {
namespace {

// From the end of a step to the next call of the loss.
class Between : public TrainerCallback {
 public:
  void on_step_end(const TrainerContext&) override { end_ = seconds(); }
  void loss_begins() {
    if (end_ > 0) between_ += seconds() - end_, ++steps_;
    if (first_ == 0) first_ = seconds();
  }
  void on_train_end(const TrainerContext&) override { whole_ = seconds() - first_; }
  double between() const { return between_; }
  double whole() const { return whole_; }
  int steps() const { return steps_; }

 private:
  double end_ = 0, first_ = 0, between_ = 0, whole_ = 0;
  int steps_ = 0;
};

void run(const char* name, int64_t hidden, int64_t layers, int64_t batch, int64_t tokens, int64_t steps) {
  set_num_threads(2);
  const std::string config = R"({"model_type": "bert", "vocab_size": 30522, "hidden_size": )" + std::to_string(hidden) +
                             R"(, "num_hidden_layers": )" + std::to_string(layers) +
                             R"(, "num_attention_heads": 12, "intermediate_size": )" + std::to_string(4 * hidden) +
                             R"(, "max_position_embeddings": 512, "type_vocab_size": 2, "pad_token_id": 0})";
  const Model model =
      Model::from_config(AutoConfig::from_json(config), Task::sequence_classification, {.num_labels = 2});
  std::minstd_rand generator(3);
  std::vector<Value> ids, labels;
  for (int64_t row = 0; row < batch * steps; ++row) {
    std::vector<int64_t> tokens_of_row(static_cast<size_t>(tokens));
    for (auto& id : tokens_of_row) id = 1 + static_cast<int64_t>(generator() % 30000);
    ids.emplace_back(std::move(tokens_of_row));
    labels.emplace_back(row % 2);
  }
  const auto folder = std::filesystem::temp_directory_path() / ("trainer_bench." + std::to_string(getpid()));
  const auto between = std::make_shared<Between>();
  TrainerParts parts;
  parts.callbacks = {between};
  parts.compute_loss = [&](const Model& m, const ModelInputs& inputs) {
    between->loss_begins();
    return m(inputs).loss;
  };
  Trainer trainer(model,
                  {.output_dir = folder.string(),
                   .per_device_train_batch_size = batch,
                   .num_train_epochs = 1,
                   .logging_steps = 1,
                   .report_to = {"all"},
                   .save_strategy = SaveStrategy::no},
                  Dataset::from_dict({{"input_ids", ids}, {"labels", labels}}), std::move(parts));
  trainer.train();
  std::printf("{\"workload\": \"%s\", \"steps\": %d, \"step_ms\": %.2f, \"between_ms\": %.3f, \"share\": %.5f}\n", name,
              between->steps(), 1e3 * between->whole() / static_cast<double>(steps),
              1e3 * between->between() / between->steps(), between->between() / between->whole());
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace mica::bench

int main(int argc, char** argv) {
  const int64_t steps = argc > 1 ? std::atoi(argv[1]) : 20;
  mica::bench::run("minilm 16 x 64", 384, 6, 16, 64, steps);
  mica::bench::run("bert 8 x 128", 768, 12, 8, 128, steps / 2 + 1);
  return 0;
}
