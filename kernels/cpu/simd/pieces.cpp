// Taking floats to pieces of bfloat16, in the order in which blocks of products read them.
//
// A float32 is h + m + l exactly, where h is it rounded to bfloat16 (8 bits), m what is left, rounded, and l the rest.
//
// Reads each float once and writes 2 bytes a piece. Vectors that lie side by side are read four tiles at a time, 256
// bytes of a row: rows are far apart, and a line of each of a thousand pages at a time costs several times as much.

#include "mica/kernels/cpu/simd/pieces.h"

#if defined(__x86_64__) && defined(__GNUC__) && defined(__linux__)

#include <algorithm>

// GCC's own header passes vectors that it leaves undefined on purpose, and warns of them (its bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

namespace mica::cpu::simd {
namespace {

#define MICA_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))

// Rounded to bfloat16 and back.
MICA_BF16 inline __m512 widen(__m256i half) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

// Finite numbers that would round to infinity stay below it; NaN stays.
MICA_BF16 inline __m512 within_range(__m512 x) {
  const __m512 most = _mm512_set1_ps(0x1.fep127F);
  return _mm512_min_ps(most, _mm512_max_ps(_mm512_sub_ps(_mm512_setzero_ps(), most), x));
}

// Words of two vectors of floats: `low` fills the first 16 halves. The rest of both is left in them.
MICA_BF16 inline __m512i next_piece(__m512& low, __m512& high, bool last) {
  if (last) return (__m512i)_mm512_cvtne2ps_pbh(high, low);
  const auto piece = (__m512i)_mm512_cvtne2ps_pbh(within_range(high), within_range(low));
  low = _mm512_sub_ps(low, widen(_mm512_castsi512_si256(piece)));
  high = _mm512_sub_ps(high, widen(_mm512_extracti64x4_epi64(piece, 1)));
  return piece;
}

// 16 x 16 words.
MICA_BF16 void transpose(__m512i* x) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    x[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    x[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    x[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    x[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0xdd);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    x[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    x[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
  }
}

constexpr uint32_t first_lanes(int64_t count) {
  return count >= 16 ? 0xffffU : count <= 0 ? 0U : (1U << count) - 1;
}

// A step: 32 depths of 16 vectors, of which `vectors` and `depth` are there. `stride` is what lies between vectors
// whose depth is contiguous, else between depths.
struct Step {
  const float* x;
  int64_t stride, vectors, depth;
  bool whole() const { return vectors >= kPieceVectors && depth >= kPieceDepth; }
};

// Of vectors whose depth is contiguous: words [vector][pair].
template <int pieces, bool whole>
MICA_BF16 inline void read_along(const Step& step, __m512i (*words)[16]) {
  const auto low_mask = static_cast<__mmask16>(first_lanes(step.depth));
  const auto high_mask = static_cast<__mmask16>(first_lanes(step.depth - 16));
  const float* x = step.x;
#pragma GCC unroll 16
  for (int64_t v = 0; v < 16; ++v, x += step.stride) {
    __m512 low, high;
    if constexpr (whole) {
      low = _mm512_loadu_ps(x);
      high = _mm512_loadu_ps(x + 16);
    } else {
      const bool there = v < step.vectors;
      low = _mm512_maskz_loadu_ps(there ? low_mask : 0, x);
      high = _mm512_maskz_loadu_ps(there ? high_mask : 0, x + 16);
    }
    for (int p = 0; p < pieces; ++p) words[p][v] = next_piece(low, high, p + 1 == pieces);
  }
}

// Of vectors that lie side by side: words [pair][vector].
template <int pieces, bool whole>
MICA_BF16 inline void read_across(const Step& step, __m512i (*words)[16]) {
  alignas(64) static constexpr uint16_t kOrder[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                      8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const __m512i interleave = _mm512_load_si512(kOrder);
  const auto mask = static_cast<__mmask16>(first_lanes(step.vectors));
  const int64_t stride = step.stride;
  const float* x = step.x;
#pragma GCC unroll 16
  for (int64_t pair = 0; pair < 16; ++pair, x += 2 * stride) {
    __m512 even, odd;
    if constexpr (whole) {
      even = _mm512_loadu_ps(x);
      odd = _mm512_loadu_ps(x + stride);
    } else {
      even = _mm512_maskz_loadu_ps(2 * pair < step.depth ? mask : 0, x);
      odd = _mm512_maskz_loadu_ps(2 * pair + 1 < step.depth ? mask : 0, x + stride);
    }
    for (int p = 0; p < pieces; ++p)
      words[p][pair] = _mm512_permutexvar_epi16(interleave, next_piece(even, odd, p + 1 == pieces));
  }
}

template <int pieces, bool along, bool turn>
MICA_BF16 void take(const Step& step, float* tiles) {
  __m512i words[pieces][16];
  if constexpr (along) {
    step.whole() ? read_along<pieces, true>(step, words) : read_along<pieces, false>(step, words);
  } else {
    step.whole() ? read_across<pieces, true>(step, words) : read_across<pieces, false>(step, words);
  }
  for (int p = 0; p < pieces; ++p) {
    if constexpr (turn) transpose(words[p]);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) _mm512_store_si512(tiles + p * kPieceFloats + i * 16, words[p][i]);
  }
}

template <int pieces, bool along, bool turn>
void take_all(const PieceSource& source, float* tiles) {
  constexpr int64_t kTogether = along ? 1 : 4;  // tiles
  const int64_t words = tile_words(source.depth, pieces);
  const int64_t stride = along ? source.vector_stride : source.depth_stride;
  const int64_t count = (source.vectors + kPieceBlock - 1) / kPieceBlock * (kPieceBlock / kPieceVectors);
  for (int64_t first = 0; first < count; first += kTogether) {
    const int64_t last = std::min(count, first + kTogether);
    for (int64_t k = 0; k < source.depth; k += kPieceDepth) {
      for (int64_t tile = first; tile < last; ++tile) {
        const int64_t vector = tile * kPieceVectors;
        take<pieces, along, turn>({.x = source.x + vector * source.vector_stride + k * source.depth_stride,
                                   .stride = stride,
                                   .vectors = source.vectors - vector,
                                   .depth = source.depth - k},
                                  tiles + tile * words + k / kPieceDepth * pieces * kPieceFloats);
      }
    }
  }
}

template <int pieces>
void take_any(const PieceSource& source, PieceLayout layout, float* tiles) {
  if (source.depth_stride == 1) {
    layout == PieceLayout::of_a ? take_all<pieces, true, false>(source, tiles)
                                : take_all<pieces, true, true>(source, tiles);
  } else {
    layout == PieceLayout::of_a ? take_all<pieces, false, true>(source, tiles)
                                : take_all<pieces, false, false>(source, tiles);
  }
}

}  // namespace

void take_to_pieces(const PieceSource& source, int pieces, PieceLayout layout, float* tiles) {
  pieces == 3 ? take_any<3>(source, layout, tiles) : take_any<1>(source, layout, tiles);
}

}  // namespace mica::cpu::simd

#pragma GCC diagnostic pop

#else

namespace mica::cpu::simd {

void take_to_pieces(const PieceSource&, int, PieceLayout, float*) {}

}  // namespace mica::cpu::simd

#endif
