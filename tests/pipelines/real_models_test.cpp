// Published models with their real weights. rxnmapper-albert is in tests/data/models; more are tested where
// MICA_MODELS_DIR names a folder that has them: rxnfp-bert-pretrained, rxnfp-bert-classifier (each with its
// expected.json), all-MiniLM-L6-v2 with all-MiniLM-L6-v2-expected beside it.

#include <cmath>
#include <cstdlib>

#include "tests/support/tiny_model.h"
#include <gtest/gtest.h>

#include "mica/autograd/tape.h"
#include "mica/base/file.h"
#include "mica/base/json.h"
#include "mica/base/warnings.h"
#include "mica/models/pipelines/fill_mask.h"
#include "mica/models/pipelines/sentence_transformer.h"
#include "mica/models/pipelines/text_classification.h"
#include "mica/tensor/safetensors.h"

namespace mica {
namespace {

// The folder of a model, or "" where this machine lacks it.
std::string model_folder(const std::string& name) {
  const std::string kept = std::string(MICA_SOURCE_DIR) + "/tests/data/models/" + name;
  if (directory_exists(kept)) return kept;
  const char* root = std::getenv("MICA_MODELS_DIR");
  const std::string given = root == nullptr ? "" : join_path(root, name);
  return !given.empty() && directory_exists(given) ? given : "";
}

#define NEED_MODEL(folder, name)                 \
  const std::string folder = model_folder(name); \
  if (folder.empty()) GTEST_SKIP() << "set MICA_MODELS_DIR to a folder that holds " << (name)

double largest_difference(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = a.to_vector<double>();
  const std::vector<double> y = b.to_vector<double>();
  if (x.size() != y.size()) return INFINITY;
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) worst = std::max(worst, std::abs(x[i] - y[i]));
  return worst;
}

double norm(const Tensor& tensor) {
  double sum = 0;
  for (const double value : tensor.to_vector<double>()) sum += value * value;
  return std::sqrt(sum);
}

Tensor row_of(const Json& ids) {
  const auto values = ids.get<std::vector<int64_t>>();
  return Tensor::from(values, {1, static_cast<int64_t>(values.size())});
}

void check_gradients(const Model& model, const Json& norms) {
  size_t checked = 0;
  for (const auto& [name, parameter] : model.parameters()) {
    if (!norms.contains(name)) continue;
    ++checked;
    const double wanted = norms[name].get<double>();
    const double have = parameter.grad().defined() ? norm(parameter.grad()) : 0;
    EXPECT_NEAR(have, wanted, std::max(1e-4 * wanted, 1e-6)) << name;
  }
  EXPECT_EQ(checked, norms.size());
}

// Masked language models of chemical reactions: logits, losses, gradients, and each token masked in turn.
void check_masked(const std::string& folder, Task task) {
  const WarningCatcher catcher;  // pooler weights are left over
  const Json expected = read_json_file(folder + "/expected.json");
  const SafeTensors tensors = SafeTensors::open(folder + "/expected.safetensors");
  const Model model = Model::from_pretrained(folder, task);
  const auto logits_of = [&](const ModelInputs& inputs) {
    const ModelOutput output = model(inputs);
    return output.logits.defined() ? output.logits : output.prediction_logits;
  };
  for (const Json& each : expected.at("cases")) {
    const auto name = each.at("name").get<std::string>();
    SCOPED_TRACE(name);
    const Json& train = each.at("train");
    ModelInputs inputs;
    inputs.input_ids = tensors.tensor(name + ".input_ids");
    inputs.labels = tensors.tensor(name + ".labels");
    if (train.contains("next_sentence_label") && task == Task::pretraining) {
      inputs.next_sentence_label = Tensor::from(std::vector<int64_t>{train["next_sentence_label"].get<int64_t>()});
    }
    model.zero_grad();
    const ModelOutput output = model(inputs);
    const Tensor& logits = output.logits.defined() ? output.logits : output.prediction_logits;
    EXPECT_LE(largest_difference(logits, tensors.tensor(name + ".logits")), 1e-4);
    // A loss near zero is the logarithm of a number near one: half a unit in its last place is the best there is.
    const double loss = train.at("loss").get<double>();
    EXPECT_NEAR(output.loss.item<double>(), loss, std::max(1e-5 * loss, 2e-7));
    backward(output.loss);
    check_gradients(model, train.at("gradient_l2_norms"));

    const NoGrad no_grad;
    const auto ids = each.at("input_ids").get<std::vector<int64_t>>();
    if (ids.size() > 64) continue;  // the square of it is a lot of work for a test
    const Json& masked = each.at("masked_one_at_a_time");
    std::vector<int64_t> batch;
    for (const Json& position : masked.at("positions")) {
      std::vector<int64_t> row = ids;
      row[position.get<size_t>()] = 14;  // [MASK]
      batch.insert(batch.end(), row.begin(), row.end());
    }
    const auto rows = static_cast<int64_t>(masked.at("positions").size());
    ModelInputs together;
    together.input_ids = Tensor::from(batch, {rows, static_cast<int64_t>(ids.size())});
    const std::vector<int64_t> best = logits_of(together).argmax(-1).to_vector<int64_t>();
    for (size_t i = 0; i < static_cast<size_t>(rows); ++i) {
      const auto position = masked["positions"][i].get<size_t>();
      EXPECT_EQ(best[i * ids.size() + position], masked.at("argmax")[i].get<int64_t>()) << position;
    }
  }
}

TEST(RealModels, RxnMapper) {
  check_masked(model_folder("rxnmapper-albert"), Task::masked_lm);
}

TEST(RealModels, RxnFingerprintsPretrained) {
  NEED_MODEL(folder, "rxnfp-bert-pretrained");
  check_masked(folder, Task::pretraining);
}

TEST(RealModels, RxnFingerprintsClassifier) {
  NEED_MODEL(folder, "rxnfp-bert-classifier");
  const Json expected = read_json_file(folder + "/expected.json");
  const SafeTensors tensors = SafeTensors::open(folder + "/expected.safetensors");
  const Model model = Model::from_pretrained(folder, Task::sequence_classification);
  ModelInputs inputs;
  for (const char* name : {"input_ids", "attention_mask", "labels"}) {
    inputs[name] = tensors.tensor(std::string("batch.") + name);
  }
  const ModelOutput output = model(inputs);
  EXPECT_LE(largest_difference(output.logits, tensors.tensor("batch.logits")), 1e-4);
  EXPECT_NEAR(output.loss.item<double>(), tensors.tensor("batch.loss").item<double>(), 2e-5);
  backward(output.loss);
  check_gradients(model, expected.at("train").at("gradient_l2_norms"));
  // The same rows, each alone and without padding.
  const NoGrad no_grad;
  for (const Json& each : expected.at("cases")) {
    ModelInputs alone;
    alone.input_ids = row_of(each.at("input_ids"));
    EXPECT_EQ(tiny::difference(Json(model(alone).logits.to_vector<float>()), each.at("logits"), 1e-4), "");
  }
}

TEST(RealModels, RxnTexts) {
  const std::string folder = model_folder("rxnmapper-albert");
  const WarningCatcher catcher;
  const FillMaskPipeline unmasker(folder);
  const Json expected = read_json_file(folder + "/expected.json");
  for (const Json& each : expected.at("cases")) {
    const std::vector<int32_t> ids = unmasker.tokenizer().encode(each.at("text").get<std::string>());
    EXPECT_EQ(Json(ids), each.at("input_ids"));
  }
  EXPECT_EQ(unmasker("CC(=O)O.OCC>>CC(=O)O[MASK]C", {.top_k = 1})[0][0].token_str, "C");
}

TEST(RealModels, MiniLM) {
  NEED_MODEL(folder, "all-MiniLM-L6-v2");
  NEED_MODEL(reference, "all-MiniLM-L6-v2-expected");
  const Json expected = read_json_file(reference + "/expected.json");
  const SafeTensors tensors = SafeTensors::open(reference + "/expected.safetensors");
  const SentenceTransformer model(folder);
  const WarningCatcher catcher;  // one text is longer than 256 tokens
  std::vector<std::string> texts;
  for (const Json& each : expected.at("texts")) {
    texts.push_back(each.at("text").get<std::string>());
    const std::vector<int32_t> ids = model.tokenizer().encode(
        texts.back(), {.truncation = Truncation::longest_first, .max_length = model.max_seq_length()});
    EXPECT_EQ(Json(ids), each.at("input_ids")) << texts.back();
  }
  const Tensor vectors = model.encode(texts);
  EXPECT_LE(largest_difference(vectors, tensors.tensor("sentence_embeddings")), 1e-5);
  EXPECT_EQ(catcher.messages().size(), 1U);
  const NoGrad no_grad;
  ModelInputs inputs;
  inputs.input_ids = tensors.tensor("batch.input_ids");
  inputs.attention_mask = tensors.tensor("batch.attention_mask");
  const std::vector<double> have = model.model()(inputs).last_hidden_state.to_vector<double>();
  const std::vector<double> wanted = tensors.tensor("batch.last_hidden_state").to_vector<double>();
  const auto mask = inputs.attention_mask.to_vector<int64_t>();
  ASSERT_EQ(have.size(), wanted.size());
  for (size_t i = 0; i < have.size(); ++i) {
    if (mask[i / 384] != 0) {
      ASSERT_NEAR(have[i], wanted[i], 1e-4) << i;
    }
  }
}

}  // namespace
}  // namespace mica
