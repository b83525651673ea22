// Adafactor over all tensors of a model.
//
// Its update needs sums over whole tensors before the first element may move, so it goes over memory four times:
//   1. squares of g: row means, straight into r; sums down the columns, one partial sum a block of rows; squares of p.
//      Without factors: v, and the squares of g / sqrt(v).
//   2. (small) the mean of r; c from the partial sums; 1 / sqrt(c).
//   3. squares of the update, for its root mean square (g alone is read).
//   4. p.
// That is 5 reads and a write of 4 bytes a parameter and nearly no state, where AdamW moves 28 bytes. Blocks of rows
// depend on a matrix's shape alone, and partial sums are added in their order.

#include <cmath>

#include "mica/kernels/cpu/backend.h"
#include "mica/kernels/cpu/chunks.h"
#include "mica/kernels/cpu/simd/optimizer.h"

namespace mica {
namespace cpu {
namespace {

constexpr int64_t kChunk = 16384;   // elements of a block, about
constexpr int64_t kLeastRows = 64;  // of a block: its column sums are then at most 1/64 of the matrix

// The passes over a run of elements; float takes the SIMD functions of these names, double the plain ones here.
using simd::adafactor;
using simd::adafactor_factored;
using simd::add_squares;
using simd::second_moment;
using simd::sum_of_products;
using simd::sum_of_squares;

double add_squares(const double* g, double scale, double* column, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double square = g[i] * scale * g[i] * scale;
    column[i] += square;
    sum += square;
  }
  return sum;
}

double sum_of_products(const double* g, const double* inverse, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += g[i] * inverse[i] * g[i] * inverse[i];
  return sum;
}

double sum_of_squares(const double* x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i] * x[i];
  return sum;
}

double second_moment(const double* g, double scale, double beta2, double beta2_rest, double eps, double* v, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double square = g[i] * scale * g[i] * scale;
    v[i] = beta2 * v[i] + beta2_rest * (square + eps);
    sum += square / v[i];
  }
  return sum;
}

void descend(const simd::AdafactorStep<double>& step, double u, double& p, double* m) {
  if (m != nullptr) u = *m = step.beta1 * *m + step.beta1_rest * u;
  p = p * step.decay - u;
}

void adafactor_factored(const simd::AdafactorStep<double>& step, double* p, const double* g, const double* inverse,
                        double* m, int64_t n) {
  for (int64_t i = 0; i < n; ++i) descend(step, g[i] * inverse[i] * step.factor, p[i], m != nullptr ? m + i : nullptr);
}

void adafactor(const simd::AdafactorStep<double>& step, double* p, const double* g, const double* v, double* m,
               int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    descend(step, g[i] / std::sqrt(v[i]) * step.factor, p[i], m != nullptr ? m + i : nullptr);
  }
}

// How an item is cut into blocks, where its parts of the scratch memory lie, and what its sums came to.
struct Plan {
  int64_t matrices = 1, rows = 1, columns = 0;  // a vector is one row, cut into blocks of columns
  int64_t block = 0;                            // rows of a block, or columns of one
  int64_t blocks = 0;                           // of one matrix
  int64_t first_block = 0;                      // among the blocks of all items
  int64_t sums = 0;                             // bytes into scratch: column sums [matrices, blocks, columns]
  int64_t inverse = 0;                          // 1 / sqrt(c) [matrices, columns]
  int64_t row_mean = 0;                         // mean of r [matrices]
  double decay = 1, factor = 0;                 // of the step
};

class Adafactor {
 public:
  Adafactor(std::span<const AdafactorItem> items, double gradient_scale)
      : items_(items),
        count_(static_cast<int64_t>(items.size())),
        scale_(gradient_scale),
        plans_(scratch<Plan>(Scratch::parameter_b, count_)) {
    int64_t blocks = 0, bytes = 0;
    for (int64_t i = 0; i < count_; ++i) {
      with_floating("optimizer.adafactor", item(i).parameter.dtype, [](auto) {});
      plans_[i] = plan(item(i), blocks, bytes);
      blocks += plans_[i].matrices * plans_[i].blocks;
    }
    parameter_squares_ = scratch<double>(Scratch::sums, 2 * blocks);
    update_squares_ = parameter_squares_ + blocks;
    memory_ = scratch<char>(Scratch::row, bytes);
  }

  void run() {
    each_block([&](auto tag, int64_t i, int64_t matrix, int64_t block, int64_t number) {
      moments<decltype(tag)>(item(i), plans_[i], matrix, block, number);
    });
    for_chunks(
        count_, 1, [&](int64_t i) { return item(i).row ? plans_[i].matrices : 0; },
        [&](int64_t i, int64_t matrix, int64_t) {
          with_type(i, [&](auto tag) { columns<decltype(tag)>(item(i), plans_[i], matrix); });
        });
    each_block([&](auto tag, int64_t i, int64_t matrix, int64_t block, int64_t number) {
      if (item(i).row) update_squares<decltype(tag)>(item(i), plans_[i], matrix, block, number);
    });
    for (int64_t i = 0; i < count_; ++i) settle(item(i), plans_[i]);
    each_block([&](auto tag, int64_t i, int64_t matrix, int64_t block, int64_t) {
      descend_block<decltype(tag)>(item(i), plans_[i], matrix, block);
    });
  }

 private:
  const AdafactorItem& item(int64_t i) const { return items_[static_cast<size_t>(i)]; }

  template <typename Body>
  void with_type(int64_t i, const Body& body) const {
    with_floating("optimizer.adafactor", item(i).parameter.dtype, body);
  }

  template <typename Body>
  void each_block(const Body& body) const {
    for_chunks(
        count_, 2, [&](int64_t i) { return plans_[i].matrices * plans_[i].blocks; },
        [&](int64_t i, int64_t chunk, int64_t number) {
          with_type(i, [&](auto tag) { body(tag, i, chunk / plans_[i].blocks, chunk % plans_[i].blocks, number); });
        });
  }

  static Plan plan(const AdafactorItem& item, int64_t first_block, int64_t& bytes) {
    Plan plan;
    plan.first_block = first_block;
    const int64_t elements = item.parameter.numel();
    if (elements == 0) {
      plan.matrices = 0;
    } else if (!item.row) {
      plan.columns = elements;
      plan.block = kChunk;
      plan.blocks = (elements + kChunk - 1) / kChunk;
    } else {
      plan.rows = item.parameter.size(-2);
      plan.columns = item.parameter.size(-1);
      plan.matrices = elements / (plan.rows * plan.columns);
      plan.block = std::max(kLeastRows, kChunk / plan.columns);
      plan.blocks = (plan.rows + plan.block - 1) / plan.block;
      const auto take = [&](int64_t values) {
        const int64_t at = bytes;
        bytes += (values * item_size(item.parameter.dtype) + 63) / 64 * 64;
        return at;
      };
      plan.sums = take(plan.matrices * plan.blocks * plan.columns);
      plan.inverse = take(plan.matrices * plan.columns);
      plan.row_mean = take(plan.matrices);
    }
    return plan;
  }

  template <typename T>
  T* in_scratch(int64_t offset) const {
    return reinterpret_cast<T*>(memory_ + offset);
  }

  // Pass 1.
  template <typename T>
  void moments(const AdafactorItem& item, const Plan& plan, int64_t matrix, int64_t block, int64_t number) const {
    const auto beta2 = static_cast<T>(item.beta2), rest = static_cast<T>(1 - item.beta2);
    const auto scale = static_cast<T>(scale_), eps = static_cast<T>(item.eps);
    const T* p = item.parameter.as<const T>();
    const T* g = item.gradient.as<const T>();
    const int64_t begin = block * plan.block;
    if (!item.row) {
      const int64_t n = std::min(plan.block, plan.columns - begin);
      parameter_squares_[number] = item.scale_parameter ? sum_of_squares(p + begin, n) : 0;
      update_squares_[number] = second_moment(g + begin, scale, beta2, rest, eps, item.variance.as<T>() + begin, n);
      return;
    }
    T* sums = in_scratch<T>(plan.sums) + (matrix * plan.blocks + block) * plan.columns;
    std::fill_n(sums, plan.columns, T(0));
    double squares = 0;
    for (int64_t row = begin; row < std::min(begin + plan.block, plan.rows); ++row) {
      const int64_t at = matrix * plan.rows + row;
      const double sum = add_squares(g + at * plan.columns, scale, sums, plan.columns);
      T& r = item.row.as<T>()[at];
      r = beta2 * r + rest * (static_cast<T>(sum / static_cast<double>(plan.columns)) + eps);
      if (item.scale_parameter) squares += sum_of_squares(p + at * plan.columns, plan.columns);
    }
    parameter_squares_[number] = squares;
  }

  // Pass 2, of one matrix.
  template <typename T>
  void columns(const AdafactorItem& item, const Plan& plan, int64_t matrix) const {
    const auto beta2 = static_cast<T>(item.beta2), rest = static_cast<T>(1 - item.beta2),
               eps = static_cast<T>(item.eps);
    const T* r = item.row.as<const T>() + matrix * plan.rows;
    double mean = 0;
    for (int64_t row = 0; row < plan.rows; ++row) mean += static_cast<double>(r[row]);
    in_scratch<T>(plan.row_mean)[matrix] = static_cast<T>(mean / static_cast<double>(plan.rows));
    T* sums = in_scratch<T>(plan.sums) + matrix * plan.blocks * plan.columns;
    for (int64_t block = 1; block < plan.blocks; ++block) {
      for (int64_t column = 0; column < plan.columns; ++column) sums[column] += sums[block * plan.columns + column];
    }
    T* c = item.column.as<T>() + matrix * plan.columns;
    T* inverse = in_scratch<T>(plan.inverse) + matrix * plan.columns;
    for (int64_t column = 0; column < plan.columns; ++column) {
      c[column] = beta2 * c[column] + rest * (sums[column] / static_cast<T>(plan.rows) + eps);
      inverse[column] = T(1) / std::sqrt(c[column]);
    }
  }

  template <typename T>
  double row_factor(const AdafactorItem& item, const Plan& plan, int64_t matrix, int64_t row) const {
    const auto mean = static_cast<double>(in_scratch<T>(plan.row_mean)[matrix]);
    return std::sqrt(mean / static_cast<double>(item.row.as<const T>()[matrix * plan.rows + row])) * scale_;
  }

  // Pass 3.
  template <typename T>
  void update_squares(const AdafactorItem& item, const Plan& plan, int64_t matrix, int64_t block,
                      int64_t number) const {
    const T* inverse = in_scratch<T>(plan.inverse) + matrix * plan.columns;
    const int64_t begin = block * plan.block;
    double squares = 0;
    for (int64_t row = begin; row < std::min(begin + plan.block, plan.rows); ++row) {
      const T* g = item.gradient.as<const T>() + (matrix * plan.rows + row) * plan.columns;
      const double factor = row_factor<T>(item, plan, matrix, row);
      squares += factor * factor * sum_of_products(g, inverse, plan.columns);
    }
    update_squares_[number] = squares;
  }

  // The size of an item's step, from its sums.
  void settle(const AdafactorItem& item, Plan& plan) const {
    double parameter = 0, update = 0;
    const int64_t blocks = plan.matrices * plan.blocks;
    for (int64_t block = plan.first_block; block < plan.first_block + blocks; ++block) {
      parameter += parameter_squares_[block];
      update += update_squares_[block];
    }
    const double elements = std::max(1.0, static_cast<double>(item.parameter.numel()));
    const double rms = std::sqrt(update / elements);
    const double rate =
        item.lr * (item.scale_parameter ? std::max(item.eps_scale, std::sqrt(parameter / elements)) : 1.0);
    plan.decay = 1 - item.weight_decay * rate;
    plan.factor = rate / std::max(1.0, rms / item.clip_threshold);
  }

  // Pass 4.
  template <typename T>
  void descend_block(const AdafactorItem& item, const Plan& plan, int64_t matrix, int64_t block) const {
    simd::AdafactorStep<T> step{.decay = static_cast<T>(plan.decay),
                                .factor = static_cast<T>(plan.factor * scale_),
                                .beta1 = static_cast<T>(item.beta1),
                                .beta1_rest = static_cast<T>(1 - item.beta1)};
    const auto from = [](const View& x, int64_t at) { return x ? x.as<T>() + at : nullptr; };
    const int64_t begin = block * plan.block;
    if (!item.row) {
      const int64_t n = std::min(plan.block, plan.columns - begin);
      adafactor(step, from(item.parameter, begin), from(item.gradient, begin), from(item.variance, begin),
                from(item.mean, begin), n);
      return;
    }
    const T* inverse = in_scratch<T>(plan.inverse) + matrix * plan.columns;
    for (int64_t row = begin; row < std::min(begin + plan.block, plan.rows); ++row) {
      const int64_t at = (matrix * plan.rows + row) * plan.columns;
      step.factor = static_cast<T>(plan.factor * row_factor<T>(item, plan, matrix, row));
      adafactor_factored(step, from(item.parameter, at), from(item.gradient, at), inverse, from(item.mean, at),
                         plan.columns);
    }
  }

  std::span<const AdafactorItem> items_;
  int64_t count_;
  double scale_;
  Plan* plans_;
  double* parameter_squares_ = nullptr;  // a number a block
  double* update_squares_ = nullptr;
  char* memory_ = nullptr;
};

}  // namespace
}  // namespace cpu

void CpuOptimizer::adafactor(std::span<const AdafactorItem> items, double gradient_scale) {
  cpu::Adafactor(items, gradient_scale).run();
}

}  // namespace mica
