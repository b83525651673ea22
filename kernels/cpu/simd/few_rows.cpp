// Few rows of x meet each element of W once, in a register.
//
// Must read W once, from memory; has some 200 cycles a kilobyte for it. Columns whose elements lie side by side are
// turned in registers, 16 columns by 16 words at a time: 64 shuffles a kilobyte, after which word k of all columns is
// one vector, and every sum a chain of multiply-adds in the order of the depth, as in the tile kernels. Elements of 16
// bits are turned in pairs and widened after that. Where columns lie side by side nothing is turned: some elements of
// the depth are added to the sums of all columns at a time, which lie in L1. There the halves of a word are two columns
// in bfloat16, and widening is a shift and a mask; the sums are kept in that order until the end.
//
// A file's data begin at any multiple of eight bytes. Columns that begin inside a line of the cache would have each
// line read by two blocks, and lose it between them where a power of two lies from column to column (16 columns of 4 KB
// want the same set of the first cache): the words up to the next line go first, by themselves, so that blocks are
// lines.
//
// In each kind the operations of a sum, and their order, are those of the tile kernels: the results have the same bits.

#include "mica/kernels/cpu/simd/few_rows.h"

#include "mica/kernels/cpu/simd/tile.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <array>
#include <utility>

// GCC's own header passes vectors that it leaves undefined on purpose, and warns of them (its bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

#define MICA_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))
#define MICA_INLINE __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16"), always_inline)) inline

namespace mica::cpu::simd {
namespace {

constexpr __mmask16 kWhole = 0xffff;

// Word k of 16 columns, for k of 0 to 15; only those of the mask are read.
MICA_INLINE void turn(const char* w, int64_t stride, __m512* out, __mmask16 mask = kWhole) {
  __m512 a[16], b[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i)
    a[i] = mask == kWhole ? _mm512_loadu_ps(w + i * stride) : _mm512_maskz_loadu_ps(mask, w + i * stride);
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    const __m512d b0 = _mm512_castps_pd(b[i]), b1 = _mm512_castps_pd(b[i + 1]);
    const __m512d b2 = _mm512_castps_pd(b[i + 2]), b3 = _mm512_castps_pd(b[i + 3]);
    a[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(b0, b2));
    a[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(b0, b2));
    a[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b1, b3));
    a[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b1, b3));
  }
  // a[4 g + j] holds, in blocks of four, the words j, j + 4, j + 8, j + 12 of the columns 4 g to 4 g + 3.
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m512 low01 = _mm512_shuffle_f32x4(a[j], a[4 + j], 0x88),
                 high01 = _mm512_shuffle_f32x4(a[j], a[4 + j], 0xdd);
    const __m512 low23 = _mm512_shuffle_f32x4(a[8 + j], a[12 + j], 0x88);
    const __m512 high23 = _mm512_shuffle_f32x4(a[8 + j], a[12 + j], 0xdd);
    out[j] = _mm512_shuffle_f32x4(low01, low23, 0x88);
    out[j + 4] = _mm512_shuffle_f32x4(high01, high23, 0x88);
    out[j + 8] = _mm512_shuffle_f32x4(low01, low23, 0xdd);
    out[j + 12] = _mm512_shuffle_f32x4(high01, high23, 0xdd);
  }
}

// The first and the second elements of words as floats.
template <FewKind kind>
MICA_INLINE __m512 first_half(__m512i words) {
  if constexpr (kind == FewKind::float16) return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(words));
  return _mm512_castsi512_ps(_mm512_slli_epi32(words, 16));
}
template <FewKind kind>
MICA_INLINE __m512 second_half(__m512i words) {
  if constexpr (kind == FewKind::float16) return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(words, 16)));
  return _mm512_castsi512_ps(_mm512_and_si512(words, _mm512_set1_epi32(static_cast<int>(0xffff0000U))));
}

// Adds a word of 16 columns to their sums.
template <FewKind kind, int rows>
MICA_INLINE void add_word(__m512 word, const float* x, int64_t x_row, __m512* sum) {
  if constexpr (kind == FewKind::bfloat16_pairs) {
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r)
      sum[r] = _mm512_dpbf16_ps(sum[r], (__m512bh)_mm512_set1_ps(x[r * x_row]), (__m512bh)word);
  } else if constexpr (kind == FewKind::float32) {
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) sum[r] = _mm512_fmadd_ps(_mm512_set1_ps(x[r * x_row]), word, sum[r]);
  } else {
    const __m512 first = first_half<kind>(_mm512_castps_si512(word));
    const __m512 second = second_half<kind>(_mm512_castps_si512(word));
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      sum[r] = _mm512_fmadd_ps(_mm512_set1_ps(x[r * x_row]), first, sum[r]);
      sum[r] = _mm512_fmadd_ps(_mm512_set1_ps(x[r * x_row + 1]), second, sum[r]);
    }
  }
}

// Floats of x for a word.
constexpr int64_t floats_of_word(FewKind kind) {
  return kind == FewKind::float16 || kind == FewKind::bfloat16 ? 2 : 1;
}

// Fewer words than a block.
template <FewKind kind, int rows>
MICA_INLINE void add_part(const FewTask& task, const char* w, const float* x, int64_t words, __m512* sum) {
  if (words == 0) return;
  __m512 turned[16];
  turn(w, task.w_stride, turned, static_cast<__mmask16>((1U << words) - 1));
  alignas(64) float stored[16 * 16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) _mm512_store_ps(stored + i * 16, turned[i]);
  for (int64_t i = 0; i < words; ++i) {
    const float* x_of = x + i * floats_of_word(kind);
    add_word<kind, rows>(_mm512_load_ps(stored + i * 16), x_of, task.x_row, sum);
  }
}

template <FewKind kind, int rows>
MICA_TARGET void columns_of(const FewTask& task) {
  constexpr int64_t kPerWord = kind == FewKind::float32 ? 1 : 2;  // elements
  __m512 sum[rows];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) sum[r] = _mm512_loadu_ps(task.sums + r * task.sums_row);
  const float* x = task.x;
  const char* w = task.w;
  int64_t left = task.depth / kPerWord;
  const int64_t head = left < task.head ? left : task.head;
  add_part<kind, rows>(task, w, x, head, sum);
  x += head * floats_of_word(kind);
  w += head * 4;
  left -= head;
  for (; left >= kFewBlock; left -= kFewBlock) {
    if (task.fetcher != nullptr) task.fetcher->fetch();
    __m512 word[16];
    turn(w, task.w_stride, word);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) add_word<kind, rows>(word[i], x + i * floats_of_word(kind), task.x_row, sum);
    x += kFewBlock * floats_of_word(kind);
    w += kFewBlock * 4;
  }
  add_part<kind, rows>(task, w, x, left, sum);
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) _mm512_storeu_ps(task.sums + r * task.sums_row, sum[r]);
}

// Two vectors of columns at an element of the depth (at two of them, for pairs).
template <FewKind kind>
MICA_INLINE void load_columns(const char* w, int64_t stride, bool both, __m512* columns) {
  if constexpr (kind == FewKind::float32) {
    columns[0] = _mm512_loadu_ps(w);
    columns[1] = _mm512_loadu_ps(w + 64);
  } else if constexpr (kind == FewKind::float16) {
    columns[0] = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)));
    columns[1] = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + 32)));
  } else if constexpr (kind == FewKind::bfloat16_pairs) {
    // Columns 8 i to 8 i + 3 come first, then 8 i + 4 to 8 i + 7.
    const __m512i first = _mm512_loadu_si512(w);
    const __m512i second = both ? _mm512_loadu_si512(w + stride) : _mm512_setzero_si512();
    columns[0] = _mm512_castsi512_ps(_mm512_unpacklo_epi16(first, second));
    columns[1] = _mm512_castsi512_ps(_mm512_unpackhi_epi16(first, second));
  } else {
    // The even columns first, then the odd ones.
    const __m512i words = _mm512_loadu_si512(w);
    columns[0] = first_half<kind>(words);
    columns[1] = second_half<kind>(words);
  }
}

// Some elements of the depth (kDepth, but for the last few), for two vectors of columns at a time.
template <FewKind kind, int rows, int kDepth>
MICA_TARGET void rows_of(const FewTask& task, int64_t depth) {
  constexpr bool pairs = kind == FewKind::bfloat16_pairs, matrix = kind == FewKind::bfloat16_matrix;
  constexpr int64_t kColumnBytes = kind == FewKind::float32 ? 128 : 64;
  const int64_t count = kDepth > 0 ? kDepth : depth;
  const char* w = task.w;
  for (int64_t c = 0; c < task.columns; c += 32, w += kColumnBytes) {
    if (task.fetcher != nullptr) task.fetcher->fetch();
    float* sums = task.sums + c;
    __m512 sum[rows][2], odd[rows][2];
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) {
        sum[r][v] = matrix ? _mm512_setzero_ps() : _mm512_loadu_ps(sums + r * task.sums_row + v * 16);
        if (matrix) odd[r][v] = _mm512_setzero_ps();
      }
    }
#pragma GCC unroll 8
    for (int64_t k = 0; k < count; k += pairs ? 2 : 1) {
      __m512 columns[2];
      load_columns<kind>(w + k * task.w_stride, task.w_stride, k + 1 < count, columns);
#pragma GCC unroll 4
      for (int r = 0; r < rows; ++r) {
        const __m512 x = _mm512_set1_ps(task.x[r * task.x_row + (pairs ? k / 2 : k)]);
#pragma GCC unroll 2
        for (int v = 0; v < 2; ++v) {
          if constexpr (pairs) {
            sum[r][v] = _mm512_dpbf16_ps(sum[r][v], (__m512bh)x, (__m512bh)columns[v]);
          } else if (matrix && k % 2 != 0) {
            odd[r][v] = _mm512_fmadd_ps(x, columns[v], odd[r][v]);
          } else {
            sum[r][v] = _mm512_fmadd_ps(x, columns[v], sum[r][v]);
          }
        }
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) {
        float* to = sums + r * task.sums_row + v * 16;
        if (matrix) sum[r][v] = _mm512_add_ps(_mm512_loadu_ps(to), _mm512_add_ps(sum[r][v], odd[r][v]));
        _mm512_storeu_ps(to, sum[r][v]);
      }
    }
  }
}

constexpr int depth_at_once(FewKind kind) {
  return kind == FewKind::bfloat16_matrix ? 32 : kind == FewKind::float32 ? 8 : 16;
}

template <FewKind kind, int rows>
MICA_TARGET void rows_of(const FewTask& task) {
  constexpr int kDepth = depth_at_once(kind);
  FewTask part = task;
  for (int64_t k = 0; k < task.depth; k += kDepth) {
    part.w = task.w + k * task.w_stride;
    part.x = task.x + (kind == FewKind::bfloat16_pairs ? k / 2 : k);
    if (k + kDepth <= task.depth) {
      rows_of<kind, rows, kDepth>(part, kDepth);
    } else {
      rows_of<kind, rows, 0>(part, task.depth - k);
    }
  }
}

// As many rows at a time as registers hold.
template <FewKind kind, bool by_columns>
void product(const FewTask& task) {
  FewTask part = task;
  // The matrix registers take, and make, no denormal numbers.
  const unsigned control = _mm_getcsr();
  if constexpr (kind == FewKind::bfloat16_matrix) _mm_setcsr(control | 0x8040U);
  for (int64_t row = 0; row < task.rows;) {
    const int64_t left = task.rows - row;
    const int64_t rows = by_columns && left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
    if constexpr (by_columns) {
      rows == 8   ? columns_of<kind, 8>(part)
      : rows == 4 ? columns_of<kind, 4>(part)
      : rows == 2 ? columns_of<kind, 2>(part)
                  : columns_of<kind, 1>(part);
    } else {
      rows == 4 ? rows_of<kind, 4>(part) : rows == 2 ? rows_of<kind, 2>(part) : rows_of<kind, 1>(part);
    }
    row += rows;
    part.x += rows * part.x_row;
    part.sums += rows * part.sums_row;
    part.fetcher = nullptr;
  }
  if constexpr (kind == FewKind::bfloat16_matrix) _mm_setcsr(control);
}

MICA_TARGET void order(FewKind kind, float* sums, int64_t columns) {
  const bool pairs = kind == FewKind::bfloat16_pairs;
  alignas(64) int from[2][16];
  for (int i = 0; i < 32; ++i) from[i / 16][i % 16] = pairs ? i / 8 * 4 + i % 4 + i / 4 % 2 * 16 : i / 2 + i % 2 * 16;
  const __m512i low = _mm512_load_si512(from[0]), high = _mm512_load_si512(from[1]);
  for (int64_t c = 0; c < columns; c += 32) {
    const __m512 a = _mm512_loadu_ps(sums + c), b = _mm512_loadu_ps(sums + c + 16);
    _mm512_storeu_ps(sums + c, _mm512_permutex2var_ps(a, low, b));
    _mm512_storeu_ps(sums + c + 16, _mm512_permutex2var_ps(a, high, b));
  }
}

MICA_TARGET void turn_all(const float* columns, int64_t stride, int64_t words, float* to, int64_t to_row) {
  const auto* from = reinterpret_cast<const char*>(columns);
  __m512 word[16];
  for (; words >= 16; words -= 16, from += 64, to += 16 * to_row) {
    turn(from, stride * 4, word);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) _mm512_storeu_ps(to + i * to_row, word[i]);
  }
  if (words == 0) return;
  turn(from, stride * 4, word, static_cast<__mmask16>((1U << words) - 1));
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i)
    if (i < words) _mm512_storeu_ps(to + i * to_row, word[i]);
}

// All functions are compiled for a CPU with products of pairs, but only that kind's uses them.
bool has(FewKind kind) {
  if (kind == FewKind::bfloat16_pairs) return bfloat16_tile_kernels() != nullptr;
  if (kind == FewKind::bfloat16_matrix) return matrix_tile_kernels() != nullptr;
  static const bool found =
      __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  return found && tile_kernels().lanes == 16;
}

}  // namespace

bool turn_columns(const float* columns, int64_t stride, int64_t words, float* to, int64_t to_row) {
  if (!has(FewKind::float32)) return false;
  turn_all(columns, stride, words, to, to_row);
  return true;
}

FewProduct columns_product(FewKind kind) {
  static constexpr std::array<FewProduct, kFewKinds> kProducts = {
      &product<FewKind::float32, true>, &product<FewKind::float16, true>, &product<FewKind::bfloat16, true>,
      &product<FewKind::bfloat16_pairs, true>, nullptr};
  return has(kind) ? kProducts[static_cast<size_t>(kind)] : nullptr;
}

FewProduct rows_product(FewKind kind) {
  static constexpr std::array<FewProduct, kFewKinds> kProducts = {
      &product<FewKind::float32, false>, &product<FewKind::float16, false>, &product<FewKind::bfloat16, false>,
      &product<FewKind::bfloat16_pairs, false>, &product<FewKind::bfloat16_matrix, false>};
  return has(kind) ? kProducts[static_cast<size_t>(kind)] : nullptr;
}

void order_few(FewKind kind, float* sums, int64_t columns) {
  if (kind != FewKind::float32 && kind != FewKind::float16) order(kind, sums, columns);
}

int64_t few_fetches(FewKind kind, int64_t columns, int64_t depth) {
  const int64_t at_once = depth_at_once(kind);
  return columns / 32 * ((depth + at_once - 1) / at_once);
}

}  // namespace mica::cpu::simd

#undef MICA_TARGET
#undef MICA_INLINE

#else

namespace mica::cpu::simd {

FewProduct columns_product(FewKind) {
  return nullptr;
}
FewProduct rows_product(FewKind) {
  return nullptr;
}
void order_few(FewKind, float*, int64_t) {}
bool turn_columns(const float*, int64_t, int64_t, float*, int64_t) {
  return false;
}
int64_t few_fetches(FewKind, int64_t, int64_t) {
  return 0;
}

}  // namespace mica::cpu::simd

#endif
