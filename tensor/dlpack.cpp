#include "mica/tensor/dlpack.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include "mica/base/error.h"
#include "mica/kernels/backend.h"
#include "mica/kernels/shape.h"

namespace mica {
namespace {

using dlpack::DataType;
using dlpack::DeviceKind;
using dlpack::ManagedTensor;
using dlpack::TensorView;
using dlpack::TypeCode;

// The layout that C code on 64-bit machines sees.
static_assert(std::is_standard_layout_v<ManagedTensor>);
static_assert(sizeof(TensorView) == 48 && offsetof(TensorView, rank) == 16 && offsetof(TensorView, shape) == 24);
static_assert(sizeof(ManagedTensor) == 64 && offsetof(ManagedTensor, context) == 48);

constexpr std::array<std::pair<DType, DataType>, 13> kTypes{{
    {DType::float32, {TypeCode::floating, 32, 1}},
    {DType::float16, {TypeCode::floating, 16, 1}},
    {DType::bfloat16, {TypeCode::bfloat, 16, 1}},
    {DType::float64, {TypeCode::floating, 64, 1}},
    {DType::int64, {TypeCode::signed_integer, 64, 1}},
    {DType::int32, {TypeCode::signed_integer, 32, 1}},
    {DType::int16, {TypeCode::signed_integer, 16, 1}},
    {DType::uint8, {TypeCode::unsigned_integer, 8, 1}},
    {DType::int8, {TypeCode::signed_integer, 8, 1}},
    {DType::boolean, {TypeCode::boolean, 8, 1}},
    {DType::uint16, {TypeCode::unsigned_integer, 16, 1}},
    {DType::uint32, {TypeCode::unsigned_integer, 32, 1}},
    {DType::uint64, {TypeCode::unsigned_integer, 64, 1}},
}};

std::optional<DataType> foreign(DType dtype) {
  for (const auto& [own, type] : kTypes) {
    if (own == dtype) return type;
  }
  return std::nullopt;
}

std::optional<DType> own(DataType type) {
  for (const auto& [dtype, known] : kTypes) {
    if (known.code == type.code && known.bits == type.bits && known.lanes == type.lanes) return dtype;
  }
  return std::nullopt;
}

[[noreturn]] void refuse(const std::string& problem, const char* mend) {
  throw Error(problem, "DLPack", mend);
}

// What a managed tensor made here needs until its deleter is called.
struct Export {
  Tensor tensor;
  std::array<int64_t, kMaxRank> shape{};
  std::array<int64_t, kMaxRank> strides{};
  ManagedTensor managed{};
};

}  // namespace

DlpackHandle to_dlpack(const Tensor& tensor) {
  if (tensor.requires_grad()) refuse("the gradient of the tensor is tracked", "pass tensor.detach()");
  const std::optional<DataType> type = foreign(tensor.dtype());
  if (!type) refuse("dtype " + std::string(name(tensor.dtype())) + " has no DLPack type", "convert it first");
  backend(tensor.device()).queue().synchronize();
  auto exported = std::make_unique<Export>();
  exported->tensor = tensor;
  const View view = tensor.view();
  exported->shape = view.shape;
  exported->strides = view.strides;
  ManagedTensor& managed = exported->managed;
  managed.view.data = view.data;
  managed.view.device = {tensor.device().is_cpu() ? DeviceKind::cpu : DeviceKind::cuda, tensor.device().index};
  managed.view.rank = view.rank;
  managed.view.dtype = *type;
  managed.view.shape = exported->shape.data();
  managed.view.strides = exported->strides.data();
  managed.context = exported.get();
  managed.deleter = [](ManagedTensor* self) {
    const std::unique_ptr<Export> owned(static_cast<Export*>(self->context));
  };
  return DlpackHandle(&exported.release()->managed);
}

Tensor from_dlpack(DlpackHandle handle) {
  if (handle == nullptr) refuse("no tensor was passed", "pass what the producer made");
  const TensorView& view = handle->view;
  if (view.device.kind != DeviceKind::cpu && view.device.kind != DeviceKind::cuda_host) {
    refuse("memory of device kind " + std::to_string(static_cast<int32_t>(view.device.kind)) + " is not supported",
           "move the tensor to the CPU first");
  }
  const std::optional<DType> dtype = own(view.dtype);
  if (!dtype) {
    refuse("type code " + std::to_string(static_cast<int>(view.dtype.code)) + " of " + std::to_string(view.dtype.bits) +
               " bits, " + std::to_string(view.dtype.lanes) + " lanes, is not supported",
           "convert the tensor to a plain dtype first");
  }
  if (view.rank < 0 || view.rank > kMaxRank) {
    refuse("tensor of " + std::to_string(view.rank) + " dimensions", "at most 8 are supported");
  }
  const Shape shape(std::span<const int64_t>(view.shape, static_cast<size_t>(view.rank)));
  if (shape.numel() == 0) return Tensor::empty(shape, *dtype);
  if (view.data == nullptr) refuse("tensor without data", "pass what the producer made");
  std::byte* const data = static_cast<std::byte*>(view.data) + view.byte_offset;
  if (reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(item_size(*dtype)) != 0) {
    refuse("data is not aligned to its items", "copy the tensor first");
  }
  if (shape.numel() > INT64_MAX / item_size(*dtype)) refuse("tensor larger than memory", "pass a smaller one");
  View strided;
  strided.data = data;
  strided.dtype = *dtype;
  strided.rank = view.rank;
  std::copy(shape.begin(), shape.end(), strided.shape.begin());
  if (view.strides != nullptr) std::copy(view.strides, view.strides + view.rank, strided.strides.begin());
  if (view.strides != nullptr && !strided.contiguous()) {
    Tensor copy = Tensor::empty(shape, *dtype);
    backend({}).shape().copy(strided, copy.view());
    backend({}).queue().synchronize();  // the memory is about to go
    return copy;
  }
  // The storage keeps a pointer to the foreign structure, whose deleter runs with the last reference.
  const std::shared_ptr<const ManagedTensor> owner(std::move(handle));
  return {Storage::borrow(data, shape.numel() * item_size(*dtype), owner), 0, shape, *dtype};
}

}  // namespace mica
