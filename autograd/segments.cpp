#include "mica/autograd/segments.h"

#include <string>
#include <vector>

#include "mica/autograd/elementwise.h"
#include "mica/autograd/shape.h"
#include "mica/autograd/tape.h"
#include "mica/base/error.h"

namespace mica {
namespace {

void check(ReduceOp op, const Tensor& x, const SequenceOffsets& offsets, const Tensor& weights) {
  const bool known = op == ReduceOp::sum || (!weights.defined() && (op == ReduceOp::mean || op == ReduceOp::max));
  const bool fits = x.defined() && x.rank() == 2 && !offsets.gaps() && offsets.rows() == x.size(0) &&
                    (!weights.defined() || weights.shape() == Shape{x.size(0)});
  if (known && fits) return;
  throw Error("x " + (x.defined() ? to_string(x.shape()) : "undefined") + ", " + std::to_string(offsets.count()) +
                  " sequences of " + std::to_string(offsets.rows()) + " rows" + (known ? "" : ", another reduction"),
              "segment_reduce", "need x [rows, size], and the sum (also weighted, [rows]), mean or max of sequences");
}

// Row by row, which sequence it belongs to, and what its part in the result is multiplied by.
Tensor owners(const SequenceOffsets& offsets, Device device) {
  std::vector<int64_t> index;
  index.reserve(static_cast<size_t>(offsets.rows()));
  for (int64_t i = 0; i < offsets.count(); ++i) index.insert(index.end(), static_cast<size_t>(offsets.length(i)), i);
  return Tensor::from(index).to(device);
}

Tensor shares(const SequenceOffsets& offsets, const Tensor& like) {
  std::vector<double> factors;
  factors.reserve(static_cast<size_t>(offsets.rows()));
  for (int64_t i = 0; i < offsets.count(); ++i) {
    const int64_t length = offsets.length(i);
    factors.insert(factors.end(), static_cast<size_t>(length), 1 / static_cast<double>(length));
  }
  return Tensor::from(factors).to(like.dtype()).to(like.device());
}

// Where in y and in x, each read as one column, the elements lie that are equal: the largest of each sequence's rows.
struct Largest {
  std::vector<int64_t> in_y, in_x;
};

Largest largest(const Tensor& x, const SequenceOffsets& offsets) {
  const std::vector<double> values = x.to_vector<double>();
  const int64_t size = x.size(1);
  const auto at = [&](int64_t row, int64_t column) { return values[static_cast<size_t>(row * size + column)]; };
  Largest places;
  for (int64_t i = 0; i < offsets.count(); ++i) {
    const int64_t begin = offsets.begin(i), end = begin + offsets.length(i);
    for (int64_t column = 0; begin < end && column < size; ++column) {
      int64_t best = begin;
      for (int64_t row = begin + 1; row < end; ++row) {
        if (at(row, column) > at(best, column)) best = row;
      }
      places.in_y.push_back(i * size + column);
      places.in_x.push_back(best * size + column);
    }
  }
  return places;
}

}  // namespace

Tensor segment_reduce(ReduceOp op, const Tensor& x, const SequenceOffsets& offsets, const Tensor& weights) {
  check(op, x, offsets, weights);
  check_devices("segment_reduce", {&x, &weights});
  const Tensor rows = x.detach().contiguous();
  Tensor y = Tensor::empty({offsets.count(), x.size(1)}, x.dtype(), x.device());
  backend(x.device()).reduce().segment_reduce(op, rows.view(), offsets.segments(), weights.view(), y.view());
  if (!wants_grad({&x})) return y;
  if (op == ReduceOp::max) {
    record("segment_max", {x}, {y}, [rows, offsets](const std::vector<Tensor>& g) -> std::vector<Tensor> {
      const Largest places = largest(rows, offsets);
      const Tensor flat = g[0].contiguous().reshape({g[0].numel()});
      const Tensor chosen = index_select(flat, Tensor::from(places.in_y).to(flat.device()));
      const Tensor dx = index_add(rows.numel(), Tensor::from(places.in_x).to(flat.device()), chosen);
      return {dx.reshape(rows.shape())};
    });
    return y;
  }
  const Tensor factors = op == ReduceOp::mean ? shares(offsets, x) : weights;
  record("segment_sum", {x}, {y}, [offsets, factors](const std::vector<Tensor>& g) -> std::vector<Tensor> {
    const Tensor dx = index_select(g[0].contiguous(), owners(offsets, g[0].device()));
    return {factors.defined() ? multiply(dx, factors.reshape({factors.numel(), 1})) : dx};
  });
  return y;
}

}  // namespace mica
