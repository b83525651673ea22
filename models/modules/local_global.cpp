#include "mica/models/modules/local_global.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <utility>

#include "mica/autograd/attention.h"
#include "mica/autograd/elementwise.h"
#include "mica/autograd/shape.h"
#include "mica/base/error.h"

namespace mica {
namespace {

constexpr int64_t kLeastBlock = 64;  // queries that share their keys

}  // namespace

// Consecutive queries, together with the global tokens and all that one of them sees.
struct LocalGlobalAttention::Blocks {
  Tensor queries, keys;  // rows of the call
  SequenceOffsets query_offsets, key_offsets;
  Tensor bias;  // [blocks, 1, queries, keys], the lowest number where a key is too far away; undefined: none is

  Blocks(const Rows& rows, const std::vector<uint8_t>& shown, const std::vector<uint8_t>& global, int64_t reach);
};

LocalGlobalAttention::Blocks::Blocks(const Rows& rows, const std::vector<uint8_t>& shown,
                                     const std::vector<uint8_t>& global, int64_t reach) {
  std::vector<int64_t> query_rows, key_rows, query_lengths, key_lengths;
  const auto is_shown = [&](int64_t row) { return shown.empty() || shown[static_cast<size_t>(row)] != 0; };
  const auto is_global = [&](int64_t row) { return global[static_cast<size_t>(row)] != 0; };
  const int64_t step = std::max(2 * reach, kLeastBlock);
  for (int64_t s = 0; s < rows.batch(); ++s) {
    const int64_t first = rows.offsets.begin(s);
    const int64_t last = first + rows.offsets.length(s);
    for (int64_t begin = first; begin < last; begin += step) {
      const int64_t end = std::min(begin + step, last);
      const size_t queries_before = query_rows.size();
      for (int64_t row = begin; row < end; ++row) {
        if (is_shown(row) && !is_global(row)) query_rows.push_back(row);
      }
      if (query_rows.size() == queries_before) continue;
      const size_t keys_before = key_rows.size();
      for (int64_t row = first; row < last; ++row) {
        if (is_global(row)) key_rows.push_back(row);
      }
      for (int64_t row = std::max(first, begin - reach); row < std::min(last, end + reach); ++row) {
        if (is_shown(row) && !is_global(row)) key_rows.push_back(row);
      }
      query_lengths.push_back(static_cast<int64_t>(query_rows.size() - queries_before));
      key_lengths.push_back(static_cast<int64_t>(key_rows.size() - keys_before));
    }
  }
  queries = Tensor::from(query_rows).to(rows.device);
  keys = Tensor::from(key_rows).to(rows.device);
  query_offsets = SequenceOffsets::from_lengths(query_lengths, rows.device);
  key_offsets = SequenceOffsets::from_lengths(key_lengths, rows.device);
  const int64_t longest_query = query_offsets.longest();
  const int64_t longest_key = key_offsets.longest();
  std::vector<float> far(query_lengths.size() * static_cast<size_t>(longest_query * longest_key), 0.0F);
  bool any = false;
  for (int64_t b = 0; b < query_offsets.count(); ++b) {
    for (int64_t i = 0; i < query_offsets.length(b); ++i) {
      const int64_t query = query_rows[static_cast<size_t>(query_offsets.begin(b) + i)];
      float* out = far.data() + (b * longest_query + i) * longest_key;
      for (int64_t k = 0; k < key_offsets.length(b); ++k) {
        const int64_t key = key_rows[static_cast<size_t>(key_offsets.begin(b) + k)];
        if (is_global(key) || std::abs(query - key) <= reach) continue;
        out[k] = std::numeric_limits<float>::lowest();
        any = true;
      }
    }
  }
  if (any) bias = Tensor::from(far, {query_offsets.count(), 1, longest_query, longest_key}).to(rows.device);
}

struct LocalGlobalAttention::Call {
  const Rows* rows;
  Tensor visible;  // [rows, 1], 1 for a token that is not hidden
  // Where there are global tokens:
  std::map<int64_t, Blocks> blocks;  // by reach
  Tensor global;                     // their rows
  SequenceOffsets global_offsets;
};

LocalGlobalAttention::LocalGlobalAttention(const Scope& scope, const std::vector<std::string>& layers,
                                           int64_t hidden_size, LocalGlobalSpec spec)
    : spec_(std::move(spec)), head_size_(hidden_size / spec_.num_heads), product_dtype_(scope.options().dtype) {
  for (const std::string& name : layers) {
    const Scope module = scope / name / spec_.module;
    const auto linear = [&](const char* part) { return Linear(module / part, hidden_size, hidden_size); };
    Layer layer;
    layer.local = LinearGroup({linear("query"), linear("key"), linear("value")}, scope.options());
    layer.global_query = linear("query_global");
    layer.global_key = linear("key_global");
    layer.global_value = linear("value_global");
    layers_.push_back(std::move(layer));
  }
}

// 1 for each row that is global; hidden ones never are.
std::vector<uint8_t> LocalGlobalAttention::global_tokens(const Rows& rows) const {
  std::vector<uint8_t> global(static_cast<size_t>(rows.rows()), 0);
  const bool by_separator =
      spec_.global_tokens == GlobalTokens::before_separator || spec_.global_tokens == GlobalTokens::after_separator;
  if (rows.global_mask.defined()) {
    global = rows.global_mask.to_vector<uint8_t>();
  } else if (spec_.global_tokens == GlobalTokens::first) {
    for (int64_t s = 0; s < rows.batch(); ++s) {
      if (rows.offsets.length(s) > 0) global[static_cast<size_t>(rows.offsets.begin(s))] = 1;
    }
  } else if (by_separator && rows.input_ids.defined()) {
    const std::vector<int64_t> ids = rows.input_ids.to_vector<int64_t>();
    for (int64_t s = 0; s < rows.batch(); ++s) {
      const auto begin = ids.begin() + rows.offsets.begin(s);
      const auto end = begin + rows.offsets.length(s);
      const auto found = std::count(begin, end, spec_.separator);
      if (found != 3) {
        throw Error("sequence " + std::to_string(s) + " has " + std::to_string(found) + " separators", "model inputs",
                    "give exactly three of token " + std::to_string(spec_.separator) + ", or a global_attention_mask");
      }
      const auto separator = std::find(begin, end, spec_.separator);
      const bool before = spec_.global_tokens == GlobalTokens::before_separator;
      for (auto at = before ? begin : separator + 2; at < (before ? separator : end); ++at) {
        global[static_cast<size_t>(at - ids.begin())] = 1;
      }
    }
  }
  if (rows.key_mask.defined()) {
    const std::vector<uint8_t> shown = rows.shown.to_vector<uint8_t>();
    for (size_t i = 0; i < global.size(); ++i) global[i] = global[i] != 0 && shown[i] != 0 ? 1 : 0;
  }
  return global;
}

LayerMixer LocalGlobalAttention::start(const Rows& rows) const {
  auto call = std::make_shared<Call>();
  call->rows = &rows;
  std::vector<uint8_t> shown;
  if (rows.key_mask.defined()) {
    shown = rows.shown.to_vector<uint8_t>();
    const std::vector<float> visible(shown.begin(), shown.end());
    call->visible = Tensor::from(visible, {rows.rows(), 1}).to(rows.device);
  }
  const std::vector<uint8_t> global = global_tokens(rows);
  std::vector<int64_t> global_rows, lengths;
  for (int64_t s = 0; s < rows.batch(); ++s) {
    const size_t before = global_rows.size();
    for (int64_t i = 0; i < rows.offsets.length(s); ++i) {
      const int64_t row = rows.offsets.begin(s) + i;
      if (global[static_cast<size_t>(row)] != 0) global_rows.push_back(row);
    }
    lengths.push_back(static_cast<int64_t>(global_rows.size() - before));
  }
  if (!global_rows.empty()) {
    call->global = Tensor::from(global_rows).to(rows.device);
    call->global_offsets = SequenceOffsets::from_lengths(lengths, rows.device);
    for (const int64_t reach : spec_.reach) call->blocks.try_emplace(reach, rows, shown, global, reach);
  }
  return [this, call](size_t layer, const Tensor& x) { return mix(layer, x, *call); };
}

Tensor LocalGlobalAttention::mix(size_t index, const Tensor& x, const Call& call) const {
  const Rows& rows = *call.rows;
  const Layer& layer = layers_[index];
  const int64_t reach = spec_.reach[index];
  const auto by_heads = [&](const Tensor& part) {
    return split_heads(part, Shape{part.size(0), spec_.num_heads, head_size_});
  };
  const auto flat = [&](const Tensor& part) {
    return reshape(part, Shape{part.size(0), spec_.num_heads * head_size_});
  };
  AttentionOptions options{.scale = 1 / std::sqrt(static_cast<double>(head_size_)),
                           .dropout = rows.training ? spec_.dropout : 0,
                           .product_dtype = product_dtype_};
  auto local = layer.local(x);
  if (!call.global.defined()) {
    for (Tensor& part : local) part = by_heads(part);
    options.window = reach;
    options.key_mask = rows.key_mask;
    const Tensor mixed = flat(attention(local[0], local[1], local[2], rows.offsets, rows.offsets, options));
    return call.visible.defined() ? multiply(mixed, call.visible.to(mixed.dtype())) : mixed;
  }
  std::vector<Tensor> results, places;
  const Blocks& blocks = call.blocks.at(reach);
  if (blocks.queries.numel() > 0) {
    options.bias = blocks.bias.defined() ? blocks.bias.to(x.dtype()) : Tensor();
    results.push_back(flat(
        attention(by_heads(index_select(local[0], blocks.queries)), by_heads(index_select(local[1], blocks.keys)),
                  by_heads(index_select(local[2], blocks.keys)), blocks.query_offsets, blocks.key_offsets, options)));
    places.push_back(blocks.queries);
  }
  options.bias = {};
  options.key_mask = rows.key_mask;
  results.push_back(
      flat(attention(by_heads(layer.global_query(index_select(x, call.global))), by_heads(layer.global_key(x)),
                     by_heads(layer.global_value(x)), call.global_offsets, rows.offsets, options)));
  places.push_back(call.global);
  return index_add(rows.rows(), cat(places, 0), cat(results, 0));
}

}  // namespace mica
