#include "mica/autograd/scan.h"

#include <string>
#include <vector>

#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/kernels/scan.h"

namespace mica {

Tensor linear_recurrence(const Tensor& a, const Tensor& b, const SequenceOffsets& texts, const Tensor& initial) {
  const bool shapes =
      a.rank() == 2 && a.shape() == b.shape() && a.dtype() == b.dtype() &&
      (!initial.defined() || (initial.shape() == Shape{texts.count(), a.size(1)} && initial.dtype() == a.dtype()));
  if (!shapes || texts.gaps() || texts.rows() != a.size(0)) {
    throw Error("a " + to_string(a.shape()) + " " + std::string(name(a.dtype())) + ", b " + to_string(b.shape()) + " " +
                    std::string(name(b.dtype())) + ", initial " +
                    (initial.defined() ? to_string(initial.shape()) : "undefined") + ", " +
                    std::to_string(texts.count()) + " texts of " + std::to_string(texts.rows()) + " rows",
                "linear_recurrence",
                "need a and b [rows, channels] and initial [texts, channels] of one dtype, and texts that own each row "
                "once");
  }
  check_devices("linear_recurrence", {&a, &b, &initial});
  const Tensor factors = a.detach().contiguous();
  const Tensor start = initial.defined() ? initial.detach().contiguous() : Tensor();
  Tensor h = Tensor::empty(a.shape(), a.dtype(), a.device());
  backend(a.device())
      .scan()
      .linear(factors.view(), b.detach().contiguous().view(), start.view(), texts.segments(), h.view());
  if (!wants_grad({&a, &b, &initial})) return h;
  std::vector<Tensor> inputs{a, b};
  if (initial.defined()) inputs.push_back(initial);
  record("linear_recurrence", inputs, {h},
         [factors, start, texts, h = h.detach()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
           const auto like = [](const Tensor& x) {
             return x.defined() ? Tensor::empty(x.shape(), x.dtype(), x.device()) : Tensor();
           };
           const Tensor da = like(h), db = like(h), dinitial = like(start);
           backend(h.device())
               .scan()
               .linear_backward(factors.view(), h.view(), start.view(), g[0].contiguous().view(), texts.segments(),
                                da.view(), db.view(), dinitial.view());
           std::vector<Tensor> gradients{da, db};
           if (dinitial.defined()) gradients.push_back(dinitial);
           return gradients;
         });
  return h;
}

}  // namespace mica
