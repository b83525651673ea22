#pragma once
// The matrix units of sm_90a, a warpgroup (four warps, 128 threads) at a time: products of 64 rows (wgmma m64nNk16)
// that run beside the threads and read shared memory themselves.
//
// A thread holds of A and C what it holds of mma.sync's fragments (matrix.h): warp w of the warpgroup has the rows 16 w
// to 16 w + 15, and C[j] the columns 8 j to 8 j + 7. In shared memory a matrix has rows of 128 bytes, swizzled (as bulk
// copies leave them), in pieces that start at multiples of 1024 bytes:
//   Major::depth: row r of the operand at r * 128, its depth along memory; depth + 16 is 32 bytes further, depth + 64
//   the
//                 next piece. B [n, depth] is read transposed: c += a bᵀ.
//   Major::width: depth d at d * 128, 64 of the operand's rows (a's) or columns (b's) along memory; the next 64 lie
//                 `leading` bytes further. Depth + 16 is 2048 bytes further.
//
//   products_fence(); multiply(...); ...; commit_products(); ...; wait_products<groups left>(); settle(c)
//
// Between the fence and the wait, nobody touches C, A's registers or what is read of shared memory.

#include <cstdint>

#include "mica/kernels/cuda/device/matrix.h"

#ifdef MICA_EMULATED
#include "mica/kernels/cuda/emulate/products.h"
#endif

namespace mica::cuda {

// Only sm_90a has them: a kernel's body is between #ifdef MICA_WARPGROUP_PRODUCTS and #endif, and the host chooses it
// where kBuiltForHopper says that the build's list of architectures holds 90a.
#if defined(MICA_EMULATED) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define MICA_WARPGROUP_PRODUCTS 1
#endif
#if defined(MICA_EMULATED) || defined(MICA_SM90A)
constexpr bool kBuiltForHopper = true;
#else
constexpr bool kBuiltForHopper = false;
#endif

constexpr unsigned kWarpgroup = 128;

/// What runs along memory.
enum class Major { depth, width };

/// Where an operand lies in shared memory.
struct MatrixPlace {
  uint64_t bits;
  /// So many bytes further, a multiple of 16.
  __device__ __forceinline__ MatrixPlace further(int bytes) const {
    return {bits + (static_cast<unsigned>(bytes) >> 4)};
  }
};

#ifdef MICA_EMULATED
inline unsigned shared_offset(const void* shared) {
  return static_cast<unsigned>(static_cast<const std::byte*>(shared) - emulate::shared_memory());
}
#else
__device__ __forceinline__ unsigned shared_offset(const void* shared) {
  return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}
#endif

/// Of an operand with the 128-byte swizzle; `leading` is of Major::width with more than 64 of its width.
__device__ __forceinline__ MatrixPlace matrix_place(const void* shared, unsigned leading = 0) {
  // Start, leading offset, the offset between groups of eight rows of memory, and the swizzle's code.
  return {static_cast<uint64_t>((shared_offset(shared) & 0x3ffffU) >> 4) | static_cast<uint64_t>(leading >> 4) << 16 |
          uint64_t{1024 >> 4} << 32 | uint64_t{1} << 62};
}

#ifdef MICA_EMULATED

namespace detail {
template <typename T>
float widen_bits(uint16_t bits) {
  T value;
  value.bits = bits;
  return widen(value);
}
}  // namespace detail

/// c += a b, or with `add` false c = a b: a from registers.
template <typename T, Major kB, int kColumns>
void multiply(FragmentC (&c)[kColumns], const FragmentA& a, MatrixPlace b, bool add, Line line = Line::here()) {
  emulate::start_product({c[0].r, a.r, 0, b.bits, false, kB == Major::width, add, 8 * kColumns, detail::widen_bits<T>},
                         line);
}
/// Both from shared memory.
template <typename T, Major kA, Major kB, int kColumns>
void multiply(FragmentC (&c)[kColumns], MatrixPlace a, MatrixPlace b, bool add, Line line = Line::here()) {
  emulate::start_product({c[0].r, nullptr, a.bits, b.bits, kA == Major::width, kB == Major::width, add, 8 * kColumns,
                          detail::widen_bits<T>},
                         line);
}
inline void products_fence(Line line = Line::here()) {
  emulate::fence_products(line);
}
inline void commit_products(Line line = Line::here()) {
  emulate::commit_products(line);
}
template <int kGroupsLeft>
void wait_products(Line line = Line::here()) {
  emulate::wait_products(kGroupsLeft, line);
}
template <int kColumns>
void settle(FragmentC (&/*c*/)[kColumns]) {}

/// Registers of each thread of this warpgroup from here on: fewer than the launch bounds gave, for others to take.
template <int kRegisters>
void give_registers(Line line = Line::here()) {
  emulate::set_registers(kRegisters, line);
}
template <int kRegisters>
void take_registers(Line line = Line::here()) {
  emulate::set_registers(kRegisters, line);
}

#else

// Operands of the instruction: the sums, four at a time.
#define MICA_SUMS_1(c, j) "+f"((c)[j].r[0]), "+f"((c)[j].r[1]), "+f"((c)[j].r[2]), "+f"((c)[j].r[3])
#define MICA_SUMS_4(c, j) MICA_SUMS_1(c, j), MICA_SUMS_1(c, j + 1), MICA_SUMS_1(c, j + 2), MICA_SUMS_1(c, j + 3)
#define MICA_SUMS_8(c) MICA_SUMS_4(c, 0), MICA_SUMS_4(c, 4)
#define MICA_SUMS_16(c) MICA_SUMS_8(c), MICA_SUMS_4(c, 8), MICA_SUMS_4(c, 12)
#define MICA_SUMS_32(c) MICA_SUMS_16(c), MICA_SUMS_4(c, 16), MICA_SUMS_4(c, 20), MICA_SUMS_4(c, 24), MICA_SUMS_4(c, 28)
#define MICA_NAMES_32                                                                                         \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, " \
  "%23, %24, %25, %26, %27, %28, %29, %30, %31"
#define MICA_NAMES_64                                                                                           \
  MICA_NAMES_32                                                                                                 \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, " \
  "%53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define MICA_NAMES_128                                                                                           \
  MICA_NAMES_64                                                                                                  \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, "  \
  "%85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103, %104, "    \
  "%105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, " \
  "%123, %124, %125, %126, %127"
// type: bf16 or f16; an bn pn ta tb: the names of the operands behind the sums.
#define MICA_MULTIPLY_SHARED(n, type, names, an, bn, pn, ta, tb, sums)                                            \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " pn ", 0;\nwgmma.mma_async.sync.aligned.m64n" n "k16.f32." type \
               "." type " {" names "}, " an ", " bn ", p, 1, 1, " ta ", " tb ";\n}"                               \
               : sums                                                                                             \
               : "l"(a_place.bits), "l"(b_place.bits), "r"(add ? 1 : 0), "n"(kA == Major::width ? 1 : 0),         \
                 "n"(kB == Major::width ? 1 : 0))
#define MICA_MULTIPLY_REGISTERS(n, type, names, an, bn, pn, tb, sums)                                             \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " pn ", 0;\nwgmma.mma_async.sync.aligned.m64n" n "k16.f32." type \
               "." type " {" names "}, {" an "}, " bn ", p, 1, 1, " tb ";\n}"                                     \
               : sums                                                                                             \
               : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "l"(b_place.bits), "r"(add ? 1 : 0),         \
                 "n"(kB == Major::width ? 1 : 0))

template <typename T, Major kA, Major kB, int kColumns>
__device__ __forceinline__ void multiply(FragmentC (&c)[kColumns], MatrixPlace a_place, MatrixPlace b_place, bool add) {
  static_assert(kColumns == 8 || kColumns == 16 || kColumns == 32);
  if constexpr (kColumns == 32 && std::is_same_v<T, bfloat16>) {
    MICA_MULTIPLY_SHARED("256", "bf16", MICA_NAMES_128, "%128", "%129", "%130", "%131", "%132", MICA_SUMS_32(c));
  } else if constexpr (kColumns == 32) {
    MICA_MULTIPLY_SHARED("256", "f16", MICA_NAMES_128, "%128", "%129", "%130", "%131", "%132", MICA_SUMS_32(c));
  } else if constexpr (kColumns == 8 && std::is_same_v<T, bfloat16>) {
    MICA_MULTIPLY_SHARED("64", "bf16", MICA_NAMES_32, "%32", "%33", "%34", "%35", "%36", MICA_SUMS_8(c));
  } else if constexpr (kColumns == 8) {
    MICA_MULTIPLY_SHARED("64", "f16", MICA_NAMES_32, "%32", "%33", "%34", "%35", "%36", MICA_SUMS_8(c));
  } else if constexpr (std::is_same_v<T, bfloat16>) {
    MICA_MULTIPLY_SHARED("128", "bf16", MICA_NAMES_64, "%64", "%65", "%66", "%67", "%68", MICA_SUMS_16(c));
  } else {
    MICA_MULTIPLY_SHARED("128", "f16", MICA_NAMES_64, "%64", "%65", "%66", "%67", "%68", MICA_SUMS_16(c));
  }
}
template <typename T, Major kB, int kColumns>
__device__ __forceinline__ void multiply(FragmentC (&c)[kColumns], const FragmentA& a, MatrixPlace b_place, bool add) {
  static_assert(kColumns == 8 || kColumns == 16);
  if constexpr (kColumns == 8 && std::is_same_v<T, bfloat16>) {
    MICA_MULTIPLY_REGISTERS("64", "bf16", MICA_NAMES_32, "%32, %33, %34, %35", "%36", "%37", "%38", MICA_SUMS_8(c));
  } else if constexpr (kColumns == 8) {
    MICA_MULTIPLY_REGISTERS("64", "f16", MICA_NAMES_32, "%32, %33, %34, %35", "%36", "%37", "%38", MICA_SUMS_8(c));
  } else if constexpr (std::is_same_v<T, bfloat16>) {
    MICA_MULTIPLY_REGISTERS("128", "bf16", MICA_NAMES_64, "%64, %65, %66, %67", "%68", "%69", "%70", MICA_SUMS_16(c));
  } else {
    MICA_MULTIPLY_REGISTERS("128", "f16", MICA_NAMES_64, "%64, %65, %66, %67", "%68", "%69", "%70", MICA_SUMS_16(c));
  }
}

#undef MICA_SUMS_1
#undef MICA_SUMS_4
#undef MICA_SUMS_8
#undef MICA_SUMS_16
#undef MICA_SUMS_32
#undef MICA_NAMES_32
#undef MICA_NAMES_64
#undef MICA_NAMES_128
#undef MICA_MULTIPLY_SHARED
#undef MICA_MULTIPLY_REGISTERS

__device__ __forceinline__ void products_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void commit_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int kGroupsLeft>
__device__ __forceinline__ void wait_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kGroupsLeft) : "memory");
}
/// Keeps the compiler from moving what reads or writes c to the other side of this line.
template <int kColumns>
__device__ __forceinline__ void settle(FragmentC (&c)[kColumns]) {
#pragma unroll
  for (int j = 0; j < kColumns; ++j) {
#pragma unroll
    for (int i = 0; i < 4; ++i) asm volatile("" : "+f"(c[j].r[i])::"memory");
  }
}

template <int kRegisters>
__device__ __forceinline__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

#endif

}  // namespace mica::cuda
