// The loops around a block of 32 by 32.
//
// Must do pieces² * 2 * rows * columns * depth operations less those of the smallest pieces, and read both factors and
// write C once. Depth is cut so that 32 columns of B stay in L1 or L2 while the rows of A, whose pieces stay in L2,
// pass by; sums of a cut go through C. B's pieces are made by all threads together, A's by the thread that uses them.

#include <algorithm>

#include "mica/base/parallel.h"
#include "mica/kernels/cpu/simd/pieces.h"
#include "mica/kernels/cpu/simd/scratch.h"

namespace mica::cpu::simd {
namespace {

constexpr int64_t kDepthBlock = 1024;
constexpr int64_t kRightWords = int64_t{4} << 20;   // of B's pieces: 16 MB
constexpr int64_t kLeftWords = int64_t{192} << 10;  // of A's: 768 KB

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// A part of the depth and of the columns.
struct Part {
  const PieceProduct& product;
  int pieces;
  int64_t depth_begin, depth, column, columns;
  const float* panels = nullptr;
  bool first, last;  // of the depth

  int64_t steps() const { return ceil_div(depth, kPieceDepth); }
  int64_t words() const { return tile_words(depth, pieces); }  // of 16 vectors
  int64_t column_blocks() const { return ceil_div(columns, kPieceBlock); }
};

void pack_columns(const Part& part, int64_t begin, int64_t end, float* panels) {
  const PieceProduct& p = part.product;
  const int64_t first = begin * kPieceBlock;
  take_to_pieces({.x = p.b + part.depth_begin * p.b_depth + (part.column + first) * p.b_column,
                  .vector_stride = p.b_column,
                  .depth_stride = p.b_depth,
                  .vectors = std::min(part.columns, end * kPieceBlock) - first,
                  .depth = part.depth},
                 part.pieces, PieceLayout::of_b, panels + 2 * begin * part.words());
}

// One block of C, at `row` and `column`, the latter of the part.
void make_block(const Part& part, const PieceBlock& block, int64_t row, int64_t column) {
  const PieceProduct& p = part.product;
  const int64_t height = std::min(kPieceBlock, p.rows - row), width = std::min(kPieceBlock, part.columns - column);
  float* c = p.c + row * p.c_row + part.column + column;
  // The stores would wait for lines from L3, a block's worth at once.
  for (int64_t r = 0; r < height; ++r) {
    for (int64_t i = 0; i < width; i += 16) __builtin_prefetch(c + r * p.c_row + i, 1, 3);
  }
  const bool activates = part.last && p.activation.any();
  const TileActivation activation = p.activation.at(row, part.column + column);
  if (activates) activation.fetch(height, width);
  alignas(64) float sums[kPieceBlock * kPieceBlock];
  multiply_piece_block(block, sums);
  const float* bias = part.last && p.bias != nullptr ? p.bias + part.column + column : nullptr;
  store_piece_block(sums, height, width, bias, p.add || !part.first, c, p.c_row);
  if (activates) activate_tile(activation, c, p.c_row, height, width);
}

// The blocks of rows and of columns [.., ..) on this thread.
void multiply_blocks(const Part& part, int64_t row_begin, int64_t row_end, int64_t column_begin, int64_t column_end) {
  const PieceProduct& p = part.product;
  const int64_t words = part.words();
  const int64_t most = std::clamp<int64_t>(kLeftWords / (2 * words), 1, 16);
  begin_pieces();
  for (int64_t first = row_begin; first < row_end; first += most) {
    const int64_t count = std::min(most, row_end - first);
    float* rows = scratch(Scratch::rows, 2 * count * words);
    take_to_pieces({.x = p.a + first * kPieceBlock * p.a_row + part.depth_begin * p.a_depth,
                    .vector_stride = p.a_row,
                    .depth_stride = p.a_depth,
                    .vectors = std::min(p.rows, (first + count) * kPieceBlock) - first * kPieceBlock,
                    .depth = part.depth},
                   part.pieces, PieceLayout::of_a, rows);
    for (int64_t j = column_begin; j < column_end; ++j) {
      // While the rows pass by these columns, the next ones come.
      const float* columns = part.panels + 2 * j * words;
      const int64_t lines = j + 1 < column_end ? 2 * words / 16 : 0;
      for (int64_t i = 0; i < count; ++i) {
        const int64_t from = lines * i / count;
        make_block(part,
                   {.a = rows + 2 * i * words,
                    .a_next = words,
                    .b = columns,
                    .b_next = words,
                    .steps = part.steps(),
                    .pieces = part.pieces,
                    .fetch = columns + 2 * words + from * 16,
                    .fetched = lines * (i + 1) / count - from},
                   (first + i) * kPieceBlock, j * kPieceBlock);
      }
    }
  }
  end_pieces();
}

void multiply_part(Part part) {
  const int64_t words = part.words(), columns = part.column_blocks();
  float* panels = scratch(Scratch::shared, 2 * columns * words);
  parallel_for(columns, std::max<int64_t>(1, 8192 / words),
               [&](int64_t begin, int64_t end) { pack_columns(part, begin, end, panels); });
  part.panels = panels;
  const int64_t rows = ceil_div(part.product.rows, kPieceBlock);
  const int64_t grain = std::max<int64_t>(1, 65536 / (words * columns));
  if (rows >= 2 * num_threads()) {
    parallel_for(rows, grain, [&](int64_t begin, int64_t end) { multiply_blocks(part, begin, end, 0, columns); });
  } else {
    parallel_for(columns, std::max<int64_t>(1, 65536 / (words * rows)),
                 [&](int64_t begin, int64_t end) { multiply_blocks(part, 0, rows, begin, end); });
  }
}

void no_depth(const PieceProduct& p) {
  for (int64_t r = 0; r < p.rows; ++r) {
    for (int64_t i = 0; i < p.columns; ++i) {
      float& c = p.c[r * p.c_row + i];
      c = (p.add ? c : 0) + (p.bias != nullptr ? p.bias[i] : 0);
    }
  }
  if (p.activation.any()) activate_tile(p.activation, p.c, p.c_row, p.rows, p.columns);
}

}  // namespace

void multiply_pieces(const PieceProduct& product, int pieces) {
  if (product.rows <= 0 || product.columns <= 0) return;
  if (product.depth <= 0) return no_depth(product);
  const int64_t steps = ceil_div(product.depth, kPieceDepth), cuts = ceil_div(steps * kPieceDepth, kDepthBlock);
  for (int64_t cut = 0; cut < cuts; ++cut) {
    const int64_t begin = steps * cut / cuts * kPieceDepth;
    const int64_t end = std::min(product.depth, steps * (cut + 1) / cuts * kPieceDepth);
    const int64_t column_words = ceil_div(end - begin, kPieceDepth) * pieces * kPieceFloats / kPieceVectors;
    const int64_t width = std::max<int64_t>(1, kRightWords / column_words / kPieceBlock) * kPieceBlock;
    for (int64_t column = 0; column < product.columns; column += width) {
      multiply_part({.product = product,
                     .pieces = pieces,
                     .depth_begin = begin,
                     .depth = end - begin,
                     .column = column,
                     .columns = std::min(width, product.columns - column),
                     .first = cut == 0,
                     .last = cut + 1 == cuts});
    }
  }
}

}  // namespace mica::cpu::simd
