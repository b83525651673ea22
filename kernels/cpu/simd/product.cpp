// The loops around the tile.
//
// A thread takes a rectangle of C: all columns of some rows when there are rows enough (then the norm runs on rows that
// are still in L2, and no thread waits for another), else all rows of some panels. Inside, rows go in blocks whose part
// of A stays in L2; for each block every panel of B passes by once, and is read from L2 by each tile. Per panel and
// block B costs one read from L3 for 2 * rows operations a word: at 64 rows a twentieth of what L3 delivers.

#include "mica/kernels/cpu/simd/product.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>

#include <hwy/cache_control.h>

#include "mica/base/parallel.h"
#include "mica/kernels/cpu/simd/scratch.h"

namespace mica::cpu::simd {
namespace {

constexpr int64_t kRowBlockWords = 192 * 1024;  // of A: most of an L2
constexpr int64_t kLongestDepth = 4096;         // words of a panel that are worked off in one go
constexpr int64_t kDepthBlock = 2048;
constexpr int64_t kTransposedDepth = 32;

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// Rows [first, last) of part i when n rows are divided evenly into `parts`.
struct Share {
  int64_t first, last;
  Share(int64_t from, int64_t to) : first(from), last(to) {}
  Share(int64_t n, int64_t parts, int64_t i) : first(n * i / parts), last(n * (i + 1) / parts) {}
  int64_t size() const { return last - first; }
};

// to[k * rows + r] = from[k * stride + r].
void copy_tile(const float* from, int64_t stride, int64_t depth, int64_t rows, float* to) {
  if (rows == kMaxTileRows) {
    for (int64_t k = 0; k < depth; ++k)
      std::memcpy(to + k * kMaxTileRows, from + k * stride, kMaxTileRows * sizeof(float));
    return;
  }
  for (int64_t k = 0; k < depth; ++k)
    for (int64_t r = 0; r < rows; ++r) to[k * rows + r] = from[k * stride + r];
}

// One block of rows: where its part of A is, and how it is cut into tiles.
struct RowBlock {
  const Product& product;
  int64_t first, rows, tiles;
  const float* a;
  int64_t a_row, a_depth;
  bool tiled = false;  // A was transposed tile by tile

  RowBlock(const Product& p, int64_t first_row, int64_t row_count)
      : product(p),
        first(first_row),
        rows(row_count),
        tiles(ceil_div(row_count, p.kernels->rows)),
        a(p.a + first_row * p.a_row),
        a_row(p.a_row),
        a_depth(p.a_depth) {
    const int64_t words = p.words();
    if (p.bfloat16) {
      float* copy = scratch(Scratch::rows, (rows + p.kernels->spare_rows) * words);
      convert_rows_to_bfloat16(a, a_row, rows, p.depth, copy);
      a = copy;
      a_row = words;
    } else if (a_depth != 1) {
      // Neighbours in a column of A lie far apart: give each tile its own small matrix, depth by depth, a few depths at
      // a time so that each line of A is fetched once.
      float* copy = scratch(Scratch::rows, rows * words);
      for (int64_t k = 0; k < words; k += kTransposedDepth) {
        const int64_t depth = std::min(kTransposedDepth, words - k);
        for (int64_t t = 0; t < tiles; ++t) {
          const Share tile(rows, tiles, t);
          copy_tile(a + tile.first + k * a_depth, a_depth, depth, tile.size(),
                    copy + tile.first * words + k * tile.size());
        }
      }
      a = copy;
      tiled = true;
    }
  }

  void place(TileTask& task, const Share& tile) const {
    task.a = a + tile.first * (tiled ? product.words() : a_row);
    task.a_row = tiled ? 1 : a_row;
    task.a_depth = tiled ? tile.size() : a_depth;
  }
};

void finish_rows(const Product& product, int64_t row, int64_t column, const float* sum, int64_t sum_row, int64_t rows,
                 int64_t columns) {
  TileFinish finish = product.finish;
  if (finish.bias != nullptr) finish.bias += column;
  if (finish.residual != nullptr) finish.residual += row * finish.residual_row + column;
  finish.y += row * finish.y_row + column;
  finish_tile(finish, sum, sum_row, rows, columns);
  if (product.activation.any())
    activate_tile(product.activation.at(row, column), finish.y, finish.y_row, rows, columns);
}

// Fetches where a tile's result goes, and what is added to it, while its sums are made: the stores would otherwise wait
// for lines from L3, a tile's worth at once.
void prefetch_rows(const Product& product, int64_t row, int64_t column, int64_t rows, int64_t columns) {
  const TileFinish& finish = product.finish;
  for (int64_t r = row; r < row + rows; ++r) {
    for (int64_t c = column; c < column + columns; c += 16) {
      __builtin_prefetch(finish.y + r * finish.y_row + c, 1, 3);
      if (finish.residual != nullptr) __builtin_prefetch(finish.residual + r * finish.residual_row + c, 0, 3);
    }
  }
  if (product.activation.any()) product.activation.at(row, column).fetch(rows, columns);
}

void multiply_panel(const RowBlock& block, int64_t panel, const float* next) {
  const Product& product = block.product;
  const TileKernels& kernels = *product.kernels;
  const int64_t width = kernels.width(), words = product.words();
  const int64_t column = panel * width, columns = std::min(width, product.columns - column);
  const int64_t vectors = ceil_div(columns, kernels.lanes);
  const auto& kernel = kernels.product[static_cast<size_t>(vectors - 1)];

  const int64_t depth_blocks = words > kLongestDepth ? ceil_div(words, kDepthBlock) : 1;
  alignas(64) float one_tile[kTallestTile * kMaxTileWidth];
  float* sums = depth_blocks > 1 ? scratch(Scratch::tile, block.rows * width) : one_tile;

  TileTask task;
  task.b = product.panels + column * words;
  task.b_row = vectors * kernels.lanes;
  task.c_row = width;
  task.next_step = block.tiles > 2 ? 16 : 32;
  for (int64_t d = 0; d < depth_blocks; ++d) {
    const Share units(ceil_div(words, kernels.depth_unit), depth_blocks, d);
    const Share depth{units.first * kernels.depth_unit, std::min(words, units.last * kernels.depth_unit)};
    const bool last = d + 1 == depth_blocks;
    task.depth = depth.size();
    task.add = d > 0;
    const float* following = last ? next : task.b + task.depth * task.b_row;
    for (int64_t t = 0; t < block.tiles; ++t) {
      const Share tile(block.rows, block.tiles, t);
      block.place(task, tile);
      task.a += depth.first * task.a_depth;
      task.c = depth_blocks > 1 ? sums + tile.first * width : sums;
      const bool prefetch = following != nullptr && t * task.next_step < width;
      task.next = prefetch ? following + t * task.depth * task.next_step : task.b;
      const int64_t step = task.next_step;
      if (!prefetch) task.next_step = 0;
      if (last) prefetch_rows(product, block.first + tile.first, column, tile.size(), columns);
      kernel[static_cast<size_t>(tile.size() - 1)](task);
      task.next_step = step;
      if (last) finish_rows(product, block.first + tile.first, column, task.c, width, tile.size(), columns);
    }
    task.b += task.depth * task.b_row;
  }
}

// How many ways rows and panels are divided among the threads.
struct Grid {
  int64_t rows = 1, panels = 1;
};

// Steps of a tile's loop that a share of rows costs per panel: multiply-adds, or the latency of a chain for low tiles,
// and the panel's own journey from L3.
int64_t cost(int64_t rows, int64_t panels, int64_t tallest) {
  const int64_t tiles = ceil_div(rows, tallest);
  return panels * (std::max(3 * rows, 8 * tiles) + 10);
}

Grid choose_grid(const Product& product) {
  const int64_t threads = num_threads(), tallest = product.kernels->rows, panels = product.panel_count();
  if (product.rows * product.columns * product.depth < 32768) return {};
  if (product.rows >= 4 * tallest * threads) return {threads, 1};
  Grid best;
  int64_t least = cost(product.rows, panels, tallest);
  for (int64_t r = 1; r <= threads; ++r) {
    const Grid grid{r, threads / r};
    const int64_t c = cost(ceil_div(product.rows, grid.rows), ceil_div(panels, grid.panels), tallest);
    if (c < least) {
      least = c;
      best = grid;
    }
  }
  return best;
}

// Layer norm of rows whose columns were made by several threads, without a barrier that could hang: a thread that has
// waited long enough goes, and whoever comes last, or the caller, does what is left.
class SharedNorm {
 public:
  SharedNorm(const LayerNorm& norm, int64_t rows, int64_t pieces)
      : norm_(norm), rows_(rows), pieces_(pieces), chunks_(std::min(rows, 2 * pieces)) {}

  /// A thread has made `pieces` of the product.
  void arrive(int64_t pieces) {
    int64_t made = made_.fetch_add(pieces, std::memory_order_acq_rel) + pieces;
    if (pieces == pieces_) return;  // it is alone
    for (int spin = 0; made < pieces_ && spin < kSpins; ++spin) {
      hwy::Pause();
      made = made_.load(std::memory_order_acquire);
    }
    if (made == pieces_) finish();
  }

  /// When all pieces are made: norms rows until none is left.
  void finish() {
    for (int64_t chunk = next_.fetch_add(1); chunk < chunks_; chunk = next_.fetch_add(1)) {
      const Share share(rows_, chunks_, chunk);
      layer_norm_rows(norm_, share.first, share.last);
    }
  }

 private:
  static constexpr int kSpins = 500;  // some ten microseconds
  const LayerNorm& norm_;
  const int64_t rows_, pieces_, chunks_;
  std::atomic<int64_t> made_{0}, next_{0};
};

}  // namespace

int64_t packed_floats(const TileKernels& kernels, int64_t columns, int64_t words) {
  return ceil_div(columns, kernels.lanes) * kernels.lanes * words;
}

void multiply_block(const Product& product, int64_t row_begin, int64_t row_end, int64_t panel_begin,
                    int64_t panel_end) {
  const int64_t panel_floats = product.kernels->width() * product.words();
  const int64_t most = std::clamp(kRowBlockWords / std::max<int64_t>(1, product.words()), int64_t{64}, int64_t{512});
  const int64_t rows = row_end - row_begin, tallest = product.kernels->rows;
  // Blocks of whole tiles, as even as can be.
  const int64_t block_rows = ceil_div(ceil_div(rows, ceil_div(rows, most)), tallest) * tallest;
  const TileScope scope(*product.kernels);
  for (int64_t first = row_begin; first < row_end; first += block_rows) {
    const RowBlock block(product, first, std::min(block_rows, row_end - first));
    for (int64_t p = panel_begin; p < panel_end; ++p) {
      const float* next = product.panels + (p + 1 < panel_end ? p + 1 : panel_begin) * panel_floats;
      multiply_panel(block, p, p + 1 == panel_end && first + block_rows >= row_end ? nullptr : next);
    }
    // All columns are done: the rows are complete, and hot.
    if (product.norm != nullptr && panel_end - panel_begin == product.panel_count())
      layer_norm_rows(*product.norm, first, first + block.rows);
  }
}

void multiply(const Product& product) {
  if (product.rows <= 0 || product.columns <= 0) return;
  const Grid grid = choose_grid(product);
  const int64_t panels = product.panel_count(), pieces = grid.rows * grid.panels;
  // With the columns divided no thread sees whole rows; who is done waits a moment for the others, then all share the
  // norm.
  std::optional<SharedNorm> shared;
  if (product.norm != nullptr && grid.panels > 1 && panels > 1) shared.emplace(*product.norm, product.rows, pieces);
  parallel_for(pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) {
      const Share row_share(product.rows, grid.rows, piece / grid.panels);
      const Share panel_share(panels, grid.panels, piece % grid.panels);
      if (row_share.size() > 0 && panel_share.size() > 0)
        multiply_block(product, row_share.first, row_share.last, panel_share.first, panel_share.last);
    }
    if (shared) shared->arrive(end - begin);
  });
  if (shared) shared->finish();
}

}  // namespace mica::cpu::simd
