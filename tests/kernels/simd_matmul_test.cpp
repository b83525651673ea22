// The general product against a float64 reference, in every orientation, with batches; and the same bits for any
// threads.

#include "mica/kernels/cpu/simd/matmul.h"
#include "mica/kernels/cpu/simd/packed_linear.h"
#include "mica/kernels/cpu/simd/stored_linear.h"
#include "mica/tests/kernels/simd_support.h"

namespace mica {
namespace {

struct Matmul {
  int64_t batch, rows, columns, depth;
  bool transpose_a, transpose_b;
  std::vector<float> a, b, c;
  View a_view, b_view, c_view;

  Matmul(int64_t batches, int64_t m, int64_t n, int64_t k, bool ta, bool tb)
      : batch(batches), rows(m), columns(n), depth(k), transpose_a(ta), transpose_b(tb) {
    a_view = make(a, ta ? k : m, ta ? m : k, 1, 1);
    b_view = make(b, tb ? n : k, tb ? k : n, 2, batches > 1 ? 0 : 1);  // b is shared by a batch
    c_view = make(c, m, n, 3, 1);
  }

  View make(std::vector<float>& data, int64_t m, int64_t n, uint32_t seed, int64_t each) const {
    const int64_t row = n + 2;
    data = random_floats((each != 0 ? batch : 1) * m * row, seed);
    return {.data = data.data(),
            .dtype = DType::float32,
            .rank = 3,
            .shape = {batch, m, n},
            .strides = {each * m * row, row, 1}};
  }

  void run(double alpha, double beta) {
    cpu::simd::matmul(a_view, transpose_a, b_view, transpose_b, c_view, alpha, beta);
  }
};

void expect_product(Matmul matmul, double alpha, double beta) {
  SCOPED_TRACE(testing::Message() << matmul.batch << " of " << matmul.rows << "x" << matmul.columns << "x"
                                  << matmul.depth << (matmul.transpose_a ? " a^T" : "")
                                  << (matmul.transpose_b ? " b^T" : ""));
  const std::vector<float> before = matmul.c;
  if (beta == 0) std::fill(matmul.c.begin(), matmul.c.end(), NAN);
  matmul.run(alpha, beta);
  const auto at = [](const View& v, int64_t batch, int64_t i, int64_t j) {
    return double{v.as<float>()[batch * v.stride(0) + i * v.stride(1) + j]};
  };
  for (int64_t s = 0; s < matmul.batch; ++s) {
    for (int64_t i = 0; i < matmul.rows; ++i) {
      for (int64_t j = 0; j < matmul.columns; ++j) {
        double exact = 0, magnitude = 0;
        for (int64_t k = 0; k < matmul.depth; ++k) {
          const double term = (matmul.transpose_a ? at(matmul.a_view, s, k, i) : at(matmul.a_view, s, i, k)) *
                              (matmul.transpose_b ? at(matmul.b_view, s, j, k) : at(matmul.b_view, s, k, j));
          exact += alpha * term;
          magnitude += std::abs(alpha * term);
        }
        const auto place = static_cast<size_t>(s * matmul.c_view.stride(0) + i * matmul.c_view.stride(1) + j);
        if (beta != 0) exact += double{before[place]};
        magnitude += std::abs(exact);
        ASSERT_NEAR(matmul.c[place], exact, magnitude * static_cast<double>(matmul.depth + 2) / (1 << 24) + 1e-30);
      }
    }
  }
}

TEST(SimdMatmul, EveryOrientationAndTail) {
  for_each_target([] {
    for (const bool ta : {false, true}) {
      for (const bool tb : {false, true}) {
        for (const int64_t m : {1, 7, 8, 9, 20})
          for (const int64_t n : {1, 16, 17, 50})
            for (const int64_t k : {0, 1, 5, 33}) {
              expect_product(Matmul(1, m, n, k, ta, tb), 1, 0);
              expect_product(Matmul(3, m, n, k, ta, tb), 0.5, 1);
            }
        expect_product(Matmul(1, 130, 100, 4200, ta, tb), 1, 1);
        expect_product(Matmul(8, 33, 40, 64, ta, tb), 2, 0);
      }
    }
  });
}

TEST(SimdMatmul, ColumnsInParts) {
  // Wide enough that B is packed in several parts.
  expect_product(Matmul(1, 3, 12000, 300, false, false), 1, 0);
}

TEST(SimdMatmul, SameBitsForAnyThreads) {
  for (const bool transpose : {false, true}) {
    Matmul once(1, 150, 130, 700, transpose, transpose);
    set_num_threads(1);
    once.run(1, 0);
    for_thread_counts([&] {
      Matmul again(1, 150, 130, 700, transpose, transpose);
      again.run(1, 0);
      for (int64_t i = 0; i < 150; ++i)
        for (int64_t j = 0; j < 130; ++j)
          ASSERT_EQ(again.c[static_cast<size_t>(i * 132 + j)], once.c[static_cast<size_t>(i * 132 + j)]);
    });
  }
}

TEST(SimdMatmul, UnpackedLinearEqualsPacked) {
  std::vector<float> x = random_floats(50 * 40, 1), w = random_floats(70 * 40, 2), bias = random_floats(70, 3);
  std::vector<float> y(50 * 70), z(50 * 70);
  const Epilogue epilogue{.bias = row_vector(bias),
                          .activation = Activation::gelu,
                          .norm_weight = row_vector(bias),
                          .norm_bias = row_vector(bias),
                          .norm_eps = 1e-5F};
  cpu::simd::linear(matrix(x, 50, 40, 40), matrix(w, 70, 40, 40), epilogue, matrix(y, 50, 70, 70));
  std::vector<float> packed(static_cast<size_t>(cpu::simd::packed_bytes(70, 40, DType::float32) / 4));
  const PackedWeight weight{packed.data(), 70, 40, DType::float32};
  cpu::simd::pack_weight(matrix(w, 70, 40, 40), 0, weight);
  cpu::simd::packed_linear(matrix(x, 50, 40, 40), weight, epilogue, matrix(z, 50, 70, 70));
  EXPECT_EQ(y, z);
}

}  // namespace
}  // namespace mica
