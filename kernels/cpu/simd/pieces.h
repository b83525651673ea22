#pragma once
// Products whose factors are taken to pieces of bfloat16: one piece, which rounds, or three, which together are the
// float32. For training, where both factors come as they are and are used once or twice.

#include <cstdint>

#include "mica/kernels/cpu/simd/activation.h"

namespace mica::cpu::simd {

/// C[rows, columns] = A · B + bias (+ C when add). Of each factor one stride is 1.
struct PieceProduct {
  const float* a = nullptr;  ///< element (row, k) at a + row * a_row + k * a_depth
  int64_t a_row = 0, a_depth = 1;
  const float* b = nullptr;  ///< element (k, column) at b + k * b_depth + column * b_column
  int64_t b_depth = 0, b_column = 1;
  const float* bias = nullptr;  ///< [columns], or null
  float* c = nullptr;           ///< element (row, column) at c + row * c_row + column
  int64_t c_row = 0;
  bool add = false;
  TileActivation activation;  ///< of C when it is made; its pointers are those of element (0, 0)
  int64_t rows = 0, columns = 0, depth = 0;
};

/// Whether products of 1 or 3 pieces are this CPU's fastest of that precision: one piece with any instruction for
/// bfloat16, three with the matrix unit (AMX), whose rate pays for six products in place of one.
bool multiplies_pieces(int pieces);

/// On all threads; only where multiplies_pieces(). Bits depend on nothing but the element's own row of A and column of
/// B. Three pieces: the error is that of a chain of float32 multiply-adds and 2^-24 of each term; numbers below 2^-109
/// lose bits, since the unit takes pieces below 2^-126 as zero.
void multiply_pieces(const PieceProduct& product, int pieces);

// What follows is for the product's own loops, and its tests.

constexpr int64_t kPieceVectors = 16;  ///< rows of A, or columns of B, in a tile
constexpr int64_t kPieceDepth = 32;    ///< of a tile
constexpr int64_t kPieceFloats = 256;  ///< a tile's size, in words of two bfloat16
constexpr int64_t kPieceBlock = 32;    ///< rows and columns of what one kernel makes

/// Where the words of a tile lie: word (vector, pair of k) at vector * 16 + pair, or at pair * 16 + vector.
enum class PieceLayout : uint8_t { of_a, of_b };

/// Floats of the tiles of 16 vectors.
constexpr int64_t tile_words(int64_t depth, int pieces) {
  return (depth + kPieceDepth - 1) / kPieceDepth * pieces * kPieceFloats;
}

/// Element (vector, k) at x + vector * vector_stride + k * depth_stride, one of which is 1.
struct PieceSource {
  const float* x = nullptr;
  int64_t vector_stride = 0, depth_stride = 1;
  int64_t vectors = 0, depth = 0;
};

/// Tiles of 16 vectors each, one behind the other, as many as whole blocks have: along the whole depth, step by step,
/// in each step its pieces from the largest down; zeros stand for vectors and depths that are missing.
void take_to_pieces(const PieceSource& source, int pieces, PieceLayout layout, float* tiles);

/// One block: c[32][32] = the products of two rows of tiles of A (the second after `a_next` words) by two columns of
/// tiles of B. Meanwhile `fetched` lines from `fetch` on are brought into L2. Between begin_pieces() and end_pieces()
/// on the same thread.
struct PieceBlock {
  const float* a = nullptr;
  int64_t a_next = 0;
  const float* b = nullptr;
  int64_t b_next = 0;
  int64_t steps = 0;
  int pieces = 1;
  const float* fetch = nullptr;
  int64_t fetched = 0;
};
void multiply_piece_block(const PieceBlock& block, float* c);
/// From a block's sums to C: its first rows and columns, plus what is there when `add`, plus the bias unless null.
void store_piece_block(const float* sums, int64_t rows, int64_t columns, const float* bias, bool add, float* c,
                       int64_t c_row);
void begin_pieces();
void end_pieces();

}  // namespace mica::cpu::simd
