#pragma once
// The CPU's kernels: one class a subject, each in the file of the subject's name.

#include <map>
#include <mutex>
#include <vector>

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

namespace mica {

class CpuActivation final : public ActivationKernels {
 public:
  void forward(Activation activation, const View& x, const View& y) override;
  void backward(Activation activation, const View& x, const View& dy, const View& dx) override;
  void gated(Activation activation, const View& gate, const View& up, const View& y) override;
  void gated_backward(Activation activation, const View& gate, const View& up, const View& dy, const View& dgate,
                      const View& dup) override;
  void clamped_swiglu(const View& gate, const View& up, double limit, double alpha, const View& y) override;
  void clamped_swiglu_backward(const View& gate, const View& up, double limit, double alpha, const View& dy,
                               const View& dgate, const View& dup) override;
  void softcap(const View& x, double cap, const View& y) override;
  void softcap_backward(const View& y, const View& dy, double cap, const View& dx) override;
};

class CpuAttention final : public AttentionKernels {
 public:
  void forward(const AttentionArguments& arguments, const View& output, const View& log_sum_exp) override;
  void backward(const AttentionArguments& arguments, const View& output, const View& log_sum_exp, const View& d_output,
                const View& d_query, const View& d_key, const View& d_value, const View& d_bias,
                const View& d_sinks) override;
};

class CpuConvolution final : public ConvolutionKernels {
 public:
  void depthwise(const View& x, const Segments& texts, const View& weight, const View& bias, int64_t before,
                 bool flipped, const View& y) override;
  void depthwise_backward(const View& x, const View& dy, const Segments& texts, int64_t before, const View& dweight,
                          const View& dbias) override;
  void unfold(const View& x, const Segments& texts, int64_t before, const View& y) override;
  void fold(const View& dy, const Segments& texts, int64_t before, const View& dx) override;
};

class CpuElementwise final : public ElementwiseKernels {
 public:
  void binary(BinaryOp op, const View& a, const View& b, const View& y) override;
  void compare(CompareOp op, const View& a, const View& b, const View& y) override;
  void unary(UnaryOp op, const View& x, const View& y) override;
  void affine(const View& x, double scale, double shift, const View& y) override;
  void where(const View& condition, const View& a, const View& b, const View& y) override;
};

class CpuEmbedding final : public EmbeddingKernels {
 public:
  void forward(const View& table, const View& ids, const View& y) override;
  void forward_sum(const View* tables, const View* ids, int count, const View& y) override;
  void backward(const View& dy, const View& ids, int64_t padding_idx, const View& dtable) override;
};

class CpuLinear final : public LinearKernels {
 public:
  void matmul(const View& a, bool transpose_a, const View& b, bool transpose_b, const View& c, double alpha,
              double beta) override;
  void product(const View& a, bool transpose_a, const View& b, bool transpose_b, const View& bias, const View& c,
               DType factors, bool add, const ProductExtras& extras) override;
  void forward(const View& x, const View& weight, const Epilogue& epilogue, const View& y) override;
  DType packed_dtype(DType weight_dtype) const override;
  int64_t packed_bytes(int64_t out, int64_t in, DType packed_dtype) const override;
  void pack(const View& weight, int64_t first_row, const PackedWeight& packed) override;
  void forward_packed(const View& x, const PackedWeight& weight, const Epilogue& epilogue, const View& y) override;
  void forward_packed_chain(const View& x, std::span<const ChainStep> steps) override;
};

class CpuLoss final : public LossKernels {
 public:
  void cross_entropy(const View& logits, const View& labels, int64_t ignore_index, const View& loss,
                     const View& log_sum_exp) override;
  void cross_entropy_backward(const View& dloss, const View& logits, const View& labels, int64_t ignore_index,
                              const View& log_sum_exp, const View& dlogits) override;
  void mse(const View& x, const View& target, const View& loss) override;
  void mse_backward(const View& dloss, const View& x, const View& target, const View& dx) override;
  void bce_with_logits(const View& x, const View& target, const View& loss) override;
  void bce_with_logits_backward(const View& dloss, const View& x, const View& target, const View& dx) override;
};

class CpuNorm final : public NormKernels {
 public:
  void layer_norm(const View& x, const View& residual, const View& weight, const View& bias, double eps, const View& y,
                  const View& sum, const View& mean, const View& rstd, const Dropout& dropout) override;
  void layer_norm_backward(const View& dy, const View& sum, const View& mean, const View& rstd, const View& weight,
                           const View& dsum, const Dropout& dropout, const View& ds, const View& dx,
                           const View& dweight, const View& dbias) override;
  void rms_norm(const View& x, const View& weight, double weight_offset, double eps, const View& y,
                const View& rstd) override;
  void rms_norm_backward(const View& dy, const View& x, const View& rstd, const View& weight, double weight_offset,
                         const View& dx, const View& dweight) override;
};

class CpuOptimizer final : public OptimizerKernels {
 public:
  void adamw(std::span<const AdamWItem> items, double gradient_scale, const View& device_scale) override;
  void sgd(std::span<const SgdItem> items, double gradient_scale) override;
  void lion(std::span<const LionItem> items, double gradient_scale) override;
  void adafactor(std::span<const AdafactorItem> items, double gradient_scale) override;
  void sum_of_squares(std::span<const View> tensors, const View& y) override;
};

class CpuQuantize final : public QuantizeKernels {
 public:
  void quantize(const View& x, int64_t group, const View& q, const View& scales) override;
  void dequantize(const View& q, const View& scales, int64_t group, const View& y) override;
};

class CpuRandom final : public RandomKernels {
 public:
  void uniform(uint64_t seed, uint64_t stream, double low, double high, const View& y) override;
  void normal(uint64_t seed, uint64_t stream, double mean, double deviation, const View& y) override;
  void dropout(const Dropout& dropout, const View& x, const View& residual, const View& y) override;
};

class CpuReduce final : public ReduceKernels {
 public:
  void reduce(ReduceOp op, const View& x, const View& y) override;
  void argmax(const View& x, const View& y) override;
  void softmax(const View& x, bool log, const View& y) override;
  void softmax_backward(const View& y, const View& dy, bool log, const View& dx) override;
  void topk(const View& x, const View& values, const View& indices) override;
  void segment_reduce(ReduceOp op, const View& x, const Segments& segments, const View& weights,
                      const View& y) override;
};

class CpuRotary final : public RotaryKernels {
 public:
  void rotate(const View& x, const View& cos, const View& sin, RotaryLayout layout, int64_t offset, bool inverse,
              const View& y) override;
};

class CpuSampling final : public SamplingKernels {
 public:
  void choose(const View& logits, const SamplingRule& rule, const View& streams, const View& indices,
              const View& tokens) override;
};

class CpuScan final : public ScanKernels {
 public:
  void linear(const View& a, const View& b, const View& initial, const Segments& texts, const View& h) override;
  void linear_backward(const View& a, const View& h, const View& initial, const View& dh, const Segments& texts,
                       const View& da, const View& db, const View& dinitial) override;
};

class CpuShape final : public ShapeKernels {
 public:
  void copy(const View& x, const View& y) override;
  void fill(const View& y, double value) override;
  void arange(double start, double step, const View& y) override;
  void put_rows(const View& x, const View& index, const View& y) override;
};

/// A caching allocator. Sizes are rounded up to classes at most an eighth apart; a freed block waits for the next
/// request of its class. Blocks of 2 MiB and more are cut, to 64 KiB, from memory mapped for huge pages.
class CpuMemory final : public Memory {
 public:
  CpuMemory() = default;
  CpuMemory(const CpuMemory&) = delete;
  CpuMemory& operator=(const CpuMemory&) = delete;
  ~CpuMemory() override { trim(); }
  void* allocate(int64_t bytes) override;
  void free(void* data, int64_t bytes) noexcept override;
  void copy_from_host(void* device_data, const void* host_data, int64_t bytes) override;
  void copy_to_host(void* host_data, const void* device_data, int64_t bytes) override;
  void copy(void* to, const void* from, int64_t bytes) override;
  void trim() override;

  /// Bytes handed out, and bytes of freed blocks waiting for reuse.
  int64_t used() const;
  int64_t cached() const;
  /// The most that was handed out at once since watch(), or ever.
  int64_t most_used() const;
  void watch();

 private:
  // Free pages that follow each other.
  struct Range {
    int64_t bytes;
    uint64_t freed;  // when the last of them were
  };
  void* take_cached(int64_t bytes);
  void* take_large(int64_t bytes);
  void* take_fresh(int64_t bytes);
  void add_range(char* data, int64_t bytes);
  bool keep(void* data, int64_t bytes);
  void keep_large(char* data, int64_t bytes);
  void release(int64_t bytes);
  void release_all();

  mutable std::mutex mutex_;
  std::map<int64_t, std::vector<void*>> small_;  // by class
  std::map<char*, Range> large_;                 // no two touch
  struct {
    char* data = nullptr;
    int64_t bytes = 0;
  } fresh_;  // mapped, and never handed out: not counted as cached
  uint64_t clock_ = 0;
  int64_t used_ = 0, cached_ = 0, peak_ = 0, most_ = 0;
};

/// Work is done when a call returns; scratch belongs to the calling thread.
class CpuQueue final : public Queue {
 public:
  void synchronize() override {}
  void* workspace(int64_t bytes) override;
};

class CpuBackend final : public Backend {
 public:
  Device device() const override { return {}; }
  Memory& memory() override { return memory_; }
  Queue& queue() override { return queue_; }
  DType activation_dtype(DType weight_dtype) const override {
    return weight_dtype == DType::float64 ? DType::float64 : DType::float32;
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
  CpuMemory memory_;
  CpuQueue queue_;
  CpuActivation activation_;
  CpuAttention attention_;
  CpuConvolution convolution_;
  CpuElementwise elementwise_;
  CpuEmbedding embedding_;
  CpuLinear linear_;
  CpuLoss loss_;
  CpuNorm norm_;
  CpuOptimizer optimizer_;
  CpuQuantize quantize_;
  CpuRandom random_;
  CpuReduce reduce_;
  CpuRotary rotary_;
  CpuSampling sampling_;
  CpuScan scan_;
  CpuShape shape_;
};

/// Made on first use and never destroyed, so that tensors in static storage can still be freed.
Backend& cpu_backend();

}  // namespace mica
