#include "mica/autograd/loss.h"

#include <string>

#include "mica/autograd/shape.h"
#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/kernels/loss.h"

namespace mica {
namespace {

void check_labels(const Tensor& logits, const Tensor& labels, int64_t ignore_index) {
  if (logits.rank() != 2 || labels.dtype() != DType::int64 || labels.numel() != logits.size(0)) {
    throw Error("logits " + to_string(logits.shape()) + ", labels " + to_string(labels.shape()) + " " +
                    std::string(name(labels.dtype())),
                "cross_entropy", "need logits [rows, classes] and labels [rows] of dtype int64");
  }
  // Of recorded work each replay has others, which the kernel looks at.
  if (!labels.device().is_cpu() && backend(labels.device()).recording()) return;
  const Tensor host = labels.to(Device{}).contiguous();
  const int64_t* values = host.data<int64_t>();
  for (int64_t i = 0; i < host.numel(); ++i) {
    if (values[i] != ignore_index && (values[i] < 0 || values[i] >= logits.size(1))) {
      throw Error("label " + std::to_string(values[i]) + " in row " + std::to_string(i), "cross_entropy",
                  "use 0 to " + std::to_string(logits.size(1) - 1) + ", or " + std::to_string(ignore_index) +
                      " to ignore a row");
    }
  }
}

void check_same(const char* op, const Tensor& x, const Tensor& target) {
  if (!(x.shape() == target.shape()) || x.dtype() != target.dtype()) {
    throw Error("predictions " + to_string(x.shape()) + " " + std::string(name(x.dtype())) + ", targets " +
                    to_string(target.shape()) + " " + std::string(name(target.dtype())),
                op, "shapes and dtypes must agree");
  }
}

// A loss of 16 bits would have three digits, and so would the sums that its gradient is made from.
Tensor wide(const Tensor& x) {
  return item_size(x.dtype()) == 2 ? cast(x, DType::float32) : x;
}

Tensor scalar_like(const Tensor& x) {
  return Tensor::empty({}, x.dtype(), x.device());
}

}  // namespace

Tensor cross_entropy(const Tensor& given, const Tensor& labels, int64_t ignore_index) {
  const Tensor logits = wide(given);
  check_labels(logits, labels, ignore_index);
  const Tensor x = logits.detach().contiguous();
  const Tensor y = labels.contiguous().reshape({labels.numel()}).to(x.device());
  const Tensor log_sum_exp = Tensor::empty({x.size(0)}, x.dtype(), x.device());
  Tensor loss = scalar_like(x);
  backend(x.device()).loss().cross_entropy(x.view(), y.view(), ignore_index, loss.view(), log_sum_exp.view());
  if (wants_grad({&logits})) {
    record("cross_entropy", {logits}, {loss},
           [x, y, log_sum_exp, ignore_index](const std::vector<Tensor>& g) -> std::vector<Tensor> {
             // Over the logits, the largest tensor of a language model, where nobody wants them any more.
             const Tensor dx = reuse_or_new(x);
             backend(x.device())
                 .loss()
                 .cross_entropy_backward(g[0].view(), x.view(), y.view(), ignore_index, log_sum_exp.view(), dx.view());
             return {dx};
           });
  }
  return loss;
}

Tensor mse_loss(const Tensor& given, const Tensor& given_target) {
  const Tensor x = wide(given), target = wide(given_target);
  check_same("mse_loss", x, target);
  refuse_grad("mse_loss (target)", {&target});
  const Tensor a = x.detach().contiguous();
  const Tensor b = target.contiguous().to(x.device());
  Tensor loss = scalar_like(x);
  backend(x.device()).loss().mse(a.view(), b.view(), loss.view());
  if (wants_grad({&x})) {
    record("mse_loss", {x}, {loss}, [a, b](const std::vector<Tensor>& g) -> std::vector<Tensor> {
      const Tensor dx = Tensor::empty(a.shape(), a.dtype(), a.device());
      backend(a.device()).loss().mse_backward(g[0].view(), a.view(), b.view(), dx.view());
      return {dx};
    });
  }
  return loss;
}

Tensor bce_with_logits(const Tensor& given, const Tensor& given_target) {
  const Tensor x = wide(given), target = wide(given_target);
  check_same("bce_with_logits", x, target);
  refuse_grad("bce_with_logits (target)", {&target});
  const Tensor a = x.detach().contiguous();
  const Tensor b = target.contiguous().to(x.device());
  Tensor loss = scalar_like(x);
  backend(x.device()).loss().bce_with_logits(a.view(), b.view(), loss.view());
  if (wants_grad({&x})) {
    record("bce_with_logits", {x}, {loss}, [a, b](const std::vector<Tensor>& g) -> std::vector<Tensor> {
      const Tensor dx = Tensor::empty(a.shape(), a.dtype(), a.device());
      backend(a.device()).loss().bce_with_logits_backward(g[0].view(), a.view(), b.view(), dx.view());
      return {dx};
    });
  }
  return loss;
}

}  // namespace mica
