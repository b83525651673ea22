// The matrix instructions' bodies against plain loops, and a wrong swizzle found.

#include "mica/kernels/cuda/device/matrix.h"

#include <array>

#include "mica/tests/emulate/support.h"

namespace mica::cuda {
namespace {

using namespace test;

// Whole numbers up to 8: products and sums are exact in every format.
float whole(unsigned i, unsigned seed) {
  return static_cast<float>((i * 7 + seed * 5) % 17) - 8;
}

// 16 x 16 elements of 16 bits. A row's two pieces of 16 bytes change places in every second group of four rows, so that
// the eight rows that ldmatrix reads at once lie in different banks.
template <typename T>
struct Tile16 {
  alignas(16) T at[256];
  __device__ T* piece(unsigned row, unsigned which, bool swizzled) {
    return at + row * 16 + (swizzled ? which ^ (row / 4 & 1) : which) * 8;
  }
};

template <typename T>
__global__ void product_kernel(const T* a, const T* b, float* c, bool right_swizzle) {
  struct Shared {
    Tile16<T> a, b;
  };
  auto& shared = shared_memory<Shared>();
  const unsigned lane = lane_index();
  for (unsigned i = lane; i < 256; i += kWarp) {
    const unsigned row = i / 16, column = i % 16;
    shared.a.piece(row, column / 8, true)[column % 8] = a[i];
    shared.b.piece(row, column / 8, true)[column % 8] = b[i];  // b is [k, n]
  }
  block_barrier();
  FragmentA left;
  load_matrices_4(shared.a.piece(lane % 16, lane / 16, right_swizzle), left.r);
  for (unsigned half = 0; half < 2; ++half) {
    FragmentB right;
    load_matrices_2<true>(shared.b.piece(lane % 16, half, true), right.r);
    FragmentC sum{};
    multiply_add<T>(sum, left, right);
    const unsigned g = lane / 4, t = lane % 4;
    for (unsigned i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 16 + half * 8 + 2 * t + i % 2] = sum.r[i];
  }
}

template <typename T>
bool product_is_right(bool right_swizzle) {
  std::vector<T> a, b;
  for (unsigned i = 0; i < 256; ++i) {
    a.push_back(T(whole(i, 1)));
    b.push_back(T(whole(i, 2)));
  }
  const DeviceArray<T> left(a), right(b);
  const DeviceArray<float> c(256);
  launch("test.product", nullptr, {{1}, {32}, 2 * sizeof(Tile16<T>)}, product_kernel<T>, left.data(), right.data(),
         c.data(), right_swizzle);
  const auto got = c.values();
  for (unsigned row = 0; row < 16; ++row) {
    for (unsigned column = 0; column < 16; ++column) {
      float want = 0;
      for (unsigned k = 0; k < 16; ++k) want += whole(row * 16 + k, 1) * whole(k * 16 + column, 2);
      if (got[row * 16 + column] != want) return false;
    }
  }
  return true;
}

TEST(EmulatedMatrix, FragmentsLieWhereTheGpuHasThem) {
  for_seeds([] {
    EXPECT_TRUE(product_is_right<bfloat16>(true));
    EXPECT_TRUE(product_is_right<float16>(true));
  });
}

TEST(EmulatedMatrix, AWrongSwizzleGivesWrongProducts) {
  for_seeds([] { EXPECT_FALSE(product_is_right<bfloat16>(false)); });
}

__global__ void misaligned_kernel() {
  struct Shared {
    alignas(16) uint16_t at[256];
  };
  auto& shared = shared_memory<Shared>();
  uint32_t out[4];
  load_matrices_4(shared.at + lane_index() * 4, out);
}
__global__ void outside_kernel() {
  struct Shared {
    alignas(16) uint16_t at[64];
  };
  auto& shared = shared_memory<Shared>();
  uint32_t out[4];
  load_matrices_4(shared.at + lane_index() * 8, out);
}

TEST(EmulatedMatrix, RowsOutsideSharedMemoryAreFound) {
  const std::string misaligned = error_of([] { launch("test.rows", nullptr, {{1}, {32}, 512}, misaligned_kernel); });
  EXPECT_NE(misaligned.find("not aligned"), std::string::npos) << misaligned;
  const std::string outside = error_of([] { launch("test.rows", nullptr, {{1}, {32}, 128}, outside_kernel); });
  EXPECT_NE(outside.find("outside shared memory"), std::string::npos) << outside;
  EXPECT_NE(outside.find("matrix_test.cpp:"), std::string::npos) << outside;
}

}  // namespace
}  // namespace mica::cuda
