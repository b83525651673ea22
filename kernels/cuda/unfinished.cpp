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
