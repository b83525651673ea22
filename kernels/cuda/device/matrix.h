#pragma once
// The matrix units of sm_80 and later, a warp at a time: fragments read from shared memory (ldmatrix) and multiplied
// (mma.sync m16n8k16). A register holds two neighbouring 16-bit elements, the first in the lower half.
//
// With g = lane / 4 and t = lane % 4, a lane holds
//   A [16, 16]:  a[0] (g, 2t), a[1] (g + 8, 2t), a[2] (g, 2t + 8), a[3] (g + 8, 2t + 8), each with the next column
//   B [16, 8]:   b[0] (2t, g), b[1] (2t + 8, g), each with the next row
//   C [16, 8]:   c[0] (g, 2t), c[1] (g, 2t + 1), c[2] (g + 8, 2t), c[3] (g + 8, 2t + 1)

#include <cstdint>
#include <cstring>

#include "mica/kernels/cuda/device/number.h"
#include "mica/kernels/cuda/device/thread.h"

namespace mica::cuda {

struct FragmentA {
  uint32_t r[4];
};
struct FragmentB {
  uint32_t r[2];
};
struct FragmentC {
  float r[4];
};

/// Two numbers rounded into one register.
template <typename T>
__device__ __forceinline__ uint32_t pack_two(float low, float high) {
  return static_cast<uint32_t>(narrow<T>(low).bits) | static_cast<uint32_t>(narrow<T>(high).bits) << 16;
}

#ifdef MICA_EMULATED

namespace detail {

template <typename T>
float half_of(uint32_t word, unsigned which) {
  T value;
  value.bits = static_cast<uint16_t>(word >> (16 * which));
  return widen(value);
}

template <typename T>
struct MultiplyAdd {
  const FragmentA* a;
  const FragmentB* b;
  FragmentC* c;
  // The unit multiplies exactly and adds in float32; its order of addition is not specified.
  static void run(void* const* members, unsigned /*count*/) {
    float a[16][16], b[16][8];
    for (unsigned lane = 0; lane < kWarp; ++lane) {
      const auto& m = *static_cast<const MultiplyAdd*>(members[lane]);
      const unsigned g = lane / 4, t = lane % 4;
      for (unsigned i = 0; i < 4; ++i) {
        for (unsigned h = 0; h < 2; ++h) a[g + i % 2 * 8][2 * t + i / 2 * 8 + h] = half_of<T>(m.a->r[i], h);
      }
      for (unsigned i = 0; i < 2; ++i) {
        for (unsigned h = 0; h < 2; ++h) b[2 * t + i * 8 + h][g] = half_of<T>(m.b->r[i], h);
      }
    }
    for (unsigned lane = 0; lane < kWarp; ++lane) {
      auto& m = *static_cast<MultiplyAdd*>(members[lane]);
      const unsigned g = lane / 4, t = lane % 4;
      for (unsigned i = 0; i < 4; ++i) {
        const unsigned row = g + i / 2 * 8, column = 2 * t + i % 2;
        float sum = m.c->r[i];
        for (unsigned k = 0; k < 16; ++k) sum += a[row][k] * b[k][column];
        m.c->r[i] = sum;
      }
    }
  }
};

struct LoadMatrices {
  const void* row;
  uint32_t* out;
  template <unsigned kMatrices, bool kTransposed>
  static void run(void* const* members, unsigned /*count*/) {
    for (unsigned lane = 0; lane < kWarp; ++lane) {
      auto& m = *static_cast<LoadMatrices*>(members[lane]);
      const unsigned g = lane / 4, t = lane % 4;
      for (unsigned j = 0; j < kMatrices; ++j) {
        const auto element = [&](unsigned row, unsigned column) {
          uint16_t bits = 0;
          const void* start = static_cast<const LoadMatrices*>(members[8 * j + row])->row;
          std::memcpy(&bits, static_cast<const char*>(start) + 2 * column, 2);
          return static_cast<uint32_t>(bits);
        };
        m.out[j] = kTransposed ? element(2 * t, g) | element(2 * t + 1, g) << 16
                               : element(g, 2 * t) | element(g, 2 * t + 1) << 16;
      }
    }
  }
};

template <unsigned kMatrices, bool kTransposed>
void load_matrices(const void* row, uint32_t* out, Line line) {
  // Lanes past the last matrix give an address too, which is not read.
  if (lane_index() < 8 * kMatrices) emulate::check_shared(row, 16, 16, "load_matrices", line);
  LoadMatrices mine{row, out};
  emulate::meet_warp(kAllLanes, &mine, LoadMatrices::run<kMatrices, kTransposed>, "load_matrices", line);
}

}  // namespace detail

/// c += a b; T is float16 or bfloat16.
template <typename T>
void multiply_add(FragmentC& c, const FragmentA& a, const FragmentB& b, Line line = Line::here()) {
  detail::MultiplyAdd<T> mine{&a, &b, &c};
  emulate::meet_warp(kAllLanes, &mine, detail::MultiplyAdd<T>::run, "multiply_add", line);
}

/// Four 8 x 8 matrices of 16-bit elements: lane i gives the address of row i % 8 of matrix i / 8 (16 bytes of shared
/// memory, 16-byte aligned); out[j] is matrix j's (g, 2t) and (g, 2t + 1), or transposed its (2t, g) and (2t + 1, g).
template <bool kTransposed = false>
void load_matrices_4(const void* row, uint32_t (&out)[4], Line line = Line::here()) {
  detail::load_matrices<4, kTransposed>(row, out, line);
}
/// Two, with the addresses of lanes 0 to 15.
template <bool kTransposed = false>
void load_matrices_2(const void* row, uint32_t (&out)[2], Line line = Line::here()) {
  detail::load_matrices<2, kTransposed>(row, out, line);
}

#else

template <typename T>
__device__ __forceinline__ void multiply_add(FragmentC& c, const FragmentA& a, const FragmentB& b) {
  if constexpr (std::is_same_v<T, bfloat16>) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c.r[0]), "+f"(c.r[1]), "+f"(c.r[2]), "+f"(c.r[3])
        : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "r"(b.r[0]), "r"(b.r[1]));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c.r[0]), "+f"(c.r[1]), "+f"(c.r[2]), "+f"(c.r[3])
        : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "r"(b.r[0]), "r"(b.r[1]));
  }
}

template <bool kTransposed = false>
__device__ __forceinline__ void load_matrices_4(const void* row, uint32_t (&out)[4]) {
  const auto at = static_cast<unsigned>(__cvta_generic_to_shared(row));
  if constexpr (kTransposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(at)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(at)
                 : "memory");
  }
}
template <bool kTransposed = false>
__device__ __forceinline__ void load_matrices_2(const void* row, uint32_t (&out)[2]) {
  const auto at = static_cast<unsigned>(__cvta_generic_to_shared(row));
  if constexpr (kTransposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(out[0]), "=r"(out[1])
                 : "r"(at)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(out[0]), "=r"(out[1])
                 : "r"(at)
                 : "memory");
  }
}

#endif

}  // namespace mica::cuda
