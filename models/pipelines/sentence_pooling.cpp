#include "mica/models/pipelines/sentence_pooling.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "mica/autograd/elementwise.h"
#include "mica/autograd/segments.h"
#include "mica/autograd/shape.h"
#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/json.h"
#include "mica/tokenizers/readers/fields.h"

namespace mica {
namespace {

constexpr int64_t kMaxSize = 1 << 20;  // of a vector, in elements

struct ModeName {
  PoolingMode mode;
  std::string_view name;
  const char* old_key;
};

// In the order in which the reference concatenates.
constexpr std::array<ModeName, 6> kModes{{
    {PoolingMode::cls, "cls", "pooling_mode_cls_token"},
    {PoolingMode::max, "max", "pooling_mode_max_tokens"},
    {PoolingMode::mean, "mean", "pooling_mode_mean_tokens"},
    {PoolingMode::mean_sqrt_len, "mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens"},
    {PoolingMode::weightedmean, "weightedmean", "pooling_mode_weightedmean_tokens"},
    {PoolingMode::lasttoken, "lasttoken", "pooling_mode_lasttoken"},
}};

PoolingMode mode_from_name(const Json& value, const Fields& fields) {
  for (const ModeName& entry : kModes) {
    if (value.is_string() && value.get_ref<const std::string&>() == entry.name) return entry.mode;
  }
  std::string known;
  for (const ModeName& entry : kModes) known += (known.empty() ? "" : ", ") + std::string(entry.name);
  fields.fail("key \"pooling_mode\" holds " + printable(value.dump(-1, ' ', false, Json::error_handler_t::replace)),
              "use one of " + known);
}

std::vector<PoolingMode> read_modes(Fields& fields) {
  std::vector<PoolingMode> modes;
  if (fields.has("pooling_mode")) {
    const Json& value = fields.raw("pooling_mode");
    if (!value.is_array()) return {mode_from_name(value, fields)};
    for (const Json& each : value) modes.push_back(mode_from_name(each, fields));
    if (modes.empty() || modes.size() > kModes.size()) {
      fields.fail("key \"pooling_mode\" holds " + std::to_string(modes.size()) + " modes",
                  "name 1 to " + std::to_string(kModes.size()));
    }
    return modes;
  }
  for (const ModeName& entry : kModes) {
    if (fields.boolean(entry.old_key, false)) modes.push_back(entry.mode);
  }
  if (modes.empty()) modes.push_back(PoolingMode::mean);
  return modes;
}

// For each sentence, the row `pick` gives; zeros for a sentence without rows.
template <typename Pick>
Tensor pick_rows(const Tensor& x, const SequenceOffsets& offsets, Pick pick) {
  std::vector<int64_t> index;
  std::vector<float> filled;
  for (int64_t i = 0; i < offsets.count(); ++i) {
    const bool empty = offsets.length(i) == 0;
    index.push_back(empty ? 0 : pick(i));
    filled.push_back(empty ? 0 : 1);
  }
  const Tensor y = index_select(x, Tensor::from(index).to(x.device()));
  if (std::find(filled.begin(), filled.end(), 0.0F) == filled.end()) return y;
  return multiply(y, Tensor::from(filled, {offsets.count(), 1}).to(x.dtype()).to(x.device()));
}

// The sum of each sentence's rows, each times its weight.
template <typename Weight>
Tensor weighted_sum(const Tensor& x, const SequenceOffsets& offsets, Weight weight) {
  std::vector<double> weights;
  weights.reserve(static_cast<size_t>(offsets.rows()));
  for (int64_t i = 0; i < offsets.count(); ++i) {
    for (int64_t k = 0; k < offsets.length(i); ++k) weights.push_back(weight(offsets.length(i), k));
  }
  return segment_reduce(ReduceOp::sum, x, offsets, Tensor::from(weights).to(x.dtype()).to(x.device()));
}

Tensor pooled(PoolingMode mode, const Tensor& x, const SequenceOffsets& offsets, int64_t skipped) {
  switch (mode) {
    case PoolingMode::cls:
      return pick_rows(x, offsets, [&](int64_t i) { return offsets.begin(i); });
    case PoolingMode::lasttoken:
      return pick_rows(x, offsets, [&](int64_t i) { return offsets.begin(i) + offsets.length(i) - 1; });
    case PoolingMode::max:
      return segment_reduce(ReduceOp::max, x, offsets);
    case PoolingMode::mean:
      return segment_reduce(ReduceOp::mean, x, offsets);
    case PoolingMode::mean_sqrt_len:
      return weighted_sum(x, offsets,
                          [](int64_t length, int64_t) { return 1 / std::sqrt(static_cast<double>(length)); });
    case PoolingMode::weightedmean:
      // A token's weight is its place in the sentence, prompt included, counted from 1.
      return weighted_sum(x, offsets, [&](int64_t length, int64_t k) {
        const auto n = static_cast<double>(length);
        const double sum = n * static_cast<double>(skipped) + n * (n + 1) / 2;
        return static_cast<double>(skipped + k + 1) / sum;
      });
  }
  throw Error("unknown pooling mode", "pooling", "this is a fault of mica");
}

}  // namespace

std::string_view name(PoolingMode mode) {
  return kModes[static_cast<size_t>(mode)].name;
}

Pooling Pooling::from_folder(const std::string& folder, int64_t hidden_size) {
  const std::string path = join_path(folder, "config.json");
  const Json json = read_json_file(path);
  Fields fields(json, path, "pooling");
  const char* key = fields.has("embedding_dimension") ? "embedding_dimension" : "word_embedding_dimension";
  const int64_t size = fields.integer(key, 1, kMaxSize);
  if (size != hidden_size) {
    fields.fail("key \"" + std::string(key) + "\" is " + std::to_string(size),
                "the model's token vectors have size " + std::to_string(hidden_size));
  }
  std::vector<PoolingMode> modes = read_modes(fields);
  return Pooling(std::move(modes), fields.boolean("include_prompt", true));
}

void Pooling::save(const std::string& folder, int64_t hidden_size) const {
  Json config = Json::object();
  // Flags say which modes there are, but not in which order.
  const bool in_order =
      std::is_sorted(modes_.begin(), modes_.end()) && std::adjacent_find(modes_.begin(), modes_.end()) == modes_.end();
  if (in_order) {
    config["word_embedding_dimension"] = hidden_size;
    for (const ModeName& entry : kModes) {
      config[entry.old_key] = std::find(modes_.begin(), modes_.end(), entry.mode) != modes_.end();
    }
  } else {
    config["embedding_dimension"] = hidden_size;
    config["pooling_mode"] = Json::array();
    for (const PoolingMode mode : modes_) config["pooling_mode"].push_back(std::string(mica::name(mode)));
  }
  config["include_prompt"] = include_prompt_;
  make_directories(folder);
  write_file_atomically(join_path(folder, "config.json"), config.dump(2) + "\n");
}

Tensor Pooling::operator()(const Tensor& hidden, const SequenceOffsets& offsets, int64_t prompt_tokens) const {
  const int64_t skipped = include_prompt_ ? 0 : prompt_tokens;
  Tensor rows = hidden;
  SequenceOffsets kept = offsets;
  if (skipped > 0) {
    std::vector<int64_t> index;
    std::vector<int64_t> lengths;
    for (int64_t i = 0; i < offsets.count(); ++i) {
      lengths.push_back(std::max<int64_t>(offsets.length(i) - skipped, 0));
      for (int64_t k = skipped; k < offsets.length(i); ++k) index.push_back(offsets.begin(i) + k);
    }
    if (index.empty()) {
      return Tensor::zeros({offsets.count(), hidden.size(1) * static_cast<int64_t>(modes_.size())}, hidden.dtype(),
                           hidden.device());
    }
    rows = index_select(hidden, Tensor::from(index).to(hidden.device()));
    kept = SequenceOffsets::from_lengths(lengths, hidden.device());
  }
  std::vector<Tensor> parts;
  for (const PoolingMode mode : modes_) parts.push_back(pooled(mode, rows, kept, skipped));
  return parts.size() == 1 ? parts[0] : cat(parts, 1);
}

}  // namespace mica
