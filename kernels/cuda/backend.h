#pragma once
// The CUDA backend's kernels: one class a subject, each in the file of the subject's name. One backend a device.

#include <cstddef>
#include <map>
#include <mutex>
#include <vector>

#include "mica/kernels/activation.h"
#include "mica/kernels/attention.h"
#include "mica/kernels/convolution.h"
#include "mica/kernels/cuda/device/fault.h"
#include "mica/kernels/cuda/runtime.h"
#include "mica/kernels/cuda/uploads.h"
#include "mica/kernels/elementwise.h"
#include "mica/kernels/embedding.h"
#include "mica/kernels/experts.h"
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

namespace mica::cuda {

/// Throws the Error that a kernel reported, once; the stream must have been waited for.
void check_fault(Fault* fault);

/// Memory of a recording: blocks that were handed out while it was made. Those that were freed then wait for requests
/// of the same recording, and for nobody else.
struct MemoryPool {
  /// What copies from the host brought: the recording copies it from here.
  struct Upload {
    void* data = nullptr;
    std::vector<std::byte> bytes;
  };
  std::map<int64_t, std::vector<void*>> free;  // by class
  std::map<void*, int64_t> all;                // and the class of each
  std::vector<Upload> uploads;
  bool keeps_uploads = false;
};

/// A caching allocator over the device's memory. Sizes are rounded up to classes at most an eighth apart; a freed block
/// waits for the next request of its class. All work of a device runs on one stream, so that a block may be handed out
/// again while the work that used it last is still to be done.
class CudaMemory final : public UploadingMemory {
 public:
  CudaMemory(int index, const Stream& stream, Fault* const& fault)
      : index_(index), stream_(stream), fault_(fault), uploads_(index, stream) {}
  void* allocate(int64_t bytes) override;
  void free(void* data, int64_t bytes) noexcept override;
  void copy_from_host(void* device_data, const void* host_data, int64_t bytes) override;
  void copy_to_host(void* host_data, const void* device_data, int64_t bytes) override;
  void copy(void* to, const void* from, int64_t bytes) override;
  void trim() override;
  void upload(Upload what) override;
  void settle(const void* block) override { uploads_.settle(block); }
  /// Of all blocks, before a recording: one cannot wait for what is not in it.
  void settle_all() { uploads_.settle_all(); }

  /// From here to end_pool(), on behalf of a recording, blocks come from the pool and those of the pool go back to it;
  /// other blocks may be freed, and go where they came from.
  void begin_pool(MemoryPool& pool);
  void end_pool();
  bool pools() const { return pool_ != nullptr; }
  /// Takes the pool's blocks back. One that is still in use is an ordinary one from now on.
  void release_pool(MemoryPool& pool) noexcept;

  /// Bytes handed out, all of the pools among them, and bytes of freed blocks waiting for reuse.
  int64_t used() const;
  int64_t cached() const;

 private:
  void release_cached();
  /// A block of the pool; null when there is no memory. `fresh`: nothing that was recorded has touched it.
  void* allocate_pooled(int64_t size, bool fresh);
  [[noreturn]] void refuse(int64_t bytes, int64_t free_bytes) const;
  void keep_upload(void* device_data, const void* host_data, int64_t bytes);
  void keep(void* data, int64_t size) noexcept;
  int index_;
  const Stream& stream_;
  Fault* const& fault_;
  CudaUploads uploads_;
  mutable std::mutex mutex_;
  std::map<int64_t, std::vector<void*>> free_;  // by class
  int64_t used_ = 0, cached_ = 0;
  MemoryPool* pool_ = nullptr;           // of the recording that is being made
  std::map<void*, MemoryPool*> pooled_;  // blocks of pools
};

/// One stream, and scratch that the kernels on it take turns in.
class CudaQueue final : public Queue {
 public:
  CudaQueue(const Stream& stream, CudaMemory& memory, Fault* const& fault)
      : stream_(stream), memory_(memory), fault_(fault) {}
  void synchronize() override;
  void* workspace(int64_t bytes) override;
  /// A recording has scratch of its own, from its pool: nobody else's growth may move it.
  void end_pool();

 private:
  struct Scratch {
    void* data = nullptr;
    int64_t bytes = 0;
  };
  const Stream& stream_;
  CudaMemory& memory_;
  Fault* const& fault_;
  Scratch scratch_, recorded_;
};

/// What the subjects share: which device, its stream, memory and scratch.
struct CudaDevice {
  explicit CudaDevice(int number) : index(number), memory(number, stream, fault), queue(stream, memory, fault) {}
  Device device() const { return {DeviceType::cuda, index}; }
  /// Makes the device current for this host thread, and its stream and fault at the first call.
  void enter();

  int index;
  Stream stream = nullptr;
  Fault* fault = nullptr;  // for kernels to write
  CudaMemory memory;
  CudaQueue queue;
};

class CudaActivation final : public ActivationKernels {
 public:
  explicit CudaActivation(CudaDevice& device) : device_(device) {}
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

 private:
  CudaDevice& device_;
};

class CudaAttention final : public AttentionKernels {
 public:
  explicit CudaAttention(CudaDevice& device) : device_(device) {}
  void forward(const AttentionArguments& arguments, const View& output, const View& log_sum_exp) override;
  void backward(const AttentionArguments& arguments, const View& output, const View& log_sum_exp, const View& d_output,
                const View& d_query, const View& d_key, const View& d_value, const View& d_bias,
                const View& d_sinks) override;

 private:
  CudaDevice& device_;
};

class CudaConvolution final : public ConvolutionKernels {
 public:
  explicit CudaConvolution(CudaDevice& device) : device_(device) {}
  void depthwise(const View& x, const Segments& texts, const View& weight, const View& bias, int64_t before,
                 bool flipped, const View& y) override;
  void depthwise_backward(const View& x, const View& dy, const Segments& texts, int64_t before, const View& dweight,
                          const View& dbias) override;
  void unfold(const View& x, const Segments& texts, int64_t before, const View& y) override;
  void fold(const View& dy, const Segments& texts, int64_t before, const View& dx) override;

 private:
  CudaDevice& device_;
};

class CudaElementwise final : public ElementwiseKernels {
 public:
  explicit CudaElementwise(CudaDevice& device) : device_(device) {}
  void binary(BinaryOp op, const View& a, const View& b, const View& y) override;
  void compare(CompareOp op, const View& a, const View& b, const View& y) override;
  void unary(UnaryOp op, const View& x, const View& y) override;
  void affine(const View& x, double scale, double shift, const View& y) override;
  void where(const View& condition, const View& a, const View& b, const View& y) override;

 private:
  CudaDevice& device_;
};

class CudaEmbedding final : public EmbeddingKernels {
 public:
  explicit CudaEmbedding(CudaDevice& device) : device_(device) {}
  void forward(const View& table, const View& ids, const View& y) override;
  void forward_sum(const View* tables, const View* ids, int count, const View& y) override;
  void backward(const View& dy, const View& ids, int64_t padding_idx, const View& dtable) override;

 private:
  CudaDevice& device_;
};

class CudaExperts final : public ExpertsKernels {
 public:
  explicit CudaExperts(CudaDevice& device) : device_(device) {}
  void choose(const View& scores, const ExpertChoice& choice, const View& experts, const View& weights) override;
  void choose_backward(const View& experts, const View& dweights, const View& dscores) override;
  void order(const View& experts, const ExpertPlaces& places) override;
  void gather(const View& x, const View& weights, const ExpertPlaces& places, const View& y) override;
  void combine(const View& x, const View& weights, const ExpertPlaces& places, const View& y) override;
  void combine_weights_backward(const View& dy, const View& x, const ExpertPlaces& places,
                                const View& dweights) override;
  void product(const View& x, const ExpertMatrices& weights, const ExpertVectors& biases, const ExpertPlaces& places,
               DType factors, bool add, const View& y) override;
  void weight_gradients(const View& a, const View& b, const ExpertPlaces& places, DType factors,
                        const View& c) override;

 private:
  CudaDevice& device_;
};

class CudaLinear final : public LinearKernels {
 public:
  explicit CudaLinear(CudaDevice& device) : device_(device), experts_(device) {}
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
  ExpertsKernels* experts() override { return &experts_; }

 private:
  CudaDevice& device_;
  CudaExperts experts_;
};

class CudaLoss final : public LossKernels {
 public:
  explicit CudaLoss(CudaDevice& device) : device_(device) {}
  void cross_entropy(const View& logits, const View& labels, int64_t ignore_index, const View& loss,
                     const View& log_sum_exp) override;
  void cross_entropy_backward(const View& dloss, const View& logits, const View& labels, int64_t ignore_index,
                              const View& log_sum_exp, const View& dlogits) override;
  void mse(const View& x, const View& target, const View& loss) override;
  void mse_backward(const View& dloss, const View& x, const View& target, const View& dx) override;
  void bce_with_logits(const View& x, const View& target, const View& loss) override;
  void bce_with_logits_backward(const View& dloss, const View& x, const View& target, const View& dx) override;

 private:
  CudaDevice& device_;
};

class CudaNorm final : public NormKernels {
 public:
  explicit CudaNorm(CudaDevice& device) : device_(device) {}
  void layer_norm(const View& x, const View& residual, const View& weight, const View& bias, double eps, const View& y,
                  const View& sum, const View& mean, const View& rstd, const Dropout& dropout) override;
  void layer_norm_backward(const View& dy, const View& sum, const View& mean, const View& rstd, const View& weight,
                           const View& dsum, const Dropout& dropout, const View& ds, const View& dx,
                           const View& dweight, const View& dbias) override;
  void rms_norm(const View& x, const View& weight, double weight_offset, double eps, const View& y,
                const View& rstd) override;
  void rms_norm_backward(const View& dy, const View& x, const View& rstd, const View& weight, double weight_offset,
                         const View& dx, const View& dweight) override;

 private:
  CudaDevice& device_;
};

class CudaOptimizer final : public OptimizerKernels {
 public:
  explicit CudaOptimizer(CudaDevice& device) : device_(device) {}
  void adamw(std::span<const AdamWItem> items, double gradient_scale, const View& device_scale) override;
  void sgd(std::span<const SgdItem> items, double gradient_scale) override;
  void lion(std::span<const LionItem> items, double gradient_scale) override;
  void adafactor(std::span<const AdafactorItem> items, double gradient_scale) override;
  void sum_of_squares(std::span<const View> tensors, const View& y) override;

 private:
  CudaDevice& device_;
};

class CudaQuantize final : public QuantizeKernels {
 public:
  explicit CudaQuantize(CudaDevice& device) : device_(device) {}
  void quantize(const View& x, int64_t group, const View& q, const View& scales) override;
  void dequantize(const View& q, const View& scales, int64_t group, const View& y) override;

 private:
  CudaDevice& device_;
};

class CudaRandom final : public RandomKernels {
 public:
  explicit CudaRandom(CudaDevice& device) : device_(device) {}
  void uniform(uint64_t seed, uint64_t stream, double low, double high, const View& y) override;
  void normal(uint64_t seed, uint64_t stream, double mean, double deviation, const View& y) override;
  void dropout(const Dropout& dropout, const View& x, const View& residual, const View& y) override;

 private:
  CudaDevice& device_;
};

class CudaReduce final : public ReduceKernels {
 public:
  explicit CudaReduce(CudaDevice& device) : device_(device) {}
  void reduce(ReduceOp op, const View& x, const View& y) override;
  void argmax(const View& x, const View& y) override;
  void softmax(const View& x, bool log, const View& y) override;
  void softmax_backward(const View& y, const View& dy, bool log, const View& dx) override;
  void topk(const View& x, const View& values, const View& indices) override;
  void segment_reduce(ReduceOp op, const View& x, const Segments& segments, const View& weights,
                      const View& y) override;

 private:
  CudaDevice& device_;
};

class CudaRotary final : public RotaryKernels {
 public:
  explicit CudaRotary(CudaDevice& device) : device_(device) {}
  void rotate(const View& x, const View& cos, const View& sin, RotaryLayout layout, int64_t offset, bool inverse,
              const View& y) override;
  bool places_heads() const override { return true; }
  void place_heads(const mica::HeadRows& heads) override;

 private:
  CudaDevice& device_;
};

class CudaSampling final : public SamplingKernels {
 public:
  explicit CudaSampling(CudaDevice& device) : device_(device) {}
  void choose(const View& logits, const SamplingRule& rule, const View& streams, const View& indices,
              const View& tokens) override;

 private:
  CudaDevice& device_;
};

class CudaScan final : public ScanKernels {
 public:
  explicit CudaScan(CudaDevice& device) : device_(device) {}
  void linear(const View& a, const View& b, const View& initial, const Segments& texts, const View& h) override;
  void linear_backward(const View& a, const View& h, const View& initial, const View& dh, const Segments& texts,
                       const View& da, const View& db, const View& dinitial) override;

 private:
  CudaDevice& device_;
};

class CudaShape final : public ShapeKernels {
 public:
  explicit CudaShape(CudaDevice& device) : device_(device) {}
  void copy(const View& x, const View& y) override;
  void fill(const View& y, double value) override;
  void arange(double start, double step, const View& y) override;
  void put_rows(const View& x, const View& index, const View& y) override;

 private:
  CudaDevice& device_;
};

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(int index) : on_(index) {}
  Device device() const override { return on_.device(); }
  Memory& memory() override { return entered().memory; }
  Queue& queue() override { return entered().queue; }
  /// As the weights: a GPU's matrix units take 16-bit factors from memory.
  DType activation_dtype(DType weight_dtype) const override { return weight_dtype; }

  ActivationKernels& activation() override { return in(activation_); }
  AttentionKernels& attention() override { return in(attention_); }
  ConvolutionKernels& convolution() override { return in(convolution_); }
  ElementwiseKernels& elementwise() override { return in(elementwise_); }
  EmbeddingKernels& embedding() override { return in(embedding_); }
  LinearKernels& linear() override { return in(linear_); }
  LossKernels& loss() override { return in(loss_); }
  NormKernels& norm() override { return in(norm_); }
  OptimizerKernels& optimizer() override { return in(optimizer_); }
  QuantizeKernels& quantize() override { return in(quantize_); }
  RandomKernels& random() override { return in(random_); }
  ReduceKernels& reduce() override { return in(reduce_); }
  RotaryKernels& rotary() override { return in(rotary_); }
  SamplingKernels& sampling() override { return in(sampling_); }
  ScanKernels& scan() override { return in(scan_); }
  ShapeKernels& shape() override { return in(shape_); }

  // recording.cu.
  bool records() const override;
  bool recording() const override { return on_.memory.pools(); }
  std::unique_ptr<Recording> record(const std::function<void()>& work) override;

  // collective.cu.
  void find_collective() override;
  GroupId make_group_id() override;
  std::unique_ptr<Collective> join_group(const GroupId& id, int rank, int size) override;

 private:
  CudaDevice& entered() {
    on_.enter();
    return on_;
  }
  template <typename Kernels>
  Kernels& in(Kernels& kernels) {
    on_.enter();
    return kernels;
  }
  CudaDevice on_;
  CudaActivation activation_{on_};
  CudaAttention attention_{on_};
  CudaConvolution convolution_{on_};
  CudaElementwise elementwise_{on_};
  CudaEmbedding embedding_{on_};
  CudaLinear linear_{on_};
  CudaLoss loss_{on_};
  CudaNorm norm_{on_};
  CudaOptimizer optimizer_{on_};
  CudaQuantize quantize_{on_};
  CudaRandom random_{on_};
  CudaReduce reduce_{on_};
  CudaRotary rotary_{on_};
  CudaSampling sampling_{on_};
  CudaScan scan_{on_};
  CudaShape shape_{on_};
};

}  // namespace mica::cuda
