// Heads brought to their places: what the ops one by one give, and what is refused.

#include "tests/autograd/support.h"

#include "mica/autograd/norm.h"
#include "mica/autograd/rotary.h"
#include "mica/base/error.h"

namespace mica {
namespace {

TEST(PlaceHeads, IsTheOpsOneByOne) {
  const Tensor query = random_input({3, 4, 6}, 1), key = random_input({3, 2, 6}, 2), value = random_input({3, 2, 6}, 3);
  const Tensor cos = random_input({3, 2}, 4).detach(), sin = random_input({3, 2}, 5).detach();
  const HeadNorms norms{random_input({6}, 6), random_input({6}, 7), 1, 1e-5};
  if (!places_heads(query, norms)) GTEST_SKIP() << "done one by one here";
  const Tensor turned = Tensor::zeros({3, 4, 6}, DType::float64, test_device());
  const HeadPlaces places{Tensor::zeros({5, 2, 6}, DType::float64, test_device()),
                          Tensor::zeros({5, 2, 6}, DType::float64, test_device()),
                          Tensor::from(std::vector<int64_t>{4, 0, 2}, {3}, test_device())};
  const auto run = [&](const HeadNorms& own, const Tensor& to, const HeadPlaces& where) {
    place_heads(query, key, value, own, cos, sin, RotaryLayout::half_split, to, where);
  };
  EXPECT_THROW(run(norms, turned, places), Error);  // a gradient would be lost
  const NoGrad no_grad;
  run(norms, turned, places);
  const auto one_by_one = [&](const Tensor& x, const Tensor& weight) {
    return rotary(rms_norm(x, weight, norms.eps, norms.weight_offset), cos, sin, RotaryLayout::half_split);
  };
  EXPECT_EQ(turned.to_vector<double>(), one_by_one(query, norms.query).to_vector<double>());
  const std::vector<int64_t> rows{4, 0, 2};
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    EXPECT_EQ(places.keys.select(0, rows[i]).to_vector<double>(),
              one_by_one(key, norms.key).select(0, row).to_vector<double>());
    EXPECT_EQ(places.values.select(0, rows[i]).to_vector<double>(), value.detach().select(0, row).to_vector<double>());
  }
  EXPECT_EQ(places.keys.select(0, 1).to_vector<double>(), std::vector<double>(12));
  EXPECT_THROW(run({norms.query, random_input({5}, 7), 1, 1e-5}, turned, places), Error);
  EXPECT_THROW(run(norms, turned.slice(1, 0, 3), places), Error);
  EXPECT_THROW(run(norms, turned, {places.keys, places.values, places.rows.slice(0, 0, 2)}), Error);
  EXPECT_THROW(run(norms, turned, {places.keys.slice(0, 0, 2), places.values, {}}), Error);
}

}  // namespace
}  // namespace mica
