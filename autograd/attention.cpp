#include "mica/autograd/attention.h"

#include <algorithm>
#include <limits>
#include <string>

#include "mica/autograd/random.h"
#include "mica/autograd/tape.h"
#include "mica/base/error.h"

namespace mica {
namespace {

void check(const Tensor& q, const Tensor& k, const Tensor& v, const SequenceOffsets& query_offsets,
           const SequenceOffsets& key_offsets) {
  const bool shapes = q.rank() == 3 && k.rank() == 3 && v.shape() == k.shape() && q.size(2) == k.size(2) &&
                      k.size(1) > 0 && q.size(1) % k.size(1) == 0;
  if (!shapes || q.size(0) != query_offsets.rows() || k.size(0) != key_offsets.rows() ||
      query_offsets.count() != key_offsets.count()) {
    throw Error("query " + to_string(q.shape()) + ", key " + to_string(k.shape()) + ", value " + to_string(v.shape()) +
                    ", " + std::to_string(query_offsets.rows()) + " and " + std::to_string(key_offsets.rows()) +
                    " rows in sequences",
                "attention", "need [rows, heads, head_size] with heads a multiple of the key's heads");
  }
}

// The kernels want the last dimension dense.
Tensor dense_heads(const Tensor& x) {
  const Tensor detached = x.detach();
  return detached.stride(2) == 1 || detached.size(2) == 1 ? detached : detached.contiguous();
}

}  // namespace

SequenceOffsets SequenceOffsets::from_lengths(const std::vector<int64_t>& lengths, Device device) {
  SequenceOffsets result;
  int64_t total = 0;
  for (const int64_t length : lengths) {
    total += length;
    if (length < 0 || total > std::numeric_limits<int32_t>::max()) {
      throw Error("sequence of " + std::to_string(length) + " rows, " + std::to_string(total) + " in all", "attention",
                  "use smaller batches");
    }
    result.offsets_.push_back(static_cast<int32_t>(total));
    result.longest_ = std::max(result.longest_, length);
  }
  if (!device.is_cpu()) result.device_ = Tensor::from(result.offsets_).to(device);
  return result;
}

SequenceOffsets SequenceOffsets::uniform(int64_t count, int64_t length, Device device) {
  return from_lengths(std::vector<int64_t>(static_cast<size_t>(count), length), device);
}

Segments SequenceOffsets::segments() const {
  return {offsets_, device_.defined() ? static_cast<const int32_t*>(device_.raw_data()) : offsets_.data()};
}

Tensor attention(const Tensor& query, const Tensor& key, const Tensor& value, const SequenceOffsets& query_offsets,
                 const SequenceOffsets& key_offsets, const AttentionOptions& options) {
  check(query, key, value, query_offsets, key_offsets);
  struct Kept {
    Tensor q, k, v, key_mask, bias;
    SequenceOffsets query_offsets, key_offsets;
    AttentionArguments arguments;
  };
  auto kept = std::make_shared<Kept>();
  kept->q = dense_heads(query);
  kept->k = dense_heads(key);
  kept->v = dense_heads(value);
  kept->key_mask = options.key_mask;
  kept->bias = options.bias.defined() ? options.bias.detach().contiguous() : Tensor();
  kept->query_offsets = query_offsets;
  kept->key_offsets = key_offsets;
  AttentionArguments& arguments = kept->arguments;
  arguments.query = kept->q.view();
  arguments.key = kept->k.view();
  arguments.value = kept->v.view();
  arguments.query_segments = kept->query_offsets.segments();
  arguments.key_segments = kept->key_offsets.segments();
  arguments.scale = static_cast<float>(options.scale);
  arguments.causal = options.causal;
  arguments.key_mask = kept->key_mask.view();
  arguments.bias = kept->bias.view();
  if (options.dropout > 0) {
    arguments.dropout = static_cast<float>(options.dropout);
    const RandomStream source = next_random_stream();
    // One number names the draw: the stream spread over the seed by an odd multiplier.
    arguments.seed = source.seed ^ ((source.stream + 1) * 0x9E3779B97F4A7C15U);
  }
  const bool tracked = wants_grad({&query, &key, &value, &options.bias});
  if (!tracked) arguments.product_dtype = options.product_dtype;
  Tensor output = Tensor::empty(query.shape(), query.dtype(), query.device());
  const Tensor log_sum_exp =
      tracked ? Tensor::empty({query.size(1), query.size(0)}, query.dtype(), query.device()) : Tensor();
  backend(query.device()).attention().forward(arguments, output.view(), log_sum_exp.view());
  if (tracked) {
    record("attention", {query, key, value, options.bias}, {output},
           [kept, o = output.detach(), log_sum_exp,
            need_bias = options.bias.requires_grad()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
             const Tensor dq = Tensor::empty(kept->q.shape(), o.dtype(), o.device());
             const Tensor dk = Tensor::empty(kept->k.shape(), o.dtype(), o.device());
             const Tensor dv = Tensor::empty(kept->v.shape(), o.dtype(), o.device());
             const Tensor dbias = need_bias ? Tensor::empty(kept->bias.shape(), o.dtype(), o.device()) : Tensor();
             backend(o.device())
                 .attention()
                 .backward(kept->arguments, o.view(), log_sum_exp.view(), g[0].contiguous().view(), dq.view(),
                           dk.view(), dv.view(), dbias.view());
             return {dq, dk, dv, dbias};
           });
  }
  return output;
}

}  // namespace mica
