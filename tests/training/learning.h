#pragma once
// The reference's small models and rows (data/learning.json), ready for a Trainer.

#include <algorithm>
#include <string>
#include <vector>

#include "mica/base/error.h"
#include "mica/base/json.h"
#include "mica/models/auto/auto_model.h"
#include "mica/tests/support/golden.h"
#include "mica/training/trainer.h"

namespace mica::test {

inline const Json& learning() {
  static const Json data = read_json_file(MICA_SOURCE_DIR "/tests/training/data/learning.json");
  return data;
}

inline const Json& case_named(const std::string& model_type) {
  for (const Json& each : learning().at("cases")) {
    if (each.at("model_type") == model_type) return each;
  }
  throw Error("no case " + model_type, "learning.json", "generate it");
}

inline Dataset rows_of(const Json& which) {
  std::vector<Example> rows;
  for (const Json& each : which.at("rows")) {
    Example row;
    row.set("input_ids", each.at("input_ids").get<std::vector<int64_t>>());
    const Json& labels = each.at("labels");
    row.set("labels", labels.is_array() ? Value(labels.get<std::vector<int64_t>>()) : Value(labels.get<int64_t>()));
    rows.push_back(std::move(row));
  }
  return Dataset::from_list(rows);
}

inline Model model_of(const Json& which, Device device = test_device()) {
  Model model = Model::from_config(AutoConfig::from_json(which.at("config").dump(), "learning.json"),
                                   task_from_name(which.at("task").get<std::string>()), {.device = device});
  golden::fill_by_rule(model);
  return model;
}

// Rows one after the other; labels of an encoder-decoder padded with -100.
class Collator : public DataCollator {
 public:
  explicit Collator(bool ragged) : ragged_(ragged) {}

 private:
  ModelInputs collate(std::span<const Example> rows, const BatchContext&) const override {
    const bool lists = rows[0]["labels"].is_list();
    size_t longest = 0, longest_labels = 0;
    for (const Example& row : rows) {
      longest = std::max(longest, row["input_ids"].as_ints().size());
      if (lists) longest_labels = std::max(longest_labels, row["labels"].as_ints().size());
    }
    std::vector<int64_t> ids, mask, labels;
    ModelInputs inputs;
    for (const Example& row : rows) {
      const auto values = row["input_ids"].as_ints();
      ids.insert(ids.end(), values.begin(), values.end());
      if (ragged_) inputs.lengths.push_back(static_cast<int64_t>(values.size()));
      if (!ragged_) {
        ids.resize(ids.size() + longest - values.size(), 1);
        mask.insert(mask.end(), values.size(), 1);
        mask.resize(mask.size() + longest - values.size(), 0);
      }
      if (!lists) {
        labels.push_back(row["labels"].as_int());
        continue;
      }
      const auto wanted = row["labels"].as_ints();
      labels.insert(labels.end(), wanted.begin(), wanted.end());
      if (!ragged_) labels.resize(labels.size() + longest_labels - wanted.size(), -100);
    }
    const auto count = static_cast<int64_t>(rows.size());
    const auto shaped = [&](const std::vector<int64_t>& values, bool flat) {
      return Tensor::from(values, flat ? Shape{static_cast<int64_t>(values.size())}
                                       : Shape{count, static_cast<int64_t>(values.size()) / count});
    };
    inputs.input_ids = shaped(ids, ragged_);
    if (!ragged_) inputs.attention_mask = shaped(mask, false);
    inputs.labels = shaped(labels, ragged_ || !lists);
    return inputs;
  }
  bool ragged_;
};

inline TrainingArguments settings(const std::string& folder) {
  const Json& s = learning().at("settings");
  TrainingArguments arguments;
  arguments.output_dir = folder;
  arguments.per_device_train_batch_size = learning().at("batch").get<int64_t>();
  arguments.max_steps = learning().at("steps").get<int64_t>();
  arguments.warmup_steps = learning().at("warmup").get<double>();
  arguments.learning_rate = s.at("learning_rate").get<double>();
  arguments.weight_decay = s.at("weight_decay").get<double>();
  arguments.adam_epsilon = s.at("adam_epsilon").get<double>();
  arguments.max_grad_norm = s.at("max_grad_norm").get<double>();
  arguments.train_sampling_strategy = SamplingStrategy::sequential;
  arguments.logging_steps = 1;
  arguments.save_strategy = SaveStrategy::no;
  return arguments;
}

inline std::vector<double> logged(const TrainerState& state, const std::string& name) {
  std::vector<double> values;
  for (const LogEntry& entry : state.log_history) {
    if (const auto value = find(entry, name)) values.push_back(*value);
  }
  return values;
}

inline std::vector<float> all_parameters(const Model& model) {
  std::vector<float> all;
  for (const auto& [name, tensor] : model.parameters()) {
    const std::vector<float> values = tensor.to_vector<float>();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

}  // namespace mica::test
