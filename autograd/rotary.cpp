#include "mica/autograd/rotary.h"

#include <string>

#include "mica/autograd/tape.h"
#include "mica/base/error.h"

namespace mica {
namespace {

void check(const Tensor& x, const Tensor& cos, const Tensor& sin, int64_t offset) {
  const bool shapes = x.rank() == 3 && cos.rank() == 2 && cos.shape() == sin.shape() && cos.size(0) == x.size(0) &&
                      offset >= 0 && offset <= x.size(2) && cos.size(1) <= (x.size(2) - offset) / 2;
  if (!shapes || cos.dtype() != x.dtype() || sin.dtype() != x.dtype()) {
    throw Error("x " + to_string(x.shape()) + " " + std::string(name(x.dtype())) + ", cos " + to_string(cos.shape()) +
                    " " + std::string(name(cos.dtype())) + ", sin " + to_string(sin.shape()) + " " +
                    std::string(name(sin.dtype())) + ", offset " + std::to_string(offset),
                "rotary",
                "need x [rows, heads, head_size] and cos, sin [rows, half] of one dtype, with offset + 2 half at most "
                "head_size");
  }
  check_devices("rotary", {&x, &cos, &sin});
}

// The kernel wants the last dimension dense.
Tensor dense_rows(const Tensor& x) {
  const Tensor detached = x.detach();
  return x.size(-1) <= 1 || x.stride(-1) == 1 ? detached : detached.contiguous();
}

Tensor rotated(const Tensor& x, const Tensor& cos, const Tensor& sin, RotaryLayout layout, int64_t offset,
               bool inverse) {
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  backend(x.device()).rotary().rotate(x.view(), cos.view(), sin.view(), layout, offset, inverse, y.view());
  return y;
}

}  // namespace

Tensor rotary(const Tensor& x, const Tensor& cos, const Tensor& sin, RotaryLayout layout, int64_t offset) {
  check(x, cos, sin, offset);
  refuse_grad("rotary", {&cos, &sin});
  const Tensor c = dense_rows(cos), s = dense_rows(sin);
  Tensor y = rotated(dense_rows(x), c, s, layout, offset, false);
  if (wants_grad({&x})) {
    record("rotary", {x}, {y}, [c, s, layout, offset](const std::vector<Tensor>& g) -> std::vector<Tensor> {
      return {rotated(dense_rows(g[0]), c, s, layout, offset, true)};
    });
  }
  return y;
}

bool places_heads(const Tensor& query, const HeadNorms& norms) {
  constexpr int64_t kMostSize = 512;  // of a head, up to which the bits are those of the norm by itself
  const auto fits = [&](const Tensor& weight) {
    return !weight.defined() || weight.dtype() == query.dtype() ||
           (weight.dtype() == DType::float32 && item_size(query.dtype()) == 2);
  };
  return backend(query.device()).rotary().places_heads() && query.size(-1) <= kMostSize && fits(norms.query) &&
         fits(norms.key) && norms.query.defined() == norms.key.defined() &&
         (!norms.query.defined() || norms.query.dtype() == norms.key.dtype());
}

void place_heads(const Tensor& query, const Tensor& key, const Tensor& value, const HeadNorms& norms, const Tensor& cos,
                 const Tensor& sin, RotaryLayout layout, const Tensor& turned, const HeadPlaces& places) {
  check(query, cos, sin, 0);
  check(key, cos, sin, 0);
  refuse_grad("place_heads", {&query, &key, &value, &norms.query, &norms.key, &cos, &sin});
  const auto alike = [&](const Tensor& x, const Tensor& to, bool same_rows) {
    return x.rank() == 3 && to.rank() == 3 && x.dtype() == query.dtype() && to.dtype() == x.dtype() &&
           x.size(0) == query.size(0) && x.size(2) == query.size(2) && to.size(1) == x.size(1) &&
           to.size(2) == x.size(2) && (!same_rows || to.size(0) >= x.size(0)) && to.stride(2) == 1;
  };
  const auto of_head = [&](const Tensor& weight) {
    return !weight.defined() || (weight.shape() == Shape{query.size(2)} && weight.is_contiguous());
  };
  const bool one_by_one = !places.rows.defined();
  const bool fits = alike(query, turned, true) && alike(key, places.keys, one_by_one) &&
                    (!places.values.defined() || alike(value, places.values, one_by_one)) && of_head(norms.query) &&
                    of_head(norms.key) &&
                    (one_by_one || (places.rows.dtype() == DType::int64 && places.rows.is_contiguous() &&
                                    places.rows.shape() == Shape{query.size(0)}));
  if (!fits) {
    throw Error("query " + to_string(query.shape()) + ", key " + to_string(key.shape()) + " to " +
                    to_string(places.keys.shape()),
                "place_heads",
                "need [rows, heads, size] of one dtype, places of as many heads, dense ones, and norms [size]");
  }
  check_devices("place_heads", {&query, &key, &value, &turned, &places.keys, &places.values, &places.rows, &cos});
  const Tensor c = dense_rows(cos), s = dense_rows(sin), q = dense_rows(query), k = dense_rows(key);
  const Tensor v = places.values.defined() ? dense_rows(value) : Tensor();
  const Tensor query_weight = norms.query.defined() ? norms.query.detach() : Tensor();
  const Tensor key_weight = norms.key.defined() ? norms.key.detach() : Tensor();
  backend(query.device())
      .rotary()
      .place_heads({q.view(), k.view(), v.view(), turned.view(), places.keys.view(), places.values.view(),
                    places.rows.view(), query_weight.view(), key_weight.view(), norms.weight_offset, norms.eps,
                    c.view(), s.view(), layout});
}

}  // namespace mica
