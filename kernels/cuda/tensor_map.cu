// Tensor maps: checked here, encoded by the driver, whose function is looked up at run time so that programs start
// where there is no driver.

#include <string>

#include "mica/kernels/cuda/tensor_map.h"

#ifndef MICA_EMULATED
#include <cuda.h>
#endif

#include "mica/base/error.h"

namespace mica::cuda {
namespace {

template <typename T>
std::string spelled(const std::array<T, 4>& values, int count) {
  std::string text = "[";
  for (int i = 0; i < count; ++i) text += (i > 0 ? ", " : "") + std::to_string(values.at(static_cast<size_t>(i)));
  return text + "]";
}

[[noreturn]] void refuse(const BoxedTensor& t, const std::string& what, const std::string& how) {
  throw Error("no tensor map of " + std::string(t.name) + ": " + what,
              "sizes " + spelled(t.sizes, t.rank) + ", strides " + spelled(t.strides, t.rank) + ", box " +
                  spelled(t.box, t.rank) + ", " + std::string(name(t.dtype)),
              how);
}

void check(const BoxedTensor& t) {
  if (t.rank < 2 || t.rank > 4) throw Error("no tensor map of " + std::string(t.name), "rank", "use 2 to 4 dimensions");
  const auto align = [&](bool fits, const char* what) {
    if (!fits) refuse(t, std::string(what) + " is not a multiple of 16 bytes", "use a kernel that takes any address");
  };
  const int64_t item = item_size(t.dtype);
  align(reinterpret_cast<uintptr_t>(t.data) % 16 == 0, "the address");
  if (t.strides[0] != 1) refuse(t, "the fastest dimension has gaps", "copy the tensor");
  for (int d = 0; d < t.rank; ++d) {
    const auto i = static_cast<size_t>(d);
    if (t.sizes[i] < 1 || t.sizes[i] > int64_t{1} << 32) refuse(t, "a size is not 1 to 2^32", "split the tensor");
    if (t.box[i] < 1 || t.box[i] > 256) refuse(t, "a box's size is not 1 to 256", "use a smaller box");
    if (d == 0) continue;
    align(t.strides[i] * item % 16 == 0, "a stride");
    if (t.strides[i] < 0 || t.strides[i] * item >= int64_t{1} << 40) refuse(t, "a stride is too large", "copy it");
  }
  align(t.box[0] * item % 16 == 0, "a row of the box");
  if (t.swizzled && t.box[0] * item != 128) refuse(t, "a swizzled row has no 128 bytes", "use a box of 128 bytes");
}

}  // namespace

#ifdef MICA_EMULATED

TensorMap make_tensor_map(const BoxedTensor& tensor) {
  check(tensor);
  emulate::TensorBox box{};
  box.data = static_cast<const std::byte*>(tensor.data);
  box.rank = tensor.rank;
  box.item_bytes = static_cast<int32_t>(item_size(tensor.dtype));
  box.swizzled = tensor.swizzled;
  for (size_t d = 0; d < 4; ++d) {
    box.sizes[d] = tensor.sizes.at(d);
    box.strides[d] = tensor.strides.at(d) * box.item_bytes;
    box.box[d] = tensor.box.at(d);
  }
  TensorMap map;
  emulate::write_words(box, map.words);
  return map;
}

#else

namespace {

using Encode = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*, const cuuint64_t*,
                            const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave, CUtensorMapSwizzle,
                            CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

Encode find_encode() {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result{};
#if CUDART_VERSION >= 12050
  const cudaError_t status =
      cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result);
#else
  const cudaError_t status = cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &found, cudaEnableDefault, &result);
#endif
  if (status != cudaSuccess || result != cudaDriverEntryPointSuccess || found == nullptr) {
    static_cast<void>(cudaGetLastError());
    throw Error("the driver has no cuTensorMapEncodeTiled", "cuda", "update the driver to one of CUDA 12");
  }
  return reinterpret_cast<Encode>(found);
}

CUtensorMapDataType type_of(const BoxedTensor& tensor) {
  switch (tensor.dtype) {
    case DType::bfloat16:
      return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    case DType::float16:
      return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
    case DType::float32:
      return CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
    default:
      refuse(tensor, "the copying unit is not used for this type", "use float16, bfloat16 or float32");
  }
}

}  // namespace

TensorMap make_tensor_map(const BoxedTensor& tensor) {
  check(tensor);
  static const Encode encode = find_encode();
  static_assert(sizeof(TensorMap) == sizeof(CUtensorMap) && alignof(TensorMap) >= alignof(CUtensorMap));
  cuuint64_t sizes[4], strides[4];
  cuuint32_t box[4], steps[4];
  for (size_t d = 0; d < 4; ++d) {
    sizes[d] = static_cast<cuuint64_t>(tensor.sizes.at(d));
    // A dimension of one has no stride that counts, but the driver reads it: never zero.
    const int64_t stride = tensor.sizes.at(d) > 1 || d == 0 ? tensor.strides.at(d) * item_size(tensor.dtype) : 0;
    strides[d] = static_cast<cuuint64_t>(stride > 0 ? stride : 16);
    box[d] = static_cast<cuuint32_t>(tensor.box.at(d));
    steps[d] = 1;
  }
  TensorMap map;
  const CUresult status =
      encode(reinterpret_cast<CUtensorMap*>(&map), type_of(tensor), static_cast<cuuint32_t>(tensor.rank),
             const_cast<void*>(tensor.data), sizes, strides + 1, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
             tensor.swizzled ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_NONE,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS) {
    refuse(tensor, "the driver says error " + std::to_string(static_cast<int>(status)), "report it");
  }
  return map;
}

#endif

}  // namespace mica::cuda
