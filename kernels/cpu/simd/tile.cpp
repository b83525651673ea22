// C[rows, width] = A · B for a tile that fits the registers.
//
// Must do: rows * width * depth multiply-adds; must read depth * (rows + width) words from L1 or L2.
// Fast because: 8 rows by 3 vectors (4 by 3 where there are only 16 registers) keep 24 independent chains in flight,
// twice what two FMA units of latency 4 need, for 11 loads per 24 multiply-adds; B is packed so that its vectors follow
// each other in memory; A is read in place, one broadcast an element; and while one panel of B is worked on, the next
// is prefetched into L2, two lines a step, which hides L3 and most of DRAM even for 16 rows.

#include "mica/kernels/cpu/simd/tile.h"

#include "mica/kernels/cpu/simd/targets.h"

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "mica/kernels/cpu/simd/tile.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace mica::cpu::simd::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

constexpr hn::ScalableTag<float> kTag;
using Vector = hn::Vec<decltype(kTag)>;
constexpr int64_t kLanes = hn::MaxLanes(kTag);
constexpr int kRows = HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_SCALAR ? 4 : 8;

template <int rows, int vectors>
void product(const TileTask& task) {
  const float* HWY_RESTRICT a = task.a;
  const float* HWY_RESTRICT b = task.b;
  const float* next = task.next != nullptr ? task.next : b;
  const int64_t a_row = task.a_row, a_depth = task.a_depth, b_row = task.b_row, next_step = task.next_step;
  Vector sum[rows][vectors];
  HWY_UNROLL(8)
  for (int r = 0; r < rows; ++r) {
    HWY_UNROLL(3)
    for (int v = 0; v < vectors; ++v)
      sum[r][v] = task.add ? hn::LoadU(kTag, task.c + r * task.c_row + v * kLanes) : hn::Zero(kTag);
  }
  for (int64_t k = task.depth; k > 0; --k) {
    Vector column[vectors];
    HWY_UNROLL(3)
    for (int v = 0; v < vectors; ++v) column[v] = hn::LoadU(kTag, b + v * kLanes);
    __builtin_prefetch(next, 0, 2);
    __builtin_prefetch(next + 16, 0, 2);
    next += next_step;
    HWY_UNROLL(8)
    for (int r = 0; r < rows; ++r) {
      const Vector x = hn::Set(kTag, a[r * a_row]);
      HWY_UNROLL(3)
      for (int v = 0; v < vectors; ++v) sum[r][v] = hn::MulAdd(x, column[v], sum[r][v]);
    }
    a += a_depth;
    b += b_row;
  }
  HWY_UNROLL(8)
  for (int r = 0; r < rows; ++r) {
    HWY_UNROLL(3)
    for (int v = 0; v < vectors; ++v) hn::StoreU(sum[r][v], kTag, task.c + r * task.c_row + v * kLanes);
  }
}

template <int vectors, int... rows>
constexpr std::array<TileProduct, kTallestTile> products(std::integer_sequence<int, rows...>) {
  return {&product<rows + 1, vectors>...};
}

constexpr TileKernels kKernels = {
    kLanes,
    kRows,
    {products<1>(std::make_integer_sequence<int, kRows>()), products<2>(std::make_integer_sequence<int, kRows>()),
     products<3>(std::make_integer_sequence<int, kRows>())}};

const TileKernels* table() {
  return &kKernels;
}

#if HWY_TARGET != HWY_SCALAR
// Four consecutive floats of rows 0, 4, 8, ... after `x`, one row a 128-bit block.
template <class D>
HWY_INLINE hn::Vec<D> load_blocks(D d, const float* const* x, int64_t k) {
  if constexpr (hn::MaxLanes(D()) == 4) {
    return hn::LoadU(d, x[0] + k);
  } else {
    const hn::Half<D> half;
    return hn::Combine(d, load_blocks(half, x + hn::MaxLanes(D()) / 2, k), load_blocks(half, x, k));
  }
}

void transpose(const float* x, int64_t stride, int64_t rows, int64_t depth, float* out, int64_t out_row) {
  const float* row[kLanes];
  for (int64_t r = 0; r < kLanes; ++r) row[r] = x + (r < rows ? r : 0) * stride;
  const auto mask = hn::FirstN(kTag, static_cast<size_t>(rows));
  int64_t k = 0;
  for (; k + 4 <= depth; k += 4) {
    const Vector r0 = load_blocks(kTag, row, k), r1 = load_blocks(kTag, row + 1, k);
    const Vector r2 = load_blocks(kTag, row + 2, k), r3 = load_blocks(kTag, row + 3, k);
    const Vector low02 = hn::InterleaveLower(kTag, r0, r2), low13 = hn::InterleaveLower(kTag, r1, r3);
    const Vector high02 = hn::InterleaveUpper(kTag, r0, r2), high13 = hn::InterleaveUpper(kTag, r1, r3);
    float* to = out + k * out_row;
    hn::StoreU(hn::IfThenElseZero(mask, hn::InterleaveLower(kTag, low02, low13)), kTag, to);
    hn::StoreU(hn::IfThenElseZero(mask, hn::InterleaveUpper(kTag, low02, low13)), kTag, to + out_row);
    hn::StoreU(hn::IfThenElseZero(mask, hn::InterleaveLower(kTag, high02, high13)), kTag, to + 2 * out_row);
    hn::StoreU(hn::IfThenElseZero(mask, hn::InterleaveUpper(kTag, high02, high13)), kTag, to + 3 * out_row);
  }
  for (; k < depth; ++k) {
    for (int64_t r = 0; r < kLanes; ++r) out[k * out_row + r] = r < rows ? row[r][k] : 0;
  }
}
#else
void transpose(const float* x, int64_t /*stride*/, int64_t rows, int64_t depth, float* out, int64_t out_row) {
  for (int64_t k = 0; k < depth; ++k) out[k * out_row] = rows > 0 ? x[k] : 0;
}
#endif

void copy(const float* x, int64_t stride, int64_t rows, int64_t size, float* y, int64_t y_row) {
  const int64_t whole = size / kLanes * kLanes;
  for (int64_t r = 0; r < rows; ++r, x += stride, y += y_row) {
    for (int64_t i = 0; i < whole; i += kLanes) hn::StoreU(hn::LoadU(kTag, x + i), kTag, y + i);
    if (whole == y_row) continue;
    for (int64_t i = whole; i < size; ++i) y[i] = x[i];
    for (int64_t i = size; i < y_row; ++i) y[i] = 0;
  }
}

}  // namespace
}  // namespace mica::cpu::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mica::cpu::simd {
HWY_EXPORT(table);
HWY_EXPORT(transpose);
HWY_EXPORT(copy);

const TileKernels& tile_kernels() {
  return *HWY_DYNAMIC_DISPATCH(table)();
}

void transpose_rows(const float* x, int64_t stride, int64_t rows, int64_t depth, float* out, int64_t out_row) {
  HWY_DYNAMIC_DISPATCH(transpose)(x, stride, rows, depth, out, out_row);
}

void copy_rows(const float* x, int64_t stride, int64_t rows, int64_t size, float* y, int64_t y_row) {
  HWY_DYNAMIC_DISPATCH(copy)(x, stride, rows, size, y, y_row);
}

}  // namespace mica::cpu::simd
#endif
