// Under which names a scope finds a parameter.

#include "mica/models/scope.h"

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/base/warnings.h"
#include "mica/tests/tensor/safetensors_files.h"

namespace mica {
namespace {

// The first element of the parameter `name` in a file of these one-element tensors, the i-th of which holds i.
float found(const std::vector<std::string>& file_names, const std::string& name) {
  const ScratchFolder folder;
  NamedTensors tensors;
  for (size_t i = 0; i < file_names.size(); ++i) {
    tensors.emplace_back(file_names[i], Tensor::full({1}, static_cast<double>(i)));
  }
  save_checkpoint(folder.path(), tensors);
  ParameterStore store(BuildOptions{}, Checkpoint::open(folder.path()), "base");
  const Tensor parameter = Scope(store).weight(name, {1});
  const WarningCatcher warnings;
  store.finish("file", "model");
  EXPECT_EQ(warnings.messages().size(), file_names.size() - 1) << "it is used, and others are not";
  return parameter.item<float>();
}

TEST(Scope, FindsBothSpellingsOfNormalisedWeights) {
  for (const std::string prefix : {"", "base.", "base.encoder.conv.3."}) {
    for (const std::string part : {"weight", "weight_hh_l0"}) {
      const std::string g = prefix + part + "_g";
      const std::string v = prefix + part + "_v";
      const std::string original0 = prefix + "parametrizations." + part + ".original0";
      const std::string original1 = prefix + "parametrizations." + part + ".original1";
      SCOPED_TRACE(g);
      EXPECT_EQ(found({g}, original0), 0);
      EXPECT_EQ(found({v}, original1), 0);
      EXPECT_EQ(found({original0}, g), 0);
      EXPECT_EQ(found({original1}, v), 0);
      EXPECT_EQ(found({g}, g), 0);
      EXPECT_THROW(found({v}, original0), Error) << "a direction is no magnitude";
      EXPECT_THROW(found({g}, original1), Error);
      EXPECT_THROW(found({original1}, g), Error);
      EXPECT_THROW(found({prefix + part}, original0), Error);
    }
  }
}

TEST(Scope, SpellingsAndPrefixesGoTogether) {
  EXPECT_EQ(found({"conv.weight_g"}, "base.conv.parametrizations.weight.original0"), 0);
  EXPECT_EQ(found({"base.conv.parametrizations.weight.original1"}, "conv.weight_v"), 0);
  EXPECT_EQ(found({"base.norm.gamma"}, "norm.weight"), 0);
}

TEST(Scope, FindsBothSpellingsOfNorms) {
  EXPECT_EQ(found({"x.LayerNorm.weight"}, "x.LayerNorm.gamma"), 0);
  EXPECT_EQ(found({"x.LayerNorm.beta"}, "x.LayerNorm.bias"), 0);
  EXPECT_THROW(found({"x.LayerNorm.weight"}, "x.LayerNorm.beta"), Error);
}

TEST(Scope, AStarIsAnyLayer) {
  EXPECT_EQ(found({"x.1.freq", "x.0.freq"}, "x.*.freq"), 1);
  EXPECT_EQ(found({"base.x.0.freq"}, "x.*.freq"), 0);
  EXPECT_EQ(found({"x.0.freq", "x.*.freq"}, "base.x.*.freq"), 1) << "the name itself comes first";
  EXPECT_THROW(found({"x.1.freq"}, "x.*.freq"), Error);
}

TEST(Scope, PrefersTheNameAsItIs) {
  EXPECT_EQ(found({"conv.weight_g", "conv.parametrizations.weight.original0"}, "conv.weight_g"), 0);
  EXPECT_EQ(
      found({"conv.weight_g", "conv.parametrizations.weight.original0"}, "conv.parametrizations.weight.original0"), 1);
}

// Names that only end alike are no such weights.
TEST(Scope, OtherNamesHaveNoOtherSpelling) {
  EXPECT_THROW(found({"x.weight_g"}, "x.weight.original0"), Error);
  EXPECT_THROW(found({"x.weight_g"}, "x.myparametrizations.weight.original0"), Error);
  EXPECT_THROW(found({"x"}, "_g"), Error);
  EXPECT_THROW(found({"x"}, ".original0"), Error);
}

// How many parameters there are with "words", and one tied to it as "head", from a file of these values.
size_t parameters_of(const std::vector<std::pair<std::string, float>>& file) {
  const ScratchFolder folder;
  NamedTensors tensors;
  for (const auto& [name, value] : file) tensors.emplace_back(name, Tensor::full({2, 1}, value));
  save_checkpoint(folder.path(), tensors);
  ParameterStore store(BuildOptions{}, Checkpoint::open(folder.path()), "base");
  const Scope scope(store);
  scope.spell("words", "head");
  const Tensor words = scope.matrix("words", {2, 1});
  const Tensor head = scope.tied("head", words);
  const WarningCatcher warnings;
  store.finish("file", "model");
  EXPECT_TRUE(warnings.messages().empty());
  EXPECT_EQ(words.to_vector<float>()[0], file.front().second);
  EXPECT_EQ(head.to_vector<float>()[1], file.back().second);
  return store.parameters().size();
}

TEST(Scope, TiesWhatAFileHasOnceOrTwiceTheSame) {
  EXPECT_EQ(parameters_of({{"words", 1}}), 1U);
  EXPECT_EQ(parameters_of({{"words", 1}, {"head", 1}}), 1U);
  EXPECT_EQ(parameters_of({{"base.words", 1}, {"head", 1}}), 1U);
  EXPECT_EQ(parameters_of({{"head", 3}}), 1U) << "the other name serves";
  EXPECT_EQ(parameters_of({{"words", 1}, {"head", 2}}), 2U) << "a file says more than its config";
}

TEST(Scope, TiesWithoutAFile) {
  ParameterStore store{BuildOptions{}};
  const Scope scope(store);
  const Tensor words = scope.matrix("words", {2, 1});
  EXPECT_EQ(scope.tied("head", words).storage(), words.storage());
  EXPECT_EQ(store.parameters().size(), 1U);
}

}  // namespace
}  // namespace mica
