// Products of a few rows with keys and values that stream by from memory.
//
// Must read each key and value once, 4 or 2 bytes an element, and do 2 * rows operations with it: up to some eight rows
// that hides behind the reading. Tiles of 4 rows by 4 keys keep 16 sums in registers, so that an element is loaded
// once for four rows; what a tile needs again lies in L1. Rows of a head lie far apart where the heads of a token stand
// side by side, which no hardware prefetcher follows: the caller says what to fetch by instruction meanwhile.

#include "mica/kernels/cpu/simd/attention_stream.h"

#include <algorithm>
#include <cstring>

#include "mica/kernels/cpu/simd/targets.h"

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "mica/kernels/cpu/simd/attention_stream.cpp"
#include <hwy/foreach_target.h>
#include "mica/kernels/cpu/simd/vector-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace mica::cpu::simd::HWY_NAMESPACE {
namespace {

constexpr int kRowTile = kLanes == 8 ? 2 : 4;  // AVX2 has half the registers
constexpr int kKeyTile = 4;
constexpr int kColumnTile = 4;  // vectors of values
constexpr int64_t kBlock = 8;   // values that stay in L1 while the rows pass; rows 4 KB apart share few of its sets

constexpr hn::Rebind<uint16_t, decltype(kTag)> kHalfTag;
constexpr hn::Rebind<hwy::float16_t, decltype(kTag)> kFloat16Tag;
constexpr hn::RebindToUnsigned<decltype(kTag)> kWordTag;

struct Float32 {
  using Element = float;
  static HWY_INLINE Vector load(const float* p) { return hn::LoadU(kTag, p); }
  static HWY_INLINE Vector load(const float* p, int64_t n) { return load_part(p, n); }
};

// The two kinds of 16 bits differ in how they widen.
template <class Widen>
struct Half {
  using Element = uint16_t;
  static HWY_INLINE Vector load(const uint16_t* p) { return Widen()(hn::LoadU(kHalfTag, p)); }
  static HWY_INLINE Vector load(const uint16_t* p, int64_t n) {
    HWY_ALIGN uint16_t part[kLanes] = {};
    std::memcpy(part, p, static_cast<size_t>(n) * sizeof(uint16_t));
    return Widen()(hn::Load(kHalfTag, part));
  }
};
struct WidenBfloat16 {
  HWY_INLINE Vector operator()(hn::Vec<decltype(kHalfTag)> v) const {
    return hn::BitCast(kTag, hn::ShiftLeft<16>(hn::PromoteTo(kWordTag, v)));
  }
};
struct WidenFloat16 {
  HWY_INLINE Vector operator()(hn::Vec<decltype(kHalfTag)> v) const {
    return hn::PromoteTo(kTag, hn::BitCast(kFloat16Tag, v));
  }
};
using Bfloat16 = Half<WidenBfloat16>;
using Float16 = Half<WidenFloat16>;

template <class Format>
HWY_INLINE const typename Format::Element* row_of(const Stream& s, int64_t k) {
  return static_cast<const typename Format::Element*>(s.data) + std::min(k, s.count - 1) * s.stride;
}

// Of the elements that rows come in, those with which a line of cache may begin, where rows are aligned to lines.
template <class Format>
constexpr bool starts_line(int64_t element) {
  return element % (64 / static_cast<int64_t>(sizeof(typename Format::Element))) == 0;
}

// Into L2: on its way to L1 a line would hold up the loads of this row.
template <class Format>
HWY_INLINE void fetch(const Stream& s, int64_t k, int64_t element) {
  const char* from = static_cast<const char*>(s.fetch) + k * s.fetch_row;
  __builtin_prefetch(from + element * static_cast<int64_t>(sizeof(typename Format::Element)), 0, 1);
}

#if HWY_TARGET != HWY_SCALAR
// The sum over the blocks of 128 bits.
template <class D>
HWY_INLINE hn::Vec<hn::Full128<float>> fold_blocks(D d, hn::Vec<D> v) {
  if constexpr (hn::MaxLanes(d) == 4) {
    return v;
  } else {
    const hn::Half<D> half;
    return fold_blocks(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}
#endif

// to[j] = the sum over the lanes of sums[j].
HWY_INLINE void store_sums(const Vector (&sums)[kKeyTile], float* to) {
#if HWY_TARGET == HWY_SCALAR
  for (int j = 0; j < kKeyTile; ++j) to[j] = hn::GetLane(sums[j]);
#else
  // Within each block, 0 1 2 3 and 4 5 6 7 become 0 4 1 5 and 2 6 3 7, and so on: a transpose that adds as it goes.
  constexpr hn::Repartition<double, decltype(kTag)> kPairTag;
  const auto pairs = [&](Vector a, Vector b) HWY_ATTR {
    return hn::BitCast(kPairTag, hn::Add(hn::InterleaveLower(kTag, a, b), hn::InterleaveUpper(kTag, a, b)));
  };
  const auto ab = pairs(sums[0], sums[1]), cd = pairs(sums[2], sums[3]);
  const Vector abcd = hn::Add(hn::BitCast(kTag, hn::InterleaveLower(kPairTag, ab, cd)),
                              hn::BitCast(kTag, hn::InterleaveUpper(kPairTag, ab, cd)));
  hn::StoreU(fold_blocks(kTag, abcd), hn::Full128<float>(), to);
#endif
}

template <class Format, int kRows, bool kFetch>
HWY_INLINE void score_tile(const Stream& keys, int64_t k, const float* q, int64_t query_row, float* s, int64_t row) {
  const auto* p0 = row_of<Format>(keys, k);
  const auto* p1 = row_of<Format>(keys, k + 1);
  const auto* p2 = row_of<Format>(keys, k + 2);
  const auto* p3 = row_of<Format>(keys, k + 3);
  Vector sums[kRows][kKeyTile];
  for (int r = 0; r < kRows; ++r)
    for (int j = 0; j < kKeyTile; ++j) sums[r][j] = hn::Zero(kTag);
  const auto step = [&](Vector a, Vector b, Vector c, Vector d, int64_t i) HWY_ATTR {
    HWY_UNROLL(4)
    for (int r = 0; r < kRows; ++r) {
      const Vector x = hn::LoadU(kTag, q + r * query_row + i);
      sums[r][0] = hn::MulAdd(x, a, sums[r][0]);
      sums[r][1] = hn::MulAdd(x, b, sums[r][1]);
      sums[r][2] = hn::MulAdd(x, c, sums[r][2]);
      sums[r][3] = hn::MulAdd(x, d, sums[r][3]);
    }
  };
  int64_t i = 0;
  for (; i + kLanes <= keys.size; i += kLanes) {
    if constexpr (kFetch) {
      for (int j = 0; j < kKeyTile && starts_line<Format>(i); ++j) fetch<Format>(keys, k + j, i);
    }
    step(Format::load(p0 + i), Format::load(p1 + i), Format::load(p2 + i), Format::load(p3 + i), i);
  }
  if (i < keys.size) {
    const int64_t n = keys.size - i;
    step(Format::load(p0 + i, n), Format::load(p1 + i, n), Format::load(p2 + i, n), Format::load(p3 + i, n), i);
  }
  for (int r = 0; r < kRows; ++r) store_sums(sums[r], s + r * row);
}

template <class Format, bool kFetch>
HWY_INLINE void score_tiles(const Stream& keys, int64_t k, int64_t rows, const float* q, int64_t query_row, float* s,
                            int64_t row) {
  if constexpr (kRowTile == 4) {
    if (rows == 4) return score_tile<Format, 4, kFetch>(keys, k, q, query_row, s, row);
    if (rows == 3) return score_tile<Format, 3, kFetch>(keys, k, q, query_row, s, row);
  }
  if (rows == 2) return score_tile<Format, 2, kFetch>(keys, k, q, query_row, s, row);
  score_tile<Format, 1, kFetch>(keys, k, q, query_row, s, row);
}

template <class Format>
void score(const Stream& keys, int64_t rows, const float* q, int64_t query_row, float* s, int64_t row) {
  for (int64_t k = 0; k < keys.count; k += kKeyTile) {
    score_tiles<Format, true>(keys, k, std::min<int64_t>(rows, kRowTile), q, query_row, s + k, row);
    for (int64_t r = kRowTile; r < rows; r += kRowTile) {
      score_tiles<Format, false>(keys, k, std::min<int64_t>(rows - r, kRowTile), q + r * query_row, query_row,
                                 s + r * row + k, row);
    }
  }
}

// Where sums go, and the weights they are of.
struct Sums {
  const float* weights;
  int64_t weights_row;
  bool add;
  float* data;
  int64_t row;
};

// Adds the values [first, last) to some columns of the sums.
template <class Format, int kRows, int kColumns, bool kFetch>
HWY_INLINE void weigh_tile(const Stream& values, int64_t first, int64_t last, int64_t column, const Sums& sums) {
  float* to = sums.data + column;
  Vector acc[kRows][kColumns];
  for (int r = 0; r < kRows; ++r)
    for (int c = 0; c < kColumns; ++c)
      acc[r][c] = sums.add ? hn::LoadU(kTag, to + r * sums.row + c * kLanes) : hn::Zero(kTag);
  const int64_t left = values.size - column;  // less than a vector: only where kColumns is 1
  for (int64_t k = first; k < last; ++k) {
    const auto* p = row_of<Format>(values, k) + column;
    Vector v[kColumns];
    for (int c = 0; c < kColumns; ++c)
      v[c] = kColumns > 1 || left >= kLanes ? Format::load(p + c * kLanes) : Format::load(p, left);
    if constexpr (kFetch) {
      for (int c = 0; c < kColumns; ++c)
        if (starts_line<Format>(column + c * kLanes)) fetch<Format>(values, k, column + c * kLanes);
    }
    HWY_UNROLL(4)
    for (int r = 0; r < kRows; ++r) {
      const Vector weight = constant(sums.weights[r * sums.weights_row + k]);
      for (int c = 0; c < kColumns; ++c) acc[r][c] = hn::MulAdd(weight, v[c], acc[r][c]);
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int c = 0; c < kColumns; ++c) hn::StoreU(acc[r][c], kTag, to + r * sums.row + c * kLanes);
}

template <class Format, int kRows, bool kFetch>
HWY_INLINE void weigh_columns(const Stream& values, int64_t first, int64_t last, const Sums& sums) {
  int64_t column = 0;
  for (; column + kColumnTile * kLanes <= values.size; column += kColumnTile * kLanes)
    weigh_tile<Format, kRows, kColumnTile, kFetch>(values, first, last, column, sums);
  for (; column < values.size; column += kLanes)
    weigh_tile<Format, kRows, 1, kFetch>(values, first, last, column, sums);
}

template <class Format, bool kFetch>
HWY_INLINE void weigh_tiles(const Stream& values, int64_t first, int64_t last, int64_t rows, const Sums& sums) {
  if constexpr (kRowTile == 4) {
    if (rows == 4) return weigh_columns<Format, 4, kFetch>(values, first, last, sums);
    if (rows == 3) return weigh_columns<Format, 3, kFetch>(values, first, last, sums);
  }
  if (rows == 2) return weigh_columns<Format, 2, kFetch>(values, first, last, sums);
  weigh_columns<Format, 1, kFetch>(values, first, last, sums);
}

template <class Format>
void weigh(const Stream& values, int64_t rows, const Sums& all) {
  for (int64_t first = 0; first < values.count; first += kBlock) {
    const int64_t last = std::min(values.count, first + kBlock);
    for (int64_t r = 0; r < rows; r += kRowTile) {
      Sums sums = all;
      sums.weights += r * all.weights_row;
      sums.data += r * all.row;
      sums.add = all.add || first > 0;
      const int64_t count = std::min<int64_t>(rows - r, kRowTile);
      if (r == 0) {
        weigh_tiles<Format, true>(values, first, last, count, sums);
      } else {
        weigh_tiles<Format, false>(values, first, last, count, sums);
      }
    }
  }
}

template <class Body>
HWY_INLINE void with_format(DType dtype, const Body& body) {
  if (dtype == DType::float32) return body(Float32());
  if (dtype == DType::bfloat16) return body(Bfloat16());
  body(Float16());
}

void score_any(const Stream& keys, int64_t rows, const float* q, int64_t query_row, float* s, int64_t row) {
  with_format(keys.dtype, [&](auto format) { score<decltype(format)>(keys, rows, q, query_row, s, row); });
}

void weigh_any(const Stream& values, int64_t rows, const float* w, int64_t w_row, bool add, float* sums, int64_t row) {
  with_format(values.dtype, [&](auto format) { weigh<decltype(format)>(values, rows, {w, w_row, add, sums, row}); });
}

template <class Format>
void widen_row(const void* x, int64_t count, float* y) {
  const auto* from = static_cast<const typename Format::Element*>(x);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) hn::StoreU(Format::load(from + i), kTag, y + i);
  if (i < count) store_part(Format::load(from + i, count - i), y + i, count - i);
}

void widen_any(const void* x, DType dtype, int64_t count, float* y) {
  with_format(dtype, [=](auto format) { widen_row<decltype(format)>(x, count, y); });
}

}  // namespace
}  // namespace mica::cpu::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mica::cpu::simd {
HWY_EXPORT(score_any);
HWY_EXPORT(weigh_any);
HWY_EXPORT(widen_any);

bool can_stream(DType dtype) {
  return dtype == DType::float32 || dtype == DType::bfloat16 || dtype == DType::float16;
}

void score_stream(const Stream& keys, int64_t rows, const float* queries, int64_t query_row, float* scores,
                  int64_t scores_row) {
  HWY_DYNAMIC_DISPATCH(score_any)(keys, rows, queries, query_row, scores, scores_row);
}

void weigh_stream(const Stream& values, int64_t rows, const float* weights, int64_t weights_row, bool add, float* sums,
                  int64_t sums_row) {
  HWY_DYNAMIC_DISPATCH(weigh_any)(values, rows, weights, weights_row, add, sums, sums_row);
}

void widen(const void* x, DType dtype, int64_t count, float* y) {
  HWY_DYNAMIC_DISPATCH(widen_any)(x, dtype, count, y);
}

}  // namespace mica::cpu::simd
#endif
