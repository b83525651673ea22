// y = epilogue(x · Wᵀ) with W in the order and the dtype in which a file holds it.
//
// Must read W once, which is all that counts for a few rows: a step of decoding is as fast as memory is read. Fast
// because memory is read front to back, a panel (or, where columns lie side by side, a band of rows) ahead of what is
// worked on, into L2; because a chunk of words is brought into the panels' order in L1, at three times the speed of
// memory, and goes through the same tile kernels as packed panels do; and because threads share the columns, each with
// a part of memory of its own. For many rows a chunk is larger and serves all of them.
//
// Every sum runs through the depth in its order, chunk after chunk, so the result has the bits of the packed product.

#include "mica/kernels/cpu/simd/stored_linear.h"

#include <algorithm>
#include <vector>

#include "mica/base/parallel.h"
#include "mica/kernels/cpu/simd/fetcher.h"
#include "mica/kernels/cpu/simd/few_rows.h"
#include "mica/kernels/cpu/simd/matmul.h"
#include "mica/kernels/cpu/simd/matrix_linear.h"
#include "mica/kernels/cpu/simd/packed_linear.h"
#include "mica/kernels/cpu/simd/scratch.h"
#include "mica/kernels/cpu/simd/stored_weight.h"

namespace mica::cpu::simd {
namespace {

constexpr int64_t kFewRows = 16;
constexpr int64_t kRowBlock = 256;           // of x, in L2 together with a chunk
constexpr int64_t kSumFloats = 32 * 1024;    // of a group of panels, in L2
constexpr int64_t kPanelFloats = 24 * 1024;  // of a chunk for many rows

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// One block of rows of x against some panels of the weight, on one thread.
class Worker {
 public:
  Worker(const StoredWeight& weight, const Product& product, int64_t width)
      : weight_(weight), product_(product), kernels_(weight.kernels()), width_(width) {}

  void run(int64_t panel_begin, int64_t panel_end) {
    const int64_t words = weight_.words(), rows = product_.rows;
    const int64_t most = weight_.by_columns() ? 1 : std::max<int64_t>(1, kSumFloats / (rows * width_));
    const int64_t chunk = chunk_words();
    sums_row_ = std::min(most, panel_end - panel_begin) * width_;
    sums_ = scratch(Scratch::tile, (rows + kernels_.spare_rows) * sums_row_);
    panel_ = scratch(Scratch::keys, chunk * width_);
    const TileScope scope(kernels_);
    for (int64_t first = panel_begin; first < panel_end; first += most) {
      const int64_t last = std::min(panel_end, first + most);
      const int64_t following = std::min(panel_end, last + most);
      if (weight_.by_columns()) ahead(last, following, 0, words, ceil_div(words, kStep));
      for (int64_t word = 0; word < words; word += chunk) {
        const int64_t count = std::min(chunk, words - word);
        if (!weight_.by_columns()) {
          const int64_t steps = (last - first) * ceil_div(count, kStep);
          const bool more = word + chunk < words;
          ahead(more ? first : last, more ? last : following, more ? word + chunk : 0,
                std::min(chunk, more ? words - word - chunk : words), steps);
        }
        for (int64_t panel = first; panel < last; ++panel) multiply(panel, (panel - first) * width_, word, count);
      }
      for (int64_t panel = first; panel < last; ++panel) finish(panel, (panel - first) * width_);
    }
  }

 private:
  static constexpr int64_t kStep = 16;  // words between two fetches

  int64_t chunk_words() const {
    if (product_.rows <= kFewRows) return 128;
    return std::max<int64_t>(128, kPanelFloats / width_ / 64 * 64);
  }
  int64_t columns(int64_t panel) const { return std::min(width_, weight_.out() - panel * width_); }

  // What comes next is fetched in so many steps.
  void ahead(int64_t panel_begin, int64_t panel_end, int64_t word, int64_t count, int64_t steps) {
    if (panel_begin >= panel_end) return fetcher_.start({}, 0);
    const int64_t column = panel_begin * width_;
    fetcher_.start(weight_.region(column, std::min(panel_end * width_, weight_.out()) - column, word, count), steps);
  }

  void multiply(int64_t panel, int64_t offset, int64_t word, int64_t count) {
    const int64_t column = panel * width_, number = columns(panel), words_of = weight_.pairs() ? 2 : 1;
    const int64_t vectors = ceil_div(number, kernels_.lanes);
    TileTask task;
    task.b = weight_.in_place(column, number, word);
    task.b_row = weight_.row_stride();
    if (task.b == nullptr) {
      task.b = panel_;
      task.b_row = vectors * kernels_.lanes;
      // Steps that begin where a line of the cache does.
      const int64_t before = weight_.by_columns() ? weight_.before_line(word * words_of) / words_of : 0;
      for (int64_t k = 0, stop; k < count; k = stop) {
        stop = std::min(count, k == 0 && before > 0 ? before : k + kStep);
        fetcher_.fetch();
        weight_.load(column, number, word + k, stop - k, panel_ + k * task.b_row, task.b_row);
      }
    } else {
      for (int64_t k = 0; k < count; k += kStep) fetcher_.fetch();
    }
    task.depth = count;
    task.add = word > 0;
    task.c_row = sums_row_;
    const int64_t tiles = ceil_div(product_.rows, kernels_.rows);
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t first = product_.rows * t / tiles, rows = product_.rows * (t + 1) / tiles - first;
      task.a = product_.a + first * product_.a_row + word;
      task.a_row = product_.a_row;
      task.c = sums_ + first * sums_row_ + offset;
      kernels_.product[static_cast<size_t>(vectors - 1)][static_cast<size_t>(rows - 1)](task);
    }
  }

  void finish(int64_t panel, int64_t offset) const {
    const int64_t column = panel * width_;
    TileFinish finish = product_.finish;
    if (finish.bias != nullptr) finish.bias += column;
    if (finish.residual != nullptr) finish.residual += column;
    finish.y += column;
    for (int64_t row = 0; row < product_.rows; row += kMaxTileRows) {
      const int64_t rows = std::min(kMaxTileRows, product_.rows - row);
      TileFinish part = finish;
      part.y += row * part.y_row;
      if (part.residual != nullptr) part.residual += row * part.residual_row;
      finish_tile(part, sums_ + row * sums_row_ + offset, sums_row_, rows, columns(panel));
    }
  }

  const StoredWeight& weight_;
  const Product& product_;
  const TileKernels& kernels_;
  const int64_t width_;
  float *sums_ = nullptr, *panel_ = nullptr;
  int64_t sums_row_ = 0;
  Fetcher fetcher_;
};

FewKind few_kind(const StoredWeight& weight) {
  if (weight.dtype() == DType::float32) return FewKind::float32;
  if (weight.dtype() == DType::float16) return FewKind::float16;
  if (!weight.pairs()) return FewKind::bfloat16;
  return matrix_tile_kernels() != nullptr ? FewKind::bfloat16_matrix : FewKind::bfloat16_pairs;
}

// x as the kind takes it, `x_row` floats from row to row.
const float* few_x(FewKind kind, const Product& product, int64_t* x_row) {
  *x_row = product.a_row;
  if (kind != FewKind::bfloat16_pairs && kind != FewKind::bfloat16_matrix) return product.a;
  const int64_t words = (product.depth + 1) / 2;
  float* pairs = scratch(Scratch::shared, product.rows * words * 3);
  convert_rows_to_bfloat16(product.a, product.a_row, product.rows, product.depth, pairs);
  *x_row = words;
  if (kind == FewKind::bfloat16_pairs) return pairs;
  // Rounded, as floats.
  *x_row = 2 * words;
  float* rounded = pairs + product.rows * words;
  widen(DType::bfloat16, pairs, product.rows * words * 2, rounded);
  return rounded;
}

// The columns [begin, end) on this thread, a multiple of 16 (by columns) or 32.
class FewWorker {
 public:
  FewWorker(const StoredWeight& weight, const Product& product, FewKind kind, const float* x, int64_t x_row)
      : weight_(weight), product_(product), kind_(kind), x_(x), x_row_(x_row) {}

  void run(int64_t begin, int64_t end) { weight_.by_columns() ? run_columns(begin, end) : run_rows(begin, end); }

 private:
  static constexpr int64_t kColumns = 16;
  static constexpr int64_t kDepth = 32;    // elements of a band of rows
  static constexpr int64_t kPiece = 4096;  // bytes of a column: a page of each

  FewTask task(float* sums, int64_t sums_row) {
    FewTask task;
    task.w_stride = weight_.stride_bytes();
    task.x_row = x_row_;
    task.rows = product_.rows;
    task.sums = sums;
    task.sums_row = sums_row;
    task.fetcher = &fetcher_;
    return task;
  }

  void run_columns(int64_t begin, int64_t end) {
    alignas(64) float sums[kMostFewRows * kColumns];
    const FewProduct multiply = columns_product(kind_);
    const int64_t item = weight_.dtype() == DType::float32 ? 4 : 2, block = kFewBlock * 4 / item;
    const int64_t whole = product_.depth / (4 / item) * (4 / item);  // in words
    const int64_t before = std::min(weight_.before_line(0), whole), piece = kPiece / item,
                  words_of = weight_.pairs() ? 2 : 1;
    // Pieces end where a block does, but for the last.
    const auto piece_end = [&](int64_t k) {
      const int64_t next = k + (k == 0 ? before : 0) + piece;
      return whole - next < block ? whole : next;
    };
    FewTask part = task(sums, kColumns);
    for (int64_t column = begin; column < end; column += kColumns) {
      std::fill_n(sums, product_.rows * kColumns, 0.0F);
      for (int64_t k = 0, stop; k < whole; k = stop) {
        stop = piece_end(k);
        part.head = k == 0 ? before * item / 4 : 0;
        const bool last = stop == whole;
        if (!last || column + kColumns < end) {
          const int64_t next = last ? 0 : stop;
          fetcher_.start(weight_.region(last ? column + kColumns : column, kColumns, next / words_of,
                                        (piece_end(next) - next) / words_of),
                         (stop - k) / block);
        } else {
          fetcher_.start({}, 0);
        }
        part.w = weight_.at(column, k);
        part.x = x_ + (kind_ == FewKind::bfloat16_pairs ? k / 2 : k);
        part.depth = stop - k;
        multiply(part);
      }
      finish_depth(column, whole, sums);
      finish(column, kColumns, sums, kColumns);
    }
  }

  // An element that is left of the depth goes through the tile kernels.
  void finish_depth(int64_t column, int64_t depth, float* sums) const {
    if (depth == product_.depth) return;
    const int64_t word = weight_.pairs() ? depth / 2 : depth;
    alignas(64) float panel[kColumns];
    weight_.load(column, kColumns, word, 1, panel, kColumns);
    TileTask tile;
    tile.a = x_ + word;
    tile.a_row = x_row_;
    tile.b = panel;
    tile.b_row = kColumns;
    tile.depth = 1;
    tile.c = sums;
    tile.c_row = kColumns;
    tile.add = true;
    weight_.kernels().product[0][static_cast<size_t>(product_.rows - 1)](tile);
  }

  void run_rows(int64_t begin, int64_t end) {
    const int64_t columns = end - begin;
    float* sums = scratch(Scratch::tile, product_.rows * columns);
    std::fill_n(sums, product_.rows * columns, 0.0F);
    const FewProduct multiply = rows_product(kind_);
    FewTask part = task(sums, columns);
    part.columns = columns;
    const int64_t words_of = weight_.pairs() ? 2 : 1;
    for (int64_t k = 0; k < product_.depth; k += kDepth) {
      part.depth = std::min(kDepth, product_.depth - k);
      const int64_t next = k + kDepth;
      if (next < product_.depth) {
        const int64_t words = (std::min(kDepth, product_.depth - next) + words_of - 1) / words_of;
        fetcher_.start(weight_.region(begin, columns, next / words_of, words), few_fetches(kind_, columns, part.depth));
      } else {
        fetcher_.start({}, 0);
      }
      part.w = weight_.at(begin, k);
      part.x = x_ + (kind_ == FewKind::bfloat16_pairs ? k / 2 : k);
      multiply(part);
    }
    for (int64_t r = 0; r < product_.rows; ++r) order_few(kind_, sums + r * columns, columns);
    finish(begin, columns, sums, columns);
  }

  void finish(int64_t column, int64_t columns, const float* sums, int64_t sums_row) const {
    TileFinish finish = product_.finish;
    if (finish.bias != nullptr) finish.bias += column;
    if (finish.residual != nullptr) finish.residual += column;
    finish.y += column;
    finish_tile(finish, sums, sums_row, product_.rows, columns);
  }

  const StoredWeight& weight_;
  const Product& product_;
  const FewKind kind_;
  const float* x_;
  const int64_t x_row_;
  Fetcher fetcher_;
};

// Computes as many columns as the kernels of few rows can; says how many.
int64_t multiply_few(const StoredWeight& weight, const Product& product) {
  const FewKind kind = few_kind(weight);
  const bool by_columns = weight.by_columns();
  if (product.rows > std::min(kMostFewRows, by_columns ? weight.kernels().rows : kMostFewRows)) return 0;
  if ((by_columns ? columns_product(kind) : rows_product(kind)) == nullptr) return 0;
  const int64_t unit = by_columns ? 16 : 32, units = weight.out() / unit;
  if (units == 0) return 0;
  int64_t x_row = 0;
  const float* x = few_x(kind, product, &x_row);
  const int64_t share = ceil_div(units, product.rows * product.columns * product.depth < 32768 ? 1 : num_threads());
  parallel_for(units, share, [&](int64_t begin, int64_t end) {
    FewWorker(weight, product, kind, x, x_row).run(begin * unit, end * unit);
  });
  return units * unit;
}

// The columns of a product from `first` on.
Product columns_from(const Product& whole, int64_t first) {
  Product product = whole;
  product.columns -= first;
  product.finish.y += first;
  if (product.finish.bias != nullptr) product.finish.bias += first;
  if (product.finish.residual != nullptr) product.finish.residual += first;
  return product;
}

// Some rows of the product, on all threads; its norm is left out.
void multiply_stored(const StoredWeight& weight, const Product& product) {
  if (weight.words() == 0) {
    // Sums of nothing, in whole vectors, as they are read.
    const int64_t lanes = weight.kernels().lanes;
    const std::vector<float> zeros(static_cast<size_t>(ceil_div(weight.out(), lanes) * lanes));
    for (int64_t row = 0; row < product.rows; ++row) {
      TileFinish finish = product.finish;
      finish.y += row * finish.y_row;
      if (finish.residual != nullptr) finish.residual += row * finish.residual_row;
      finish_tile(finish, zeros.data(), weight.out(), 1, weight.out());
    }
    return;
  }
  const TileKernels& kernels = weight.kernels();
  const bool few = product.rows <= kFewRows;
  const int64_t width = few && weight.by_columns() ? kernels.lanes : kernels.width();
  const int64_t panels = ceil_div(weight.out(), width);
  Product words = product;
  if (weight.pairs()) {
    float* copy = scratch(Scratch::shared, (product.rows + kernels.spare_rows) * weight.words());
    convert_rows_to_bfloat16(product.a, product.a_row, product.rows, product.depth, copy);
    words.a = copy;
    words.a_row = weight.words();
  }
  const int64_t work = product.rows * product.columns * product.depth;
  const int64_t threads = work < 32768 ? 1 : num_threads();
  const int64_t share = std::max<int64_t>(1, ceil_div(panels, threads));
  parallel_for(panels, share, [&](int64_t begin, int64_t end) { Worker(weight, words, width).run(begin, end); });
}

}  // namespace

void linear(const View& x, const View& weight, const Epilogue& epilogue, const View& y) {
  const int64_t rows = x.size(0), out = weight.size(0), in = weight.size(1);
  if (rows <= 0 || out <= 0) return;
  LayerNorm norm;
  Product product = linear_product(x, out, epilogue, y, norm);
  if (!StoredWeight::supports(weight)) {
    float* panels = scratch(Scratch::shared, packed_bytes(out, in, DType::float32) / 4);
    const PackedWeight packed{panels, out, in, DType::float32};
    pack_weight(weight, 0, packed);
    return packed_linear(x, packed, epilogue, y);
  }
  const StoredWeight stored(weight);
  // Beyond some rows it pays to turn a float32 weight once for all blocks of rows.
  if (weight.dtype == DType::float32 && rows > kRowBlock / 2) return linear_in_parts(product, weight);
  if (stored.pairs() && stored.by_columns() && in > 0 && matrix_tile_kernels() != nullptr) {
    matrix_linear(product, weight);
    if (product.norm != nullptr) layer_norm(*product.norm, rows);
    return;
  }
  for (int64_t first = 0; first < rows; first += kRowBlock) {
    Product block = product;
    block.rows = std::min(kRowBlock, rows - first);
    block.a += first * block.a_row;
    block.finish.y += first * block.finish.y_row;
    if (block.finish.residual != nullptr) block.finish.residual += first * block.finish.residual_row;
    const int64_t done = in > 0 ? multiply_few(stored, block) : 0;
    if (done == out) continue;
    View rest = weight;
    rest.data = const_cast<char*>(stored.at(done, 0));
    rest.shape[0] = out - done;
    multiply_stored(StoredWeight(rest), columns_from(block, done));
  }
  if (product.norm != nullptr) layer_norm(*product.norm, rows);
}

}  // namespace mica::cpu::simd
