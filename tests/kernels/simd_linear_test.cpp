// The packed product against a float64 reference, at every kind of tail, and the promise that a row's bits depend on
// nothing but the row.

#include <algorithm>
#include <cstring>
#include <optional>

#include "mica/kernels/cpu/simd/packed_linear.h"
#include "mica/tests/kernels/simd_support.h"

namespace mica {
namespace {

constexpr double kEpsilon = 1.0 / (1 << 24);  // half a unit in the last place of 1
constexpr double kHalfEpsilon = 1.0 / (1 << 9);

struct Layer {
  int64_t out, in;
  DType dtype;
  std::vector<float> weight, bias, data;
  PackedWeight packed;

  Layer(int64_t out_size, int64_t in_size, DType weight_dtype, uint32_t seed)
      : out(out_size),
        in(in_size),
        dtype(cpu::simd::packed_dtype(weight_dtype)),
        weight(random_floats(out_size * in_size, seed)),
        bias(random_floats(out_size, seed + 1)) {
    data.assign(static_cast<size_t>(cpu::simd::packed_bytes(out, in, dtype) / 4), NAN);
    packed = {data.data(), out, in, dtype};
    cpu::simd::pack_weight(matrix(weight, out, in, in), 0, packed);
  }
};

double activate(Activation activation, double x) {
  switch (activation) {
    case Activation::gelu:
      return x / 2 * std::erfc(-x / std::sqrt(2.0));
    case Activation::relu:
      return std::max(x, 0.0);
    default:
      return x;
  }
}

// Each element of x · Wᵀ must lie within in * eps * sum |x||w| of the exact value: in fused multiply-adds in a row,
// each rounding at most eps of a partial sum that is at most sum |x||w|; bfloat16 operands add their own rounding
// twice.
void expect_product(Layer& layer, int64_t rows, Activation activation, bool with_residual) {
  SCOPED_TRACE(testing::Message() << rows << " rows, " << layer.out << " out, " << layer.in << " in, "
                                  << name(layer.dtype));
  const int64_t x_row = layer.in + 3, y_row = layer.out + 5;
  std::vector<float> x = random_floats(rows * x_row, 7), y(static_cast<size_t>(rows * y_row), -77);
  std::vector<float> residual = random_floats(rows * y_row, 8);
  Epilogue epilogue{.bias = row_vector(layer.bias), .activation = activation};
  if (with_residual) epilogue.residual = matrix(residual, rows, layer.out, y_row);
  cpu::simd::packed_linear(matrix(x, rows, layer.in, x_row), layer.packed, epilogue, matrix(y, rows, layer.out, y_row));
  const double rounding = layer.dtype == DType::bfloat16 ? 2 * kHalfEpsilon : 0;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < y_row; ++c) {
      const float got = y[static_cast<size_t>(r * y_row + c)];
      if (c >= layer.out) {
        ASSERT_EQ(got, -77) << "written beyond the row";
        continue;
      }
      double exact = 0, magnitude = 0;
      for (int64_t k = 0; k < layer.in; ++k) {
        const double term =
            double{x[static_cast<size_t>(r * x_row + k)]} * double{layer.weight[static_cast<size_t>(c * layer.in + k)]};
        exact += term;
        magnitude += std::abs(term);
      }
      const double before = exact + double{layer.bias[static_cast<size_t>(c)]};
      magnitude += std::abs(before) + 1;
      const double residue = with_residual ? double{residual[static_cast<size_t>(r * y_row + c)]} : 0;
      // No activation here has a slope above 1.13; the constant covers the activation's own error.
      const double tolerance =
          1.13 * magnitude * (kEpsilon * static_cast<double>(layer.in + 2) + rounding) + kEpsilon * (4 + residue);
      ASSERT_NEAR(got, activate(activation, before) + residue, tolerance) << "row " << r << ", column " << c;
    }
  }
}

const std::vector<DType> kWeightTypes = {DType::float32, DType::bfloat16};

TEST(SimdLinear, TailsOfRowsColumnsAndDepth) {
  for_each_target([] {
    for (const DType dtype : kWeightTypes) {
      for (const int64_t out : {1, 2, 15, 16, 17, 33, 47, 48, 49, 64, 97}) {
        for (const int64_t in : {1, 2, 3, 7, 16, 31, 65}) {
          Layer layer(out, in, dtype, 3);
          for (const int64_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 17})
            expect_product(layer, rows, rows % 2 != 0 ? Activation::gelu : Activation::none, rows % 3 == 0);
        }
      }
    }
  });
}

TEST(SimdLinear, LargeSizes) {
  for (const DType dtype : kWeightTypes) {
    Layer wide(384, 1536, dtype, 5);
    expect_product(wide, 70, Activation::relu, true);
    Layer deep(50, 9001, dtype, 6);  // the depth goes in blocks
    expect_product(deep, 70, Activation::none, false);
  }
}

TEST(SimdLinear, EmptySizes) {
  Layer layer(5, 0, DType::float32, 1);
  expect_product(layer, 2, Activation::none, false);
  expect_product(layer, 0, Activation::none, false);
}

std::vector<float> run(Layer& layer, std::vector<float>& x, int64_t first, int64_t rows, bool norm) {
  std::vector<float> y(static_cast<size_t>(rows * layer.out));
  std::vector<float> scale = random_floats(layer.out, 11);
  Epilogue epilogue{.bias = row_vector(layer.bias), .activation = Activation::gelu, .norm_eps = 1e-5F};
  if (norm) epilogue.norm_weight = epilogue.norm_bias = row_vector(scale);
  View part = matrix(x, rows, layer.in, layer.in);
  part.data = x.data() + first * layer.in;
  cpu::simd::packed_linear(part, layer.packed, epilogue, matrix(y, rows, layer.out, layer.out));
  return y;
}

TEST(SimdLinear, SameBitsForAnyThreadsAndAnyBatch) {
  for_each_target([] {
    for (const DType dtype : kWeightTypes) {
      for (const int64_t in : {130, 4500}) {
        Layer layer(200, in, dtype, 9);
        const int64_t rows = 131;
        std::vector<float> x = random_floats(rows * layer.in, 10);
        set_num_threads(1);
        const std::vector<float> all = run(layer, x, 0, rows, true);
        for_thread_counts([&] {
          EXPECT_EQ(run(layer, x, 0, rows, true), all);
          for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 1}, {77, 1}, {20, 9}, {30, 40}}) {
            const std::vector<float> part = run(layer, x, first, count, true);
            EXPECT_TRUE(std::equal(part.begin(), part.end(), all.begin() + first * layer.out)) << first;
          }
        });
      }
    }
  });
}

TEST(SimdLinear, PackedInPieces) {
  for_each_target([] {
    for (const DType dtype : kWeightTypes) {
      Layer whole(59, 37, dtype, 12);
      std::vector<float> data(whole.data.size(), NAN);
      PackedWeight pieces = whole.packed;
      pieces.data = data.data();
      View weight = matrix(whole.weight, 0, 37, 37);
      for (const auto& [first, rows] : {std::pair<int64_t, int64_t>{0, 20}, {20, 3}, {23, 25}, {48, 11}}) {
        weight.data = whole.weight.data() + first * 37;
        weight.shape[0] = rows;
        cpu::simd::pack_weight(weight, first, pieces);
      }
      EXPECT_EQ(std::memcmp(data.data(), whole.data.data(), data.size() * 4), 0);
    }
  });
}

TEST(SimdLinear, NormFollowsInPlace) {
  Layer layer(100, 40, DType::float32, 13);
  for (const int64_t rows : {1, 5, 200}) {
    std::vector<float> x = random_floats(rows * 40, 14);
    const std::vector<float> plain = run(layer, x, 0, rows, false), normed = run(layer, x, 0, rows, true);
    const std::vector<float> scale = random_floats(layer.out, 11);
    for (int64_t r = 0; r < rows; ++r) {
      double mean = 0, variance = 0;
      for (int64_t c = 0; c < 100; ++c) mean += double{plain[static_cast<size_t>(r * 100 + c)]} / 100;
      for (int64_t c = 0; c < 100; ++c)
        variance += std::pow(double{plain[static_cast<size_t>(r * 100 + c)]} - mean, 2) / 100;
      for (int64_t c = 0; c < 100; ++c) {
        const auto at = static_cast<size_t>(r * 100 + c);
        const double w = double{scale[static_cast<size_t>(c)]};
        EXPECT_NEAR(normed[at], (double{plain[at]} - mean) / std::sqrt(variance + 1e-5) * w + w,
                    2e-6 * (1 + std::abs(w)) * 4);
      }
    }
  }
}

}  // namespace
}  // namespace mica
