// Products of warpgroups against plain loops, and planted mistakes found.

#include "mica/kernels/cuda/device/warpgroup.h"

#include "mica/kernels/cuda/device/bulk_copy.h"
#include "mica/kernels/cuda/emulate/runtime.h"
#include "mica/kernels/cuda/tensor_map.h"
#include "mica/tests/emulate/support.h"

namespace mica::cuda {
namespace {

using namespace test;

constexpr int kDepth = 128;

float whole(int64_t i, int64_t seed) {
  return static_cast<float>((i * 7 + seed * 5) % 17) - 8;
}

// Both operands in pieces of 128 bytes by rows: 64 of what runs along memory.
template <int kN>
struct Operands {
  alignas(1024) uint16_t a[64 * kDepth];
  alignas(1024) uint16_t b[kN * kDepth];
  BarrierObject landed;
};

enum class Mistake { none, fence, commit, wait, leading, swizzle, overwrite, landing };

// c [64, n] = a b + a b, in two halves of the depth: a [64, depth] or [depth, 64], b [n, depth] or [depth, n].
template <typename T, Major kA, Major kB, int kN, bool kRegisters>
__global__ void products_kernel(const MICA_GRID_CONSTANT TensorMap a_map, const MICA_GRID_CONSTANT TensorMap b_map,
                                const T* a, float* c, Mistake mistake) {
  auto& shared = shared_memory<Operands<kN>>();
  constexpr int kARows = kA == Major::depth ? 64 : kDepth, kBRows = kB == Major::depth ? kN : kDepth;
  constexpr int kAPieces = 64 * kDepth / 64 / kARows, kBPieces = kN * kDepth / 64 / kBRows;
  const int thread = static_cast<int>(thread_x()), lane = thread % 32;
  if (thread == 0) {
    shared.landed.init(1);
    barrier_objects_ready();
  }
  block_barrier();
  if (thread == 0) {
    shared.landed.arrive_expecting(sizeof(shared.a) + sizeof(shared.b));
    for (int p = 0; p < kAPieces; ++p) copy_box(shared.a + p * kARows * 64, a_map, shared.landed, 64 * p, 0);
    for (int p = 0; p < kBPieces; ++p) copy_box(shared.b + p * kBRows * 64, b_map, shared.landed, 64 * p, 0);
  }
  if (mistake != Mistake::landing) shared.landed.wait(0);
  const unsigned leading = mistake == Mistake::leading ? 2048 : kBRows * 128;
  const MatrixPlace a_place = matrix_place(shared.a, kARows * 128), b_place = matrix_place(shared.b, leading);
  const auto step = [](Major major, int rows, int k) {
    return major == Major::depth ? k / 64 * rows * 128 + k % 64 * 2 : k * 128;
  };
  FragmentC sums[kN / 8];
  for (int j = 0; j < kN / 8; ++j) sums[j] = FragmentC{{1, 1, 1, 1}};
  for (int half = 0; half < 2; ++half) {
    settle(sums);
    if (mistake != Mistake::fence) products_fence();
    for (int k = 0; k < kDepth; k += 16) {
      const MatrixPlace b_at = b_place.further(step(kB, kBRows, k));
      const bool add = half > 0 || k > 0;
      if constexpr (kRegisters) {
        FragmentA rows;
        for (int i = 0; i < 4; ++i) {
          const int row = thread / 32 * 16 + lane / 4 + i % 2 * 8, column = k + lane % 4 * 2 + i / 2 * 8;
          rows.r[i] = static_cast<uint32_t>(a[row * kDepth + column].bits) |
                      static_cast<uint32_t>(a[row * kDepth + column + 1].bits) << 16;
        }
        multiply<T, kB>(sums, rows, b_at, add);
      } else {
        multiply<T, kA, kB>(sums, a_place.further(step(kA, kARows, k)), b_at, add);
      }
    }
    if (mistake != Mistake::commit) commit_products();
  }
  if (mistake == Mistake::overwrite && thread < 64) shared.b[thread] = 0x7fff;
  if (mistake != Mistake::wait) wait_products<0>();
  settle(sums);
  for (int j = 0; j < kN / 8; ++j) {
    for (int i = 0; i < 4; ++i) {
      const int row = thread / 32 * 16 + lane / 4 + i / 2 * 8;
      c[row * kN + 8 * j + lane % 4 * 2 + i % 2] = sums[j].r[i];
    }
  }
  wait_products<0>();
  shared.landed.wait(0);
}

// The number of wrong sums.
template <typename T, Major kA, Major kB, int kN, bool kRegisters = false>
int wrong_sums(Mistake mistake = Mistake::none) {
  const auto a_at = [](int row, int k) { return whole(row * kDepth + k, 1); };
  const auto b_at = [](int n, int k) { return whole(n * kDepth + k, 2); };
  std::vector<T> a(64 * kDepth), b(static_cast<size_t>(kN) * kDepth);
  for (int k = 0; k < kDepth; ++k) {
    for (int i = 0; i < 64; ++i)
      a[static_cast<size_t>(kA == Major::depth ? i * kDepth + k : k * 64 + i)] = T(a_at(i, k));
    for (int i = 0; i < kN; ++i)
      b[static_cast<size_t>(kB == Major::depth ? i * kDepth + k : k * kN + i)] = T(b_at(i, k));
  }
  const DeviceArray<T> left(a), right(b);
  const DeviceArray<float> c(int64_t{64} * kN);
  const auto map = [&](const char* what, const T* data, Major major, int width) {
    const int64_t row = major == Major::depth ? kDepth : width, rows = major == Major::depth ? width : kDepth;
    return make_tensor_map({.name = what,
                            .data = data,
                            .dtype = DType::bfloat16,  // bits are bits
                            .rank = 2,
                            .sizes = {row, rows},
                            .strides = {1, row},
                            .box = {64, static_cast<int>(rows)},
                            .swizzled = mistake != Mistake::swizzle});
  };
  launch("test.products", nullptr, {{1}, {128}, sizeof(Operands<kN>)}, products_kernel<T, kA, kB, kN, kRegisters>,
         map("a", left.data(), kA, 64), map("b", right.data(), kB, kN), left.data(), c.data(), mistake);
  const auto got = c.values();
  int wrong = 0;
  for (int row = 0; row < 64; ++row) {
    for (int n = 0; n < kN; ++n) {
      float want = 0;
      for (int k = 0; k < kDepth; ++k) want += a_at(row, k) * b_at(n, k);
      wrong += got[static_cast<size_t>(row * kN + n)] != 2 * want ? 1 : 0;
    }
  }
  return wrong;
}

TEST(EmulatedWarpgroup, ProductsOfEveryLayout) {
  for_seeds(
      [] {
        EXPECT_EQ((wrong_sums<bfloat16, Major::depth, Major::depth, 64>()), 0);
        EXPECT_EQ((wrong_sums<bfloat16, Major::depth, Major::depth, 128>()), 0);
        EXPECT_EQ((wrong_sums<float16, Major::depth, Major::width, 64>()), 0);
        EXPECT_EQ((wrong_sums<bfloat16, Major::depth, Major::width, 128>()), 0);
        EXPECT_EQ((wrong_sums<float16, Major::width, Major::depth, 128>()), 0);
        EXPECT_EQ((wrong_sums<bfloat16, Major::width, Major::width, 128>()), 0);
        EXPECT_EQ((wrong_sums<bfloat16, Major::depth, Major::width, 256>()), 0);
        EXPECT_EQ((wrong_sums<bfloat16, Major::depth, Major::depth, 128, true>()), 0);
        EXPECT_EQ((wrong_sums<float16, Major::depth, Major::width, 128, true>()), 0);
        EXPECT_EQ((wrong_sums<float16, Major::depth, Major::width, 64, true>()), 0);
      },
      4);
}

int planted(Mistake mistake) {
  return wrong_sums<bfloat16, Major::depth, Major::width, 128>(mistake);
}

TEST(EmulatedWarpgroup, WrongLayoutsGiveWrongSums) {
  for_seeds(
      [] {
        EXPECT_GT(planted(Mistake::swizzle), 0);
        EXPECT_GT(planted(Mistake::leading), 0);
      },
      4);
}

TEST(EmulatedWarpgroup, SumsAreNotThereBeforeTheWait) {
  for_seeds([] { EXPECT_EQ(planted(Mistake::wait), 64 * 128); });
}

TEST(EmulatedWarpgroup, AMissingFenceOrCommitIsAnError) {
  for_seeds([] {
    const std::string fence = error_of([] { planted(Mistake::fence); });
    EXPECT_NE(fence.find("without a fence"), std::string::npos) << fence;
    EXPECT_NE(fence.find("warpgroup_test.cpp:"), std::string::npos) << fence;
    const std::string commit = error_of([] { planted(Mistake::commit); });
    EXPECT_NE(commit.find("nobody committed"), std::string::npos) << commit;
  });
}

// By the seed: products read their operands late, copies land late.
TEST(EmulatedWarpgroup, OperandsChangedOrReadTooEarlyAreFound) {
  int changed = 0, early = 0;
  for_seeds(
      [&] {
        changed += planted(Mistake::overwrite) > 0 ? 1 : 0;
        const std::string error = error_of([] { planted(Mistake::landing); });
        early += error.find("bulk copy") != std::string::npos ? 1 : 0;
      },
      20);
  EXPECT_GE(changed, 2);
  EXPECT_GE(early, 2);
}

TEST(EmulatedWarpgroup, OtherGpusHaveNoSuchProducts) {
  for (const int major : {8, 12}) {
    emulate::set_capability(major, 0);
    const std::string error = error_of([] { planted(Mistake::none); });
    emulate::set_capability(9, 0);
    EXPECT_NE(error.find(major == 8 ? "before sm_90" : "sm_90a alone"), std::string::npos) << error;
  }
  EXPECT_EQ(planted(Mistake::none), 0);
}

__global__ void registers_kernel() {
  if (thread_x() < 128) {
    give_registers<24>();
  } else {
    take_registers<248>();
  }
}

TEST(EmulatedWarpgroup, MoreRegistersThanThereAreIsAnError) {
  EXPECT_EQ(error_of([] { launch("test.registers", nullptr, {{1}, {256}}, registers_kernel); }), "");
  const std::string error = error_of([] { launch("test.registers", nullptr, {{1}, {384}}, registers_kernel); });
  EXPECT_NE(error.find("more registers"), std::string::npos) << error;
}

}  // namespace
}  // namespace mica::cuda
