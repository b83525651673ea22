// The tile product for pairs of bfloat16 in matrix registers (AMX).
//
// Must do: rows * width * depth multiply-adds, 16 rows by 16 columns by 16 words an instruction, one each 16 cycles;
// must read a kilobyte for each operand of it. Fast because the panels that the vector kernels read have just the order
// that the instruction asks of its right side: a tile of 16 rows by 3 vectors loads one register of A and three of B
// for three products. A tile of fewer rows is computed as a full one, whose rows behind hold whatever lies there.
//
// An instruction sums the first halves of its 16 words, then the second halves, each in order and from zero, and adds
// both to the sum so far; a depth is therefore cut at multiples of 16 words only, wherever it is cut.

#include "mica/kernels/cpu/simd/matrix_tiles.h"
#include "mica/kernels/cpu/simd/tile.h"

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__)

#include <atomic>
#include <cstring>
#include <utility>

#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace mica::cpu::simd {
namespace {

constexpr int64_t kSide = 16;                      // rows of a register, and words of one
constexpr int64_t kBytes = kSide * sizeof(float);  // of a row

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

constexpr TileConfig registers(int64_t narrow) {
  TileConfig config;
  for (int i = 0; i < 8; ++i) {
    config.row_bytes[i] = static_cast<uint16_t>(i < 4 || i > 5 ? narrow * 4 : kBytes);
    config.rows[i] = kSide;
  }
  return config;
}

constexpr TileConfig kFull = registers(kSide);

__attribute__((target("amx-tile"))) void load(const TileConfig& config) {
  before_reading(&config);
  _tile_loadconfig(&config);
}

void begin() {
  load(kFull);
}

// One step: 16 words of depth. The sums are registers 0, 1, 2; A is 3; B is 4, 5, 6.
template <int vectors>
__attribute__((target("amx-tile,amx-bf16"))) inline void step(const float* a, int64_t a_row, const float* b,
                                                              int64_t b_row) {
  _tile_loadd(3, a, a_row * 4);
  _tile_loadd(4, b, b_row * 4);
  _tile_dpbf16ps(0, 3, 4);
  if constexpr (vectors > 1) {
    _tile_loadd(5, b + kSide, b_row * 4);
    _tile_dpbf16ps(1, 3, 5);
  }
  if constexpr (vectors > 2) {
    _tile_loadd(6, b + 2 * kSide, b_row * 4);
    _tile_dpbf16ps(2, 3, 6);
  }
}

template <int rows, int vectors>
__attribute__((target("amx-tile,amx-bf16,avx512f"))) void product(const TileTask& task) {
  constexpr int64_t kRow = vectors * kSide;
  alignas(64) float sums[rows == kSide ? 1 : kSide * kRow];
  const bool direct = rows == kSide;
  float* c = direct ? task.c : sums;
  const int64_t c_row = direct ? task.c_row : kRow;
  if (task.add) {
    if (!direct) {
      for (int r = 0; r < rows; ++r) std::memcpy(sums + r * kRow, task.c + r * task.c_row, kRow * sizeof(float));
    }
    before_reading(c);
    _tile_loadd(0, c, c_row * 4);
    if constexpr (vectors > 1) _tile_loadd(1, c + kSide, c_row * 4);
    if constexpr (vectors > 2) _tile_loadd(2, c + 2 * kSide, c_row * 4);
  } else {
    _tile_zero(0);
    if constexpr (vectors > 1) _tile_zero(1);
    if constexpr (vectors > 2) _tile_zero(2);
  }
  const float* a = task.a;
  const float* b = task.b;
  before_reading(a);
  before_reading(b);
  const float* next = task.next;
  int64_t left = task.depth;
  for (; left >= kSide; left -= kSide) {
    step<vectors>(a, task.a_row, b, task.b_row);
    a += kSide;
    b += kSide * task.b_row;
    if (next == nullptr) continue;
    for (int i = 0; i < kSide; ++i) {
      __builtin_prefetch(next, 0, 2);
      __builtin_prefetch(next + 16, 0, 2);
      next += task.next_step;
    }
  }
  if (left > 0) {
    alignas(64) float a_tail[kSide * kSide] = {}, b_tail[kSide * kRow] = {};
    for (int r = 0; r < rows; ++r)
      std::memcpy(a_tail + r * kSide, a + r * task.a_row, static_cast<size_t>(left) * sizeof(float));
    for (int64_t k = 0; k < left; ++k) std::memcpy(b_tail + k * kRow, b + k * task.b_row, kRow * sizeof(float));
    before_reading(a_tail);
    before_reading(b_tail);
    step<vectors>(a_tail, kSide, b_tail, kRow);
  }
  _tile_stored(0, c, c_row * 4);
  if constexpr (vectors > 1) _tile_stored(1, c + kSide, c_row * 4);
  if constexpr (vectors > 2) _tile_stored(2, c + 2 * kSide, c_row * 4);
  if (!direct) {
    for (int r = 0; r < rows; ++r) std::memcpy(task.c + r * task.c_row, sums + r * kRow, kRow * sizeof(float));
  }
}

template <int vectors, int... rows>
constexpr std::array<TileProduct, kTallestTile> products(std::integer_sequence<int, rows...>) {
  return {&product<rows + 1, vectors>...};
}

constexpr TileKernels kKernels = {
    .lanes = kSide,
    .rows = kSide,
    .product = {products<1>(std::make_integer_sequence<int, 16>()), products<2>(std::make_integer_sequence<int, 16>()),
                products<3>(std::make_integer_sequence<int, 16>())},
    .depth_unit = kSide,
    .spare_rows = kSide - 1,
    .begin = &begin,
    .end = &end_matrix_tiles};

// Whether the CPU has the instructions, and the system keeps the registers: Linux wants to be asked, once a process.
bool available() {
  constexpr unsigned kTile = 1U << 24, kBfloat16 = 1U << 22;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kTile) == 0 || (d & kBfloat16) == 0) return false;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

std::atomic<bool> allowed{true};

}  // namespace

bool has_matrix_registers() {
  static const bool found = available();
  return found;
}

void begin_matrix_tiles(int64_t narrow) {
  load(registers(narrow));
}

__attribute__((target("amx-tile"))) void end_matrix_tiles() {
  _tile_release();
}

const TileKernels* matrix_tile_kernels() {
  return has_matrix_registers() && allowed && bfloat16_tile_kernels() != nullptr ? &kKernels : nullptr;
}

bool allow_matrix_tiles(bool allow) {
  return allowed.exchange(allow);
}

}  // namespace mica::cpu::simd

#else

#include "mica/kernels/cpu/simd/matrix_tiles.h"

namespace mica::cpu::simd {

const TileKernels* matrix_tile_kernels() {
  return nullptr;
}

bool allow_matrix_tiles(bool) {
  return true;
}
bool has_matrix_registers() {
  return false;
}

}  // namespace mica::cpu::simd

#endif

namespace mica::cpu::simd {

const TileKernels* best_bfloat16_tile_kernels() {
  const TileKernels* matrix = matrix_tile_kernels();
  return matrix != nullptr ? matrix : bfloat16_tile_kernels();
}

}  // namespace mica::cpu::simd
