// Checkpoints of 16 bits: read where they lie, and widened when somebody trains or asks for it.

#include <cmath>
#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

#include "mica/autograd/random.h"
#include "mica/autograd/reduce.h"
#include "mica/autograd/tape.h"
#include "mica/kernels/cpu/backend.h"
#include "mica/models/auto/auto_model.h"
#include "mica/models/generation/generate.h"
#include "mica/tensor/safetensors.h"

namespace mica {
namespace {

// llama has weights [out, in], gpt2 [in, out].
Config tiny(const std::string& type) {
  return AutoConfig::from_json(
      R"({"model_type": ")" + type +
      R"(", "vocab_size": 60, "hidden_size": 32, "n_embd": 32, "num_hidden_layers": 2, "n_layer": 2,
          "num_attention_heads": 2, "n_head": 2, "num_key_value_heads": 1, "intermediate_size": 40, "n_inner": 40,
          "max_position_embeddings": 64, "n_positions": 64, "num_local_experts": 4, "head_dim": 16})");
}

ModelInputs some_ids() {
  ModelInputs inputs;
  inputs.input_ids = Tensor::from(std::vector<int64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, {1, 12});
  return inputs;
}

class NarrowWeights : public ::testing::TestWithParam<std::tuple<std::string, DType>> {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "mica_narrow_test_" + std::to_string(::getpid());
    std::filesystem::remove_all(folder_);
    manual_seed(1);
    const auto& [type, dtype] = GetParam();
    const Model model = AutoModelForCausalLM::from_config(tiny(type));
    model.save_pretrained(folder_);
    NamedTensors narrow;
    const NoGrad no_grad;
    for (const auto& [name, tensor] : model.parameters()) narrow.emplace_back(name, tensor.detach().to(dtype));
    save_safetensors(folder_ + "/model.safetensors", narrow);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static DType dtype_in(const Model& model) {
    DType dtype = DType::float32;
    for (const auto& [name, tensor] : model.parameters())
      if (tensor.rank() == 2 && tensor.dtype() != DType::float32) dtype = tensor.dtype();
    return dtype;
  }
  std::vector<float> logits(const Model& model) const {
    const NoGrad no_grad;
    return model(some_ids()).logits.to_vector<float>();
  }
  std::string folder_;
};

// A network of two layers loses a few steps of 8 (bfloat16) or none (float16: widened exactly) bits.
TEST_P(NarrowWeights, StayInTheFileAndGiveTheSameLogits) {
  const DType dtype = std::get<1>(GetParam());
  const Model narrow = AutoModelForCausalLM::from_pretrained(folder_);
  const Model wide = AutoModelForCausalLM::from_pretrained(folder_, {.dtype = DType::float32});
  EXPECT_EQ(dtype_in(narrow), dtype);
  EXPECT_EQ(dtype_in(wide), DType::float32);
  const std::vector<float> got = logits(narrow), want = logits(wide);
  double largest = 0, error = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    largest = std::max(largest, std::abs(double{want[i]}));
    error = std::max(error, std::abs(double{got[i]} - double{want[i]}));
  }
  EXPECT_LE(error, (dtype == DType::bfloat16 ? 0x1p-5 : 0x1p-18) * largest);
  EXPECT_EQ(dtype_in(narrow), dtype) << "widened by a call without gradients";
}

TEST_P(NarrowWeights, OneByOneAsTogether) {
  const Model model = AutoModelForCausalLM::from_pretrained(folder_);
  const GenerationConfig greedy{.max_new_tokens = 8, .min_new_tokens = 8};
  ModelInputs both;
  both.input_ids = Tensor::from(std::vector<int64_t>{1, 2, 3, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19});
  both.lengths = {3, 13};
  const auto together = model.generate(both, greedy).tokens;
  ModelInputs one;
  one.input_ids = Tensor::from(std::vector<int64_t>{1, 2, 3}, {1, 3});
  EXPECT_EQ(model.generate(one, greedy).tokens[0], together[0]);
}

TEST_P(NarrowWeights, GradientsWidenThem) {
  const Model model = AutoModelForCausalLM::from_pretrained(folder_);
  const Tensor parameter = model.parameters()[0].second;
  EXPECT_NE(parameter.dtype(), DType::float32);
  const Tensor loss = mean(model(some_ids()).logits);
  EXPECT_EQ(dtype_in(model), DType::float32);
  EXPECT_EQ(parameter.dtype(), DType::float32) << "a handle from before names the same parameter";
  backward(loss);
  EXPECT_EQ(parameter.grad().dtype(), DType::float32);
  const Model trained = AutoModelForCausalLM::from_pretrained(folder_);
  trained.train();
  EXPECT_EQ(dtype_in(trained), DType::float32);
}

TEST_P(NarrowWeights, AreSavedAsTheyWere) {
  const std::string copy = folder_ + "/copy";
  AutoModelForCausalLM::from_pretrained(folder_).save_pretrained(copy);
  const SafeTensors before = SafeTensors::open(folder_ + "/model.safetensors");
  const SafeTensors after = SafeTensors::open(copy + "/model.safetensors");
  ASSERT_EQ(before.entries().size(), after.entries().size());
  for (const TensorEntry& entry : before.entries()) {
    EXPECT_EQ(after.tensor(entry.name).dtype(), std::get<1>(GetParam())) << entry.name;
    EXPECT_EQ(after.tensor(entry.name).to_vector<float>(), before.tensor(entry.name).to_vector<float>());
  }
  EXPECT_EQ(AutoConfig::from_pretrained(copy).text("dtype"), std::string(name(std::get<1>(GetParam()))));
}

TEST_P(NarrowWeights, ResizeTheVocabulary) {
  Model model = AutoModelForCausalLM::from_pretrained(folder_);
  const std::vector<float> before = logits(model);
  model.resize_token_embeddings(63);
  const std::vector<float> after = logits(model);
  EXPECT_EQ(after.size(), before.size() / 60 * 63);
}

INSTANTIATE_TEST_SUITE_P(Dtypes, NarrowWeights,
                         ::testing::Combine(::testing::Values("llama", "gpt2", "gpt_oss"),
                                            ::testing::Values(DType::bfloat16, DType::float16)),
                         [](const auto& test) {
                           return std::get<0>(test.param) + "_" + std::string(name(std::get<1>(test.param)));
                         });

}  // namespace
}  // namespace mica
