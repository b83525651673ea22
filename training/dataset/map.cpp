// Dataset::map and its kin: rows through functions.

#include <algorithm>
#include <numeric>

#include "mica/base/error.h"
#include "mica/base/parallel.h"
#include "mica/training/dataset/disk.h"
#include "mica/training/dataset/fingerprint.h"
#include "mica/training/dataset/storage.h"

namespace mica {
namespace {

constexpr int64_t kRowsAtOnce = 1024;

Value ids_of(std::span<const int32_t> ids) {
  return std::vector<int64_t>(ids.begin(), ids.end());
}

template <typename Function>
void each_input(const BatchEncoding& encoding, const Function& function) {
  if (!encoding.input_ids.empty()) function("input_ids", encoding.input_ids);
  if (!encoding.token_type_ids.empty()) function("token_type_ids", encoding.token_type_ids);
  if (!encoding.attention_mask.empty()) function("attention_mask", encoding.attention_mask);
}

// Calls run(i) for all i below n, on up to `threads` threads at once.
template <typename Run>
void on_threads(int threads, int64_t n, const Run& run) {
  if (threads < 1) throw Error("num_proc is " + std::to_string(threads), "map", "give the number of threads");
  const auto piece = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) run(i);
  };
  if (threads == 1) return piece(0, n);
  parallel_for(n, (n + threads - 1) / threads, piece);
}

// The names of the source that are kept, for a builder to declare.
std::vector<std::string> kept_names(const Dataset& dataset, const std::vector<std::string>& removed) {
  for (const std::string& name : removed) dataset.features().require(name);
  std::vector<std::string> kept = dataset.column_names();
  std::erase_if(kept,
                [&](const auto& name) { return std::find(removed.begin(), removed.end(), name) != removed.end(); });
  return kept;
}

// What tells the result of a cached map; empty without a cache.
std::string map_key(const Dataset& source, const std::vector<size_t>* shown, const char* operation,
                    const std::string& cache_folder, const std::string& function,
                    const std::vector<std::string>& removed) {
  if (cache_folder.empty()) return {};
  if (function.empty()) {
    throw Error("a cache_folder without a fingerprint of the function", operation,
                "name the function and its version: what it does can't be told from outside");
  }
  Fingerprint key;
  key.add(source.fingerprint()).add(operation).add(function);
  for (const std::string& each : removed) key.add(each);
  if (shown != nullptr) key.add("shown").add_all<size_t>(*shown);
  return key.text();
}

}  // namespace

MappedRow::MappedRow(const BatchEncoding& encoding) {
  const bool one = encoding.size() == 1 && encoding.overflow_to_sample_mapping.empty();
  each_input(encoding, [&](const char* name, const Ragged<int32_t>& rows) {
    if (one) return row_.set(name, ids_of(rows[0]));
    Value::List lists;
    for (const std::span<const int32_t> each : rows) lists.push_back(ids_of(each));
    row_.set(name, std::move(lists));
  });
  if (!encoding.overflow_to_sample_mapping.empty()) {
    row_.set("overflow_to_sample_mapping", encoding.overflow_to_sample_mapping);
  }
}

Batch::Batch(std::initializer_list<std::pair<std::string, std::vector<Value>>> columns) {
  for (const auto& [name, values] : columns) set(name, values);
}

Batch::Batch(const BatchEncoding& encoding) {
  each_input(encoding, [&](const char* name, const Ragged<int32_t>& rows) {
    std::vector<Value> values;
    for (const std::span<const int32_t> each : rows) values.push_back(ids_of(each));
    set(name, std::move(values));
  });
  if (!encoding.overflow_to_sample_mapping.empty()) {
    const std::vector<int32_t>& samples = encoding.overflow_to_sample_mapping;
    set("overflow_to_sample_mapping", {samples.begin(), samples.end()});
  }
}

const std::vector<Value>& Batch::operator[](std::string_view name) const {
  for (const auto& [each, values] : columns_) {
    if (each == name) return values;
  }
  throw Error("there is no column \"" + printable(name) + "\"", "batch", "name one of the data set's");
}

std::vector<std::string> Batch::strings(std::string_view name) const {
  std::vector<std::string> texts;
  for (const Value& each : (*this)[name]) texts.emplace_back(each.as_string());
  return texts;
}

void Batch::set(std::string name, std::vector<Value> values) {
  for (auto& [each, old] : columns_) {
    if (each == name) {
      old = std::move(values);
      return;
    }
  }
  columns_.emplace_back(std::move(name), std::move(values));
}

int64_t Batch::size() const {
  for (const auto& [name, values] : columns_) {
    if (values.size() != columns_.front().second.size()) {
      throw Error("the column \"" + printable(name) + "\" has " + std::to_string(values.size()) + " rows, \"" +
                      printable(columns_.front().first) + "\" has " + std::to_string(columns_.front().second.size()),
                  "batch", "give columns of equal length");
    }
  }
  return columns_.empty() ? 0 : static_cast<int64_t>(columns_.front().second.size());
}

Dataset Dataset::map(const std::function<MappedRow(const Example&)>& function, const MapOptions& options) const {
  const std::string key =
      map_key(*this, shown_.get(), "map", options.cache_folder, options.fingerprint, options.remove_columns);
  return Dataset(cached(options.cache_folder, key, impl_->features,
                        [&](RowGatherer& rows) { map_rows(function, options, rows); }));
}

void Dataset::map_rows(const std::function<MappedRow(const Example&)>& function, const MapOptions& options,
                       RowGatherer& rows) const {
  rows.declare(kept_names(*this, options.remove_columns));
  Dataset all = *this;
  all.reset_format();
  std::vector<Example> results;
  for (int64_t first = 0; first < size(); first += kRowsAtOnce) {
    const int64_t count = std::min(kRowsAtOnce, size() - first);
    results.assign(static_cast<size_t>(count), {});
    on_threads(options.num_proc, count, [&](int64_t i) {
      const MappedRow mapped = function((*this)[first + i]);
      Example row = all[first + i];
      for (const std::string& name : options.remove_columns) row.remove(name);
      for (const auto& [name, value] : mapped.row().fields()) {
        row.set(name, value.with_origin({std::make_shared<const std::string>(name), first + i}));
      }
      results[static_cast<size_t>(i)] = std::move(row);
    });
    for (const Example& each : results) rows.add(each);
  }
}

Dataset Dataset::map_batched(const std::function<Batch(const Batch&)>& function,
                             const MapBatchedOptions& options) const {
  if (options.batch_size < 1) {
    throw Error("batch_size is " + std::to_string(options.batch_size), "map_batched", "give at least 1");
  }
  const std::string key =
      map_key(*this, shown_.get(), "map_batched", options.cache_folder, options.fingerprint, options.remove_columns);
  return Dataset(cached(options.cache_folder, key, impl_->features,
                        [&](RowGatherer& rows) { map_batches(function, options, rows); }));
}

void Dataset::map_batches(const std::function<Batch(const Batch&)>& function, const MapBatchedOptions& options,
                          RowGatherer& rows) const {
  const std::vector<std::string> kept = kept_names(*this, options.remove_columns);
  rows.declare(kept);
  const int64_t batches = (size() + options.batch_size - 1) / options.batch_size;
  const int64_t at_once = std::max(1, options.num_proc);
  for (int64_t first = 0; first < batches; first += at_once) {
    const int64_t count = std::min(at_once, batches - first);
    std::vector<Batch> results(static_cast<size_t>(count));
    on_threads(options.num_proc, count, [&](int64_t i) {
      const int64_t begin = (first + i) * options.batch_size, end = std::min(size(), begin + options.batch_size);
      Batch given;
      for (size_t c = 0; c < impl_->features.size(); ++c) {
        if (shown_ && std::find(shown_->begin(), shown_->end(), c) == shown_->end()) continue;
        std::vector<Value> cells;
        for (int64_t row = begin; row < end; ++row) cells.push_back(impl_->cell(row, c));
        given.set(impl_->features.columns()[c].first, std::move(cells));
      }
      Batch made = function(given), whole;
      for (const std::string& name : kept) {
        const size_t c = impl_->features.require(name);
        std::vector<Value> cells;
        for (int64_t row = begin; row < end; ++row) cells.push_back(impl_->cell(row, c));
        whole.set(name, std::move(cells));
      }
      if (!kept.empty() && !made.columns().empty() && made.size() != end - begin) {
        throw Error(std::to_string(made.size()) + " rows out of " + std::to_string(end - begin), "map_batched",
                    "remove all columns of the source, or return as many rows");
      }
      for (const auto& [name, values] : made.columns()) whole.set(name, values);
      results[static_cast<size_t>(i)] = std::move(whole);
    });
    for (const Batch& each : results) {
      const int64_t size = each.size();
      for (int64_t row = 0; row < size; ++row) {
        std::vector<Value::Field> fields;
        for (const auto& [name, values] : each.columns()) fields.emplace_back(name, values[static_cast<size_t>(row)]);
        rows.add(fields);
      }
    }
  }
}

Dataset Dataset::filter(const std::function<bool(const Example&)>& function, const FilterOptions& options) const {
  std::vector<uint8_t> holds(static_cast<size_t>(size()));
  on_threads(options.num_proc, size(),
             [&](int64_t row) { holds[static_cast<size_t>(row)] = function((*this)[row]) ? 1 : 0; });
  std::vector<int64_t> rows;
  for (int64_t row = 0; row < size(); ++row) {
    if (holds[static_cast<size_t>(row)] != 0) rows.push_back(row);
  }
  return ordered(std::move(rows));
}

}  // namespace mica
