// The tile product for pairs of bfloat16, with the instruction that multiplies two pairs and adds both to a float32.
//
// As tile.cpp, with twice the multiply-adds an instruction: the same 24 chains, the same loads. Highway has no
// operation for vdpbf16ps, so it is spelled as intrinsics and chosen by cpuid.

#include "mica/kernels/cpu/simd/tile.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <utility>

#include <immintrin.h>

namespace mica::cpu::simd {
namespace {

template <int rows, int vectors>
__attribute__((target("avx512f,avx512bf16"))) void product(const TileTask& task) {
  const float* __restrict a = task.a;
  const float* __restrict b = task.b;
  const float* next = task.next != nullptr ? task.next : b;
  const int64_t a_row = task.a_row, a_depth = task.a_depth, b_row = task.b_row, next_step = task.next_step;
  __m512 sum[rows][vectors];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 3
    for (int v = 0; v < vectors; ++v)
      sum[r][v] = task.add ? _mm512_loadu_ps(task.c + r * task.c_row + v * 16) : _mm512_setzero_ps();
  }
  for (int64_t k = task.depth; k > 0; --k) {
    __m512 column[vectors];
#pragma GCC unroll 3
    for (int v = 0; v < vectors; ++v) column[v] = _mm512_loadu_ps(b + v * 16);
    __builtin_prefetch(next, 0, 2);
    __builtin_prefetch(next + 16, 0, 2);
    next += next_step;
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const __m512 x = _mm512_set1_ps(a[r * a_row]);
#pragma GCC unroll 3
      for (int v = 0; v < vectors; ++v) sum[r][v] = _mm512_dpbf16_ps(sum[r][v], (__m512bh)x, (__m512bh)column[v]);
    }
    a += a_depth;
    b += b_row;
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 3
    for (int v = 0; v < vectors; ++v) _mm512_storeu_ps(task.c + r * task.c_row + v * 16, sum[r][v]);
  }
}

template <int vectors, int... rows>
constexpr std::array<TileProduct, kTallestTile> products(std::integer_sequence<int, rows...>) {
  return {&product<rows + 1, vectors>...};
}

constexpr TileKernels kKernels = {
    16,
    8,
    {products<1>(std::make_integer_sequence<int, 8>()), products<2>(std::make_integer_sequence<int, 8>()),
     products<3>(std::make_integer_sequence<int, 8>())}};

__attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16"))) void convert(const float* x, int64_t stride,
                                                                             int64_t rows, int64_t depth, float* y) {
  const int64_t words = (depth + 1) / 2;
  for (int64_t r = 0; r < rows; ++r) {
    const float* from = x + r * stride;
    float* to = y + r * words;
    int64_t k = 0;
    for (; k + 32 <= depth; k += 32) {
      const __m512bh pair = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + k + 16), _mm512_loadu_ps(from + k));
      _mm512_storeu_si512(to + k / 2, (__m512i)pair);
    }
    for (; k < depth; k += 16) {
      const int64_t left = depth - k < 16 ? depth - k : 16;
      const auto mask = static_cast<__mmask16>((1U << left) - 1);
      const __m256bh half = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, from + k));
      _mm256_mask_storeu_epi32(to + k / 2, static_cast<__mmask8>((1U << ((left + 1) / 2)) - 1), (__m256i)half);
    }
  }
}

__attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16"))) void pair(const float* x, int64_t stride, int64_t rows,
                                                                          int64_t size, float* y, int64_t y_row) {
  // Lane 2i takes element i of the low half, lane 2i + 1 that of the high half.
  alignas(64) uint16_t order[32];
  for (int i = 0; i < 32; ++i) order[i] = static_cast<uint16_t>(i / 2 + i % 2 * 16);
  const __m512i interleave = _mm512_load_si512(order);
  for (int64_t r = 0; r < rows; r += 2, x += 2 * stride, y += y_row) {
    for (int64_t i = 0; i < y_row; i += 16) {
      const int64_t left = size - i < 0 ? 0 : size - i;
      const auto mask = static_cast<__mmask16>(left >= 16 ? 0xffffU : (1U << left) - 1);
      const __m512 first = _mm512_maskz_loadu_ps(mask, x + i);
      const __m512 second = _mm512_maskz_loadu_ps(r + 1 < rows ? mask : 0, x + stride + i);
      const __m512bh halves = _mm512_cvtne2ps_pbh(second, first);
      _mm512_storeu_si512(y + i, _mm512_permutexvar_epi16(interleave, (__m512i)halves));
    }
  }
}

constexpr std::array<uint16_t, 32> pair_order() {
  std::array<uint16_t, 32> order{};
  for (size_t i = 0; i < 32; ++i) order[i] = static_cast<uint16_t>(i / 2 + i % 2 * 32);
  return order;
}

alignas(64) constexpr std::array<uint16_t, 32> kPairOrder = pair_order();

__attribute__((target("avx512f,avx512bw"))) void pair_halves(const uint16_t* x, int64_t stride, int64_t rows,
                                                             int64_t size, float* y, int64_t y_row) {
  const __m512i low = _mm512_load_si512(kPairOrder.data()), high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
  for (int64_t r = 0; r < rows; r += 2, x += 2 * stride, y += y_row) {
    for (int64_t i = 0; i < y_row; i += 32) {
      const int64_t left = size - i < 0 ? 0 : size - i;
      const auto mask = static_cast<__mmask32>(left >= 32 ? 0xffffffffU : (1U << left) - 1);
      const __m512i first = _mm512_maskz_loadu_epi16(mask, x + i);
      const __m512i second = _mm512_maskz_loadu_epi16(r + 1 < rows ? mask : 0, x + stride + i);
      _mm512_storeu_si512(y + i, _mm512_permutex2var_epi16(first, low, second));
      if (i + 16 < y_row) _mm512_storeu_si512(y + i + 16, _mm512_permutex2var_epi16(first, high, second));
    }
  }
}

}  // namespace

const TileKernels* bfloat16_tile_kernels() {
  static const bool found = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bf16");
  return found && tile_kernels().lanes == kKernels.lanes ? &kKernels : nullptr;
}

void convert_rows_to_bfloat16(const float* x, int64_t stride, int64_t rows, int64_t depth, float* y) {
  convert(x, stride, rows, depth, y);
}

void pair_rows_as_bfloat16(const float* x, int64_t stride, int64_t rows, int64_t size, float* y, int64_t y_row) {
  pair(x, stride, rows, size, y, y_row);
}

void pair_bfloat16_rows(const uint16_t* x, int64_t stride, int64_t rows, int64_t size, float* y, int64_t y_row) {
  pair_halves(x, stride, rows, size, y, y_row);
}

}  // namespace mica::cpu::simd

#else

namespace mica::cpu::simd {

const TileKernels* bfloat16_tile_kernels() {
  return nullptr;
}

void convert_rows_to_bfloat16(const float*, int64_t, int64_t, int64_t, float*) {}
void pair_rows_as_bfloat16(const float*, int64_t, int64_t, int64_t, float*, int64_t) {}
void pair_bfloat16_rows(const uint16_t*, int64_t, int64_t, int64_t, float*, int64_t) {}

}  // namespace mica::cpu::simd

#endif
