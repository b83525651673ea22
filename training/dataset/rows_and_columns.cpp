// Data sets out of data sets, without a cell being touched: other rows, other columns, several in one.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "mica/base/error.h"
#include "mica/training/dataset/fingerprint.h"
#include "mica/training/dataset/permutation.h"
#include "mica/training/dataset/storage.h"

namespace mica {
namespace {

// What tells the result of an operation; empty where the source is told by its content.
template <typename T>
std::string derived(const std::string& source, std::string_view operation, std::span<const T> arguments) {
  return source.empty() ? "" : Fingerprint().add(source).add(operation).add_all(arguments).text();
}

std::string derived(const std::string& source, std::string_view operation, const std::vector<std::string>& arguments) {
  if (source.empty()) return "";
  Fingerprint fingerprint;
  fingerprint.add(source).add(operation);
  for (const std::string& each : arguments) fingerprint.add(each);
  return fingerprint.text();
}

}  // namespace

Dataset Dataset::ordered(std::vector<int64_t> rows) const {
  std::string content = derived<int64_t>(impl_->fingerprint, "rows", rows);
  if (impl_->indices) {
    for (int64_t& row : rows) row = (*impl_->indices)[static_cast<size_t>(row)];
  }
  Dataset result(std::make_shared<const Impl>(impl_->features, impl_->blocks, Table<int64_t>(std::move(rows)),
                                              std::move(content)));
  result.shown_ = shown_;
  return result;
}

Dataset Dataset::select(std::span<const int64_t> rows) const {
  for (const int64_t row : rows) check_row(row);
  return ordered({rows.begin(), rows.end()});
}

Dataset Dataset::select(std::initializer_list<int64_t> rows) const {
  return select(std::span(rows.begin(), rows.size()));
}

Dataset Dataset::slice(int64_t begin, int64_t end) const {
  if (begin < 0 || end < begin || end > size()) {
    throw Error("there are no rows " + std::to_string(begin) + " to " + std::to_string(end),
                "data set of " + std::to_string(size()) + " rows", "rows are counted from 0");
  }
  std::vector<int64_t> rows(static_cast<size_t>(end - begin));
  std::iota(rows.begin(), rows.end(), begin);
  return ordered(std::move(rows));
}

Dataset Dataset::shuffle(uint64_t seed) const {
  return ordered(permutation(size(), seed, 0));
}

DatasetSplit Dataset::train_test_split(const SplitOptions& options) const {
  const auto rows = static_cast<double>(size());
  const double wanted = options.test_size < 1 ? std::ceil(options.test_size * rows) : options.test_size;
  if (!(options.test_size > 0) || !(wanted < rows) || wanted != std::floor(wanted)) {
    throw Error("a test_size of " + std::to_string(options.test_size),
                "data set of " + std::to_string(size()) + " rows",
                "give a share below 1 or a number of rows, such that rows are left to train on");
  }
  const auto test = static_cast<int64_t>(wanted);
  if (!options.shuffle) return {slice(0, size() - test), slice(size() - test, size())};
  const Dataset shuffled = shuffle(options.seed);
  return {shuffled.slice(test, size()), shuffled.slice(0, test)};
}

Dataset Dataset::select_columns(const std::vector<std::string>& names) const {
  std::vector<std::pair<std::string, Feature>> features;
  std::vector<RowBlock> blocks(impl_->blocks.size());
  for (size_t b = 0; b < blocks.size(); ++b) blocks[b].rows = impl_->blocks[b].rows;
  for (const std::string& name : names) {
    const size_t column = impl_->features.require(name);
    if (std::count(names.begin(), names.end(), name) > 1) {
      throw Error("the column \"" + printable(name) + "\" twice", "data set", "give each name once");
    }
    features.push_back(impl_->features.columns()[column]);
    for (size_t b = 0; b < blocks.size(); ++b) blocks[b].columns.push_back(impl_->blocks[b].columns[column]);
  }
  return Dataset(std::make_shared<const Impl>(Features(std::move(features)), std::move(blocks), impl_->indices,
                                              derived(impl_->fingerprint, "columns", names)));
}

Dataset Dataset::remove_columns(const std::vector<std::string>& names) const {
  for (const std::string& name : names) impl_->features.require(name);
  std::vector<std::string> kept = column_names();
  std::erase_if(kept,
                [&](const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); });
  return select_columns(kept);
}

Dataset Dataset::rename_column(const std::string& from, const std::string& to) const {
  return rename_columns({{from, to}});
}

Dataset Dataset::rename_columns(const std::vector<std::pair<std::string, std::string>>& names) const {
  std::vector<std::pair<std::string, Feature>> columns = impl_->features.columns();
  for (const auto& [from, to] : names) columns[impl_->features.require(from)].first = to;
  std::vector<std::string> after;
  for (const auto& [name, feature] : columns) {
    if (std::find(after.begin(), after.end(), name) != after.end()) {
      throw Error("there would be two columns \"" + printable(name) + "\"", "data set", "remove or rename the other");
    }
    after.push_back(name);
  }
  return Dataset(std::make_shared<const Impl>(Features(std::move(columns)), impl_->blocks, impl_->indices,
                                              derived(impl_->fingerprint, "names", after)));
}

void Dataset::set_format(const std::vector<std::string>& columns) {
  auto shown = std::make_shared<std::vector<size_t>>();
  for (const std::string& name : columns) shown->push_back(impl_->features.require(name));
  shown_ = std::move(shown);
}

void Dataset::reset_format() {
  shown_ = nullptr;
}

Dataset concatenate_datasets(const std::vector<Dataset>& datasets) {
  std::vector<std::pair<std::string, Feature>> columns;
  for (const Dataset& each : datasets) {
    for (const auto& [name, feature] : each.features().columns()) {
      const auto found =
          std::find_if(columns.begin(), columns.end(), [&](const auto& column) { return column.first == name; });
      if (found == columns.end()) {
        columns.emplace_back(name, feature);
        continue;
      }
      std::optional<Feature> both = common_feature(found->second, feature);
      if (!both) {
        throw Error("the column \"" + printable(name) + "\" is " + found->second.text() + " in one and " +
                        feature.text() + " in another",
                    "data sets to concatenate", "make them alike with map() or class_encode_column()");
      }
      found->second = std::move(*both);
    }
  }
  Features features(std::move(columns));
  std::vector<RowBlock> blocks;
  std::vector<int64_t> rows;
  int64_t stored = 0;
  bool in_order = true;
  Fingerprint fingerprint;
  bool known = true;
  for (const Dataset& each : datasets) {
    const Dataset::Impl& source = *each.impl();
    for (const RowBlock& block : source.blocks) {
      RowBlock& added = blocks.emplace_back();
      added.rows = block.rows;
      added.columns.resize(features.size());
      for (size_t i = 0; i < block.columns.size(); ++i) {
        added.columns[features.require(source.features.columns()[i].first)] = block.columns[i];
      }
    }
    in_order = in_order && !source.indices;
    for (int64_t row = 0; row < source.size(); ++row) {
      rows.push_back(stored + (source.indices ? (*source.indices)[static_cast<size_t>(row)] : row));
    }
    stored += source.starts.back();
    known = known && !source.fingerprint.empty();
    fingerprint.add(source.fingerprint);
  }
  std::optional<Table<int64_t>> indices;
  if (!in_order) indices = Table<int64_t>(std::move(rows));
  return Dataset(std::make_shared<const Dataset::Impl>(std::move(features), std::move(blocks), std::move(indices),
                                                       known ? fingerprint.add("concatenated").text() : ""));
}

}  // namespace mica
