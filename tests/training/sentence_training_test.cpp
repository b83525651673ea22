// Training of sentence embeddings against sentence-transformers: losses, parameters and evaluations; what a recipe
// makes of columns; checkpoints of all that learns.

#include <cmath>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/models/auto/auto_model.h"
#include "mica/tests/support/golden.h"
#include "mica/tests/support/guarded_device.h"
#include "mica/tests/support/tiny_model.h"
#include "mica/tests/training/support.h"
#include "mica/training/checkpoint.h"
#include "mica/training/metrics/threshold.h"
#include "mica/training/sentence_transformer_trainer.h"

namespace mica {
namespace {

using Texts = std::vector<std::string>;

const Json& learning() {
  static const Json data = test::reference("sentence_learning.json");
  return data;
}

Dataset rows_of(const Json& columns) {
  Dataset::Columns all;
  for (const auto& [name, cells] : columns.items()) {
    std::vector<Value> values;
    for (const Json& cell : cells) {
      if (cell.is_string()) {
        values.emplace_back(cell.get<std::string>());
      } else if (cell.is_number_integer()) {
        values.emplace_back(cell.get<int64_t>());
      } else {
        values.emplace_back(cell.get<double>());
      }
    }
    all.emplace_back(name, std::move(values));
  }
  return Dataset::from_dict(all);
}

// The model of tests/pipelines that has a dense layer and a layer norm behind its pooling.
SentenceTransformer dense_model(double dropout = 0) {
  const Json data = tiny::read_data("sentence_transformer");
  const std::string share = std::to_string(dropout);
  for (size_t m = 0; m < data.at("models").size(); ++m) {
    if (data["models"][m].at("name") != "dense") continue;
    const tiny::TemporaryFolder folder;
    tiny::write_model(folder.path(), data, m);
    return SentenceTransformer(folder.path(),
                               {.device = test::test_device(),
                                .config = {{"hidden_dropout_prob", share}, {"attention_probs_dropout_prob", share}}});
  }
  throw Error("no model named dense", "sentence_transformer.json", "generate it");
}

TrainingArguments settings(const std::string& folder) {
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

RecipeOptions options_of(const Json& which) {
  RecipeOptions options;
  options.loss = which.at("loss").get<std::string>();
  if (which.at("options").contains("matryoshka_dims")) {
    options.matryoshka_dims = which["options"]["matryoshka_dims"].get<std::vector<int64_t>>();
  }
  return options;
}

std::vector<double> logged(const TrainerState& state, const std::string& name) {
  std::vector<double> values;
  for (const LogEntry& entry : state.log_history) {
    if (const auto value = find(entry, name)) values.push_back(*value);
  }
  return values;
}

std::vector<float> all_parameters(const SentenceTransformer& model) {
  std::vector<float> all;
  for (const auto& [name, tensor] : model.parameters()) {
    const std::vector<float> values = tensor.to_vector<float>();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

void expect_parameters(const SentenceTransformer& model, const Json& wanted) {
  EXPECT_EQ(model.parameters().size(), wanted.size());
  for (const auto& [name, tensor] : model.parameters()) {
    ASSERT_TRUE(wanted.contains(name)) << name;
    // The same number added to all of a query's scores changes nothing: its gradient is zero, and Adam makes steps of
    // whatever rounding leaves.
    if (name.ends_with("attention.self.key.bias")) continue;
    const double norm = wanted[name][0].get<double>(), projected = wanted[name][1].get<double>();
    const std::vector<double> values = tensor.to_vector<double>();
    double square = 0, dot = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      square += values[i] * values[i];
      dot += values[i] * golden::uniform(name + "#grad", static_cast<long long>(i));
    }
    EXPECT_NEAR(std::sqrt(square), norm, 1e-4 * norm) << name;
    EXPECT_NEAR(dot, projected, 1e-4 * norm) << name;
  }
}

TEST(SentenceLearning, TenStepsAndEvaluationsAreTheReferences) {
  for (const Json& which : learning().at("cases")) {
    SCOPED_TRACE(which.at("loss").get<std::string>() + which.at("options").dump());
    const tiny::TemporaryFolder folder;
    const SentenceTransformer model = dense_model();
    SentenceTransformerTrainer trainer(model, settings(folder.path()), rows_of(which.at("rows")),
                                       {.how = options_of(which)});
    trainer.train();
    const std::vector<double> losses = logged(trainer.state(), "loss"), norms = logged(trainer.state(), "grad_norm");
    const auto wanted = which.at("losses").get<std::vector<double>>();
    const auto wanted_norms = which.at("grad_norms").get<std::vector<double>>();
    ASSERT_EQ(losses.size(), wanted.size());
    for (size_t i = 0; i < losses.size(); ++i) {
      EXPECT_NEAR(losses[i], wanted[i], 1e-4) << "step " << i;
      EXPECT_NEAR(norms[i], wanted_norms[i], 1e-3 * std::max(wanted_norms[i], 0.1)) << "step " << i;
    }
    expect_parameters(model, which.at("parameters"));

    for (const Json& evaluation : which.at("evaluations")) {
      TrainingArguments arguments = settings(folder.path());
      arguments.per_device_eval_batch_size = 5;
      SentenceTransformerTrainer judge(model, arguments, rows_of(which.at("rows")),
                                       {.eval_dataset = rows_of(evaluation.at("rows")), .how = options_of(which)});
      const LogEntry metrics = judge.evaluate();
      for (const auto& [name, value] : evaluation.at("metrics").items()) {
        const auto found = find(metrics, "eval_" + name);
        ASSERT_TRUE(found) << name;
        EXPECT_NEAR(*found, value.get<double>(), 1e-4) << name;
      }
      // Rows of another kind have no loss.
      const bool alike = evaluation.at("rows").begin().key() == which.at("rows").begin().key() &&
                         (--evaluation.at("rows").end()).key() == (--which.at("rows").end()).key();
      EXPECT_EQ(find(metrics, "eval_loss").has_value(), alike);
    }
  }
}

TEST(SentenceTraining, CheckpointsHoldAllThatLearns) {
  const tiny::TemporaryFolder folder;
  const Dataset rows = rows_of(learning().at("cases")[0].at("rows"));
  const auto arguments_in = [&](const std::string& where) {
    TrainingArguments arguments = settings(where);
    arguments.save_strategy = SaveStrategy::steps;
    arguments.save_steps = 4;
    return arguments;
  };
  const SentenceTransformer whole = dense_model(0.1);
  SentenceTransformerTrainer straight(whole, arguments_in(folder / "whole"), rows);
  straight.train();
  const SentenceTransformer again = dense_model(0.1);
  for (const auto& [name, tensor] : again.parameters()) tensor.detach().fill_(0.5);
  TrainingArguments resumed = arguments_in(folder / "again");
  resumed.resume_from_checkpoint = checkpoint_folder(folder / "whole", 4);
  SentenceTransformerTrainer second(again, resumed, rows);
  second.train();
  EXPECT_EQ(all_parameters(whole), all_parameters(again));
  EXPECT_EQ(logged(straight.state(), "loss"), logged(second.state(), "loss"));

  second.save_model(folder / "saved");
  const SentenceTransformer opened(folder / "saved");
  EXPECT_EQ(all_parameters(opened), all_parameters(again));
  const Texts texts{"ada lives in turin", "", "love to learn, love the river"};
  EXPECT_EQ(opened.encode(texts).to_vector<float>(), again.encode(texts).to_vector<float>());
  EXPECT_EQ(opened.max_seq_length(), 16);
}

TEST(SentenceTraining, FreezesWhatIsNamed) {
  const tiny::TemporaryFolder folder;
  const SentenceTransformer model = dense_model();
  const std::vector<float> before = model.parameters().back().second.to_vector<float>();
  TrainingArguments arguments = settings(folder.path());
  arguments.max_steps = 2;
  arguments.freeze = {"embeddings", "encoder", "3_LayerNorm"};
  SentenceTransformerTrainer trainer(model, arguments, rows_of(learning().at("cases")[0].at("rows")));
  const SentenceTransformer fresh = dense_model();
  trainer.train();
  const NamedTensors trained = model.parameters(), untrained = fresh.parameters();
  for (size_t i = 0; i < trained.size(); ++i) {
    const auto& [name, tensor] = trained[i];
    const bool same = tensor.to_vector<float>() == untrained[i].second.to_vector<float>();
    EXPECT_EQ(same, !name.starts_with("2_Dense")) << name;
  }
}

TEST(SentenceTraining, LossesFitTheirRows) {
  const tiny::TemporaryFolder folder;
  const SentenceTransformer model = dense_model();
  const Dataset pairs = rows_of(parse_json(R"({"query": ["a", "b"], "answer": ["c", "d"]})", "pairs"));
  const Dataset triplets =
      rows_of(parse_json(R"({"anchor": ["a", "b"], "positive": ["c", "d"], "negative": ["e", "f"]})", "triplets"));
  const Dataset labelled =
      rows_of(parse_json(R"({"sentence1": ["a", "b"], "sentence2": ["c", "d"], "label": [1, 0]})", "labelled"));
  const Dataset scored =
      rows_of(parse_json(R"({"sentence1": ["a", "b"], "sentence2": ["c", "d"], "score": [3.5, 0.5]})", "scored"));
  const auto first_loss = [&](const Dataset& data, const RecipeOptions& how) {
    TrainingArguments arguments = settings(folder.path());
    arguments.max_steps = 1;
    SentenceTransformerTrainer trainer(dense_model(), arguments, data, {.how = how});
    trainer.train();
    return logged(trainer.state(), "loss").at(0);
  };
  const auto refusal = [&](const Dataset& data, const RecipeOptions& how) -> std::string {
    try {
      const SentenceTransformerTrainer trainer(model, settings(folder.path()), data, {.how = how});
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_DOUBLE_EQ(first_loss(pairs, {}), first_loss(pairs, {.loss = "multiple_negatives_ranking", .scale = 20}));
  EXPECT_NE(first_loss(pairs, {}), first_loss(pairs, {.scale = 5}));
  EXPECT_NE(first_loss(triplets, {}), first_loss(triplets, {.loss = "triplet"}));
  EXPECT_NE(first_loss(triplets, {.loss = "triplet"}), first_loss(triplets, {.loss = "triplet", .margin = 1}));
  EXPECT_DOUBLE_EQ(first_loss(labelled, {}), first_loss(labelled, {.loss = "contrastive", .margin = 0.5}));
  EXPECT_NE(first_loss(labelled, {}), first_loss(labelled, {.loss = "online_contrastive"}));
  EXPECT_GT(first_loss(scored, {.loss = "cosent"}), 0);
  EXPECT_DOUBLE_EQ(first_loss(pairs, {}), first_loss(pairs, {.text_column = "query", .text_pair_column = "answer"}));
  EXPECT_NE(first_loss(pairs, {}), first_loss(pairs, {.text_column = "answer", .text_pair_column = "query"}));

  const auto names = [](const std::string& message, const char* part) {
    return message.find(part) != std::string::npos;
  };
  EXPECT_PRED2(names, refusal(scored, {}), "row 0");  // no cosine is 3.5
  EXPECT_PRED2(names, refusal(scored, {.loss = "contrastive"}), "cosent");
  EXPECT_PRED2(names, refusal(labelled, {.loss = "multiple_negatives_ranking"}), "label");
  EXPECT_PRED2(names, refusal(pairs, {.loss = "triplet"}), "triplet");
  EXPECT_PRED2(names, refusal(pairs, {.loss = "hinge"}), "hinge");
  EXPECT_PRED2(names, refusal(pairs, {.margin = 1}), "margin");
  EXPECT_PRED2(names, refusal(pairs, {.scale = -1}), "scale");
  EXPECT_PRED2(names, refusal(triplets, {.loss = "triplet", .scale = 2}), "scale");
  EXPECT_PRED2(names, refusal(pairs, {.matryoshka_dims = {13}}), "13");
  EXPECT_PRED2(names, refusal(pairs, {.max_length = 65}), "65");
  EXPECT_PRED2(names, refusal(pairs, {.text_column = "title"}), "title");
  EXPECT_PRED2(names, refusal(rows_of(parse_json(R"({"anchor": ["a"]})", "one")), {}), "text_pair_column");
}

TEST(ThresholdScores, EqualScoresAreNotToldApart) {
  const ThresholdScores best =
      threshold_scores(std::vector<double>{0.9, 0.5, 0.5, 0.1}, std::vector<int64_t>{1, 1, 0, 0});
  EXPECT_DOUBLE_EQ(best.accuracy, 0.75);
  EXPECT_DOUBLE_EQ(best.accuracy_threshold, 0.7);
  EXPECT_DOUBLE_EQ(best.f1, 0.8);
  EXPECT_DOUBLE_EQ(best.f1_threshold, 0.3);
  EXPECT_DOUBLE_EQ(best.average_precision, 0.5 + 0.5 * 2 / 3);
  // All unlike: calling nothing alike is right.
  EXPECT_DOUBLE_EQ(threshold_scores(std::vector<double>{1, 2}, std::vector<int64_t>{0, 0}).accuracy, 1);
  EXPECT_THROW(threshold_scores({}, {}), Error);
  EXPECT_THROW(threshold_scores(std::vector<double>{1}, std::vector<int64_t>{2}), Error);
  EXPECT_THROW(threshold_scores(std::vector<double>{NAN}, std::vector<int64_t>{1}), Error);
}

}  // namespace
}  // namespace mica
