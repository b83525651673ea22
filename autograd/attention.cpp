#include "mica/autograd/attention.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "mica/autograd/adjacent.h"
#include "mica/autograd/autocast.h"
#include "mica/autograd/random.h"
#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/base/recycled.h"

namespace mica {
namespace {

[[noreturn]] void mismatch(const std::string& what, const std::string& mend) {
  throw Error(what, "attention", mend);
}

void check_rows(const Tensor& q, const Tensor& k, const Tensor& v, const SequenceOffsets& query_offsets,
                const SequenceOffsets& key_offsets) {
  const bool shapes = q.rank() == 3 && k.rank() == 3 && v.rank() == 3 && v.size(0) == k.size(0) &&
                      v.size(1) == k.size(1) && q.size(2) == k.size(2) && k.size(1) > 0 && q.size(1) % k.size(1) == 0;
  const auto fits = [](int64_t rows, const SequenceOffsets& offsets) {
    return offsets.gaps() ? rows >= offsets.rows() : rows == offsets.rows();
  };
  if (!shapes || !fits(q.size(0), query_offsets) || !fits(k.size(0), key_offsets) ||
      query_offsets.count() != key_offsets.count()) {
    mismatch("query " + to_string(q.shape()) + ", key " + to_string(k.shape()) + ", value " + to_string(v.shape()) +
                 ", " + std::to_string(query_offsets.rows()) + " and " + std::to_string(key_offsets.rows()) +
                 " rows in " + std::to_string(query_offsets.count()) + " and " + std::to_string(key_offsets.count()) +
                 " sequences",
             "need [rows, heads, head_size] with heads a multiple of the key's heads");
  }
}

void check_dtypes(const Tensor& q, const Tensor& k, const Tensor& v, bool tracked) {
  const bool cached = k.dtype() == DType::float16 || k.dtype() == DType::bfloat16;
  if (k.dtype() != v.dtype() || (k.dtype() != q.dtype() && (tracked || !cached))) {
    mismatch(std::string("query of ") + std::string(name(q.dtype())) + ", key of " + std::string(name(k.dtype())) +
                 ", value of " + std::string(name(v.dtype())),
             tracked ? "a gradient needs one dtype for all" : "need the query's dtype, or float16 or bfloat16");
  }
}

void check_options(const AttentionOptions& options, const Tensor& q, const Tensor& k,
                   const SequenceOffsets& query_offsets, const SequenceOffsets& key_offsets) {
  if (options.window < 0 || !(options.softcap >= 0)) {
    mismatch("window " + std::to_string(options.window) + ", softcap " + std::to_string(options.softcap),
             "neither may be negative");
  }
  const auto per_head = [&](const Tensor& x, const char* name) {
    if (x.defined() && (x.rank() != 1 || x.size(0) != q.size(1) || x.dtype() != q.dtype())) {
      mismatch(std::string(name) + " " + to_string(x.shape()) + " for " + std::to_string(q.size(1)) + " heads",
               "need one for each head, of the query's dtype");
    }
  };
  per_head(options.alibi_slopes, "slopes");
  per_head(options.sinks, "sinks");
  const Tensor& mask = options.key_mask;
  if (mask.defined() && (mask.rank() != 1 || mask.size(0) != k.size(0))) {
    mismatch("key mask " + to_string(mask.shape()) + " for keys " + to_string(k.shape()), "need [key_rows]");
  }
  const Tensor& bias = options.bias;
  const auto one_or = [&](int dim, bool enough) { return bias.size(dim) == 1 || enough; };
  if (bias.defined() &&
      (bias.rank() != 4 || !one_or(0, bias.size(0) == query_offsets.count()) || !one_or(1, bias.size(1) == q.size(1)) ||
       !one_or(2, bias.size(2) >= query_offsets.longest()) || bias.size(3) < key_offsets.longest())) {
    mismatch("bias " + to_string(bias.shape()) + " for " + std::to_string(query_offsets.count()) + " sequences, " +
                 std::to_string(q.size(1)) + " heads, up to " + std::to_string(query_offsets.longest()) +
                 " queries and " + std::to_string(key_offsets.longest()) + " keys",
             "need [sequences or 1, heads or 1, queries or 1, keys]");
  }
}

// The kernels want the last dimension dense.
Tensor dense_heads(const Tensor& x) {
  const Tensor detached = x.detach();
  return detached.stride(2) == 1 || detached.size(2) == 1 ? detached : detached.contiguous();
}

// Whether query, key and value are the slices of one product's rows, all of them: their gradients are then made so,
// too.
bool slices_of_one(const Tensor& q, const Tensor& k, const Tensor& v) {
  const auto columns = [](const Tensor& x) { return x.size(1) * x.size(2); };
  const auto dense = [](const Tensor& x) { return x.size(1) == 1 || x.stride(1) == x.size(2); };
  const int64_t row = q.stride(0);
  return q.size(0) > 1 && q.size(0) == k.size(0) && row == columns(q) + columns(k) + columns(v) && k.stride(0) == row &&
         v.stride(0) == row && dense(q) && dense(k) && dense(v) && follows(q, columns(q), k) &&
         follows(k, columns(k), v);
}

Tensor upload(std::span<const int32_t> values, Device device) {
  return Tensor::from(std::vector<int32_t>(values.begin(), values.end())).to(device);
}

}  // namespace

SequenceOffsets SequenceOffsets::from_lengths(std::span<const int64_t> lengths, Device device) {
  SequenceOffsets result;
  for (const int64_t length : lengths) {
    result.rows_ += length;
    if (length < 0 || result.rows_ > std::numeric_limits<int32_t>::max()) {
      mismatch("sequence of " + std::to_string(length) + " rows, " + std::to_string(result.rows_) + " in all",
               "use smaller batches");
    }
    result.offsets_.push_back(static_cast<int32_t>(result.rows_));
    result.longest_ = std::max(result.longest_, length);
  }
  if (!device.is_cpu()) result.device_ = upload(result.offsets_, device);
  return result;
}

SequenceOffsets SequenceOffsets::uniform(int64_t count, int64_t length, Device device) {
  return from_lengths(std::vector<int64_t>(static_cast<size_t>(count), length), device);
}

SequenceOffsets SequenceOffsets::with_lengths(std::span<const int64_t> starts, std::span<const int64_t> lengths,
                                              Device device) {
  if (starts.size() != lengths.size()) {
    mismatch(std::to_string(starts.size()) + " first rows and " + std::to_string(lengths.size()) + " lengths",
             "need one of each for a sequence");
  }
  SequenceOffsets result;
  if (starts.empty()) return result;
  result.offsets_.clear();
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  for (size_t i = 0; i < starts.size(); ++i) {
    if (starts[i] < 0 || lengths[i] < 0 || starts[i] > kMost || lengths[i] > kMost - starts[i]) {
      mismatch("sequence of " + std::to_string(lengths[i]) + " rows from " + std::to_string(starts[i]) + " on",
               "use smaller batches");
    }
    result.offsets_.push_back(static_cast<int32_t>(starts[i]));
    result.lengths_.push_back(static_cast<int32_t>(lengths[i]));
    result.rows_ = std::max(result.rows_, starts[i] + lengths[i]);
    result.longest_ = std::max(result.longest_, lengths[i]);
  }
  if (!device.is_cpu()) {
    result.device_ = upload(result.offsets_, device);
    result.device_lengths_ = upload(result.lengths_, device);
  }
  return result;
}

SequenceOffsets SequenceOffsets::on_device(std::span<const int64_t> starts, std::span<const int64_t> most,
                                           const Tensor& device_starts, const Tensor& device_lengths) {
  for (const Tensor* each : {&device_starts, &device_lengths}) {
    if (each->dtype() != DType::int32 || each->numel() != static_cast<int64_t>(starts.size()) ||
        !each->is_contiguous() || each->device().is_cpu()) {
      mismatch("starts or lengths " + to_string(each->shape()) + " " + std::string(name(each->dtype())),
               "need one int32 for each sequence, on a device");
    }
  }
  SequenceOffsets result = with_lengths(starts, most);
  result.device_ = device_starts;
  result.device_lengths_ = device_lengths;
  return result;
}

bool SequenceOffsets::overlap() const {
  if (!gaps()) return false;
  std::vector<std::pair<int64_t, int64_t>> owned;
  for (int64_t i = 0; i < count(); ++i) {
    if (length(i) > 0) owned.emplace_back(begin(i), begin(i) + length(i));
  }
  std::sort(owned.begin(), owned.end());
  return std::adjacent_find(owned.begin(), owned.end(),
                            [](const auto& a, const auto& b) { return b.first < a.second; }) != owned.end();
}

Segments SequenceOffsets::segments() const {
  Segments result = segments_on_host();
  if (device_.defined()) result.device = static_cast<const int32_t*>(device_.raw_data());
  if (device_lengths_.defined()) result.device_lengths = static_cast<const int32_t*>(device_lengths_.raw_data());
  return result;
}

Tensor attention(const Tensor& query, const Tensor& key, const Tensor& value, const SequenceOffsets& query_offsets,
                 const SequenceOffsets& key_offsets, const AttentionOptions& options) {
  check_rows(query, key, value, query_offsets, key_offsets);
  check_options(options, query, key, query_offsets, key_offsets);
  check_devices("attention",
                {&query, &key, &value, &options.key_mask, &options.bias, &options.alibi_slopes, &options.sinks});
  struct Kept {
    Tensor q, k, v, key_mask, bias, alibi_slopes, sinks;
    SequenceOffsets query_offsets, key_offsets;
    AttentionArguments arguments;
  };
  auto kept = make_recycled<Kept>();
  kept->q = dense_heads(query);
  kept->k = dense_heads(key);
  kept->v = dense_heads(value);
  kept->key_mask = options.key_mask;
  kept->bias = options.bias.defined() ? options.bias.detach().contiguous() : Tensor();
  if (options.alibi_slopes.defined()) kept->alibi_slopes = options.alibi_slopes.detach();
  if (options.sinks.defined()) kept->sinks = options.sinks.detach();
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
  arguments.window = options.window;
  arguments.softcap = static_cast<float>(options.softcap);
  arguments.key_mask = kept->key_mask.view();
  arguments.bias = kept->bias.view();
  arguments.alibi_slopes = kept->alibi_slopes.view();
  arguments.sinks = kept->sinks.view();
  if (options.dropout > 0) {
    arguments.dropout = static_cast<float>(options.dropout);
    const RandomStream source = next_random_stream();
    // One number names the draw: the stream spread over the seed by an odd multiplier.
    arguments.seed = source.seed ^ ((source.stream + 1) * 0x9E3779B97F4A7C15U);
  }
  const bool tracked = wants_grad({&query, &key, &value, &options.bias, &options.sinks});
  check_dtypes(query, key, value, tracked);
  if (!tracked) arguments.product_dtype = product_dtype(options.product_dtype);
  if (tracked && (query_offsets.overlap() || key_offsets.overlap())) {
    mismatch("sequences that own the same rows", "a gradient needs rows of their own for each");
  }
  // Rows that no sequence owns are not written.
  const auto make = query_offsets.gaps() ? Tensor::zeros : Tensor::empty;
  const Shape shape = {query.size(0), query.size(1), value.size(2)};
  Tensor output = make(shape, query.dtype(), query.device());
  const Tensor log_sum_exp =
      tracked ? Tensor::empty({query.size(1), query.size(0)}, query.dtype(), query.device()) : Tensor();
  backend(query.device()).attention().forward(arguments, output.view(), log_sum_exp.view());
  if (tracked) {
    record("attention", {query, key, value, options.bias, options.sinks}, {output},
           [kept, o = output.detach(), log_sum_exp, need_bias = options.bias.requires_grad(),
            need_sinks = options.sinks.requires_grad()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
             const auto like = [&](const Tensor& x, bool gaps) {
               return (gaps ? Tensor::zeros : Tensor::empty)(x.shape(), o.dtype(), o.device());
             };
             Tensor dq, dk, dv;
             if (slices_of_one(kept->q, kept->k, kept->v) && !kept->query_offsets.gaps() && !kept->key_offsets.gaps()) {
               const Tensor whole = Tensor::empty({o.size(0), kept->q.stride(0)}, o.dtype(), o.device());
               int64_t column = 0;
               for (const auto& [of, to] : {std::pair{&kept->q, &dq}, {&kept->k, &dk}, {&kept->v, &dv}}) {
                 const int64_t columns = of->size(1) * of->size(2);
                 *to = whole.slice(1, column, column + columns).unflatten(1, of->size(1));
                 column += columns;
               }
             } else {
               dq = like(kept->q, kept->query_offsets.gaps());
               dk = like(kept->k, kept->key_offsets.gaps());
               dv = like(kept->v, kept->key_offsets.gaps());
             }
             const Tensor dbias = need_bias ? like(kept->bias, false) : Tensor();
             const Tensor dsinks = need_sinks ? like(kept->sinks, false) : Tensor();
             backend(o.device())
                 .attention()
                 .backward(kept->arguments, o.view(), log_sum_exp.view(), g[0].contiguous().view(), dq.view(),
                           dk.view(), dv.view(), dbias.view(), dsinks.view());
             return {dq, dk, dv, dbias, dsinks};
           });
  }
  return output;
}

}  // namespace mica
