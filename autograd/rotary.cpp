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

}  // namespace mica
