// x · Wᵀ in the matrix registers of AMX, W [columns, depth] in bfloat16 as files hold it.
//
// Must read W once and do 2 * rows * columns * depth operations, 16384 an instruction. Fast because the instruction's
// left side is rows of pairs that follow each other in the depth, which is what rows of W are: they go from memory to a
// register as they lie. It is x that is put in order, 16 rows of it for the right side, and the result comes out
// turned. A step of decoding fetches the next columns into L2 meanwhile, front to back; with many rows two registers of
// W meet two of x, four products for four loads.

#include "mica/kernels/cpu/simd/matrix_linear.h"

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__)

#include <algorithm>
#include <cstring>

#include <immintrin.h>

#include "mica/base/parallel.h"
#include "mica/kernels/cpu/simd/fetcher.h"
#include "mica/kernels/cpu/simd/matrix_tiles.h"
#include "mica/kernels/cpu/simd/scratch.h"

namespace mica::cpu::simd {
namespace {

constexpr int64_t kSide = 16;              // columns, rows and words of a register
constexpr int64_t kStepBytes = kSide * 4;  // of a row of W
constexpr int64_t kBlock = kSide * kSide;  // words of one
constexpr int64_t kRowBlocks = 16;         // of x, in L2 together

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// Some columns of W, two registers of 16.
struct Columns {
  const char* data[2];
  int64_t row_bytes;
  const char* tail[2];  // the last words, in blocks of their own; null: none
};

// Registers 0 to 3 are the sums of two times 16 columns for `blocks` (1 or 2) blocks of 16 rows of x, 4 and 5 of W, 6
// and 7 of x.
template <int blocks>
__attribute__((target("amx-tile,amx-bf16"))) void clear() {
  _tile_zero(0);
  _tile_zero(1);
  if constexpr (blocks == 2) {
    _tile_zero(2);
    _tile_zero(3);
  }
}

// Steps of 16 words. x: [block][word][row], `x_block` and `x_step` words from one block or step to the next.
template <int blocks>
__attribute__((target("amx-tile,amx-bf16"))) void add(const char* w0, const char* w1, int64_t w_row, const float* x,
                                                      int64_t x_block, int64_t x_step, int64_t steps,
                                                      Fetcher& fetcher) {
  const int64_t x_row = x_step / kSide * 4;
  before_reading(x);
  before_reading(w0);
  for (int64_t s = 0; s < steps; ++s) {
    _tile_loadd(4, w0 + s * kStepBytes, w_row);
    _tile_loadd(6, x + s * x_step, x_row);
    _tile_loadd(5, w1 + s * kStepBytes, w_row);
    fetcher.fetch();
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 5, 6);
    if constexpr (blocks == 2) {
      _tile_loadd(7, x + x_block + s * x_step, x_row);
      _tile_dpbf16ps(2, 4, 7);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
}

// As [block][column][row].
template <int blocks>
__attribute__((target("amx-tile,amx-bf16"))) void store(float* sums) {
  _tile_stored(0, sums, kStepBytes);
  _tile_stored(1, sums + kBlock, kStepBytes);
  if constexpr (blocks == 2) {
    _tile_stored(2, sums + 2 * kBlock, kStepBytes);
    _tile_stored(3, sums + 3 * kBlock, kStepBytes);
  }
}

class Worker {
 public:
  Worker(const Product& product, const View& weight, const float* x, int64_t x_block, int64_t x_step)
      : product_(product),
        weight_(weight.as<const char>()),
        row_bytes_(weight.stride(0) * 2),
        x_(x),
        x_block_(x_block),
        x_step_(x_step),
        steps_(product.depth * 2 / kStepBytes),
        tail_bytes_(product.depth * 2 - steps_ * kStepBytes) {}

  void run(int64_t pair_begin, int64_t pair_end) {
    begin_matrix_tiles(std::min(product_.rows, kSide));
    const int64_t blocks = ceil_div(product_.rows, kSide);
    end_ = std::min(pair_end * 2 * kSide, product_.columns);
    for (int64_t pair = pair_begin; pair < pair_end; ++pair) {
      const int64_t first = pair * 2 * kSide, columns = std::min(2 * kSide, product_.columns - first);
      const Columns w = place(first, columns);
      for (int64_t block = 0; block < blocks; block += 2) {
        if (block + 1 < blocks) {
          multiply<2>(w, first, block);
        } else {
          multiply<1>(w, first, block);
        }
        finish(block * kSide, first, columns, block + 1 < blocks ? 2 : 1);
      }
    }
    end_matrix_tiles();
  }

 private:
  static constexpr int64_t kPiece = 64;  // steps: a page of each row of W

  template <int blocks>
  void multiply(const Columns& w, int64_t column, int64_t block) {
    const float* x = x_ + block * x_block_;
    clear<blocks>();
    for (int64_t s = 0; s < steps_; s += kPiece) {
      const int64_t steps = std::min(kPiece, steps_ - s);
      const bool last = s + kPiece >= steps_;
      if (block == 0) ahead(last ? column + 2 * kSide : column, last ? 0 : s + kPiece, steps);
      add<blocks>(w.data[0] + s * kStepBytes, w.data[1] + s * kStepBytes, w.row_bytes, x + s * x_step_, x_block_,
                  x_step_, steps, fetcher_);
    }
    if (w.tail[0] != nullptr) {
      add<blocks>(w.tail[0], w.tail[1], kStepBytes, x + steps_ * x_step_, x_block_, x_step_, 1, fetcher_);
    }
    store<blocks>(sums_);
  }

  // The next piece of 32 columns is fetched meanwhile.
  void ahead(int64_t column, int64_t step, int64_t steps) {
    const int64_t columns = std::min(2 * kSide, end_ - column);
    if (columns <= 0) return fetcher_.start({}, 0);
    const int64_t bytes = std::min(product_.depth * 2 - step * kStepBytes, kPiece * kStepBytes);
    const char* from = weight_ + column * row_bytes_ + step * kStepBytes;
    if (bytes == row_bytes_) return fetcher_.start({from, 1, columns * bytes, 0}, steps);
    fetcher_.start({from, columns, bytes, row_bytes_}, steps);
  }

  // Where the columns lie; copies of those at the edge, where a register would read beyond the weight.
  Columns place(int64_t first, int64_t columns) {
    Columns w{};
    w.row_bytes = row_bytes_;
    w.data[0] = weight_ + first * row_bytes_;
    w.data[1] = w.data[0] + kSide * row_bytes_;
    if (columns < 2 * kSide) {
      const int64_t bytes = (steps_ + 1) * kStepBytes;
      auto* copy = reinterpret_cast<char*>(scratch(Scratch::keys, 2 * kSide * bytes / 4));
      std::memset(copy, 0, static_cast<size_t>(2 * kSide * bytes));
      for (int64_t c = 0; c < columns; ++c)
        std::memcpy(copy + c * bytes, w.data[0] + c * row_bytes_, static_cast<size_t>(product_.depth * 2));
      w.data[0] = copy;
      w.data[1] = copy + kSide * bytes;
      w.row_bytes = bytes;
    }
    if (tail_bytes_ == 0) return w;
    for (int half = 0; half < 2; ++half) {
      std::memset(tails_[half], 0, sizeof(tails_[half]));
      for (int64_t c = 0; c < kSide; ++c) {
        std::memcpy(tails_[half] + c * kStepBytes, w.data[half] + c * w.row_bytes + steps_ * kStepBytes,
                    static_cast<size_t>(tail_bytes_));
      }
      w.tail[half] = tails_[half];
    }
    return w;
  }

  void finish(int64_t row, int64_t column, int64_t columns, int64_t blocks) {
    alignas(64) float turned[kSide * 2 * kSide];  // [row][column]
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t rows = std::min(kSide, product_.rows - row);
      for (int half = 0; half < 2; ++half) {
        transpose_rows(sums_ + (2 * block + half) * kBlock, kSide, kSide, rows, turned + half * kSide, 2 * kSide);
      }
      for (int64_t r = 0; r < rows; r += kMaxTileRows) {
        TileFinish finish = product_.finish;
        if (finish.bias != nullptr) finish.bias += column;
        if (finish.residual != nullptr) finish.residual += (row + r) * finish.residual_row + column;
        finish.y += (row + r) * finish.y_row + column;
        finish_tile(finish, turned + r * 2 * kSide, 2 * kSide, std::min(kMaxTileRows, rows - r), columns);
      }
      row += kSide;
    }
  }

  const Product& product_;
  const char* weight_;
  int64_t row_bytes_;
  const float* x_;
  int64_t x_block_, x_step_, steps_, tail_bytes_, end_ = 0;
  Fetcher fetcher_;
  alignas(64) float sums_[4 * kBlock];
  alignas(64) char tails_[2][kSide * kStepBytes];
};

}  // namespace

void matrix_linear(const Product& whole, const View& weight) {
  const int64_t words = (whole.depth + 1) / 2, padded = ceil_div(words, kSide) * kSide;
  for (int64_t first = 0; first < whole.rows; first += kRowBlocks * kSide) {
    Product product = whole;
    product.rows = std::min(kRowBlocks * kSide, whole.rows - first);
    product.a += first * product.a_row;
    product.finish.y += first * product.finish.y_row;
    if (product.finish.residual != nullptr) product.finish.residual += first * product.finish.residual_row;
    // x as words [block][word][row]; zeros where the depth and the rows end.
    const int64_t blocks = ceil_div(product.rows, kSide), x_row = std::min(product.rows, kSide);
    const int64_t x_step = x_row * kSide, x_block = padded * x_row;
    float* x = scratch(Scratch::shared, blocks * x_block);
    const int64_t work = product.rows * product.columns * product.depth;
    const auto order = [&](int64_t begin, int64_t end) {
      float* rows = scratch(Scratch::rows, kSide * words);
      for (int64_t block = begin; block < end; ++block) {
        const int64_t count = std::min(kSide, product.rows - block * kSide);
        convert_rows_to_bfloat16(product.a + block * kSide * product.a_row, product.a_row, count, product.depth, rows);
        if (x_row == kSide) {
          transpose_rows(rows, words, count, words, x + block * x_block, kSide);
        } else {
          for (int64_t r = 0; r < count; ++r)
            for (int64_t k = 0; k < words; ++k) x[k * x_row + r] = rows[r * words + k];
        }
        std::fill(x + block * x_block + words * x_row, x + (block + 1) * x_block, 0.0F);
      }
    };
    if (blocks >= 4) {
      parallel_for(blocks, 1, order);
    } else {
      order(0, blocks);
    }
    const int64_t pairs = ceil_div(product.columns, 2 * kSide);
    const int64_t share = ceil_div(pairs, work < 32768 ? 1 : num_threads());
    parallel_for(pairs, share,
                 [&](int64_t begin, int64_t end) { Worker(product, weight, x, x_block, x_step).run(begin, end); });
  }
}

}  // namespace mica::cpu::simd

#else

namespace mica::cpu::simd {

void matrix_linear(const Product& /*product*/, const View& /*weight*/) {}

}  // namespace mica::cpu::simd

#endif
