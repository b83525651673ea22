// Opening, changing and saving models.

#include "mica/models/auto/model.h"

#include <cmath>
#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

#include "mica/autograd/random.h"
#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/parallel.h"
#include "mica/base/warnings.h"
#include "mica/models/auto/auto_model.h"
#include "mica/tensor/safetensors.h"

namespace mica {
namespace {

Config tiny(const std::string& type = "bert") {
  Config config = AutoConfig::for_model(type);
  config.vocab_size = 50;
  config.hidden_size = 16;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 2;
  config.intermediate_size = 24;
  config.max_position_embeddings = 40;
  return config;
}

ModelInputs some_ids(std::vector<int64_t> ids, int64_t batch = 1) {
  ModelInputs inputs;
  const auto count = static_cast<int64_t>(ids.size());
  inputs.input_ids = Tensor::from(ids, {batch, count / batch});
  return inputs;
}

class ModelFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "mica_model_test_" + std::to_string(::getpid());
    std::filesystem::remove_all(folder_);
    manual_seed(1);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
};

TEST_F(ModelFolder, SavesAndOpensTheSameModel) {
  const Model model = AutoModelForMaskedLM::from_config(tiny());
  model.save_pretrained(folder_);
  const WarningCatcher warnings;
  const Model again = AutoModelForMaskedLM::from_pretrained(folder_);
  EXPECT_TRUE(warnings.messages().empty());
  const NoGrad no_grad;
  const ModelInputs inputs = some_ids({1, 2, 3, 4});
  EXPECT_EQ(model(inputs).logits.to_vector<float>(), again(inputs).logits.to_vector<float>());
  EXPECT_EQ(again.config().texts("architectures"), (std::vector<std::string>{"BertForMaskedLM"}));
}

TEST_F(ModelFolder, SavesInShards) {
  const Model model = AutoModel::from_config(tiny());
  model.save_pretrained(folder_, 4000);
  EXPECT_TRUE(file_exists(folder_ + "/model.safetensors.index.json"));
  const Model again = AutoModel::from_pretrained(folder_);
  const NoGrad no_grad;
  const ModelInputs inputs = some_ids({1, 2, 3, 4});
  EXPECT_EQ(model(inputs).last_hidden_state.to_vector<float>(), again(inputs).last_hidden_state.to_vector<float>());
}

TEST_F(ModelFolder, ANewHeadIsOneWarningAndNotAnError) {
  AutoModelForMaskedLM::from_config(tiny()).save_pretrained(folder_);
  const WarningCatcher warnings;
  const Model model = AutoModelForSequenceClassification::from_pretrained(folder_, {.num_labels = 5});
  ASSERT_GE(warnings.messages().size(), 1U);
  EXPECT_NE(warnings.messages()[0].find("classifier.weight"), std::string::npos) << warnings.messages()[0];
  size_t about_new = 0;
  for (const std::string& message : warnings.messages())
    about_new += message.find("are new") != std::string::npos ? 1 : 0;
  EXPECT_EQ(about_new, 1U);
  EXPECT_EQ(model(some_ids({1, 2})).logits.shape(), (Shape{1, 5}));
}

TEST_F(ModelFolder, MissingAndMisshapenWeightsAreOneReadableError) {
  const Model model = AutoModel::from_config(tiny());
  NamedTensors tensors;
  for (const auto& [name, tensor] : model.parameters()) {
    if (name != "encoder.layer.0.output.dense.weight") tensors.emplace_back(name, tensor.detach());
  }
  make_directories(folder_);
  save_checkpoint(folder_, tensors);
  Config wrong = tiny();
  wrong.max_position_embeddings = 41;
  wrong.save_pretrained(folder_);
  try {
    AutoModel::from_pretrained(folder_);
    FAIL();
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("encoder.layer.0.output.dense.weight"), std::string::npos) << text;
    EXPECT_NE(text.find("position_embeddings.weight is [40, 16] in the file, [41, 16] by the config"),
              std::string::npos)
        << text;
  }
}

TEST_F(ModelFolder, WeightsThatAreAllMissingAreNamed) {
  make_directories(folder_);
  save_checkpoint(folder_, {{"unrelated", Tensor::zeros({2})}});
  const auto names_them = [&](const char* type, Task task) {
    const std::string sizes =
        R"(, "vocab_size": 50, "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1})";
    AutoConfig::from_json(R"({"model_type": ")" + std::string(type) + '"' + sizes).save_pretrained(folder_);
    try {
      Model::from_pretrained(folder_, task);
      FAIL() << type;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("missing "), std::string::npos) << type << ": " << error.what();
    }
  };
  for (const char* type : {"bert", "gpt2", "deberta-v2"}) names_them(type, Task::base);
  names_them("t5", Task::seq2seq_lm);
  names_them("bart", Task::seq2seq_lm);
}

TEST_F(ModelFolder, ReadsOldSpellingsAndBothPrefixes) {
  const Model model = AutoModel::from_config(tiny());
  NamedTensors tensors;
  for (const auto& [name, tensor] : model.parameters()) {
    std::string old = "bert." + name;
    const size_t norm = old.find("LayerNorm.weight");
    if (norm != std::string::npos) old.replace(norm, 16, "LayerNorm.gamma");
    const size_t bias = old.find("LayerNorm.bias");
    if (bias != std::string::npos) old.replace(bias, 14, "LayerNorm.beta");
    tensors.emplace_back(old, tensor.detach());
  }
  tensors.emplace_back("bert.embeddings.position_ids", Tensor::arange(40));
  make_directories(folder_);
  save_checkpoint(folder_, tensors);
  tiny().save_pretrained(folder_);
  const WarningCatcher warnings;
  const Model again = AutoModel::from_pretrained(folder_);
  EXPECT_TRUE(warnings.messages().empty()) << warnings.messages()[0];
  const NoGrad no_grad;
  const ModelInputs inputs = some_ids({1, 2, 3, 4});
  EXPECT_EQ(model(inputs).last_hidden_state.to_vector<float>(), again(inputs).last_hidden_state.to_vector<float>());
}

// A sequence's numbers must not depend on its neighbours, on padding, or on the number of threads.
TEST(Model, GivesTheSameBitsRaggedAloneAndOnAnyNumberOfThreads) {
  for (const char* type :
       {"bert", "roberta", "mpnet", "albert", "megatron-bert", "modernbert", "nomic_bert", "eurobert", "esm"}) {
    for (const DType dtype : {DType::float32, DType::bfloat16}) {
      SCOPED_TRACE(std::string(type) + " " + std::string(name(dtype)));
      manual_seed(3);
      Config config = tiny(type);
      if (std::string(type) == "albert") config.set("embedding_size", 8);
      config.set("pad_token_id", 1);
      config.set("local_attention", 4);
      config.set("token_dropout", true);
      config.set("mask_token_id", 6);
      const Model model = AutoModel::from_config(config, {.dtype = dtype});
      const NoGrad no_grad;
      const std::vector<std::vector<int64_t>> texts{{5, 6, 7, 8, 9, 10, 11}, {12}, {13, 14, 15}};
      ModelInputs ragged;
      std::vector<int64_t> all;
      for (const auto& ids : texts) {
        all.insert(all.end(), ids.begin(), ids.end());
        ragged.lengths.push_back(static_cast<int64_t>(ids.size()));
      }
      ragged.input_ids = Tensor::from(all);
      const int threads = num_threads();
      set_num_threads(1);
      const std::vector<float> together = model(ragged).last_hidden_state.to_vector<float>();
      set_num_threads(3);
      EXPECT_EQ(together, model(ragged).last_hidden_state.to_vector<float>());
      set_num_threads(threads);
      size_t at = 0;
      for (const auto& ids : texts) {
        const std::vector<float> alone = model(some_ids(ids)).last_hidden_state.to_vector<float>();
        EXPECT_EQ(alone, std::vector<float>(together.begin() + static_cast<int64_t>(at),
                                            together.begin() + static_cast<int64_t>(at + alone.size())));
        at += alone.size();
      }
    }
  }
}

TEST(Model, PacksAgainWhenAWeightChanges) {
  const Model model = AutoModel::from_config(tiny());
  const NoGrad no_grad;
  const ModelInputs inputs = some_ids({1, 2, 3});
  const std::vector<float> before = model(inputs).last_hidden_state.to_vector<float>();
  for (const auto& [name, tensor] : model.parameters()) {
    if (name == "encoder.layer.1.output.dense.weight") tensor.fill_(0.25);
  }
  EXPECT_NE(before, model(inputs).last_hidden_state.to_vector<float>());
}

TEST_F(ModelFolder, ResizesTheVocabularyOfEveryHead) {
  const NoGrad no_grad;
  for (const char* type : {"bert", "roberta", "albert", "electra", "distilbert"}) {
    for (const Task task : {Task::base, Task::masked_lm, Task::sequence_classification, Task::pretraining}) {
      for (const bool tied : {true, false}) {
        Config config = tiny(type);
        config.set("pad_token_id", 1);
        config.set("tie_word_embeddings", tied);
        if (std::string(type) == "albert" || std::string(type) == "electra") config.set("embedding_size", 16);
        if (std::string(type) == "distilbert" && task == Task::pretraining) continue;
        Model model = Model::from_config(config, task);
        const Model same = model;
        const ModelInputs inputs = some_ids({2, 3, 4, 5});
        const auto output = [&] {
          const ModelOutput all = model(inputs);
          return all.logits.defined()              ? all.logits
                 : all.prediction_logits.defined() ? all.prediction_logits
                                                   : all.last_hidden_state;
        };
        const Tensor before = output();
        const std::string what = std::string(type) + " " + std::string(name(task)) + (tied ? " tied" : " untied");
        EXPECT_EQ(model.resize_token_embeddings(53, {.pad_to_multiple_of = 8}), 56) << what;
        EXPECT_EQ(same.config().integer("vocab_size"), 56) << what;  // another handle of the same model
        const Tensor after = output();
        const bool words = before.shape()[before.rank() - 1] == 50;
        EXPECT_EQ(after.shape()[after.rank() - 1], words ? 56 : before.shape()[before.rank() - 1]) << what;
        const Tensor compared = words ? after.slice(after.rank() - 1, 0, 50).contiguous() : after;
        EXPECT_EQ(compared.to_vector<float>(), before.to_vector<float>()) << what;
        EXPECT_NO_THROW(model(some_ids({55, 50})));
        std::filesystem::remove_all(folder_);
        model.save_pretrained(folder_);
        const WarningCatcher warnings;
        const Model again = Model::from_pretrained(folder_, task);
        EXPECT_TRUE(warnings.messages().empty()) << what << ": " << warnings.messages()[0];
        for (size_t i = 0; i < model.parameters().size(); ++i) {
          EXPECT_EQ(again.parameters()[i].second.to_vector<float>(), model.parameters()[i].second.to_vector<float>());
        }
        // And back: what was cut off is gone, what stays is what it was.
        EXPECT_EQ(model.resize_token_embeddings(50), 50);
        EXPECT_EQ(output().to_vector<float>(), before.to_vector<float>()) << what;
      }
    }
  }
}

TEST(Model, NewRowsAreNearTheMeanOrNormal) {
  manual_seed(3);
  const NoGrad no_grad;
  for (const bool mean_resizing : {true, false}) {
    Model model = AutoModel::from_config(tiny());
    const Tensor old = model.parameters()[0].second;
    const Tensor norm = model.parameters()[5].second;
    model.resize_token_embeddings(450, {.mean_resizing = mean_resizing});
    const Tensor table = model.parameters()[0].second;
    EXPECT_TRUE(table.requires_grad());
    EXPECT_EQ(model.parameters()[5].second.storage(), norm.storage());  // the very same tensor
    for (int64_t j = 0; j < 16; ++j) {
      double mean = 0, deviation = 0, farthest = 0;
      for (int64_t i = 0; i < 50; ++i) mean += old.select(0, i).select(0, j).item<float>() / 50;
      for (int64_t i = 50; i < 450; ++i) {
        const double value = table.select(0, i).select(0, j).item<float>();
        deviation += value * value / 400;
        farthest = std::max(farthest, std::abs(value - mean));
      }
      // 1e-9 of a variance of 0.02² is a deviation of 6e-7; five of them, and rounding.
      if (mean_resizing) {
        EXPECT_LT(farthest, 5e-6);
      } else {
        EXPECT_NEAR(std::sqrt(deviation), 0.02, 0.005);
      }
    }
  }
  Model model = AutoModel::from_config(tiny());
  EXPECT_EQ(model.resize_token_embeddings(0, {.pad_to_multiple_of = 64}), 64);
  EXPECT_THROW(model.resize_token_embeddings(-1), Error);
  EXPECT_THROW(model.resize_token_embeddings(50, {.pad_to_multiple_of = 0}), Error);
  EXPECT_THROW(model.resize_token_embeddings(int64_t{1} << 40), Error);
}

TEST(Model, DropsOutOnlyInTraining) {
  const Model model = AutoModel::from_config(tiny());
  const NoGrad no_grad;
  const ModelInputs inputs = some_ids({1, 2, 3});
  const std::vector<float> calm = model(inputs).last_hidden_state.to_vector<float>();
  model.train();
  manual_seed(5);
  const std::vector<float> dropped = model(inputs).last_hidden_state.to_vector<float>();
  EXPECT_NE(calm, dropped);
  manual_seed(5);
  EXPECT_EQ(dropped, model(inputs).last_hidden_state.to_vector<float>()) << "a seed must fix it";
  model.eval();
  EXPECT_EQ(calm, model(inputs).last_hidden_state.to_vector<float>());
}

TEST(Model, PicksTheLossByLabelsAsTheReferenceDoes) {
  const ModelInputs inputs = some_ids({1, 2, 3, 4, 5, 6}, 2);
  const auto loss = [&](int64_t num_labels, const Tensor& labels, const std::string& problem = "") {
    const Model model =
        AutoModelForSequenceClassification::from_config(tiny(), {.num_labels = num_labels, .problem_type = problem});
    ModelInputs with = inputs;
    with.labels = labels;
    return model(with).loss.item<double>();
  };
  EXPECT_GT(loss(3, Tensor::from(std::vector<int64_t>{0, 2})), 0);
  EXPECT_GT(loss(1, Tensor::from(std::vector<float>{0.5F, 2.0F})), 0);
  EXPECT_GT(loss(2, Tensor::from(std::vector<float>{0, 1, 1, 0}, {2, 2})), 0);
  EXPECT_THROW(loss(3, Tensor::from(std::vector<int64_t>{0, 3})), Error);
  EXPECT_THROW(loss(3, Tensor::from(std::vector<int64_t>{0, 1}), "guess"), Error);
}

TEST(Model, GivesHiddenStatesWhenAsked) {
  const Model model = AutoModel::from_config(tiny());
  ModelInputs inputs = some_ids({1, 2, 3});
  inputs.output_hidden_states = true;
  const ModelOutput output = model(inputs);
  ASSERT_EQ(output.hidden_states.size(), 3U);
  EXPECT_EQ(output.hidden_states[2].to_vector<float>(), output.last_hidden_state.to_vector<float>());
}

TEST(Model, RefusesWhatDoesNotFit) {
  const Model model = AutoModel::from_config(tiny());
  EXPECT_THROW(model(some_ids({1, 50})), Error) << "an id outside the vocabulary";
  EXPECT_THROW(model(some_ids({1, -1})), Error);
  EXPECT_THROW(model(some_ids(std::vector<int64_t>(41, 1))), Error) << "longer than the model takes";
  EXPECT_THROW(model(ModelInputs{}), Error);
  EXPECT_THROW(model(some_ids({})), Error);
  ModelInputs inputs = some_ids({1, 2, 3});
  inputs.attention_mask = Tensor::from(std::vector<int64_t>{1, 1}, {1, 2});
  EXPECT_THROW(model(inputs), Error);
  inputs = some_ids({1, 2, 3});
  inputs.token_type_ids = Tensor::from(std::vector<int64_t>{0, 1, 2}, {1, 3});
  EXPECT_THROW(model(inputs), Error) << "a type outside the table";
  EXPECT_THROW(AutoModelForNextSentencePrediction::from_config(tiny("roberta")), Error);
  Config wrong = tiny();
  wrong.num_attention_heads = 3;
  EXPECT_THROW(AutoModel::from_config(wrong), Error);
  wrong = tiny();
  wrong.hidden_act = "no-such-activation";
  EXPECT_THROW(AutoModel::from_config(wrong), Error);
  EXPECT_THROW(AutoModel::from_config(tiny(), {.device = {DeviceType::cuda, 97}}), Error);
  EXPECT_THROW(AutoModel::from_pretrained("/no/such/folder"), Error);
}

}  // namespace
}  // namespace mica
