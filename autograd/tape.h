#pragma once
// The tape: what an op must do for its gradient, recorded while the forward pass runs.
//
// An op computes its result with kernels and, if any input's gradient is tracked, records a closure that turns the
// gradients of its outputs into those of its inputs. A closure keeps what it needs as detached tensors: a tensor that
// knew its node would keep the node, and itself, alive for ever.

#include <cstdint>
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
  std::vector<std::shared_ptr<AutogradMeta>> leaves;  ///< that a checkpoint's closure, not its inputs, adds to
  size_t output_count = 0;
  uint64_t position = 0;  ///< how many nodes were recorded before
  BackwardFunction backward;
};

/// True when recording is on and at least one of the tensors is tracked: the op must keep what its backward needs.
bool wants_grad(std::initializer_list<const Tensor*> inputs);

/// Makes `outputs` results of the node `op`. Call it only when wants_grad() said so.
void record(const char* op, const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs,
            BackwardFunction backward);

/// Memory for a tensor like `x`, of which the caller has no more need: x itself where no other handle shares its
/// memory. For gradients that a closure is given, and for tensors that it made by detach() and keeps alone.
Tensor reuse_or_new(const Tensor& x);

/// For a closure that can add to a gradient in place: what other ops have given its node's input `index` so far, which
/// the closure takes over and must return as part of that input's gradient. Undefined where there is nothing yet, where
/// the input is a leaf, or where that memory may not be written to or is not of this dtype.
Tensor take_gradient(size_t index, DType dtype);

/// Throws Error, naming the op, unless all operands that are defined lie on one device.
void check_devices(const char* op, std::initializer_list<const Tensor*> operands);

/// For an op without a backward: throws Error when a gradient would be lost.
void refuse_grad(const char* op, std::initializer_list<const Tensor*> inputs);

/// Adds to the grad() of every leaf the gradient of `output` (one element, unless `gradient` gives the gradient of each
/// element). Nodes are visited in one fixed order, and freed: a second pass over the same tape is an Error.
void backward(const Tensor& output, const Tensor& gradient = {});
/// The same for several outputs at once, each with its gradient.
void backward(const std::vector<Tensor>& outputs, const std::vector<Tensor>& gradients);

using LeafFunction = std::function<void(const AutogradMeta& leaf)>;
/// The same for an output of one element; `ready` is called, in this thread, with each leaf on the way as soon as
/// nothing of this pass will add to its gradient any more, so that something may be done with it meanwhile.
void backward_watched(const Tensor& output, const LeafFunction& ready);

// For checkpoints: a piece of the tape that is made twice.

/// Above the position of every node so far, and at most that of the next.
uint64_t tape_position();

/// What nodes of a part use.
struct TapeInputs {
  std::vector<std::shared_ptr<AutogradMeta>> results;  ///< of nodes before the part, in the order of their use
  std::vector<std::shared_ptr<AutogradMeta>> leaves;
};
/// What the nodes that lead to `output`, recorded from `start` on, used of the tape before.
TapeInputs tape_inputs(const Tensor& output, uint64_t start);

/// Makes `output` the result of one node whose inputs are those; its closure sees to the leaves itself.
void record_checkpoint(const TapeInputs& inputs, const Tensor& output, BackwardFunction backward);

/// backward() through the nodes from `start` on: leaves get theirs, and the gradients of `inputs` are returned,
/// undefined for those that the output does not depend on.
std::vector<Tensor> backward_to(const Tensor& output, const Tensor& gradient, uint64_t start,
                                const std::vector<std::shared_ptr<AutogradMeta>>& inputs);

}  // namespace mica
