// What is still to be written.

#include "mica/base/error.h"
#include "mica/kernels/cuda/backend.h"

namespace mica::cuda {

// CudaAttention
void CudaAttention::forward(const AttentionArguments& /*arguments*/, const View& /*output*/, const View& /*log_sum_exp*/) {
  throw Error("unfinished", "CudaAttention::CudaAttention", "");
}
void CudaAttention::backward(const AttentionArguments& /*arguments*/, const View& /*output*/, const View& /*log_sum_exp*/, const View& /*d_output*/, const View& /*d_query*/, const View& /*d_key*/, const View& /*d_value*/, const View& /*d_bias*/, const View& /*d_sinks*/) {
  throw Error("unfinished", "CudaAttention::backward", "");
}

// CudaLinear
void CudaLinear::matmul(const View& /*a*/, bool /*transpose_a*/, const View& /*b*/, bool /*transpose_b*/, const View& /*c*/, double /*alpha*/, double /*beta*/) {
  throw Error("unfinished", "CudaLinear::CudaLinear", "");
}
void CudaLinear::product(const View& /*a*/, bool /*transpose_a*/, const View& /*b*/, bool /*transpose_b*/, const View& /*bias*/, const View& /*c*/, DType /*factors*/, bool /*add*/) {
  throw Error("unfinished", "CudaLinear::product", "");
}
void CudaLinear::forward(const View& /*x*/, const View& /*weight*/, const Epilogue& /*epilogue*/, const View& /*y*/) {
  throw Error("unfinished", "CudaLinear::forward", "");
}
DType CudaLinear::packed_dtype(DType /*weight_dtype*/) const {
  throw Error("unfinished", "CudaLinear::packed_dtype", "");
}
int64_t CudaLinear::packed_bytes(int64_t /*out*/, int64_t /*in*/, DType /*packed_dtype*/) const {
  throw Error("unfinished", "CudaLinear::packed_bytes", "");
}
void CudaLinear::pack(const View& /*weight*/, int64_t /*first_row*/, const PackedWeight& /*packed*/) {
  throw Error("unfinished", "CudaLinear::pack", "");
}
void CudaLinear::forward_packed(const View& /*x*/, const PackedWeight& /*weight*/, const Epilogue& /*epilogue*/, const View& /*y*/) {
  throw Error("unfinished", "CudaLinear::forward_packed", "");
}
void CudaLinear::forward_packed_chain(const View& /*x*/, std::span<const ChainStep> /*steps*/) {
  throw Error("unfinished", "CudaLinear::forward_packed_chain", "");
}

}  // namespace mica::cuda
