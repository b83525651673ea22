// y_n = epilogue_n(... epilogue_1(x · W_1ᵀ) ... · W_nᵀ), by blocks of rows.
//
// Must do the products of its steps, and read each W once. What it saves is the journey of the rows between the steps:
// an MLP's wide rows (1024 x 1536 floats are 6 MB) go out to L3 and come back when the steps run one by one. Here a
// thread takes a block of rows through all steps while they lie in its L2, and nobody waits for anybody in between. The
// weights of all steps pass by once per block, from L3: with 64 rows 2 * 64 operations a word, a tenth of what L3
// gives.

#include "mica/kernels/cpu/simd/packed_chain.h"

#include <algorithm>

#include "mica/base/parallel.h"
#include "mica/kernels/cpu/simd/packed_linear.h"
#include "mica/kernels/cpu/simd/scratch.h"

namespace mica::cpu::simd {
namespace {

constexpr int64_t kBlockWords = 96 * 1024;  // of the widest rows in a block: under half of a small L2

// The rows [first, first + rows) of a view, if there is one.
View rows_of(const View& view, int64_t first, int64_t rows) {
  if (!view) return view;
  View part = view;
  part.data = view.as<float>() + first * view.stride(0);
  part.shape[0] = rows;
  return part;
}

View dense_rows(float* data, int64_t rows, int64_t columns) {
  View view;
  view.data = data;
  view.rank = 2;
  view.shape = {rows, columns};
  view.strides = {columns, 1};
  return view;
}

// Takes rows through all steps. `between` holds the results that have no place in memory, one step's after another's.
template <typename Run>
void run_steps(const View& x, std::span<const ChainStep> steps, int64_t first, int64_t rows, float* between,
               const Run& run) {
  View input = rows_of(x, first, rows);
  for (const ChainStep& step : steps) {
    View y = rows_of(step.y, first, rows);
    if (!y) {
      y = dense_rows(between, rows, step.weight.out);
      between += rows * step.weight.out;
    }
    Epilogue epilogue = step.epilogue;
    epilogue.residual = rows_of(epilogue.residual, first, rows);
    run(input, step.weight, epilogue, y);
    input = y;
  }
}

}  // namespace

void packed_chain(const View& x, std::span<const ChainStep> steps) {
  const int64_t rows = x.size(0), tallest = tile_kernels().rows, threads = num_threads();
  int64_t widest = x.size(1), between = 0;  // floats a row
  for (const ChainStep& step : steps) {
    widest = std::max(widest, step.weight.out);
    if (!step.y) between += step.weight.out;
  }
  if (rows < 4 * tallest * threads) {
    // Too few rows to divide: each step is divided by columns, as on its own.
    float* memory = scratch(Scratch::chain, rows * between);
    run_steps(x, steps, 0, rows, memory, packed_linear);
    return;
  }
  const int64_t most = std::clamp(kBlockWords / widest, int64_t{32}, int64_t{256}) / tallest * tallest;
  parallel_for(threads, 1, [&](int64_t begin, int64_t end) {
    const int64_t row_begin = rows * begin / threads, row_end = rows * end / threads, count = row_end - row_begin;
    if (count == 0) return;
    const int64_t blocks = (count + most - 1) / most;
    // Whole tiles, as even as can be.
    const int64_t block = ((count + blocks - 1) / blocks + tallest - 1) / tallest * tallest;
    float* memory = scratch(Scratch::chain, block * between);
    for (int64_t first = row_begin; first < row_end; first += block) {
      run_steps(x, steps, first, std::min(block, row_end - first), memory,
                [](const View& input, const PackedWeight& weight, const Epilogue& epilogue, const View& y) {
                  packed_linear_here(input, weight, epilogue, y);
                });
    }
  });
}

}  // namespace mica::cpu::simd
