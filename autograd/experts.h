#pragma once
// Mixtures of experts: which expert gets which row, and the rows in the order of their experts, as the host sees them
// (on the device: autograd/grouped_experts.h).
//
// A layer of experts is then
//
//     const Routing routing = route(scores, k);
//     const ExpertRows by_expert = group_by_expert(routing.experts, experts.size());
//     const std::vector<Tensor> parts = split(index_select(x, by_expert.rows), by_expert.counts, 0);
//     for (each expert with rows) outputs.push_back(expert(parts[expert]));
//     const Tensor weights = index_select(reshape(routing.weights, {rows * k, 1}), by_expert.places);
//     y = index_add(rows, by_expert.rows, cat(outputs, 0) * weights);

#include <vector>

#include "mica/tensor/tensor.h"

namespace mica {

/// The experts of each row, and how much each counts.
struct Routing {
  Tensor experts;  ///< int64 [rows, k], the best first; of equal ones the first
  Tensor weights;  ///< [rows, k]: their scores; differentiable
};

/// The k best of each row's scores [rows, experts], 1 <= k <= experts (Error if not).
Routing route(const Tensor& scores, int64_t k);
/// The same, chosen by other numbers of the shape of scores than those that count: corrected by a bias, or with groups
/// masked out. No gradient flows through the choice.
Routing route(const Tensor& scores, const Tensor& choice, int64_t k);

/// The rows' choices sorted by expert, and within an expert by row: rows * k places in all.
struct ExpertRows {
  std::vector<int64_t> counts;  ///< places of each expert; they lie behind one another
  Tensor rows;                  ///< int64 [rows * k]: the row of each place
  Tensor places;                ///< int64 [rows * k]: where the place's choice stands in experts, read as one line
};

/// experts: int64 [rows, k], each in [0, count) (Error if not).
ExpertRows group_by_expert(const Tensor& experts, int64_t count);

}  // namespace mica
