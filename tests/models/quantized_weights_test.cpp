// Published folders whose weights have 4 or 8 bits: widened as they are read, and saved as what they then are.

#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mica/autograd/random.h"
#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/models/auto/auto_model.h"
#include "mica/tensor/quantized_weight.h"
#include "mica/tensor/safetensors.h"
#include "mica/tests/support/tiny_model.h"

namespace mica {
namespace {

Config tiny_config(const std::string& type) {
  return AutoConfig::from_json(
      R"({"model_type": ")" + type +
      R"(", "vocab_size": 60, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 16,
          "num_key_value_heads": 2, "intermediate_size": 160, "num_local_experts": 3, "num_experts_per_tok": 2,
          "max_position_embeddings": 64, "sliding_window": 8})");
}

Tensor bytes(const Shape& shape, DType dtype, const std::function<int(int64_t)>& of) {
  Tensor tensor = Tensor::empty(shape, dtype);
  for (int64_t i = 0; i < shape.numel(); ++i) {
    static_cast<uint8_t*>(tensor.raw_data())[i] = static_cast<uint8_t>(of(i));
  }
  return tensor;
}

// Numbers of E4M3 without the two that are none.
Tensor some_float8(const Shape& shape) {
  return bytes(shape, DType::float8_e4m3, [](int64_t i) {
    const int byte = static_cast<int>(i * 37 % 251);
    return (byte & 127) == 127 ? 3 : byte;
  });
}

Tensor some_scales(const Shape& shape) {
  std::vector<float> values;
  for (int64_t i = 0; i < shape.numel(); ++i) values.push_back(0.001F * static_cast<float>(1 + i % 7));
  return Tensor::from(values, shape);
}

// A folder as published, and the same weights widened by the formula itself.
struct Folders {
  tiny::TemporaryFolder packed, plain;
  NamedTensors in_packed, in_plain;

  explicit Folders(const std::string& type, const std::string& quantization,
                   const std::function<bool(const std::string&, const Tensor&, NamedTensors*, Tensor*)>& quantize) {
    manual_seed(1);
    const NoGrad no_grad;
    const Model model = AutoModelForCausalLM::from_config(tiny_config(type));
    model.save_pretrained(plain.path());
    model.save_pretrained(packed.path());
    Config config = model.config();
    config.set_json("quantization_config", quantization);
    config.save_pretrained(packed.path());
    for (const auto& [name, tensor] : model.parameters()) {
      Tensor value = tensor.detach();
      if (!quantize(name, value, &in_packed, &value)) in_packed.emplace_back(name, value);
      in_plain.emplace_back(name, value);
    }
    write();
  }
  void write() {
    save_safetensors(packed / "model.safetensors", in_packed);
    save_safetensors(plain / "model.safetensors", in_plain);
  }
};

void expect_equal(const Model& have, const Model& wanted) {
  const NoGrad no_grad;
  ASSERT_EQ(have.parameters().size(), wanted.parameters().size());
  for (size_t i = 0; i < have.parameters().size(); ++i) {
    const auto& [name, tensor] = have.parameters()[i];
    ASSERT_EQ(tensor.to(DType::float32).to_vector<float>(),
              wanted.parameters()[i].second.to(DType::float32).to_vector<float>())
        << name;
  }
  ModelInputs inputs;
  inputs.input_ids = Tensor::from(std::vector<int64_t>{1, 2, 3, 4, 5, 6}, {1, 6});
  EXPECT_EQ(have(inputs).logits.to_vector<float>(), wanted(inputs).logits.to_vector<float>());
}

std::string message(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

constexpr const char* kFp8 =
    R"({"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]})";

// Blocks of 128 where the last is short (160 rows or columns), of one scale a row, and of one for all.
Folders float8_folders(const std::string& suffix) {
  return Folders("llama", kFp8, [&](const std::string& name, const Tensor& of, NamedTensors* packed, Tensor* plain) {
    if (of.rank() != 2 || name.find("_proj") == name.npos) return false;
    const int64_t rows = of.size(0), columns = of.size(1);
    const Tensor values = some_float8(of.shape());
    const bool by_row = name.find("o_proj") != name.npos, one = name.find("k_proj") != name.npos;
    const Shape scales_shape = one      ? Shape{1}
                               : by_row ? Shape{rows, 1}
                                        : Shape{(rows + 127) / 128, (columns + 127) / 128};
    const Tensor scales = some_scales(scales_shape);
    const auto factors = scales.to_vector<float>();
    std::vector<float> widened;
    for (int64_t i = 0; i < rows * columns; ++i) {
      const int64_t row = i / columns, column = i % columns;
      const int64_t at = one ? 0 : by_row ? row : row / 128 * scales_shape[1] + column / 128;
      widened.push_back(float8_e4m3_to_float(static_cast<const uint8_t*>(values.raw_data())[i]) *
                        factors[static_cast<size_t>(at)]);
    }
    *plain = Tensor::from(widened, of.shape());
    packed->emplace_back(name, values);
    packed->emplace_back(name + suffix, scales);
    packed->emplace_back(name.substr(0, name.rfind('.')) + ".input_scale", Tensor::from(std::vector<float>{0.5F}));
    return true;
  });
}

TEST(QuantizedWeights, Float8InBlocksRowsAndWhole) {
  for (const char* suffix : {"_scale_inv", "_scale"}) {
    const Folders folders = float8_folders(suffix);
    const LoadOptions wide{.dtype = DType::float32};
    expect_equal(AutoModelForCausalLM::from_pretrained(folders.packed.path(), wide),
                 AutoModelForCausalLM::from_pretrained(folders.plain.path(), wide));
  }
}

// Without a wish they are bfloat16, as the reference widens them, and saved as that, with nothing said of 8 bits.
TEST(QuantizedWeights, AreBfloat16AndSavedAsSuch) {
  const Folders folders = float8_folders("_scale_inv");
  const Model model = AutoModelForCausalLM::from_pretrained(folders.packed.path());
  EXPECT_EQ(model.dtype(), DType::bfloat16);
  const tiny::TemporaryFolder saved;
  model.save_pretrained(saved.path());
  EXPECT_EQ(read_file(saved / "config.json").find("quantization_config"), std::string::npos);
  const SafeTensors file = SafeTensors::open(saved / "model.safetensors");
  const std::string name = "model.layers.0.mlp.down_proj.weight";
  EXPECT_EQ(file.find(name)->dtype, DType::bfloat16);
  EXPECT_EQ(file.find(name + "_scale_inv"), nullptr);
  expect_equal(AutoModelForCausalLM::from_pretrained(saved.path()), model);
}

// The numbers of a byte's halves, and the order of rows and columns, by hand.
TEST(QuantizedWeights, Mxfp4ByHand) {
  const tiny::TemporaryFolder folder;
  const auto write = [&](const Shape& blocks, const Shape& scales) {
    save_safetensors(
        folder / "model.safetensors",
        {{"x_blocks", bytes(blocks, DType::uint8, [](int64_t i) { return i == 0    ? 0x2f
                                                                         : i == 17 ? 0xb6
                                                                                   : 0; })},
         {"x_scales", bytes(scales, DType::uint8, [](int64_t i) { return i == 0 ? 126 : 130; })}});
    return Checkpoint::open(folder.path());
  };
  const Checkpoint checkpoint = write({1, 2, 1, 16}, {1, 2, 1});
  const auto weight = quantized_weight(checkpoint, "x");
  ASSERT_TRUE(weight);
  EXPECT_EQ(weight->shape, (Shape{1, 32, 2}));
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    const auto x = dequantize(checkpoint, *weight, dtype).to(DType::float32).to_vector<float>();
    EXPECT_EQ(x[0], -3);    // row 0, column 0: half f, -6 by 2^-1
    EXPECT_EQ(x[2], 0.5F);  // column 1: half 2, 1 by 2^-1
    EXPECT_EQ(x[5], 32);    // row 1, column 2: half 6, 4 by 2^3
    EXPECT_EQ(x[7], -12);   // column 3: half b, -1.5 by 2^3
    float sum = 0;
    for (const float each : x) sum += std::abs(each);
    EXPECT_EQ(sum, 47.5F);
  }
  EXPECT_FALSE(quantized_weight(checkpoint, "y"));
  const Checkpoint unfit = write({1, 2, 1, 16}, {1, 2, 2});
  EXPECT_NE(message([&] { quantized_weight(unfit, "x"); }).find("x_scales"), std::string::npos);
}

TEST(QuantizedWeights, GptOssInMxfp4) {
  const Folders folders(
      "gpt_oss", R"({"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]})",
      [](const std::string& name, const Tensor& of, NamedTensors* packed, Tensor* plain) {
        if (of.rank() != 3) return false;
        const int64_t count = of.size(0), in = of.size(1), out = of.size(2), groups = in / 32;
        const Tensor blocks = bytes({count, out, groups, 16}, DType::uint8, [](int64_t i) { return i * 29 % 256; });
        const Tensor scales = bytes({count, out, groups}, DType::uint8, [](int64_t i) { return 118 + i % 5; });
        constexpr float kValues[] = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6};
        std::vector<float> widened;
        for (int64_t i = 0; i < count * in * out; ++i) {
          const int64_t row = i % out, column = i / out % in;
          const int64_t group = (i / (in * out) * out + row) * groups + column / 32;
          const uint8_t two = static_cast<const uint8_t*>(blocks.raw_data())[group * 16 + column % 32 / 2];
          const int half = column % 2 == 0 ? two & 15 : two >> 4;
          const float value = half < 8 ? kValues[half] : -kValues[half - 8];
          widened.push_back(std::ldexp(value, static_cast<const uint8_t*>(scales.raw_data())[group] - 127));
        }
        *plain = Tensor::from(widened, of.shape());
        packed->emplace_back(name + "_blocks", blocks);
        packed->emplace_back(name + "_scales", scales);
        return true;
      });
  const LoadOptions wide{.dtype = DType::float32};
  expect_equal(AutoModelForCausalLM::from_pretrained(folders.packed.path(), wide),
               AutoModelForCausalLM::from_pretrained(folders.plain.path(), wide));
}

TEST(QuantizedWeights, WhatIsNotWidenedIsSaid) {
  Folders folders = float8_folders("_scale");
  const auto open = [&] { AutoModelForCausalLM::from_pretrained(folders.packed.path()); };
  Config config = tiny_config("llama");
  const auto with = [&](const char* settings) {
    config.set_json("quantization_config", settings);
    config.save_pretrained(folders.packed.path());
    return message(open);
  };
  EXPECT_NE(with(R"({"quant_method": "gptq", "bits": 4})").find("\"gptq\""), std::string::npos);
  EXPECT_NE(with(R"({"quant_method": "compressed-tensors", "format": "pack-quantized"})").find("pack-quantized"),
            std::string::npos);
  EXPECT_EQ(with(R"({"quant_method": "compressed-tensors", "format": "float-quantized"})"), "no error");
  for (auto& [name, tensor] : folders.in_packed) {
    if (name.ends_with("q_proj.weight_scale")) tensor = some_scales({3, 5});
  }
  folders.write();
  EXPECT_NE(message(open).find("q_proj.weight_scale"), std::string::npos);
}

}  // namespace
}  // namespace mica
