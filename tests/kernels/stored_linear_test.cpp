// Products with weights as they are stored have the bits of products with packed ones: every dtype, both orders, every
// tail, any number of threads, on every target, with matrix registers and without.

#include "mica/kernels/cpu/simd/stored_linear.h"

#include <cstring>

#include "mica/kernels/cpu/convert.h"
#include "mica/kernels/cpu/simd/packed_linear.h"
#include "mica/tests/kernels/simd_support.h"

namespace mica {
namespace {

// A weight [out, in] of a dtype, its rows or its columns side by side, `shift` elements into the memory.
struct Stored {
  std::vector<char> memory;
  View view;

  Stored(std::vector<float> values, int64_t out, int64_t in, DType dtype, bool transposed, int64_t shift = 0) {
    const int64_t item = item_size(dtype);
    memory.assign(static_cast<size_t>((out * in + shift) * item), 0);
    view = {.data = memory.data() + shift * item, .dtype = dtype, .rank = 2, .shape = {out, in}};
    view.strides = {transposed ? 1 : in, transposed ? out : 1};
    for (int64_t row = 0; row < out; ++row) {
      cpu::convert(values.data() + row * in, DType::float32, 1, view.as<char>() + row * view.stride(0) * item, dtype,
                   view.stride(1), in);
    }
  }
};

std::vector<float> stored(std::vector<float>& x, int64_t rows, const View& weight, Epilogue epilogue) {
  const int64_t out = weight.size(0), in = weight.size(1);
  std::vector<float> y(static_cast<size_t>(rows * (out + 3)), -7);
  cpu::simd::linear(matrix(x, rows, in, in), weight, epilogue, matrix(y, rows, out, out + 3));
  return y;
}

std::vector<float> packed(std::vector<float>& x, int64_t rows, const View& weight, Epilogue epilogue) {
  const int64_t out = weight.size(0), in = weight.size(1);
  const DType dtype = cpu::simd::packed_dtype(weight.dtype);
  std::vector<float> y(static_cast<size_t>(rows * (out + 3)), -7);
  std::vector<float> data(static_cast<size_t>(cpu::simd::packed_bytes(out, in, dtype) / 4), NAN);
  const PackedWeight to{data.data(), out, in, dtype};
  cpu::simd::pack_weight(weight, 0, to);
  cpu::simd::packed_linear(matrix(x, rows, in, in), to, epilogue, matrix(y, rows, out, out + 3));
  return y;
}

constexpr DType kDTypes[] = {DType::float32, DType::bfloat16, DType::float16};

void expect_equal(int64_t rows, int64_t out, int64_t in, int64_t shift = 0) {
  std::vector<float> x = random_floats(rows * in, 1), w = random_floats(out * in, 2), bias = random_floats(out, 3);
  Epilogue epilogue{.bias = row_vector(bias), .activation = Activation::gelu, .norm_eps = 1e-5F};
  if (rows % 2 == 0) epilogue.norm_weight = epilogue.norm_bias = row_vector(bias);
  for (const DType dtype : kDTypes) {
    for (const bool transposed : {false, true}) {
      SCOPED_TRACE(testing::Message() << name(dtype) << ", " << rows << " rows, " << out << " out, " << in << " in"
                                      << (transposed ? ", transposed" : ""));
      const Stored weight(w, out, in, dtype, transposed, shift);
      ASSERT_EQ(stored(x, rows, weight.view, epilogue), packed(x, rows, weight.view, epilogue));
    }
  }
}

template <typename Body>
void with_and_without_matrix_registers(const Body& body) {
  body();
  const bool before = cpu::simd::allow_matrix_tiles(false);
  body();
  cpu::simd::allow_matrix_tiles(before);
}

TEST(StoredLinear, SameBitsAsPackedAtEveryTail) {
  for_each_target([] {
    with_and_without_matrix_registers([] {
      for (const int64_t out : {1, 16, 17, 47, 50, 97})
        for (const int64_t in : {1, 3, 32, 33, 64, 300})
          for (const int64_t rows : {1, 3, 8, 17, 33}) expect_equal(rows, out, in);
    });
  });
}

TEST(StoredLinear, SameBitsAsPackedForLargeSizes) {
  with_and_without_matrix_registers([] {
    expect_equal(3, 50, 9001);  // the packed product cuts the depth
    expect_equal(16, 33, 9000);
    expect_equal(300, 100, 700);  // blocks of rows
    expect_equal(20, 2000, 70);   // groups of panels
  });
}

// bfloat16 tensors of a file need not lie on words.
TEST(StoredLinear, OddAddresses) {
  with_and_without_matrix_registers([] { expect_equal(2, 40, 64, 1); });
}

// The tensors of a file begin at any multiple of 8 bytes: columns that begin within a line of the cache, and their
// ends.
TEST(StoredLinear, EveryPlaceInALineOfTheCache) {
  for (int64_t shift = 0; shift < 32; shift += 2) {
    for (const int64_t in : {16, 64, 96, 2080, 4160}) expect_equal(shift % 4 == 0 ? 1 : 3, 33, in, shift);
  }
}

// Nothing before or after a weight is read as part of it: what lies there are NaNs.
TEST(StoredLinear, NeighboursOfAWeightAreNotTakenForIt) {
  for (const DType dtype : kDTypes) {
    for (const int64_t shift : {0, 6, 10, 12}) {
      const int64_t out = 32, in = 224, item = item_size(dtype);
      std::vector<float> x = random_floats(in, 1), w = random_floats(out * in, 2);
      const Stored plain(w, out, in, dtype, false);
      std::vector<char> memory(static_cast<size_t>((out * in + 64) * item), static_cast<char>(0xff));
      View inside = plain.view;
      inside.data = memory.data() + shift * item;
      std::memcpy(inside.data, plain.view.data, static_cast<size_t>(out * in * item));
      EXPECT_EQ(stored(x, 1, inside, {}), stored(x, 1, plain.view, {})) << name(dtype) << ", shift " << shift;
    }
  }
}

TEST(StoredLinear, SameBitsForAnyThreadsAndAnyBatch) {
  with_and_without_matrix_registers([] {
    const int64_t rows = 40, out = 200, in = 130;
    std::vector<float> x = random_floats(rows * in, 1), w = random_floats(out * in, 2);
    for (const DType dtype : kDTypes) {
      for (const bool transposed : {false, true}) {
        const Stored weight(w, out, in, dtype, transposed);
        set_num_threads(1);
        const std::vector<float> all = stored(x, rows, weight.view, {});
        for_thread_counts([&] {
          EXPECT_EQ(stored(x, rows, weight.view, {}), all);
          for (const int64_t row : {0, 7, 39}) {
            std::vector<float> one(x.begin() + row * in, x.begin() + (row + 1) * in);
            const std::vector<float> y = stored(one, 1, weight.view, {});
            EXPECT_TRUE(std::equal(y.begin(), y.end(), all.begin() + row * (out + 3))) << row;
          }
        });
      }
    }
  });
}

// Against float64, within the bound of simd_linear_test: the packed product could be as wrong as this one.
TEST(StoredLinear, WithinTheBound) {
  const int64_t rows = 3, out = 37, in = 129;
  std::vector<float> x = random_floats(rows * in, 1);
  const std::vector<float> w = random_floats(out * in, 2);
  with_and_without_matrix_registers([&] {
    for (const DType dtype : kDTypes) {
      for (const bool transposed : {false, true}) {
        const Stored weight(w, out, in, dtype, transposed);
        std::vector<float> wide(w.size());
        const Stored plain(w, out, in, dtype, false);
        cpu::convert(plain.view.data, dtype, 1, wide.data(), DType::float32, 1, out * in);
        const std::vector<float> y = stored(x, rows, weight.view, {});
        const double rounding = cpu::simd::packed_dtype(dtype) == DType::bfloat16 ? 0x1p-8 : 0;
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t c = 0; c < out; ++c) {
            double exact = 0, magnitude = 0;
            for (int64_t k = 0; k < in; ++k) {
              const double term =
                  double{x[static_cast<size_t>(r * in + k)]} * double{wide[static_cast<size_t>(c * in + k)]};
              exact += term;
              magnitude += std::abs(term);
            }
            ASSERT_NEAR(y[static_cast<size_t>(r * (out + 3) + c)], exact, magnitude * (0x1p-24 * (in + 2) + rounding));
          }
        }
      }
    }
  });
}

}  // namespace
}  // namespace mica
