#pragma once
// The tape: what an op must do for its gradient, recorded while the forward pass runs.
//
// An op computes its result with kernels and, if any input's gradient is tracked, records a closure that turns the
// gradients of its outputs into those of its inputs. A closure keeps what it needs as detached tensors: a tensor that
// knew its node would keep the node, and itself, alive for ever.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "mica/tensor/tensor.h"

namespace mica {

/// Gradients of the outputs in, gradients of the inputs out, in the order of record(). An output that the loss does not
/// depend on arrives undefined; an input that needs no gradient may be returned undefined.
using BackwardFunction = std::function<std::vector<Tensor>(const std::vector<Tensor>& output_gradients)>;

class TapeNode {
 public:
  TapeNode() = default;
  TapeNode(const TapeNode&) = delete;
  TapeNode& operator=(const TapeNode&) = delete;
  /// Frees a long chain of nodes one by one: a recursion as deep as the network would overflow the stack.
  ~TapeNode();
  const char* op = "";
  std::vector<std::shared_ptr<AutogradMeta>> inputs;  ///< null where no gradient is tracked
  std::vector<Shape> input_shapes;                    ///< checked against what the closure returns
  size_t output_count = 0;
  BackwardFunction backward;
};

/// True when recording is on and at least one of the tensors is tracked: the op must keep what its backward needs.
bool wants_grad(std::initializer_list<const Tensor*> inputs);

/// Makes `outputs` results of the node `op`. Call it only when wants_grad() said so.
void record(const char* op, const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs,
            BackwardFunction backward);

/// For an op without a backward: throws Error when a gradient would be lost.
void refuse_grad(const char* op, std::initializer_list<const Tensor*> inputs);

/// Adds to the grad() of every leaf the gradient of `output` (one element, unless `gradient` gives the gradient of each
/// element). Nodes are visited in one fixed order, and freed: a second pass over the same tape is an Error.
void backward(const Tensor& output, const Tensor& gradient = {});
/// The same for several outputs at once, each with its gradient.
void backward(const std::vector<Tensor>& outputs, const std::vector<Tensor>& gradients);

}  // namespace mica
