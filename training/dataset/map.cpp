// Dataset::map and its kin: rows through functions.

#include <algorithm>
#include <optional>

#include "mica/base/error.h"
#include "mica/base/parallel.h"
#include "mica/training/dataset/storage.h"

namespace mica {
namespace {

Value ids_of(std::span<const int32_t> ids) {
  return std::vector<int64_t>(ids.begin(), ids.end());
}

}  // namespace

MappedRow::MappedRow(const BatchEncoding& encoding) {
  const bool one = encoding.size() == 1 && encoding.overflow_to_sample_mapping.empty();
  const auto add = [&](const char* name, const Ragged<int32_t>& rows) {
    if (rows.empty()) return;
    if (one) return row_.set(name, ids_of(rows[0]));
    Value::List lists;
    for (const std::span<const int32_t> each : rows) lists.push_back(ids_of(each));
    row_.set(name, std::move(lists));
  };
  add("input_ids", encoding.input_ids);
  add("token_type_ids", encoding.token_type_ids);
  add("attention_mask", encoding.attention_mask);
  if (!encoding.overflow_to_sample_mapping.empty()) {
    row_.set("overflow_to_sample_mapping", encoding.overflow_to_sample_mapping);
  }
}

Dataset Dataset::map(const std::function<MappedRow(const Example&)>& function, const MapOptions& options) const {
  constexpr int64_t kRowsAtOnce = 1024;
  if (options.num_proc < 1) {
    throw Error("num_proc is " + std::to_string(options.num_proc), "map", "give the number of threads");
  }
  for (const std::string& name : options.remove_columns) impl_->features.require(name);
  const auto is_removed = [&](const std::string& name) {
    return std::find(options.remove_columns.begin(), options.remove_columns.end(), name) !=
           options.remove_columns.end();
  };
  RowGatherer rows;
  std::vector<std::string> kept;
  for (const std::string& name : column_names()) {
    if (!is_removed(name)) kept.push_back(name);
  }
  rows.declare(kept);
  std::vector<Example> results;
  for (int64_t first = 0; first < size(); first += kRowsAtOnce) {
    const int64_t count = std::min(kRowsAtOnce, size() - first);
    results.assign(static_cast<size_t>(count), {});
    const auto run = [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        Example row = (*this)[first + i];
        const MappedRow mapped = function(row);
        for (const std::string& name : options.remove_columns) row.remove(name);
        for (const auto& [name, value] : mapped.row().fields()) {
          row.set(name, value.with_origin({std::make_shared<const std::string>(name), first + i}));
        }
        results[static_cast<size_t>(i)] = std::move(row);
      }
    };
    if (options.num_proc == 1) {
      run(0, count);
    } else {
      parallel_for(count, (count + options.num_proc - 1) / options.num_proc, run);
    }
    for (const Example& each : results) rows.add(each);
  }
  return Dataset(rows.finish());
}

}  // namespace mica
