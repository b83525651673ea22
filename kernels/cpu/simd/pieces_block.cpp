// The innermost block of products of pieces: on the matrix unit (AMX), else with the instruction that multiplies pairs
// of bfloat16.
//
// Of the nine products of two sums of three pieces six are made; m l, l m and l l stay below 2^-25 of the whole. The
// small ones are summed first and the large ones upon them, so that sums round as often as those of plain
// multiply-adds. The unit does 512 multiply-adds a cycle and core where AVX-512 does 32 in float32, so that six
// products cost less than half of one.

#include <algorithm>

#include "mica/kernels/cpu/simd/pieces.h"

#if defined(__x86_64__) && defined(__GNUC__) && defined(__linux__)

// GCC's own header passes vectors that it leaves undefined on purpose, and warns of them (its bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include "mica/kernels/cpu/simd/matrix_tiles.h"
#include "mica/kernels/cpu/simd/tile.h"

namespace mica::cpu::simd {
namespace {

#define MICA_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define MICA_AMX __attribute__((target("amx-tile,amx-bf16")))

bool has_matrix_unit() {
  static const bool found = bfloat16_tile_kernels() != nullptr && has_matrix_registers();
  return found;
}

// Tiles 0 to 3 are the sums, 4 and 5 hold A's, 6 and 7 B's.
#define MICA_LOAD(tile, from, piece) _tile_loadd(tile, (from) + (piece)*kPieceFloats, 64)
#define MICA_MULTIPLY        \
  do {                       \
    _tile_dpbf16ps(0, 4, 6); \
    _tile_dpbf16ps(1, 4, 7); \
    _tile_dpbf16ps(2, 5, 6); \
    _tile_dpbf16ps(3, 5, 7); \
  } while (false)

MICA_AMX void block_by_unit(const PieceBlock& block, float* c) {
  const int64_t steps = block.steps, a_next = block.a_next, b_next = block.b_next;
  const int64_t step = block.pieces * kPieceFloats;
  const float *a = block.a, *b = block.b, *fetch = block.fetch;
  const float* const fetch_end = fetch + block.fetched * 16;
  const int64_t turns = block.pieces == 3 ? 2 * steps : steps;
  const int64_t fetch_step = (block.fetched + turns - 1) / turns * 16;
  const auto fetch_some = [&] {
    for (const float* end = std::min(fetch + fetch_step, fetch_end); fetch < end; fetch += 16)
      __builtin_prefetch(fetch, 0, 2);
  };
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  if (block.pieces == 3) {
    for (int64_t s = 0; s < steps; ++s) {
      const float *a0 = a + s * step, *a1 = a0 + a_next, *b0 = b + s * step, *b1 = b0 + b_next;
      MICA_LOAD(4, a0, 0);
      MICA_LOAD(5, a1, 0);
      MICA_LOAD(6, b0, 2);
      MICA_LOAD(7, b1, 2);
      fetch_some();
      MICA_MULTIPLY;
      MICA_LOAD(6, b0, 1);
      MICA_LOAD(7, b1, 1);
      MICA_MULTIPLY;
      MICA_LOAD(4, a0, 1);
      MICA_LOAD(5, a1, 1);
      MICA_MULTIPLY;
      MICA_LOAD(6, b0, 0);
      MICA_LOAD(7, b1, 0);
      MICA_MULTIPLY;
      MICA_LOAD(4, a0, 2);
      MICA_LOAD(5, a1, 2);
      MICA_MULTIPLY;
    }
  }
  for (int64_t s = 0; s < steps; ++s) {
    const float *a0 = a + s * step, *a1 = a0 + a_next, *b0 = b + s * step, *b1 = b0 + b_next;
    MICA_LOAD(4, a0, 0);
    MICA_LOAD(5, a1, 0);
    MICA_LOAD(6, b0, 0);
    MICA_LOAD(7, b1, 0);
    fetch_some();
    MICA_MULTIPLY;
  }
  constexpr int kRow = kPieceBlock * sizeof(float);
  _tile_stored(0, c, kRow);
  _tile_stored(1, c + 16, kRow);
  _tile_stored(2, c + 16 * kPieceBlock, kRow);
  _tile_stored(3, c + 16 * kPieceBlock + 16, kRow);
}

// Eight rows by 32 columns at a time: 16 chains.
MICA_BF16 void block_by_pairs(const PieceBlock& block, float* c) {
  const int64_t steps = block.steps, a_next = block.a_next, b_next = block.b_next;
  const float *a = block.a, *b = block.b;
  for (int64_t line = 0; line < block.fetched; ++line) __builtin_prefetch(block.fetch + line * 16, 0, 2);
  for (int64_t first = 0; first < kPieceBlock; first += 8) {
    const float* rows = a + first / 16 * a_next + first % 16 * 16;
    __m512 sum[8][2];
#pragma GCC unroll 8
    for (auto& row : sum) row[0] = row[1] = _mm512_setzero_ps();
    for (int64_t s = 0; s < steps; ++s) {
      for (int64_t pair = 0; pair < 16; ++pair) {
        const float* word = rows + s * kPieceFloats + pair;
        const float* column = b + s * kPieceFloats + pair * 16;
        const auto b0 = (__m512bh)_mm512_load_ps(column), b1 = (__m512bh)_mm512_load_ps(column + b_next);
#pragma GCC unroll 8
        for (int r = 0; r < 8; ++r) {
          const auto x = (__m512bh)_mm512_set1_ps(word[r * 16]);
          sum[r][0] = _mm512_dpbf16_ps(sum[r][0], x, b0);
          sum[r][1] = _mm512_dpbf16_ps(sum[r][1], x, b1);
        }
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < 8; ++r) {
      _mm512_store_ps(c + (first + r) * kPieceBlock, sum[r][0]);
      _mm512_store_ps(c + (first + r) * kPieceBlock + 16, sum[r][1]);
    }
  }
}

MICA_BF16 void store(const float* sums, int64_t rows, int64_t columns, const float* bias, bool add, float* c,
                     int64_t c_row) {
  for (int64_t i = 0; i < columns; i += 16) {
    const int64_t left = columns - i;
    const auto mask = static_cast<__mmask16>(left >= 16 ? 0xffffU : (1U << left) - 1);
    const __m512 shift = bias != nullptr ? _mm512_maskz_loadu_ps(mask, bias + i) : _mm512_setzero_ps();
    for (int64_t r = 0; r < rows; ++r) {
      __m512 x = _mm512_load_ps(sums + r * kPieceBlock + i);
      float* to = c + r * c_row + i;
      if (add) x = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), x);
      if (bias != nullptr) x = _mm512_add_ps(x, shift);
      _mm512_mask_storeu_ps(to, mask, x);
    }
  }
}

struct TileConfig {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

MICA_AMX void configure() {
  static constexpr TileConfig kConfig;
  _tile_loadconfig(&kConfig);
}

MICA_AMX void release() {
  _tile_release();
}

}  // namespace

bool multiplies_pieces(int pieces) {
  return pieces == 1 ? bfloat16_tile_kernels() != nullptr : has_matrix_unit();
}

void multiply_piece_block(const PieceBlock& block, float* c) {
  has_matrix_unit() ? block_by_unit(block, c) : block_by_pairs(block, c);
}

void store_piece_block(const float* sums, int64_t rows, int64_t columns, const float* bias, bool add, float* c,
                       int64_t c_row) {
  store(sums, rows, columns, bias, add, c, c_row);
}

void begin_pieces() {
  if (has_matrix_unit()) configure();
}

void end_pieces() {
  if (has_matrix_unit()) release();
}

}  // namespace mica::cpu::simd

#pragma GCC diagnostic pop

#else

namespace mica::cpu::simd {

bool multiplies_pieces(int) {
  return false;
}
void multiply_piece_block(const PieceBlock&, float*) {}
void store_piece_block(const float*, int64_t, int64_t, const float*, bool, float*, int64_t) {}
void begin_pieces() {}
void end_pieces() {}

}  // namespace mica::cpu::simd

#endif
