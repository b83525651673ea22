#include "mica/models/modules/pair_scores.h"

#include <algorithm>

#include "mica/autograd/linear.h"
#include "mica/autograd/shape.h"
#include "mica/models/modules/positions.h"

namespace mica {

Places::Places(const Rows& rows)
    : count_(rows.batch()), longest_(rows.offsets.longest()), rows_(static_cast<size_t>(count_ * longest_), -1) {
  bool whole = true;
  for (int64_t s = 0; s < count_; ++s) {
    whole = whole && rows.offsets.length(s) == longest_;
    for (int64_t i = 0; i < rows.offsets.length(s); ++i) {
      rows_[static_cast<size_t>(s * longest_ + i)] = rows.offsets.begin(s) + i;
    }
  }
  if (whole) return;
  std::vector<int64_t> index = rows_;
  for (int64_t& row : index) row = std::max<int64_t>(row, 0);
  index_ = Tensor::from(index).to(rows.device);
}

Tensor Places::lay_out(const Tensor& x) const {
  return index_.defined() ? index_select(x, index_) : x;
}

Tensor distance_scores(const Tensor& content, const Tensor& positions, const Places& places) {
  const int64_t heads = content.size(1);
  const int64_t longest = places.longest();
  const Tensor by_head = transpose(places.lay_out(content), 0, 1);
  const Tensor scores = matmul(by_head, positions, false, true);  // [heads, count * longest, 2 * longest]
  const Tensor by_pair = shift_distances(reshape(scores, Shape{heads * places.count(), longest, 2 * longest}));
  return reshape(by_pair, Shape{heads, places.count(), longest, longest});
}

}  // namespace mica
