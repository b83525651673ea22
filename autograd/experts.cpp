#include "mica/autograd/experts.h"

#include <string>

#include "mica/autograd/shape.h"
#include "mica/base/error.h"
#include "mica/kernels/reduce.h"

namespace mica {

Routing route(const Tensor& scores, int64_t k) {
  return route(scores, scores, k);
}

Routing route(const Tensor& scores, const Tensor& choice, int64_t k) {
  if (scores.rank() != 2 || !(choice.shape() == scores.shape()) || k < 1 || k > scores.size(1)) {
    throw Error(std::to_string(k) + " experts by scores " + to_string(scores.shape()) + " and choice " +
                    to_string(choice.shape()),
                "route", "need scores and choice [rows, experts], and at least 1 and at most all experts");
  }
  const Shape shape{scores.size(0), k};
  const Tensor best = Tensor::empty(shape, choice.dtype(), choice.device());
  Routing routing;
  routing.experts = Tensor::empty(shape, DType::int64, choice.device());
  backend(choice.device()).reduce().topk(choice.detach().contiguous().view(), best.view(), routing.experts.view());
  routing.weights = gather(scores, routing.experts);
  return routing;
}

ExpertRows group_by_expert(const Tensor& experts, int64_t count) {
  if (experts.rank() != 2 || experts.dtype() != DType::int64 || count < 0) {
    throw Error("experts " + std::string(name(experts.dtype())) + " " + to_string(experts.shape()), "group_by_expert",
                "need int64 [rows, k]");
  }
  const std::vector<int64_t> chosen = experts.to_vector<int64_t>();
  ExpertRows result;
  result.counts.resize(static_cast<size_t>(count));
  for (const int64_t expert : chosen) {
    if (expert < 0 || expert >= count) {
      throw Error("expert " + std::to_string(expert) + " of " + std::to_string(count), "group_by_expert",
                  "stay below the number of experts");
    }
    ++result.counts[static_cast<size_t>(expert)];
  }
  std::vector<size_t> next(result.counts.size());  // the next free place of each expert
  for (size_t i = 1; i < next.size(); ++i) next[i] = next[i - 1] + static_cast<size_t>(result.counts[i - 1]);
  std::vector<int64_t> rows(chosen.size()), places(chosen.size());
  for (size_t i = 0; i < chosen.size(); ++i) {
    const size_t place = next[static_cast<size_t>(chosen[i])]++;
    rows[place] = static_cast<int64_t>(i) / experts.size(1);
    places[place] = static_cast<int64_t>(i);
  }
  const Shape shape{static_cast<int64_t>(chosen.size())};
  result.rows = Tensor::from(rows, shape, experts.device());
  result.places = Tensor::from(places, shape, experts.device());
  return result;
}

}  // namespace mica
