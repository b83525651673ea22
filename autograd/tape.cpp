#include "mica/autograd/tape.h"

#include <algorithm>
#include <atomic>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "mica/base/error.h"
#include "mica/kernels/elementwise.h"

namespace mica {
namespace {

// a + b, in a's memory where nothing else shares that.
Tensor sum_of(const Tensor& a, const Tensor& b) {
  const Tensor result = a.dtype() == b.dtype() ? reuse_or_new(a) : Tensor::empty(a.shape(), a.dtype(), a.device());
  backend(a.device()).elementwise().binary(BinaryOp::add, a.view(), b.view(), result.view());
  return result;
}

// Each slot has a handle of its own, so that the owners of a tensor's memory say who else may see it: closures give one
// handle to several inputs, callers keep theirs.
void accumulate(Tensor* slot, const Tensor& gradient) {
  *slot = slot->defined() ? sum_of(*slot, gradient) : gradient.detach();
}

// All nodes ever, so that a checkpoint tells its own from earlier ones.
std::atomic<uint64_t> recorded{0};

// Nodes from position `start` on that are reachable from the roots, the last recorded first: each after all nodes that
// use its outputs, and in the same order whether or not some of them are inside a checkpoint.
std::vector<TapeNode*> order_from(const std::vector<TapeNode*>& roots, uint64_t start) {
  std::vector<TapeNode*> reached;
  std::unordered_set<TapeNode*> seen;
  const auto visit = [&](TapeNode* node) {
    if (node != nullptr && node->position >= start && seen.insert(node).second) reached.push_back(node);
  };
  for (TapeNode* root : roots) visit(root);
  for (size_t i = 0; i < reached.size(); ++i) {
    for (size_t k = 0; k < reached[i]->inputs.size(); ++k) {
      const auto& input = reached[i]->inputs[k];
      if (input != nullptr) visit(input->node.get());
    }
  }
  std::sort(reached.begin(), reached.end(), [](auto* a, auto* b) { return a->position > b->position; });
  return reached;
}

using Pending = std::unordered_map<TapeNode*, std::vector<Tensor>>;

// Slot of a result's gradient, of a node that waits for it.
Tensor* slot_of(Pending* pending, const AutogradMeta& meta) {
  auto& slots = (*pending)[meta.node.get()];
  slots.resize(meta.node->output_count);
  return &slots[static_cast<size_t>(meta.output_index)];
}

// The gradients of the pass that this thread is in, for a checkpoint inside of it.
thread_local Pending* running = nullptr;

// The node whose closure runs.
thread_local TapeNode* current = nullptr;

// Calls a function with each leaf once the last node that adds to it is done, or was passed over.
class Watch {
 public:
  Watch(const std::vector<TapeNode*>& order, const LeafFunction* ready) : ready_(ready) {
    if (ready == nullptr) return;
    for (const TapeNode* node : order) each_leaf(*node, [&](AutogradMeta* leaf) { ++uses_[leaf]; });
  }
  void passed(const TapeNode& node) {
    if (ready_ == nullptr) return;
    each_leaf(node, [&](AutogradMeta* leaf) {
      if (--uses_[leaf] == 0) (*ready_)(*leaf);
    });
  }

 private:
  template <typename F>
  static void each_leaf(const TapeNode& node, const F& f) {
    for (const auto& input : node.inputs) {
      if (input != nullptr && input->node == nullptr) f(input.get());
    }
    for (const auto& leaf : node.leaves) f(leaf.get());
  }
  const LeafFunction* ready_;
  std::unordered_map<AutogradMeta*, int64_t> uses_;
};

// Runs the nodes that `pending` leads to, down to position `start`; gradients of earlier nodes stay in it.
void run_back(const std::vector<TapeNode*>& roots, uint64_t start, Pending* pending,
              const LeafFunction* ready = nullptr) {
  struct Restore {
    Pending* outer;
    TapeNode* outer_node;
    ~Restore() {
      running = outer;
      current = outer_node;
    }
  } const restore{std::exchange(running, pending), current};
  const std::vector<TapeNode*> order = order_from(roots, start);
  Watch watch(order, ready);
  for (TapeNode* node : order) {
    const auto found = pending->find(node);
    if (found == pending->end()) {  // reachable only through outputs that got no gradient
      watch.passed(*node);
      continue;
    }
    if (!node->backward) {
      throw Error("backward through a tape that was used already", node->op, "run the forward pass again");
    }
    current = node;
    std::vector<Tensor> input_gradients = node->backward(found->second);
    pending->erase(found);
    node->backward = nullptr;  // frees what it kept
    for (size_t i = 0; i < node->inputs.size(); ++i) {
      const auto& input = node->inputs[i];
      if (input == nullptr || i >= input_gradients.size() || !input_gradients[i].defined()) continue;
      // A checkpoint's closure has checked them, node by node.
      if (i < node->input_shapes.size() && !(input_gradients[i].shape() == node->input_shapes[i])) {
        throw Error("gradient of shape " + to_string(input_gradients[i].shape()) + " for input " + std::to_string(i) +
                        " of shape " + to_string(node->input_shapes[i]),
                    node->op, "this is a fault of the op's backward");
      }
      accumulate(input->node == nullptr ? &input->grad : slot_of(pending, *input), input_gradients[i]);
      input_gradients[i] = Tensor();
    }
    watch.passed(*node);
  }
}

}  // namespace

TapeNode::~TapeNode() {
  std::vector<std::shared_ptr<AutogradMeta>> doomed = std::move(inputs);
  while (!doomed.empty()) {
    const std::shared_ptr<AutogradMeta> meta = std::move(doomed.back());
    doomed.pop_back();
    // Only the last owner of a node takes its inputs over; everyone else just lets go.
    if (meta == nullptr || meta.use_count() > 1 || meta->node == nullptr || meta->node.use_count() > 1) continue;
    for (auto& input : meta->node->inputs) doomed.push_back(std::move(input));
  }
}

bool wants_grad(std::initializer_list<const Tensor*> inputs) {
  if (!grad_enabled()) return false;
  for (const Tensor* input : inputs) {
    if (input->requires_grad()) return true;
  }
  return false;
}

void record(const char* op, const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs,
            BackwardFunction backward) {
  auto node = std::make_shared<TapeNode>();
  node->op = op;
  node->position = recorded++;
  for (const Tensor& input : inputs) {
    node->inputs.push_back(input.requires_grad() ? input.autograd_meta() : nullptr);
    node->input_shapes.push_back(input.defined() ? input.shape() : Shape{});
  }
  node->output_count = outputs.size();
  node->backward = std::move(backward);
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!outputs[i].defined()) continue;
    auto meta = std::make_shared<AutogradMeta>();
    meta->requires_grad = true;
    meta->node = node;
    meta->output_index = static_cast<int>(i);
    outputs[i].set_autograd_meta(std::move(meta));
  }
}

Tensor take_gradient(size_t index, DType dtype) {
  if (current == nullptr || index >= current->inputs.size()) return {};
  const auto& input = current->inputs[index];
  if (input == nullptr || input->node == nullptr) return {};
  const auto found = running->find(input->node.get());
  if (found == running->end()) return {};
  Tensor& slot = found->second[static_cast<size_t>(input->output_index)];
  const bool usable =
      slot.defined() && slot.dtype() == dtype && slot.is_contiguous() && slot.storage().use_count() == 1;
  return usable ? std::exchange(slot, Tensor()) : Tensor();
}

Tensor reuse_or_new(const Tensor& x) {
  if (x.storage().use_count() == 1 && x.is_contiguous()) return x;
  return Tensor::empty(x.shape(), x.dtype(), x.device());
}

void check_devices(const char* op, std::initializer_list<const Tensor*> operands) {
  const Tensor* first = nullptr;
  for (const Tensor* each : operands) {
    if (!each->defined()) continue;
    if (first == nullptr) first = each;
    if (each->device() == first->device()) continue;
    throw Error("operands on " + to_string(first->device()) + " and " + to_string(each->device()), op,
                "move them to one device with to(device)");
  }
}

void refuse_grad(const char* op, std::initializer_list<const Tensor*> inputs) {
  if (wants_grad(inputs)) {
    throw Error("a gradient was asked for through an op that has none", op,
                "detach() its input, or wrap the code in NoGrad if no gradient is meant");
  }
}

void backward(const Tensor& output, const Tensor& gradient) {
  if (!gradient.defined() && output.numel() != 1) {
    throw Error("backward of a tensor of shape " + to_string(output.shape()), "backward",
                "pass the gradient of each element, or reduce it to one number first");
  }
  backward(std::vector<Tensor>{output},
           {gradient.defined() ? gradient : Tensor::ones(output.shape(), output.dtype(), output.device())});
}

namespace {

void run(const std::vector<Tensor>& outputs, const std::vector<Tensor>& gradients, const LeafFunction* ready) {
  const NoGrad no_grad;
  Pending pending;
  std::vector<TapeNode*> roots;
  std::vector<std::shared_ptr<TapeNode>> keep_alive;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Tensor& output = outputs[i];
    if (!output.requires_grad()) {
      throw Error("backward of a tensor that no tracked tensor leads to", "backward",
                  "set_requires_grad() on a parameter before the forward pass, outside NoGrad");
    }
    if (!(gradients.at(i).shape() == output.shape())) {
      throw Error("gradient of shape " + to_string(gradients[i].shape()) + " for an output of shape " +
                      to_string(output.shape()),
                  "backward", "shapes must agree");
    }
    if (!(gradients[i].device() == output.device())) {
      throw Error("gradient on " + to_string(gradients[i].device()) + " for an output on " + to_string(output.device()),
                  "backward", "move it there with to(device)");
    }
    const auto& meta = output.autograd_meta();
    if (meta->node == nullptr) {
      accumulate(&meta->grad, gradients[i]);
      continue;
    }
    accumulate(slot_of(&pending, *meta), gradients[i]);
    roots.push_back(meta->node.get());
    keep_alive.push_back(meta->node);
  }
  run_back(roots, 0, &pending, ready);
}

}  // namespace

void backward(const std::vector<Tensor>& outputs, const std::vector<Tensor>& gradients) {
  run(outputs, gradients, nullptr);
}

void backward_watched(const Tensor& output, const LeafFunction& ready) {
  run({output}, {Tensor::ones(output.shape(), output.dtype(), output.device())}, &ready);
}

uint64_t tape_position() {
  return recorded;
}

TapeInputs tape_inputs(const Tensor& output, uint64_t start) {
  const auto& own = output.autograd_meta();
  TapeInputs inputs;
  const auto note = [](const std::shared_ptr<AutogradMeta>& meta, std::vector<std::shared_ptr<AutogradMeta>>* all) {
    if (std::find(all->begin(), all->end(), meta) == all->end()) all->push_back(meta);
  };
  for (const TapeNode* node : order_from({own->node.get()}, start)) {
    for (const auto& input : node->inputs) {
      if (input == nullptr) continue;
      if (input->node == nullptr) note(input, &inputs.leaves);
      if (input->node != nullptr && input->node->position < start) note(input, &inputs.results);
    }
    for (const auto& leaf : node->leaves) note(leaf, &inputs.leaves);
  }
  return inputs;
}

void record_checkpoint(const TapeInputs& inputs, const Tensor& output, BackwardFunction backward) {
  record("checkpoint", {}, {output}, std::move(backward));
  TapeNode& node = *output.autograd_meta()->node;
  node.inputs = inputs.results;
  node.leaves = inputs.leaves;
}

std::vector<Tensor> backward_to(const Tensor& output, const Tensor& gradient, uint64_t start,
                                const std::vector<std::shared_ptr<AutogradMeta>>& inputs) {
  const NoGrad no_grad;
  Pending pending;
  const auto& meta = output.autograd_meta();
  accumulate(slot_of(&pending, *meta), gradient);
  // What the outer pass has for the inputs so far is gone on with, so that sums round as they do without a checkpoint.
  for (const auto& input : inputs) {
    if (running != nullptr && running->count(input->node.get()) != 0)
      *slot_of(&pending, *input) = std::exchange(*slot_of(running, *input), Tensor());
  }
  run_back({meta->node.get()}, start, &pending);
  std::vector<Tensor> gradients;
  for (const auto& input : inputs) {
    const auto found = pending.find(input->node.get());
    const auto index = static_cast<size_t>(input->output_index);
    gradients.push_back(found != pending.end() ? std::exchange(found->second[index], Tensor()) : Tensor());
  }
  return gradients;
}

}  // namespace mica
