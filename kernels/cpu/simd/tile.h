#pragma once
// The innermost loop of every product here: one tile of C = A · B, held in registers while the depth runs through.

#include <array>
#include <cstdint>

namespace mica::cpu::simd {

constexpr int64_t kTileVectors = 3;    ///< widest tile, in vectors
constexpr int64_t kMaxTileRows = 8;    ///< tallest tile of any target's vectors
constexpr int64_t kTallestTile = 16;   ///< and of matrix registers
constexpr int64_t kMaxTileWidth = 48;  ///< widest tile of any target, in columns

/// C[rows, width] = A · B (+ C when add). Each element is one chain of fused multiply-adds in the order of the depth,
/// so its bits depend on nothing but its own row of A and column of B. A "word" is a float, or a pair of bfloat16 (two
/// steps of depth) in the bfloat16 kernels.
struct TileTask {
  const float* a = nullptr;  ///< word (row, k) at a + row * a_row + k * a_depth
  int64_t a_row = 0, a_depth = 1;
  const float* b = nullptr;  ///< words (k, 0..width) at b + k * b_row
  int64_t b_row = 0;
  int64_t depth = 0;   ///< in words
  float* c = nullptr;  ///< elements (row, 0..width) at c + row * c_row; whole vectors are written
  int64_t c_row = 0;
  bool add = false;
  const float* next = nullptr;  ///< what to prefetch meanwhile: two cache lines a step, moving by next_step floats
  int64_t next_step = 0;
};

using TileProduct = void (*)(const TileTask& task);

/// The kernels of one target; product[v - 1][r - 1] makes r rows of v vectors.
struct TileKernels {
  int64_t lanes = 1;
  int64_t rows = 1;  ///< tallest tile
  std::array<std::array<TileProduct, kTallestTile>, kTileVectors> product{};
  int64_t depth_unit = 1;  ///< depths may be worked off in parts of a multiple of so many words
  int64_t spare_rows = 0;  ///< rows behind a tile of A that must be readable
  /// Around any number of products on this thread, where not null.
  void (*begin)() = nullptr;
  void (*end)() = nullptr;
  int64_t width() const { return kTileVectors * lanes; }
};

/// Readies a thread for the products of these kernels while it lives.
class TileScope {
 public:
  explicit TileScope(const TileKernels& kernels) : kernels_(kernels) {
    if (kernels_.begin != nullptr) kernels_.begin();
  }
  ~TileScope() {
    if (kernels_.end != nullptr) kernels_.end();
  }
  TileScope(const TileScope&) = delete;
  TileScope& operator=(const TileScope&) = delete;

 private:
  const TileKernels& kernels_;
};

/// For float32, on this CPU.
const TileKernels& tile_kernels();

/// For pairs of bfloat16; null where the CPU has no instruction for them. `lanes` as in tile_kernels().
const TileKernels* bfloat16_tile_kernels();

/// For pairs of bfloat16, in the matrix registers of AMX; null where the CPU or the system has none. The sums of these
/// kernels differ in their last bits from those of bfloat16_tile_kernels(): a product uses the same kernels for every
/// row.
const TileKernels* matrix_tile_kernels();
/// Tests of the other kernels say no; returns what was said before.
bool allow_matrix_tiles(bool allow);
/// The fastest for pairs of bfloat16: the matrix registers', the vectors', or null.
const TileKernels* best_bfloat16_tile_kernels();

/// out[k * out_row + r] = x[r * stride + k] for r < rows <= lanes and k < depth; zero for rows <= r < lanes.
void transpose_rows(const float* x, int64_t stride, int64_t rows, int64_t depth, float* out, int64_t out_row);

/// y[r * y_row + i] = x[r * stride + i] for i < size, zero for size <= i < y_row.
void copy_rows(const float* x, int64_t stride, int64_t rows, int64_t size, float* y, int64_t y_row);

/// y[r * y_words + k] = x[r, 2k] and x[r, 2k + 1] as a pair of bfloat16, for y_words = (depth + 1) / 2; an odd depth is
/// filled up with zero. Only where bfloat16_tile_kernels() is not null.
void convert_rows_to_bfloat16(const float* x, int64_t stride, int64_t rows, int64_t depth, float* y);

/// y[p * y_row + i] = x[2p, i] and x[2p + 1, i] as a pair of bfloat16, for p < (rows + 1) / 2; zeros stand for the rows
/// and columns that are missing. Only where bfloat16_tile_kernels() is not null.
void pair_rows_as_bfloat16(const float* x, int64_t stride, int64_t rows, int64_t size, float* y, int64_t y_row);

/// The same for rows of bfloat16.
void pair_bfloat16_rows(const uint16_t* x, int64_t stride, int64_t rows, int64_t size, float* y, int64_t y_row);

}  // namespace mica::cpu::simd
