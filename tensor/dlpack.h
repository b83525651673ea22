#pragma once
// DLPack: tensors handed to other libraries, and taken from them, without copying.
//
// The structures are those of DLPack 0.8 (dlpack.h), declared here under names of mica's own so that both headers can
// be included; they have the same layout, so a pointer to one may be cast to a pointer to the other:
//
//   DLManagedTensor* theirs = reinterpret_cast<DLManagedTensor*>(to_dlpack(tensor).release());
//   Tensor ours = from_dlpack(DlpackHandle(reinterpret_cast<dlpack::ManagedTensor*>(theirs)));
//
// Who holds a managed tensor calls its deleter exactly once when done with it; DlpackHandle does so by itself.

#include <cstdint>
#include <memory>

#include "mica/tensor/tensor.h"

namespace mica {

namespace dlpack {

enum class DeviceKind : int32_t { cpu = 1, cuda = 2, cuda_host = 3, cuda_managed = 13 };

enum class TypeCode : uint8_t {
  signed_integer = 0,
  unsigned_integer = 1,
  floating = 2,
  opaque = 3,
  bfloat = 4,
  complex = 5,
  boolean = 6
};

/// DLDevice.
struct DeviceId {
  DeviceKind kind;
  int32_t index;
};

/// DLDataType: `lanes` is 1 but for vector types.
struct DataType {
  TypeCode code;
  uint8_t bits;
  uint16_t lanes;
};

/// DLTensor. `strides` counts elements; null stands for row-major. The first element lies at data + byte_offset.
struct TensorView {
  void* data;
  DeviceId device;
  int32_t rank;
  DataType dtype;
  int64_t* shape;
  int64_t* strides;
  uint64_t byte_offset;
};

/// DLManagedTensor: the view, and how to let go of it. The deleter may be null.
struct ManagedTensor {
  TensorView view;
  void* context;
  void (*deleter)(ManagedTensor* self);
};

struct CallDeleter {
  void operator()(ManagedTensor* tensor) const {
    if (tensor->deleter != nullptr) tensor->deleter(tensor);
  }
};

}  // namespace dlpack

/// Owns a managed tensor; release() hands it to C code.
using DlpackHandle = std::unique_ptr<dlpack::ManagedTensor, dlpack::CallDeleter>;

/// The tensor's own memory, kept alive until the deleter is called, with its strides. Waits for work on the device that
/// may still write to it. Throws Error for an undefined tensor, for one whose gradient is tracked (detach() it first),
/// and for the 8-bit floating types, which DLPack 0.8 does not know.
DlpackHandle to_dlpack(const Tensor& tensor);

/// A tensor over the foreign memory, which is let go of when its last user is gone. Copied, and let go of at once,
/// where the strides are not row-major. Throws Error, and lets go, for memory that is not the host's, for a dtype that
/// mica lacks, and for a view that no tensor can have: more than 8 dimensions, negative sizes, misaligned data.
///
/// The view's pointers and strides are taken on trust, as C hands them over: they come from a program, not from a file.
Tensor from_dlpack(DlpackHandle handle);

}  // namespace mica
