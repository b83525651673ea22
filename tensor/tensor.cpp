#include "mica/tensor/tensor.h"

#include <algorithm>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/recycled.h"
#include "mica/kernels/reduce.h"
#include "mica/kernels/shape.h"
#include "mica/kernels/upload.h"
#include "mica/tensor/grad_mode.h"

namespace mica {
namespace {

thread_local bool recording = true;

std::array<int64_t, kMaxRank> row_major(const Shape& shape) {
  std::array<int64_t, kMaxRank> strides{};
  int64_t stride = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[static_cast<size_t>(i)] = stride;
    stride *= shape[i];
  }
  return strides;
}

// Fills in one size of -1.
Shape resolve(std::span<const int64_t> dims, const Shape& from) {
  RecycledVector<int64_t> sizes(dims.begin(), dims.end());
  int64_t known = 1;
  int64_t* open = nullptr;
  for (int64_t& size : sizes) {
    if (size == -1 && open == nullptr)
      open = &size;
    else
      known *= size;
  }
  if (open != nullptr) *open = known > 0 && from.numel() % known == 0 ? from.numel() / known : -1;
  if (open != nullptr && *open < 0) {
    throw Error("cannot infer the size -1", "reshape of " + to_string(from),
                "the other sizes must divide its elements");
  }
  return Shape(sizes);
}

}  // namespace

bool grad_enabled() {
  return recording;
}
NoGrad::NoGrad() : previous_(std::exchange(recording, false)) {}
NoGrad::~NoGrad() {
  recording = previous_;
}

EnableGrad::EnableGrad() : previous_(std::exchange(recording, true)) {}
EnableGrad::~EnableGrad() {
  recording = previous_;
}

Tensor::Tensor(std::shared_ptr<Storage> storage, int64_t offset, const Shape& shape, DType dtype)
    : impl_(make_recycled<Impl>()) {
  impl_->storage = std::move(storage);
  impl_->offset = offset;
  impl_->shape = shape;
  impl_->strides = row_major(shape);
  impl_->dtype = dtype;
}

Tensor::Impl& Tensor::get() const {
  if (impl_ == nullptr) throw Error("a tensor that is not defined was used", "tensor", "pass the missing tensor");
  return *impl_;
}

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  return Tensor(Storage::allocate(shape.numel() * item_size(dtype), device), 0, shape, dtype);
}

void Tensor::set_data(const Tensor& other) const {
  if (!(shape() == other.shape())) {
    throw Error("elements of shape " + to_string(other.shape()) + " for a tensor " + to_string(shape()), "set_data",
                "give a tensor of the same shape");
  }
  Impl& impl = get();
  const Impl& from = other.get();
  impl.storage = from.storage;
  impl.offset = from.offset;
  impl.strides = from.strides;
  impl.dtype = from.dtype;
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype, Device device) {
  const Tensor tensor = empty(shape, dtype, device);
  backend(device).shape().fill(tensor.view(), value);
  return tensor;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) {
  return full(shape, 0, dtype, device);
}
Tensor Tensor::ones(const Shape& shape, DType dtype, Device device) {
  return full(shape, 1, dtype, device);
}

Tensor Tensor::arange(int64_t end, DType dtype, Device device) {
  const Tensor tensor = empty({end}, dtype, device);
  backend(device).shape().arange(0, 1, tensor.view());
  return tensor;
}

Tensor Tensor::from_host(const void* values, int64_t count, const Shape& shape, DType dtype, Device device) {
  if (count != shape.numel()) {
    throw Error(std::to_string(count) + " values for a tensor of shape " + to_string(shape), "tensor",
                "pass as many values as the shape has elements");
  }
  const Tensor tensor = empty(shape, dtype, device);
  if (count > 0) backend(device).memory().copy_from_host(tensor.raw_data(), values, count * item_size(dtype));
  return tensor;
}

View Tensor::view() const {
  View view;
  if (impl_ == nullptr) return view;
  if (unsettled_uploads.load(std::memory_order_relaxed) != 0) {
    settle_upload(impl_->storage->device(), impl_->storage->data());
  }
  view.data = static_cast<std::byte*>(impl_->storage->data()) + impl_->offset * item_size(impl_->dtype);
  view.dtype = impl_->dtype;
  view.rank = impl_->shape.rank();
  std::copy(impl_->shape.begin(), impl_->shape.end(), view.shape.begin());
  view.strides = impl_->strides;
  return view;
}

void Tensor::refuse_tracked(const char* what) const {
  if (grad_enabled() && requires_grad()) {
    throw Error(std::string(what) + " of a tensor whose gradient is tracked", "tensor",
                "use the op of that name (autograd/shape.h), detach() it, or wrap the code in NoGrad");
  }
}

Tensor Tensor::alias() const {
  Tensor result;
  result.impl_ = make_recycled<Impl>(get());
  result.impl_->autograd = nullptr;
  return result;
}

Tensor Tensor::detach() const {
  return alias();
}

namespace {
// As is_contiguous(), which asks for the elements: those of an upload need not be there for another shape.
bool lies_in_order(const Tensor& tensor) {
  View view;
  view.rank = tensor.rank();
  for (int i = 0; i < view.rank; ++i) {
    view.shape[static_cast<size_t>(i)] = tensor.size(i);
    view.strides[static_cast<size_t>(i)] = tensor.stride(i);
  }
  return view.contiguous();
}
}  // namespace

Tensor Tensor::reshape(std::initializer_list<int64_t> dims) const {
  return reshape(resolve({dims.begin(), dims.size()}, shape()));
}

Tensor Tensor::reshape(const Shape& shape) const {
  refuse_tracked("reshape");
  if (shape.numel() != numel()) {
    throw Error("cannot reshape " + to_string(get().shape) + " to " + to_string(shape), "tensor",
                "both shapes need the same number of elements");
  }
  Tensor result = lies_in_order(*this) ? alias() : contiguous();
  result.impl_->shape = shape;
  result.impl_->strides = row_major(shape);
  return result;
}

Tensor Tensor::transpose(int dim0, int dim1) const {
  refuse_tracked("transpose");
  Tensor result = alias();
  Impl& impl = *result.impl_;
  const int a = impl.shape.index(dim0);
  const int b = impl.shape.index(dim1);
  const int64_t size = impl.shape[a];
  impl.shape.set(a, impl.shape[b]);
  impl.shape.set(b, size);
  std::swap(impl.strides[static_cast<size_t>(a)], impl.strides[static_cast<size_t>(b)]);
  return result;
}

Tensor Tensor::slice(int dim, int64_t begin, int64_t end) const {
  refuse_tracked("slice");
  Tensor result = alias();
  Impl& impl = *result.impl_;
  const int d = impl.shape.index(dim);
  const int64_t size = impl.shape[d];
  const int64_t first = begin < 0 ? begin + size : begin;
  const int64_t last = end < 0 ? end + size : end;
  if (first < 0 || last > size || first > last) {
    throw Error("slice [" + std::to_string(begin) + ", " + std::to_string(end) + ") of dimension " +
                    std::to_string(dim) + " of " + to_string(impl.shape),
                "tensor", "stay inside the dimension");
  }
  impl.offset += first * impl.strides[static_cast<size_t>(d)];
  impl.shape.set(d, last - first);
  return result;
}

Tensor Tensor::select(int dim, int64_t index) const {
  const int64_t i = index < 0 ? index + size(dim) : index;
  return slice(dim, i, i + 1).squeeze(dim);
}

Tensor Tensor::unsqueeze(int dim) const {
  refuse_tracked("unsqueeze");
  const int d = dim < 0 ? dim + rank() + 1 : dim;
  if (d < 0 || d > rank()) throw Error("unsqueeze at " + std::to_string(dim), "tensor", "stay inside the dimensions");
  std::array<int64_t, kMaxRank + 1> dims{};
  for (int i = 0; i <= rank(); ++i) dims[static_cast<size_t>(i)] = i < d ? size(i) : i == d ? 1 : size(i - 1);
  Tensor result = alias();
  Impl& impl = *result.impl_;
  impl.shape = Shape({dims.data(), static_cast<size_t>(rank()) + 1});
  for (int i = rank(); i > d; --i) impl.strides[static_cast<size_t>(i)] = impl.strides[static_cast<size_t>(i) - 1];
  impl.strides[static_cast<size_t>(d)] = 1;
  return result;
}

Tensor Tensor::squeeze(int dim) const {
  refuse_tracked("squeeze");
  const int d = shape().index(dim);
  if (size(d) != 1) throw Error("squeeze of a dimension of size " + std::to_string(size(d)), "tensor", "it must be 1");
  RecycledVector<int64_t> dims(shape().begin(), shape().end());
  dims.erase(dims.begin() + d);
  Tensor result = alias();
  Impl& impl = *result.impl_;
  impl.shape = Shape(dims);
  for (int i = d; i < impl.shape.rank(); ++i) {
    impl.strides[static_cast<size_t>(i)] = impl.strides[static_cast<size_t>(i) + 1];
  }
  return result;
}

Tensor Tensor::unflatten(int dim, int64_t parts) const {
  const int d = shape().index(dim);
  if (parts <= 0 || size(d) % parts != 0) {
    throw Error("cannot split a dimension of " + std::to_string(size(d)) + " into " + std::to_string(parts) + " parts",
                "tensor", "the parts must divide it");
  }
  const int64_t each = size(d) / parts;
  Tensor result = unsqueeze(d);
  Impl& impl = *result.impl_;
  impl.shape.set(d, parts);
  impl.shape.set(d + 1, each);
  impl.strides[static_cast<size_t>(d)] = impl.strides[static_cast<size_t>(d) + 1] * each;
  return result;
}

Tensor Tensor::flatten(int dim) const {
  const int d = shape().index(dim);
  if (d + 1 >= rank()) {
    throw Error("cannot merge dimension " + std::to_string(d) + " of " + to_string(shape()) + " with the next",
                "tensor", "there must be one");
  }
  const int64_t inner = size(d + 1), outer = size(d);
  const bool dense = outer == 1 || inner == 1 || stride(d) == inner * stride(d + 1);
  const Tensor source = dense ? *this : contiguous();
  source.refuse_tracked("flatten");
  Tensor result = source.alias();
  std::vector<int64_t> dims;
  for (int i = 0; i < rank(); ++i) {
    if (i != d + 1) dims.push_back(i == d ? outer * inner : size(i));
  }
  Impl& impl = *result.impl_;
  impl.shape = Shape(dims);
  for (int i = d; i < impl.shape.rank(); ++i) {
    const bool outer_counts = i == d && inner == 1;
    impl.strides[static_cast<size_t>(i)] = source.stride(outer_counts ? d : i + 1);
  }
  return result;
}

Tensor Tensor::expand(const Shape& shape) const {
  refuse_tracked("expand");
  Tensor result = alias();
  Impl& impl = *result.impl_;
  const int added = shape.rank() - rank();
  std::array<int64_t, kMaxRank> strides{};
  for (int i = 0; i < shape.rank(); ++i) {
    const int64_t have = i < added ? 1 : impl.shape[i - added];
    if (added < 0 || (have != shape[i] && have != 1)) {
      throw Error("cannot expand " + to_string(impl.shape) + " to " + to_string(shape), "tensor",
                  "only dimensions of size 1 expand");
    }
    strides[static_cast<size_t>(i)] = have == shape[i] && i >= added ? impl.strides[static_cast<size_t>(i - added)] : 0;
  }
  impl.shape = shape;
  impl.strides = strides;
  return result;
}

Tensor Tensor::contiguous() const {
  if (lies_in_order(*this)) return *this;
  refuse_tracked("contiguous");
  return clone();
}

Tensor Tensor::clone() const {
  refuse_tracked("clone");
  const Tensor result = empty(shape(), dtype(), device());
  backend(device()).shape().copy(view(), result.view());
  return result;
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == get().dtype) return *this;
  refuse_tracked("to(dtype)");
  const Tensor result = empty(shape(), dtype, device());
  backend(device()).shape().copy(view(), result.view());
  return result;
}

Tensor Tensor::to(Device device) const {
  if (device == this->device()) return *this;
  refuse_tracked("to(device)");
  const Tensor source = contiguous();
  const Tensor result = empty(shape(), dtype(), device);
  const int64_t bytes = numel() * item_size(dtype());
  if (bytes == 0) return result;
  if (source.device().is_cpu()) {
    backend(device).memory().copy_from_host(result.raw_data(), source.raw_data(), bytes);
  } else if (device.is_cpu()) {
    backend(source.device()).memory().copy_to_host(result.raw_data(), source.raw_data(), bytes);
  } else {
    return to(Device{}).to(device);
  }
  return result;
}

void Tensor::fill_(double value) const {
  backend(device()).shape().fill(view(), value);
  storage()->bump_version();
}

void Tensor::copy_(const Tensor& source) const {
  if (!(source.shape() == shape())) {
    throw Error("cannot copy " + to_string(source.shape()) + " into " + to_string(shape()), "tensor",
                "shapes must agree");
  }
  backend(device()).shape().copy(source.to(device()).view(), view());
  storage()->bump_version();
}

bool Tensor::requires_grad() const {
  return impl_ != nullptr && impl_->autograd != nullptr && impl_->autograd->requires_grad;
}

const Tensor& Tensor::set_requires_grad(bool value) const {
  if (value && !is_floating(dtype())) {
    throw Error("a gradient was asked for of a tensor of dtype " + std::string(name(dtype())), "tensor",
                "only floating tensors have gradients");
  }
  Impl& impl = get();
  if (impl.autograd == nullptr) impl.autograd = std::make_shared<AutogradMeta>();
  impl.autograd->requires_grad = value;
  return *this;
}

// The tape adds to a gradient in place where it is the only one who sees it: everyone else gets a handle of their own.
Tensor Tensor::grad() const {
  const bool has = impl_ != nullptr && impl_->autograd != nullptr && impl_->autograd->grad.defined();
  return has ? impl_->autograd->grad.detach() : Tensor();
}

void Tensor::set_grad(const Tensor& grad) const {
  Impl& impl = get();
  if (impl.autograd == nullptr) impl.autograd = std::make_shared<AutogradMeta>();
  impl.autograd->grad = grad.defined() ? grad.detach() : grad;
}

}  // namespace mica
