// Models of 16 bits on a device whose activations have the weights' dtype, as a GPU's have: the guarded device cuda:8.

#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mica/autograd/random.h"
#include "mica/autograd/tape.h"
#include "mica/base/json.h"
#include "mica/models/auto/auto_model.h"
#include "mica/models/auto/table.h"
#include "mica/models/generation/generate.h"
#include "mica/tensor/safetensors.h"
#include "mica/tests/support/golden.h"
#include "mica/tests/support/guarded_device.h"
#include "mica/tests/support/tiny_model.h"

namespace mica {
namespace {

// One case of each family.
std::vector<golden::Case> cases() {
  std::vector<golden::Case> result;
  for (const golden::Case& each : golden::find_cases(MICA_SOURCE_DIR "/tests/golden")) {
    const bool writes = each.name == "causal_lm" || each.name == "seq2seq_lm";
    if (!writes && each.name != "masked_lm" && each.name != "base") continue;
    if (result.empty() || result.back().model_type != each.model_type) {
      result.push_back(each);
    } else if (result.back().name == "base") {
      result.back() = each;  // a head is better
    }
  }
  return result;
}

class NarrowDevice : public ::testing::TestWithParam<golden::Case> {
 protected:
  // The case's model in a folder, its matrices in bfloat16.
  void SetUp() override {
    const Json json = read_json_file(GetParam().json_path);
    const Model model = Model::from_config(AutoConfig::from_json(json.at("config").dump()), task_);
    golden::fill_by_rule(model);
    model.save_pretrained(folder_.path());
    NamedTensors narrow;
    const NoGrad no_grad;
    for (const auto& [name, tensor] : model.parameters()) {
      narrow.emplace_back(name, tensor.detach().to(DType::bfloat16));
    }
    save_safetensors(folder_ / "model.safetensors", narrow);
  }
  Task task_ = task_from_name(GetParam().task);
  tiny::TemporaryFolder folder_;
};

// Some 40 roundings to 8 bits lie between a token and its logits; each adds up to 2^-9 of the largest number.
TEST_P(NarrowDevice, GivesTheNumbersOfFloat32ButForRounding) {
  const Model narrow = Model::from_pretrained(folder_.path(), task_, {.device = test::narrow_guarded_device()});
  const Model wide = Model::from_pretrained(folder_.path(), task_, {.dtype = DType::float32});
  ModelInputs inputs;
  inputs.input_ids = Tensor::from<int64_t>({5, 17, 9, 30, 21, 8, 11, 14, 7, 19, 3, 3}, {2, 6});
  inputs.attention_mask = Tensor::from<int64_t>({1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0}, {2, 6});
  if (wide.network().shape().encoder_decoder) inputs.decoder_input_ids = inputs.input_ids;
  const NoGrad no_grad;
  const auto have = narrow(inputs).named(), wanted = wide(inputs).named();
  ASSERT_EQ(have.size(), wanted.size());
  for (size_t i = 0; i < have.size(); ++i) {
    SCOPED_TRACE(have[i].first);
    EXPECT_EQ(have[i].second.dtype(), DType::bfloat16);
    const std::vector<float> a = have[i].second.to_vector<float>(), b = wanted[i].second.to_vector<float>();
    ASSERT_EQ(a.size(), b.size());
    double largest = 0, error = 0;
    for (size_t k = 0; k < a.size(); ++k) {
      largest = std::max(largest, std::abs(double{b[k]}));
      error = std::max(error, std::isnan(a[k]) ? INFINITY : std::abs(double{a[k]} - double{b[k]}));
    }
    EXPECT_LE(error, 40 * 0x1p-9 * largest);
  }
  if (task_ != Task::causal_lm && task_ != Task::seq2seq_lm) return;
  inputs.decoder_input_ids = {};
  const GenerationConfig config{.max_new_tokens = 3, .min_new_tokens = 3};
  for (const std::vector<int64_t>& row : narrow.generate(inputs, config).tokens) EXPECT_EQ(row.size(), 3U);
}

// Mixed precision: activations of 16 bits, parameters and their gradients of 32. The error of all gradients together is
// that of the numbers above in both directions, 2 * 40 * 2^-9; a choice of experts that falls otherwise may add to it.
TEST_P(NarrowDevice, HasTheGradientsOfFloat32ButForRounding) {
  const Json json = read_json_file(GetParam().json_path);
  const Config config = AutoConfig::from_json(json.at("config").dump());
  ModelInputs inputs;
  inputs.input_ids = Tensor::from<int64_t>({5, 17, 9, 30, 21, 8, 11, 14, 7, 19, 3, 3}, {2, 6});
  std::vector<std::vector<std::vector<double>>> gradients;
  for (const bool narrow : {false, true}) {
    const Model model =
        narrow ? Model::from_config(config, task_, {.dtype = DType::bfloat16, .device = test::narrow_guarded_device()})
               : Model::from_config(config, task_);
    golden::fill_by_rule(model);
    if (model.network().shape().encoder_decoder) inputs.decoder_input_ids = inputs.input_ids;
    const Tensor output = model(inputs).named().front().second;
    EXPECT_EQ(output.dtype(), narrow ? DType::bfloat16 : DType::float32);
    manual_seed(5);
    backward(output, uniform(output.shape(), -1, 1).to(output.dtype()).to(output.device()));
    gradients.emplace_back();
    for (const auto& [name, parameter] : model.parameters()) {
      EXPECT_EQ(parameter.dtype(), DType::float32) << name;
      const Tensor gradient = parameter.grad();
      if (gradient.defined()) {
        EXPECT_EQ(gradient.dtype(), DType::float32) << name;
      }
      gradients.back().push_back(gradient.defined() ? gradient.to_vector<double>() : std::vector<double>());
    }
  }
  double squares = 0, off = 0;
  ASSERT_EQ(gradients[0].size(), gradients[1].size());
  for (size_t i = 0; i < gradients[0].size(); ++i) {
    ASSERT_EQ(gradients[0][i].size(), gradients[1][i].size());
    for (size_t k = 0; k < gradients[0][i].size(); ++k) {
      const double want = gradients[0][i][k], difference = gradients[1][i][k] - want;
      squares += want * want;
      off += difference * difference;
    }
  }
  EXPECT_LE(std::sqrt(off), 2 * 40 * 0x1p-9 * std::sqrt(squares));
}

INSTANTIATE_TEST_SUITE_P(Families, NarrowDevice, ::testing::ValuesIn(cases()), [](const auto& one) {
  std::string text = one.param.model_type + "_" + one.param.name;
  for (char& c : text) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return text;
});

}  // namespace
}  // namespace mica
