#include "mica/training/dataset/group_texts.h"

#include "mica/base/error.h"
#include "mica/training/dataset/disk.h"
#include "mica/training/dataset/fingerprint.h"

namespace mica {
namespace {

// The columns that hold integers for tokens, input_ids first.
std::vector<std::string> token_columns(const Dataset& dataset) {
  std::vector<std::string> columns{"input_ids"};
  dataset.features().require("input_ids");
  for (const auto& [name, feature] : dataset.features().columns()) {
    const bool integers = feature.kind == FeatureKind::list && feature.item().kind == FeatureKind::int64;
    if (integers && name != "input_ids") columns.push_back(name);
  }
  return columns;
}

}  // namespace

Dataset group_texts(const Dataset& dataset, int64_t block_size, const std::string& cache_folder) {
  if (block_size < 1) throw Error("block_size is " + std::to_string(block_size), "group_texts", "give at least 1");
  const std::vector<std::string> columns = token_columns(dataset);
  const auto gather = [&](RowGatherer& rows) {
    rows.declare(columns);
    std::vector<std::vector<int64_t>> pending(columns.size());
    for (int64_t row = 0; row < dataset.size(); ++row) {
      for (size_t c = 0; c < columns.size(); ++c) {
        const Value cell = dataset.cell(row, columns[c]);
        const std::span<const int64_t> values = cell.as_ints();
        pending[c].insert(pending[c].end(), values.begin(), values.end());
        if (pending[c].size() != pending[0].size()) {
          throw Error("the row has another number of " + columns[c] + " than of input_ids", cell.origin().text(),
                      "give one for each token, or remove the column");
        }
      }
      const auto size = static_cast<size_t>(block_size);
      size_t done = 0;
      for (; pending[0].size() - done >= size; done += size) {
        std::vector<Value::Field> block;
        for (size_t c = 0; c < columns.size(); ++c) {
          const auto begin = pending[c].begin() + static_cast<int64_t>(done);
          block.emplace_back(columns[c], std::vector<int64_t>(begin, begin + block_size));
        }
        rows.add(block);
      }
      for (auto& values : pending) values.erase(values.begin(), values.begin() + static_cast<int64_t>(done));
    }
    if (rows.rows() == 0) {
      throw Error(std::to_string(pending[0].size()) + " tokens make no block of " + std::to_string(block_size),
                  "group_texts", "choose a smaller block_size, or more text");
    }
  };
  std::string key;
  if (!cache_folder.empty()) key = Fingerprint().add(dataset.fingerprint()).add("group_texts").add(block_size).text();
  return Dataset(cached(cache_folder, key, {}, gather));
}

}  // namespace mica
