// Philox4x32-10 on as many counters at once as a vector has lanes.
//
// Must do 10 rounds of two 32 x 32 to 64 bit products for 4 words: about 2 vector operations a word with 16 lanes,
// where one block at a time takes 40. No table, no state: any block can be made alone.

#include "mica/kernels/cpu/simd/random.h"

#include <algorithm>
#include <cmath>

#include "mica/kernels/cpu/simd/targets.h"
#include "mica/kernels/random.h"

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "mica/kernels/cpu/simd/random.cpp"
#include <hwy/foreach_target.h>
#include "mica/kernels/cpu/simd/math-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace mica::cpu::simd::HWY_NAMESPACE {
namespace {

#if HWY_TARGET == HWY_SCALAR
void uniform(uint64_t seed, uint64_t stream, uint64_t first, int64_t blocks, float* u) {
  for (int64_t i = 0; i < blocks; ++i) {
    const uint64_t block = first + static_cast<uint64_t>(i);
    const auto words = philox({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                               static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)},
                              seed);
    for (size_t lane = 0; lane < 4; ++lane) u[4 * i + static_cast<int64_t>(lane)] = uniform_from_word(words[lane]);
  }
}
#else
constexpr hn::RebindToUnsigned<decltype(kTag)> kWordTag;
constexpr hn::RepartitionToWide<decltype(kWordTag)> kWideTag;
using Words = hn::Vec<decltype(kWordTag)>;

struct Product {
  Words high, low;
};

HWY_INLINE Product multiply(Words x, Words factor) {
  const auto even = hn::MulEven(x, factor);
  const auto odd = hn::MulEven(hn::BitCast(kWordTag, hn::ShiftRight<32>(hn::BitCast(kWideTag, x))), factor);
  return {hn::OddEven(hn::BitCast(kWordTag, odd), hn::BitCast(kWordTag, hn::ShiftRight<32>(even))),
          hn::OddEven(hn::BitCast(kWordTag, hn::ShiftLeft<32>(odd)), hn::BitCast(kWordTag, even))};
}

HWY_INLINE Vector to_uniform(Words w) {
  return hn::Mul(hn::ConvertTo(kTag, hn::BitCast(kIntegerTag, hn::ShiftRight<8>(w))), constant(0x1p-24F));
}

// As many blocks as there are lanes.
HWY_INLINE void one_vector(uint64_t seed, uint64_t stream, uint64_t first, float* u) {
  const Words low = hn::Set(kWordTag, static_cast<uint32_t>(first));
  Words c0 = hn::Add(low, hn::Iota(kWordTag, 0U));
  // The carry of the counter's lower word.
  Words c1 = hn::Add(hn::Set(kWordTag, static_cast<uint32_t>(first >> 32)),
                     hn::IfThenElseZero(hn::Lt(c0, low), hn::Set(kWordTag, 1U)));
  Words c2 = hn::Set(kWordTag, static_cast<uint32_t>(stream));
  Words c3 = hn::Set(kWordTag, static_cast<uint32_t>(stream >> 32));
  auto k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  const Words m0 = hn::Set(kWordTag, 0xD2511F53U), m1 = hn::Set(kWordTag, 0xCD9E8D57U);
  for (int round = 0; round < 10; ++round) {
    const Product p0 = multiply(c0, m0), p1 = multiply(c2, m1);
    c0 = hn::Xor(hn::Xor(p1.high, c1), hn::Set(kWordTag, k0));
    c1 = p1.low;
    c2 = hn::Xor(hn::Xor(p0.high, c3), hn::Set(kWordTag, k1));
    c3 = p0.low;
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  hn::StoreInterleaved4(to_uniform(c0), to_uniform(c1), to_uniform(c2), to_uniform(c3), kTag, u);
}

void uniform(uint64_t seed, uint64_t stream, uint64_t first, int64_t blocks, float* u) {
  int64_t i = 0;
  for (; i + kLanes <= blocks; i += kLanes) one_vector(seed, stream, first + static_cast<uint64_t>(i), u + 4 * i);
  if (i < blocks) {
    HWY_ALIGN float rest[4 * kLanes];
    one_vector(seed, stream, first + static_cast<uint64_t>(i), rest);
    std::copy_n(rest, 4 * (blocks - i), u + 4 * i);
  }
}
#endif

void select(const float* u, float threshold, float scale, const float* x, const float* residual, float* y,
            int64_t count) {
  const Vector t = constant(threshold), s = constant(scale);
  for_vectors(count, [=](int64_t i, int64_t n) HWY_ATTR {
    const Vector kept = hn::IfThenElseZero(hn::Ge(load(u + i, n), t), hn::Mul(load(x + i, n), s));
    store(residual != nullptr ? hn::Add(kept, load(residual + i, n)) : kept, y + i, n);
  });
}

void select_elements(const Dropout& dropout, uint64_t first, const float* x, const float* residual, float* y,
                     int64_t count) {
  constexpr int64_t kPiece = 256;
  HWY_ALIGN float u[kPiece + 4];
  const float threshold = dropout_threshold(dropout.p);
  const auto scale = static_cast<float>(1 / (1 - dropout.p));
  for (int64_t i = 0; i < count; i += kPiece) {
    const int64_t n = count - i < kPiece ? count - i : kPiece;
    const uint64_t from = first + static_cast<uint64_t>(i);
    const auto before = static_cast<int64_t>(from % 4);  // of the block that the first element is in
    uniform(dropout.seed, dropout.stream, from / 4, (before + n + 3) / 4, u);
    select(u + before, threshold, scale, x + i, residual != nullptr ? residual + i : nullptr, y + i, n);
  }
}

}  // namespace
}  // namespace mica::cpu::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mica::cpu::simd {
HWY_EXPORT(uniform);
HWY_EXPORT(select_elements);

void uniform_blocks(uint64_t seed, uint64_t stream, uint64_t first_block, int64_t blocks, float* u) {
  HWY_DYNAMIC_DISPATCH(uniform)(seed, stream, first_block, blocks, u);
}

void drop_elements(const Dropout& dropout, uint64_t first, const float* x, const float* residual, float* y,
                   int64_t count) {
  HWY_DYNAMIC_DISPATCH(select_elements)(dropout, first, x, residual, y, count);
}

}  // namespace mica::cpu::simd
#endif
