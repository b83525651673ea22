// What hidden states pass before a head's own layers.

#include <utility>

#include "mica/models/heads/parts.h"

namespace mica {

HeadTransform::HeadTransform(const TransformStyle& style, const Config& config, const Scope& root,
                             const Network& network) {
  if (style.dense.empty()) return;
  const NetworkShape& shape = network.shape();
  const bool bias = style.bias_key.empty() || config.flag(style.bias_key);
  dense_ = Linear(root / style.dense, shape.hidden_size, shape.hidden_size, bias);
  if (!style.norm.empty()) {
    norm_ = Norm(root / style.norm, shape.hidden_size, {.eps = shape.layer_norm_eps, .bias = shape.norm_bias});
  }
  activation_ =
      style.activation_key.empty() ? shape.activation : activation_from_name(config.text(style.activation_key));
}

Tensor HeadTransform::operator()(const Tensor& x) const {
  if (!dense_.defined()) return x;
  return dense_(x, {.activation = activation_, .norm = norm_.defined() ? &norm_ : nullptr});
}

namespace {

class Transformed : public Head {
 public:
  Transformed(HeadTransform transform, std::unique_ptr<Head> head)
      : transform_(std::move(transform)), head_(std::move(head)) {}

  void forward(const Network& network, const Tensor& hidden, const Rows& rows, const ModelInputs& inputs,
               ModelOutput* output) const override {
    head_->forward(network, transform_(hidden), rows, inputs, output);
  }
  Tensor logits(const Tensor& hidden) const override { return head_->logits(transform_(hidden)); }
  std::vector<int64_t> targets(const ModelInputs& inputs) const override { return head_->targets(inputs); }

 private:
  HeadTransform transform_;
  std::unique_ptr<Head> head_;
};

}  // namespace

std::unique_ptr<Head> transformed(std::unique_ptr<Head> head, const TransformStyle& style, const Config& config,
                                  const Scope& root, const Network& network) {
  if (style.dense.empty()) return head;
  return std::make_unique<Transformed>(HeadTransform(style, config, root, network), std::move(head));
}

}  // namespace mica
