#include "mica/autograd/tape.h"

#include <unordered_map>
#include <utility>

#include "mica/base/error.h"
#include "mica/kernels/elementwise.h"

namespace mica {
namespace {

// a + b into fresh memory: gradients may be shared between inputs, so none is ever changed in place.
Tensor sum_of(const Tensor& a, const Tensor& b) {
  const Tensor result = Tensor::empty(a.shape(), a.dtype(), a.device());
  backend(a.device()).elementwise().binary(BinaryOp::add, a.view(), b.view(), result.view());
  return result;
}

void accumulate(Tensor* slot, const Tensor& gradient) {
  *slot = slot->defined() ? sum_of(*slot, gradient) : gradient;
}

// Nodes reachable from the roots, each after all nodes that use its outputs.
std::vector<TapeNode*> order_from(const std::vector<TapeNode*>& roots) {
  std::vector<TapeNode*> finished;
  std::unordered_map<TapeNode*, bool> seen;
  std::vector<std::pair<TapeNode*, size_t>> stack;  // a node and its next input: recursion would overflow on deep nets
  for (TapeNode* root : roots) {
    if (!seen.emplace(root, true).second) continue;
    stack.emplace_back(root, 0);
    while (!stack.empty()) {
      TapeNode* node = stack.back().first;
      if (stack.back().second == node->inputs.size()) {
        finished.push_back(node);
        stack.pop_back();
        continue;
      }
      const auto& input = node->inputs[stack.back().second++];
      if (input != nullptr && input->node != nullptr && seen.emplace(input->node.get(), true).second) {
        stack.emplace_back(input->node.get(), 0);
      }
    }
  }
  return {finished.rbegin(), finished.rend()};
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

void backward(const std::vector<Tensor>& outputs, const std::vector<Tensor>& gradients) {
  const NoGrad no_grad;
  std::unordered_map<TapeNode*, std::vector<Tensor>> pending;
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
    const auto& meta = output.autograd_meta();
    if (meta->node == nullptr) {
      accumulate(&meta->grad, gradients[i]);
      continue;
    }
    auto& slots = pending[meta->node.get()];
    slots.resize(meta->node->output_count);
    accumulate(&slots[static_cast<size_t>(meta->output_index)], gradients[i]);
    roots.push_back(meta->node.get());
    keep_alive.push_back(meta->node);
  }
  for (TapeNode* node : order_from(roots)) {
    const auto found = pending.find(node);
    if (found == pending.end()) continue;  // reachable only through outputs that got no gradient
    if (!node->backward) {
      throw Error("backward through a tape that was used already", node->op, "run the forward pass again");
    }
    const std::vector<Tensor> input_gradients = node->backward(found->second);
    pending.erase(found);
    node->backward = nullptr;  // frees what it kept
    for (size_t i = 0; i < node->inputs.size(); ++i) {
      const auto& input = node->inputs[i];
      if (input == nullptr || i >= input_gradients.size() || !input_gradients[i].defined()) continue;
      if (!(input_gradients[i].shape() == node->input_shapes[i])) {
        throw Error("gradient of shape " + to_string(input_gradients[i].shape()) + " for input " + std::to_string(i) +
                        " of shape " + to_string(node->input_shapes[i]),
                    node->op, "this is a fault of the op's backward");
      }
      if (input->node == nullptr) {
        accumulate(&input->grad, input_gradients[i]);
      } else {
        auto& slots = pending[input->node.get()];
        slots.resize(input->node->output_count);
        accumulate(&slots[static_cast<size_t>(input->output_index)], input_gradients[i]);
      }
    }
  }
}

}  // namespace mica
