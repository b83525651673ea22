// What is still to be written.

#include "mica/base/error.h"
#include "mica/kernels/cuda/backend.h"

namespace mica::cuda {

// CudaActivation
void CudaActivation::forward(Activation /*activation*/, const View& /*x*/, const View& /*y*/) {
  throw Error("unfinished", "CudaActivation::CudaActivation", "");
}
void CudaActivation::backward(Activation /*activation*/, const View& /*x*/, const View& /*dy*/, const View& /*dx*/) {
  throw Error("unfinished", "CudaActivation::backward", "");
}
void CudaActivation::gated(Activation /*activation*/, const View& /*gate*/, const View& /*up*/, const View& /*y*/) {
  throw Error("unfinished", "CudaActivation::gated", "");
}
void CudaActivation::gated_backward(Activation /*activation*/, const View& /*gate*/, const View& /*up*/, const View& /*dy*/, const View& /*dgate*/, const View& /*dup*/) {
  throw Error("unfinished", "CudaActivation::gated_backward", "");
}
void CudaActivation::clamped_swiglu(const View& /*gate*/, const View& /*up*/, double /*limit*/, double /*alpha*/, const View& /*y*/) {
  throw Error("unfinished", "CudaActivation::clamped_swiglu", "");
}
void CudaActivation::clamped_swiglu_backward(const View& /*gate*/, const View& /*up*/, double /*limit*/, double /*alpha*/, const View& /*dy*/, const View& /*dgate*/, const View& /*dup*/) {
  throw Error("unfinished", "CudaActivation::clamped_swiglu_backward", "");
}
void CudaActivation::softcap(const View& /*x*/, double /*cap*/, const View& /*y*/) {
  throw Error("unfinished", "CudaActivation::softcap", "");
}
void CudaActivation::softcap_backward(const View& /*y*/, const View& /*dy*/, double /*cap*/, const View& /*dx*/) {
  throw Error("unfinished", "CudaActivation::softcap_backward", "");
}

// CudaEmbedding
void CudaEmbedding::forward(const View& /*table*/, const View& /*ids*/, const View& /*y*/) {
  throw Error("unfinished", "CudaEmbedding::CudaEmbedding", "");
}
void CudaEmbedding::forward_sum(const View* /*tables*/, const View* /*ids*/, int /*count*/, const View& /*y*/) {
  throw Error("unfinished", "CudaEmbedding::forward_sum", "");
}
void CudaEmbedding::backward(const View& /*dy*/, const View& /*ids*/, int64_t /*padding_idx*/, const View& /*dtable*/) {
  throw Error("unfinished", "CudaEmbedding::backward", "");
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

// CudaLoss
void CudaLoss::cross_entropy(const View& /*logits*/, const View& /*labels*/, int64_t /*ignore_index*/, const View& /*loss*/, const View& /*log_sum_exp*/) {
  throw Error("unfinished", "CudaLoss::CudaLoss", "");
}
void CudaLoss::cross_entropy_backward(const View& /*dloss*/, const View& /*logits*/, const View& /*labels*/, int64_t /*ignore_index*/, const View& /*log_sum_exp*/, const View& /*dlogits*/) {
  throw Error("unfinished", "CudaLoss::cross_entropy_backward", "");
}
void CudaLoss::mse(const View& /*x*/, const View& /*target*/, const View& /*loss*/) {
  throw Error("unfinished", "CudaLoss::mse", "");
}
void CudaLoss::mse_backward(const View& /*dloss*/, const View& /*x*/, const View& /*target*/, const View& /*dx*/) {
  throw Error("unfinished", "CudaLoss::mse_backward", "");
}
void CudaLoss::bce_with_logits(const View& /*x*/, const View& /*target*/, const View& /*loss*/) {
  throw Error("unfinished", "CudaLoss::bce_with_logits", "");
}
void CudaLoss::bce_with_logits_backward(const View& /*dloss*/, const View& /*x*/, const View& /*target*/, const View& /*dx*/) {
  throw Error("unfinished", "CudaLoss::bce_with_logits_backward", "");
}

// CudaOptimizer
void CudaOptimizer::adamw(std::span<const AdamWItem> /*items*/, double /*gradient_scale*/) {
  throw Error("unfinished", "CudaOptimizer::CudaOptimizer", "");
}
void CudaOptimizer::sgd(std::span<const SgdItem> /*items*/, double /*gradient_scale*/) {
  throw Error("unfinished", "CudaOptimizer::sgd", "");
}
void CudaOptimizer::lion(std::span<const LionItem> /*items*/, double /*gradient_scale*/) {
  throw Error("unfinished", "CudaOptimizer::lion", "");
}
void CudaOptimizer::adafactor(std::span<const AdafactorItem> /*items*/, double /*gradient_scale*/) {
  throw Error("unfinished", "CudaOptimizer::adafactor", "");
}
void CudaOptimizer::sum_of_squares(std::span<const View> /*tensors*/, const View& /*y*/) {
  throw Error("unfinished", "CudaOptimizer::sum_of_squares", "");
}

// CudaRandom
void CudaRandom::uniform(uint64_t /*seed*/, uint64_t /*stream*/, double /*low*/, double /*high*/, const View& /*y*/) {
  throw Error("unfinished", "CudaRandom::CudaRandom", "");
}
void CudaRandom::normal(uint64_t /*seed*/, uint64_t /*stream*/, double /*mean*/, double /*deviation*/, const View& /*y*/) {
  throw Error("unfinished", "CudaRandom::normal", "");
}
void CudaRandom::dropout(uint64_t /*seed*/, uint64_t /*stream*/, double /*p*/, const View& /*x*/, const View& /*y*/) {
  throw Error("unfinished", "CudaRandom::dropout", "");
}

// CudaReduce
void CudaReduce::reduce(ReduceOp /*op*/, const View& /*x*/, const View& /*y*/) {
  throw Error("unfinished", "CudaReduce::CudaReduce", "");
}
void CudaReduce::argmax(const View& /*x*/, const View& /*y*/) {
  throw Error("unfinished", "CudaReduce::argmax", "");
}
void CudaReduce::softmax(const View& /*x*/, bool /*log*/, const View& /*y*/) {
  throw Error("unfinished", "CudaReduce::softmax", "");
}
void CudaReduce::softmax_backward(const View& /*y*/, const View& /*dy*/, bool /*log*/, const View& /*dx*/) {
  throw Error("unfinished", "CudaReduce::softmax_backward", "");
}
void CudaReduce::topk(const View& /*x*/, const View& /*values*/, const View& /*indices*/) {
  throw Error("unfinished", "CudaReduce::topk", "");
}
void CudaReduce::segment_reduce(ReduceOp /*op*/, const View& /*x*/, const Segments& /*segments*/, const View& /*weights*/, const View& /*y*/) {
  throw Error("unfinished", "CudaReduce::segment_reduce", "");
}

// CudaRotary
void CudaRotary::rotate(const View& /*x*/, const View& /*cos*/, const View& /*sin*/, RotaryLayout /*layout*/, int64_t /*offset*/, bool /*inverse*/, const View& /*y*/) {
  throw Error("unfinished", "CudaRotary::CudaRotary", "");
}

}  // namespace mica::cuda
