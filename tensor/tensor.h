#pragma once
// Tensor: a value-like handle to strided elements in shared storage. Copies of a handle name the same elements; views
// cost nothing. Gradients are the autograd floor's business: a tensor only carries the slot in which it keeps them.

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mica/kernels/device.h"
#include "mica/kernels/dtype.h"
#include "mica/kernels/view.h"
#include "mica/tensor/shape.h"
#include "mica/tensor/storage.h"

namespace mica {

struct AutogradMeta;

class Tensor {
 public:
  /// An undefined tensor: stands for "none" wherever a tensor is optional.
  Tensor() = default;
  Tensor(std::shared_ptr<Storage> storage, int64_t offset, const Shape& shape, DType dtype);

  static Tensor empty(const Shape& shape, DType dtype = DType::float32, Device device = {});
  static Tensor full(const Shape& shape, double value, DType dtype = DType::float32, Device device = {});
  static Tensor zeros(const Shape& shape, DType dtype = DType::float32, Device device = {});
  static Tensor ones(const Shape& shape, DType dtype = DType::float32, Device device = {});
  static Tensor arange(int64_t end, DType dtype = DType::int64, Device device = {});
  /// A copy of host values; throws Error when their number is not the shape's.
  template <typename T>
  static Tensor from(std::span<const T> values, const Shape& shape, Device device = {}) {
    return from_host(values.data(), static_cast<int64_t>(values.size()), shape, dtype_of<T>(), device);
  }
  template <typename T>
  static Tensor from(const std::vector<T>& values, const Shape& shape, Device device = {}) {
    return from(std::span<const T>(values), shape, device);
  }
  template <typename T>
  static Tensor from(const std::vector<T>& values) {
    return from(std::span<const T>(values), Shape{static_cast<int64_t>(values.size())});
  }

  bool defined() const { return impl_ != nullptr; }
  explicit operator bool() const { return defined(); }
  const Shape& shape() const { return get().shape; }
  int rank() const { return get().shape.rank(); }
  int64_t size(int dim) const { return get().shape[dim]; }
  int64_t numel() const { return get().shape.numel(); }
  int64_t stride(int dim) const { return get().strides[static_cast<size_t>(get().shape.index(dim))]; }
  DType dtype() const { return get().dtype; }
  Device device() const { return get().storage->device(); }
  bool is_contiguous() const { return view().contiguous(); }
  const std::shared_ptr<Storage>& storage() const { return get().storage; }
  /// True when both handles name one and the same tensor object.
  bool is_same(const Tensor& other) const { return impl_ == other.impl_; }

  /// The kernels' window onto the elements; an empty view for an undefined tensor.
  View view() const;

  // Views and copies. Those without a name in autograd/ shape.h refuse, loudly, a tensor whose gradient is tracked.
  /// Same elements in another shape; one size may be -1. Copies only when the strides demand it.
  Tensor reshape(const Shape& shape) const;
  Tensor reshape(std::initializer_list<int64_t> dims) const;
  Tensor transpose(int dim0, int dim1) const;
  /// Elements [begin, end) of a dimension; negative bounds count from the end.
  Tensor slice(int dim, int64_t begin, int64_t end) const;
  /// The slice at `index`, without that dimension.
  Tensor select(int dim, int64_t index) const;
  Tensor unsqueeze(int dim) const;
  Tensor squeeze(int dim) const;
  /// Splits a dimension into [parts, size / parts].
  Tensor unflatten(int dim, int64_t parts) const;
  /// Merges a dimension with the next; copies only when the strides demand it.
  Tensor flatten(int dim) const;
  /// Repeats dimensions of size 1 by stride 0; leading dimensions may be added.
  Tensor expand(const Shape& shape) const;
  Tensor contiguous() const;
  Tensor clone() const;
  Tensor to(DType dtype) const;
  Tensor to(Device device) const;
  /// The same elements, cut off from the tape.
  Tensor detach() const;

  // Numbers out of tensors (no gradient flows through these).
  Tensor argmax(int dim) const;
  Tensor softmax(int dim) const;
  Tensor sum() const;
  Tensor mean() const;
  Tensor max() const;
  /// The single element, converted; throws Error when there are more.
  template <typename T>
  T item() const {
    return convert_item<T>();
  }
  /// All elements in row-major order on the host, converted to T (float, double, int64_t, int32_t, uint8_t).
  template <typename T>
  std::vector<T> to_vector() const;
  /// Elements of a contiguous host tensor of exactly this dtype; throws Error otherwise.
  template <typename T>
  T* data() const {
    return static_cast<T*>(host_data(dtype_of<T>()));
  }
  /// Address of the first element, wherever it lies.
  void* raw_data() const { return view().data; }

  /// Takes over the elements of another tensor of the same shape, its dtype and its memory, for every handle of this
  /// one; what was derived from it before (views, a tape) keeps the old ones.
  void set_data(const Tensor& other) const;

  // In place (bump the version of the storage).
  void fill_(double value) const;
  void copy_(const Tensor& source) const;

  // Gradients (autograd/ fills these in).
  bool requires_grad() const;
  const Tensor& set_requires_grad(bool value = true) const;
  /// The accumulated gradient of a leaf; undefined when there is none.
  Tensor grad() const;
  void set_grad(const Tensor& grad) const;
  const std::shared_ptr<AutogradMeta>& autograd_meta() const { return get().autograd; }
  void set_autograd_meta(std::shared_ptr<AutogradMeta> meta) const { get().autograd = std::move(meta); }

 private:
  struct Impl {
    std::shared_ptr<Storage> storage;
    int64_t offset = 0;  // in elements
    Shape shape;
    std::array<int64_t, kMaxRank> strides{};
    DType dtype = DType::float32;
    std::shared_ptr<AutogradMeta> autograd;
  };
  static Tensor from_host(const void* values, int64_t count, const Shape& shape, DType dtype, Device device);
  Impl& get() const;
  Tensor alias() const;
  void refuse_tracked(const char* what) const;
  void* host_data(DType dtype) const;
  template <typename T>
  T convert_item() const;

  std::shared_ptr<Impl> impl_;
};

/// What the autograd floor keeps for a tensor.
class TapeNode;
struct AutogradMeta {
  bool requires_grad = false;
  Tensor grad;                     ///< accumulated, of a leaf
  std::shared_ptr<TapeNode> node;  ///< the op that made the tensor; null for a leaf
  int output_index = 0;
};

/// Whether ops record themselves on this thread (true at first).
bool grad_enabled();

/// While alive, nothing is recorded on this thread.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool previous_;
};

/// "Tensor float32 [2, 3] cpu" and, up to a few hundred elements, the values.
std::string to_string(const Tensor& tensor);

}  // namespace mica
