#include "mica/tests/support/guarded_device.h"

#include <cstdlib>
#include <new>
#include <span>
#include <string>

#include "mica/base/error.h"
#include "mica/kernels/activation.h"
#include "mica/kernels/attention.h"
#include "mica/kernels/convolution.h"
#include "mica/kernels/elementwise.h"
#include "mica/kernels/embedding.h"
#include "mica/kernels/linear.h"
#include "mica/kernels/loss.h"
#include "mica/kernels/norm.h"
#include "mica/kernels/optimizer.h"
#include "mica/kernels/quantize.h"
#include "mica/kernels/random.h"
#include "mica/kernels/reduce.h"
#include "mica/kernels/rotary.h"
#include "mica/kernels/sampling.h"
#include "mica/kernels/scan.h"
#include "mica/kernels/shape.h"
#include "mica/tests/support/guarded_call.h"
#include "mica/tests/support/guarded_memory.h"

namespace mica::test {
namespace {

Backend& cpu() {
  return backend(Device{});
}

class GuardedActivation final : public ActivationKernels {
 public:
  void forward(Activation activation, const View& x, const View& y) override {
    GuardedCall call("activation.forward", x, y);
    cpu().activation().forward(activation, call.wide(x), call.wide(y));
  }
  void backward(Activation activation, const View& x, const View& dy, const View& dx) override {
    GuardedCall call("activation.backward", x, dy, dx);
    cpu().activation().backward(activation, call.wide(x), call.wide(dy), call.wide(dx));
  }
  void gated(Activation activation, const View& gate, const View& up, const View& y) override {
    GuardedCall call("activation.gated", gate, up, y);
    cpu().activation().gated(activation, call.wide(gate), call.wide(up), call.wide(y));
  }
  void gated_backward(Activation activation, const View& gate, const View& up, const View& dy, const View& dgate,
                      const View& dup) override {
    GuardedCall call("activation.gated_backward", gate, up, dy, dgate, dup);
    cpu().activation().gated_backward(activation, call.wide(gate), call.wide(up), call.wide(dy), call.wide(dgate),
                                      call.wide(dup));
  }
  void clamped_swiglu(const View& gate, const View& up, double limit, double alpha, const View& y) override {
    GuardedCall call("activation.clamped_swiglu", gate, up, y);
    cpu().activation().clamped_swiglu(call.wide(gate), call.wide(up), limit, alpha, call.wide(y));
  }
  void clamped_swiglu_backward(const View& gate, const View& up, double limit, double alpha, const View& dy,
                               const View& dgate, const View& dup) override {
    GuardedCall call("activation.clamped_swiglu_backward", gate, up, dy, dgate, dup);
    cpu().activation().clamped_swiglu_backward(call.wide(gate), call.wide(up), limit, alpha, call.wide(dy),
                                               call.wide(dgate), call.wide(dup));
  }
  void softcap(const View& x, double cap, const View& y) override {
    GuardedCall call("activation.softcap", x, y);
    cpu().activation().softcap(call.wide(x), cap, call.wide(y));
  }
  void softcap_backward(const View& y, const View& dy, double cap, const View& dx) override {
    GuardedCall call("activation.softcap_backward", y, dy, dx);
    cpu().activation().softcap_backward(call.wide(y), call.wide(dy), cap, call.wide(dx));
  }
};

class GuardedAttention final : public AttentionKernels {
 public:
  void forward(const AttentionArguments& arguments, const View& output, const View& log_sum_exp) override {
    GuardedCall call("attention.forward", arguments, output, log_sum_exp);
    cpu().attention().forward(call.wide(arguments), call.wide(output), call.wide(log_sum_exp));
  }
  void backward(const AttentionArguments& arguments, const View& output, const View& log_sum_exp, const View& d_output,
                const View& d_query, const View& d_key, const View& d_value, const View& d_bias,
                const View& d_sinks) override {
    GuardedCall call("attention.backward", arguments, output, log_sum_exp, d_output, d_query, d_key, d_value, d_bias,
                     d_sinks);
    cpu().attention().backward(call.wide(arguments, true), call.wide(output), call.wide(log_sum_exp),
                               call.wide(d_output), call.wide(d_query), call.wide(d_key), call.wide(d_value),
                               call.wide(d_bias), call.wide(d_sinks));
  }
};

class GuardedConvolution final : public ConvolutionKernels {
 public:
  void depthwise(const View& x, const Segments& texts, const View& weight, const View& bias, int64_t before,
                 bool flipped, const View& y) override {
    GuardedCall call("convolution.depthwise", x, texts, weight, bias, y);
    cpu().convolution().depthwise(call.wide(x), texts, call.wide(weight), call.wide(bias), before, flipped,
                                  call.wide(y));
  }
  void depthwise_backward(const View& x, const View& dy, const Segments& texts, int64_t before, const View& dweight,
                          const View& dbias) override {
    GuardedCall call("convolution.depthwise_backward", x, dy, texts, dweight, dbias);
    cpu().convolution().depthwise_backward(call.wide(x), call.wide(dy), texts, before, call.wide(dweight),
                                           call.wide(dbias));
  }
  void unfold(const View& x, const Segments& texts, int64_t before, const View& y) override {
    GuardedCall call("convolution.unfold", x, texts, y);
    cpu().convolution().unfold(call.wide(x), texts, before, call.wide(y));
  }
  void fold(const View& dy, const Segments& texts, int64_t before, const View& dx) override {
    GuardedCall call("convolution.fold", dy, texts, dx);
    cpu().convolution().fold(call.wide(dy), texts, before, call.wide(dx));
  }
};

class GuardedElementwise final : public ElementwiseKernels {
 public:
  void binary(BinaryOp op, const View& a, const View& b, const View& y) override {
    GuardedCall call("elementwise.binary", a, b, y);
    cpu().elementwise().binary(op, call.wide(a), call.wide(b), call.wide(y));
  }
  void compare(CompareOp op, const View& a, const View& b, const View& y) override {
    GuardedCall call("elementwise.compare", a, b, y);
    cpu().elementwise().compare(op, call.wide(a), call.wide(b), call.wide(y));
  }
  void unary(UnaryOp op, const View& x, const View& y) override {
    GuardedCall call("elementwise.unary", x, y);
    cpu().elementwise().unary(op, call.wide(x), call.wide(y));
  }
  void affine(const View& x, double scale, double shift, const View& y) override {
    GuardedCall call("elementwise.affine", x, y);
    cpu().elementwise().affine(call.wide(x), scale, shift, call.wide(y));
  }
  void where(const View& condition, const View& a, const View& b, const View& y) override {
    GuardedCall call("elementwise.where", condition, a, b, y);
    cpu().elementwise().where(call.wide(condition), call.wide(a), call.wide(b), call.wide(y));
  }
};

class GuardedEmbedding final : public EmbeddingKernels {
 public:
  void forward(const View& table, const View& ids, const View& y) override {
    GuardedCall call("embedding.forward", table, ids, y);
    cpu().embedding().forward(table, call.wide(ids), call.wide(y));
  }
  void forward_sum(const View* tables, const View* ids, int count, const View& y) override {
    GuardedCall call("embedding.forward_sum", std::span(tables, static_cast<size_t>(count)),
                     std::span(ids, static_cast<size_t>(count)), y);
    cpu().embedding().forward_sum(tables, ids, count, call.wide(y));
  }
  void backward(const View& dy, const View& ids, int64_t padding_idx, const View& dtable) override {
    GuardedCall call("embedding.backward", dy, ids, dtable);
    cpu().embedding().backward(call.wide(dy), call.wide(ids), padding_idx, call.wide(dtable));
  }
};

class GuardedLinear final : public LinearKernels {
 public:
  void matmul(const View& a, bool transpose_a, const View& b, bool transpose_b, const View& c, double alpha,
              double beta) override {
    GuardedCall call("linear.matmul", a, b, c);
    cpu().linear().matmul(call.wide(a), transpose_a, call.wide(b), transpose_b, call.wide(c), alpha, beta);
  }
  void product(const View& a, bool transpose_a, const View& b, bool transpose_b, const View& bias, const View& c,
               DType factors, bool add, const ProductExtras& extras) override {
    GuardedCall call("linear.product", a, b, bias, c, extras.before, extras.activated, extras.a_sums, extras.b_sums);
    cpu().linear().product(call.wide(a), transpose_a, call.wide(b), transpose_b, call.wide(bias), call.wide(c), factors,
                           add,
                           {.activation = extras.activation,
                            .before = call.wide(extras.before),
                            .activated = call.wide(extras.activated),
                            .a_sums = call.wide(extras.a_sums),
                            .b_sums = call.wide(extras.b_sums)});
  }
  void forward(const View& x, const View& weight, const Epilogue& epilogue, const View& y) override {
    GuardedCall call("linear.forward", x, weight, epilogue, y);
    cpu().linear().forward(call.wide(x), weight, call.wide(epilogue), call.wide(y));
  }
  DType packed_dtype(DType weight_dtype) const override { return cpu().linear().packed_dtype(weight_dtype); }
  int64_t packed_bytes(int64_t out, int64_t in, DType packed_dtype) const override {
    return cpu().linear().packed_bytes(out, in, packed_dtype);
  }
  void pack(const View& weight, int64_t first_row, const PackedWeight& packed) override {
    GuardedCall call("linear.pack", weight, packed);
    cpu().linear().pack(weight, first_row, packed);
  }
  void forward_packed(const View& x, const PackedWeight& weight, const Epilogue& epilogue, const View& y) override {
    GuardedCall call("linear.forward_packed", x, weight, epilogue, y);
    cpu().linear().forward_packed(call.wide(x), weight, call.wide(epilogue), call.wide(y));
  }
  void forward_packed_chain(const View& x, std::span<const ChainStep> steps) override {
    GuardedCall call("linear.forward_packed_chain", x, steps);
    cpu().linear().forward_packed_chain(call.wide(x), call.wide(steps));
  }
};

class GuardedLoss final : public LossKernels {
 public:
  void cross_entropy(const View& logits, const View& labels, int64_t ignore_index, const View& loss,
                     const View& log_sum_exp) override {
    GuardedCall call("loss.cross_entropy", logits, labels, loss, log_sum_exp);
    cpu().loss().cross_entropy(call.wide(logits), call.wide(labels), ignore_index, call.wide(loss),
                               call.wide(log_sum_exp));
  }
  void cross_entropy_backward(const View& dloss, const View& logits, const View& labels, int64_t ignore_index,
                              const View& log_sum_exp, const View& dlogits) override {
    GuardedCall call("loss.cross_entropy_backward", dloss, logits, labels, log_sum_exp, dlogits);
    cpu().loss().cross_entropy_backward(call.wide(dloss), call.wide(logits), call.wide(labels), ignore_index,
                                        call.wide(log_sum_exp), call.wide(dlogits));
  }
  void mse(const View& x, const View& target, const View& loss) override {
    GuardedCall call("loss.mse", x, target, loss);
    cpu().loss().mse(call.wide(x), call.wide(target), call.wide(loss));
  }
  void mse_backward(const View& dloss, const View& x, const View& target, const View& dx) override {
    GuardedCall call("loss.mse_backward", dloss, x, target, dx);
    cpu().loss().mse_backward(call.wide(dloss), call.wide(x), call.wide(target), call.wide(dx));
  }
  void bce_with_logits(const View& x, const View& target, const View& loss) override {
    GuardedCall call("loss.bce_with_logits", x, target, loss);
    cpu().loss().bce_with_logits(call.wide(x), call.wide(target), call.wide(loss));
  }
  void bce_with_logits_backward(const View& dloss, const View& x, const View& target, const View& dx) override {
    GuardedCall call("loss.bce_with_logits_backward", dloss, x, target, dx);
    cpu().loss().bce_with_logits_backward(call.wide(dloss), call.wide(x), call.wide(target), call.wide(dx));
  }
};

class GuardedNorm final : public NormKernels {
 public:
  void layer_norm(const View& x, const View& residual, const View& weight, const View& bias, double eps, const View& y,
                  const View& sum, const View& mean, const View& rstd, const Dropout& dropout) override {
    GuardedCall call("norm.layer_norm", x, residual, weight, bias, y, sum, mean, rstd);
    cpu().norm().layer_norm(call.wide(x), call.wide(residual), call.wide(weight), call.wide(bias), eps, call.wide(y),
                            call.wide(sum), call.wide(mean), call.wide(rstd), dropout);
  }
  void layer_norm_backward(const View& dy, const View& sum, const View& mean, const View& rstd, const View& weight,
                           const View& dsum, const Dropout& dropout, const View& ds, const View& dx,
                           const View& dweight, const View& dbias) override {
    GuardedCall call("norm.layer_norm_backward", dy, sum, mean, rstd, weight, dsum, ds, dx, dweight, dbias);
    cpu().norm().layer_norm_backward(call.wide(dy), call.wide(sum), call.wide(mean), call.wide(rstd), call.wide(weight),
                                     call.wide(dsum), dropout, call.wide(ds), call.wide(dx), call.wide(dweight),
                                     call.wide(dbias));
  }
  void rms_norm(const View& x, const View& weight, double weight_offset, double eps, const View& y,
                const View& rstd) override {
    GuardedCall call("norm.rms_norm", x, weight, y, rstd);
    cpu().norm().rms_norm(call.wide(x), call.wide(weight), weight_offset, eps, call.wide(y), call.wide(rstd));
  }
  void rms_norm_backward(const View& dy, const View& x, const View& rstd, const View& weight, double weight_offset,
                         const View& dx, const View& dweight) override {
    GuardedCall call("norm.rms_norm_backward", dy, x, rstd, weight, dx, dweight);
    cpu().norm().rms_norm_backward(call.wide(dy), call.wide(x), call.wide(rstd), call.wide(weight), weight_offset,
                                   call.wide(dx), call.wide(dweight));
  }
};

class GuardedOptimizer final : public OptimizerKernels {
 public:
  void adamw(std::span<const AdamWItem> items, double gradient_scale, const View& device_scale) override {
    GuardedCall call("optimizer.adamw", items, device_scale);
    cpu().optimizer().adamw(items, gradient_scale, device_scale);
  }
  void sgd(std::span<const SgdItem> items, double gradient_scale) override {
    GuardedCall call("optimizer.sgd", items);
    cpu().optimizer().sgd(items, gradient_scale);
  }
  void lion(std::span<const LionItem> items, double gradient_scale) override {
    GuardedCall call("optimizer.lion", items);
    cpu().optimizer().lion(items, gradient_scale);
  }
  void adafactor(std::span<const AdafactorItem> items, double gradient_scale) override {
    GuardedCall call("optimizer.adafactor", items);
    cpu().optimizer().adafactor(items, gradient_scale);
  }
  void sum_of_squares(std::span<const View> tensors, const View& y) override {
    GuardedCall call("optimizer.sum_of_squares", tensors, y);
    cpu().optimizer().sum_of_squares(tensors, call.wide(y));
  }
};

class GuardedQuantize final : public QuantizeKernels {
 public:
  void quantize(const View& x, int64_t group, const View& q, const View& scales) override {
    GuardedCall call("quantize.quantize", x, q, scales);
    cpu().quantize().quantize(call.wide(x), group, q, scales);
  }
  void dequantize(const View& q, const View& scales, int64_t group, const View& y) override {
    GuardedCall call("quantize.dequantize", q, scales, y);
    cpu().quantize().dequantize(q, scales, group, call.wide(y));
  }
};

class GuardedRandom final : public RandomKernels {
 public:
  void uniform(uint64_t seed, uint64_t stream, double low, double high, const View& y) override {
    GuardedCall call("random.uniform", y);
    cpu().random().uniform(seed, stream, low, high, call.wide(y));
  }
  void normal(uint64_t seed, uint64_t stream, double mean, double deviation, const View& y) override {
    GuardedCall call("random.normal", y);
    cpu().random().normal(seed, stream, mean, deviation, call.wide(y));
  }
  void dropout(const Dropout& dropout, const View& x, const View& residual, const View& y) override {
    GuardedCall call("random.dropout", x, residual, y);
    cpu().random().dropout(dropout, call.wide(x), call.wide(residual), call.wide(y));
  }
};

class GuardedReduce final : public ReduceKernels {
 public:
  void reduce(ReduceOp op, const View& x, const View& y) override {
    GuardedCall call("reduce.reduce", x, y);
    cpu().reduce().reduce(op, call.wide(x), call.wide(y));
  }
  void argmax(const View& x, const View& y) override {
    GuardedCall call("reduce.argmax", x, y);
    cpu().reduce().argmax(call.wide(x), call.wide(y));
  }
  void softmax(const View& x, bool log, const View& y) override {
    GuardedCall call("reduce.softmax", x, y);
    cpu().reduce().softmax(call.wide(x), log, call.wide(y));
  }
  void softmax_backward(const View& y, const View& dy, bool log, const View& dx) override {
    GuardedCall call("reduce.softmax_backward", y, dy, dx);
    cpu().reduce().softmax_backward(call.wide(y), call.wide(dy), log, call.wide(dx));
  }
  void topk(const View& x, const View& values, const View& indices) override {
    GuardedCall call("reduce.topk", x, values, indices);
    cpu().reduce().topk(call.wide(x), call.wide(values), call.wide(indices));
  }
  void segment_reduce(ReduceOp op, const View& x, const Segments& segments, const View& weights,
                      const View& y) override {
    GuardedCall call("reduce.segment_reduce", x, segments, weights, y);
    cpu().reduce().segment_reduce(op, call.wide(x), segments, call.wide(weights), call.wide(y));
  }
};

class GuardedRotary final : public RotaryKernels {
 public:
  void rotate(const View& x, const View& cos, const View& sin, RotaryLayout layout, int64_t offset, bool inverse,
              const View& y) override {
    GuardedCall call("rotary.rotate", x, cos, sin, y);
    cpu().rotary().rotate(call.wide(x), call.wide(cos), call.wide(sin), layout, offset, inverse, call.wide(y));
  }
};

class GuardedSampling final : public SamplingKernels {
 public:
  void choose(const View& logits, const SamplingRule& rule, const View& streams, const View& indices,
              const View& tokens) override {
    GuardedCall call("sampling.choose", logits, streams, indices, tokens);
    cpu().sampling().choose(logits, rule, streams, indices, tokens);
  }
};

class GuardedScan final : public ScanKernels {
 public:
  void linear(const View& a, const View& b, const View& initial, const Segments& texts, const View& h) override {
    GuardedCall call("scan.linear", a, b, initial, texts, h);
    cpu().scan().linear(call.wide(a), call.wide(b), call.wide(initial), texts, call.wide(h));
  }
  void linear_backward(const View& a, const View& h, const View& initial, const View& dh, const Segments& texts,
                       const View& da, const View& db, const View& dinitial) override {
    GuardedCall call("scan.linear_backward", a, h, initial, dh, texts, da, db, dinitial);
    cpu().scan().linear_backward(call.wide(a), call.wide(h), call.wide(initial), call.wide(dh), texts, call.wide(da),
                                 call.wide(db), call.wide(dinitial));
  }
};

class GuardedShape final : public ShapeKernels {
 public:
  void copy(const View& x, const View& y) override {
    GuardedCall call("shape.copy", x, y);
    cpu().shape().copy(x, y);
  }
  void fill(const View& y, double value) override {
    GuardedCall call("shape.fill", y);
    cpu().shape().fill(y, value);
  }
  void arange(double start, double step, const View& y) override {
    GuardedCall call("shape.arange", y);
    cpu().shape().arange(start, step, call.wide(y));
  }
  void put_rows(const View& x, const View& index, const View& y) override {
    GuardedCall call("shape.put_rows", x, index, y);
    cpu().shape().put_rows(x, index, y);
  }
};

class GuardedQueue final : public Queue {
 public:
  void synchronize() override { cpu().queue().synchronize(); }
  void* workspace(int64_t) override {
    throw Error("scratch of the guarded device", "cuda:9", "it belongs to kernels, which use the CPU's here");
  }
};

class GuardedBackend final : public Backend {
 public:
  GuardedBackend(int index, bool narrow) : index_(index), narrow_(narrow) {}
  Device device() const override { return {DeviceType::cuda, index_}; }
  Memory& memory() override { return guarded_memory(); }
  Queue& queue() override { return queue_; }
  DType activation_dtype(DType weight_dtype) const override {
    return narrow_ ? weight_dtype : cpu().activation_dtype(weight_dtype);
  }

  ActivationKernels& activation() override { return activation_; }
  AttentionKernels& attention() override { return attention_; }
  ConvolutionKernels& convolution() override { return convolution_; }
  ElementwiseKernels& elementwise() override { return elementwise_; }
  EmbeddingKernels& embedding() override { return embedding_; }
  LinearKernels& linear() override { return linear_; }
  LossKernels& loss() override { return loss_; }
  NormKernels& norm() override { return norm_; }
  OptimizerKernels& optimizer() override { return optimizer_; }
  QuantizeKernels& quantize() override { return quantize_; }
  RandomKernels& random() override { return random_; }
  ReduceKernels& reduce() override { return reduce_; }
  RotaryKernels& rotary() override { return rotary_; }
  SamplingKernels& sampling() override { return sampling_; }
  ScanKernels& scan() override { return scan_; }
  ShapeKernels& shape() override { return shape_; }

 private:
  int index_;
  bool narrow_;  // activations are of the weights' dtype
  GuardedQueue queue_;
  GuardedActivation activation_;
  GuardedAttention attention_;
  GuardedConvolution convolution_;
  GuardedElementwise elementwise_;
  GuardedEmbedding embedding_;
  GuardedLinear linear_;
  GuardedLoss loss_;
  GuardedNorm norm_;
  GuardedOptimizer optimizer_;
  GuardedQuantize quantize_;
  GuardedRandom random_;
  GuardedReduce reduce_;
  GuardedRotary rotary_;
  GuardedSampling sampling_;
  GuardedScan scan_;
  GuardedShape shape_;
};

}  // namespace

Device guarded_device() {
  static auto* const registered = [] {
    auto* const made = ::new GuardedBackend(9, false);
    register_backend(*made);
    return made;
  }();
  return registered->device();
}

Device narrow_guarded_device() {
  static auto* const registered = [] {
    auto* const made = ::new GuardedBackend(8, true);
    register_backend(*made);
    return made;
  }();
  return registered->device();
}

Device test_device() {
  const char* name = std::getenv("MICA_TEST_DEVICE");
  if (name == nullptr) return {};
  const Device device = device_from_string(name);
  guarded_device();
  narrow_guarded_device();
  return device;
}

int64_t copies_to_host() {
  return guarded_memory().copies_to_host();
}

int64_t copies_from_host() {
  return guarded_memory().copies_from_host();
}

}  // namespace mica::test
