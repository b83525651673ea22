#pragma once
// A device, as the floors above see it: memory, a queue of work, and one abstract class of kernels a subject.
//
// Contract of every kernel call
//  - Operands are views of memory of that device. Shapes are checked by the caller (the autograd floor); kernels may
//    trust them, and say in their header what they expect.
//  - A call puts work on the queue and may return before it is done. Results become readable by the host after
//    Queue::synchronize(), or after Memory::copy_to_host, which waits.
//  - Outputs do not overlap inputs unless the header says that they may.
//  - No allocation but scratch from the queue's workspace.
//  - Results do not depend on the number of threads, on the run, or on the other rows of a batch.
//  - A dtype or option that the backend lacks throws Error, naming the kernel, the dtype and the device.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "mica/kernels/device.h"
#include "mica/kernels/view.h"

namespace mica {

class ActivationKernels;
class AttentionKernels;
class Collective;
class ConvolutionKernels;
class ElementwiseKernels;
class EmbeddingKernels;
class LinearKernels;
class LossKernels;
class NormKernels;
class OptimizerKernels;
class QuantizeKernels;
class RandomKernels;
class Recording;
class ReduceKernels;
class RotaryKernels;
class SamplingKernels;
class ScanKernels;
class ShapeKernels;

/// Names a group of processes that is being formed: made by one of them and given to all.
using GroupId = std::array<char, 128>;

/// Memory of a device.
class Memory {
 public:
  virtual ~Memory() = default;
  /// At least 64-byte aligned, uninitialised. Freed blocks are kept and handed out again. Throws Error when the device
  /// has no more.
  virtual void* allocate(int64_t bytes) = 0;
  virtual void free(void* data, int64_t bytes) noexcept = 0;
  /// Host to device, device to host, device to device; ordered with the work on the queue. copy_to_host returns when
  /// the host may read.
  virtual void copy_from_host(void* device_data, const void* host_data, int64_t bytes) = 0;
  virtual void copy_to_host(void* host_data, const void* device_data, int64_t bytes) = 0;
  virtual void copy(void* to, const void* from, int64_t bytes) = 0;
  /// Gives cached free blocks back to the system.
  virtual void trim() = 0;
};

/// The order in which work runs, and the scratch memory that its kernels share.
class Queue {
 public:
  virtual ~Queue() = default;
  /// Returns when everything put on the queue so far is done; throws the Error of a call that failed meanwhile.
  virtual void synchronize() = 0;
  /// Scratch that stays valid until the next call of workspace() on this queue; contents undefined.
  virtual void* workspace(int64_t bytes) = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual Device device() const = 0;
  virtual Memory& memory() = 0;
  virtual Queue& queue() = 0;
  /// The dtype that activations take when weights have this dtype (a CPU keeps float32 between its bfloat16 products).
  virtual DType activation_dtype(DType weight_dtype) const = 0;

  virtual ActivationKernels& activation() = 0;
  virtual AttentionKernels& attention() = 0;
  virtual ConvolutionKernels& convolution() = 0;
  virtual ElementwiseKernels& elementwise() = 0;
  virtual EmbeddingKernels& embedding() = 0;
  virtual LinearKernels& linear() = 0;
  virtual LossKernels& loss() = 0;
  virtual NormKernels& norm() = 0;
  virtual OptimizerKernels& optimizer() = 0;
  virtual QuantizeKernels& quantize() = 0;
  virtual RandomKernels& random() = 0;
  virtual ReduceKernels& reduce() = 0;
  virtual RotaryKernels& rotary() = 0;
  virtual SamplingKernels& sampling() = 0;
  virtual ScanKernels& scan() = 0;
  virtual ShapeKernels& shape() = 0;

  // Work that is recorded once and started again as a whole: kernels/recording.h.
  virtual bool records() const { return false; }
  /// Whether record() is under way: what is put on the queue is not done.
  virtual bool recording() const { return false; }
  /// Records what `work` puts on the queue. Throws Error where records() is false, and for work that has to wait for
  /// the device or reads the host's memory.
  virtual std::unique_ptr<Recording> record(const std::function<void()>& work);

  // Groups of processes with a device each: kernels/collective.h.
  /// Throws Error where this device has no way to others.
  virtual void find_collective();
  /// A name for a new group, for the process that is its rank 0.
  virtual GroupId make_group_id();
  /// Forms the group, and waits for all of its processes. Throws Error on all where one cannot.
  virtual std::unique_ptr<Collective> join_group(const GroupId& id, int rank, int size);
};

/// The backend of a device; throws Error when this build or this machine has none.
Backend& backend(Device device);

/// Adds a device. The registry does not own the backend, which must outlive every tensor on it.
void register_backend(Backend& backend);

/// Throws the Error for a kernel that a backend lacks: "kernel norm.layer_norm does not support int8 (cpu): ...".
[[noreturn]] void unsupported(const char* kernel, DType dtype, Device device);

}  // namespace mica
