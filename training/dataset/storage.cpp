#include "mica/training/dataset/storage.h"

#include <algorithm>

#include "mica/base/error.h"

namespace mica {
namespace {

// Whether cells of `have` are cells of `wanted` as they stand; class labels are integers.
bool same_layout(const Feature& have, const Feature& wanted) {
  if (have.kind != wanted.kind || have.children.size() != wanted.children.size()) return false;
  for (size_t i = 0; i < have.children.size(); ++i) {
    if (have.children[i].first != wanted.children[i].first) return false;
    if (!same_layout(have.children[i].second, wanted.children[i].second)) return false;
  }
  return true;
}

}  // namespace

Dataset::Impl::Impl(Features all, std::vector<RowBlock> row_blocks, std::optional<Table<int64_t>> order,
                    std::string content)
    : features(std::move(all)),
      blocks(std::move(row_blocks)),
      starts{0},
      indices(std::move(order)),
      fingerprint(std::move(content)) {
  for (RowBlock& block : blocks) {
    starts.push_back(starts.back() + block.rows);
    block.columns.resize(features.size());
    std::vector<uint8_t>& fits = exact.emplace_back();
    for (size_t i = 0; i < features.size(); ++i) {
      fits.push_back(!block.columns[i] || same_layout(block.columns[i]->type, features.columns()[i].second));
    }
  }
  auto shared = std::make_shared<std::vector<std::shared_ptr<const std::string>>>();
  for (const auto& [name, feature] : features.columns()) shared->push_back(std::make_shared<const std::string>(name));
  names = std::move(shared);
}

Value Dataset::Impl::cell(int64_t row, size_t column) const {
  int64_t stored = row;
  if (indices) {
    stored = (*indices)[static_cast<size_t>(row)];
    if (stored < 0 || stored >= starts.back()) {
      throw Error("row " + std::to_string(row) + " stands for row " + std::to_string(stored) + " of " +
                      std::to_string(starts.back()),
                  "data set on disk", "the file is damaged: make it again");
    }
  }
  const auto after = std::upper_bound(starts.begin(), starts.end(), stored);
  const auto block = static_cast<size_t>(after - starts.begin()) - 1;
  Value value;
  if (const std::shared_ptr<const Column>& cells = blocks[block].columns[column]) {
    value = cells->cell(stored - starts[block]);
    if (exact[block][column] == 0) value = conform(std::move(value), features.columns()[column].second);
  }
  return std::move(value).with_origin({(*names)[column], row});
}

namespace {

// Whether all integers of the column (of its lists' items) are below `n` and none is negative.
bool all_below(const Column& column, int64_t n) {
  if (column.type.kind == FeatureKind::list) return all_below(*column.children.front(), n);
  return std::all_of(column.integers.begin(), column.integers.end(),
                     [&](int64_t each) { return each >= 0 && each < n; });
}

// The feature with the names of the source's classes where it has the source's type.
std::optional<Feature> named(const Feature& feature, const Feature& source) {
  if (feature.kind == FeatureKind::int64 && source.is_class_label()) return source;
  if (feature.kind != FeatureKind::list || source.kind != FeatureKind::list) return std::nullopt;
  const std::optional<Feature> item = named(feature.item(), source.item());
  return item ? std::optional(Feature::list_of(*item)) : std::nullopt;
}

// The feature with the source's types in place of nulls.
Feature without_nulls(const Feature& feature, const Feature& source) {
  if (feature.kind == FeatureKind::null) return source;
  Feature result = feature;
  if (feature.kind != source.kind) return result;
  for (auto& [name, child] : result.children) {
    for (const auto& [known, type] : source.children) {
      if (known == name) child = without_nulls(child, type);
    }
  }
  return result;
}

int64_t classes_of(const Feature& feature) {
  return feature.kind == FeatureKind::list ? classes_of(feature.item()) : feature.num_classes();
}

}  // namespace

std::shared_ptr<const Dataset::Impl> with_features(std::shared_ptr<const Dataset::Impl> mapped,
                                                   const Features& source) {
  Features features = mapped->features;
  for (size_t i = 0; i < features.size(); ++i) {
    auto& [name, feature] = features.columns()[i];
    const std::optional<size_t> known = source.index(name);
    if (!known) continue;
    feature = without_nulls(feature, source.columns()[*known].second);
    const std::optional<Feature> labels = named(feature, source.columns()[*known].second);
    if (labels && std::all_of(mapped->blocks.begin(), mapped->blocks.end(), [&](const RowBlock& block) {
          return !block.columns[i] || all_below(*block.columns[i], classes_of(*labels));
        })) {
      feature = *labels;
    }
  }
  if (features == mapped->features) return mapped;
  return std::make_shared<const Dataset::Impl>(std::move(features), mapped->blocks, mapped->indices,
                                               mapped->fingerprint);
}

ColumnBuilder& RowGatherer::column(const std::string& name, size_t hint) {
  if (hint < columns_.size() && columns_[hint].first == name) return columns_[hint].second;
  for (auto& [each, builder] : columns_) {
    if (each == name) return builder;
  }
  if (columns_.size() == kMaxFields) {
    throw Error("more than " + std::to_string(kMaxFields) + " columns", "data set", "are names taken from the data?");
  }
  columns_.emplace_back(name, ColumnBuilder());
  ColumnBuilder& added = columns_.back().second;
  for (int64_t i = 0; i < rows_; ++i) added.append({});
  return added;
}

void RowGatherer::declare(const std::vector<std::string>& names) {
  for (size_t i = 0; i < names.size(); ++i) column(names[i], i);
}

void RowGatherer::add(const Example& row) {
  add(row.fields());
}

void RowGatherer::add(const std::vector<Value::Field>& fields) {
  for (size_t i = 0; i < fields.size(); ++i) {
    const auto& [name, value] = fields[i];
    ColumnBuilder& builder = column(name, i);
    if (builder.rows() != rows_) throw Error("a row with the column \"" + printable(name) + "\" twice", "data set", "");
    const ValueOrigin& origin = value.origin();
    builder.append(origin.column ? value : value.with_origin({std::make_shared<const std::string>(name), rows()}));
  }
  for (auto& [name, builder] : columns_) {
    if (builder.rows() == rows_) builder.append({});
  }
  ++rows_;
  // Sizes are looked at now and then: rows are small beside a block.
  if ((rows_ & 63) != 0) return;
  int64_t bytes = 0;
  for (const auto& [name, builder] : columns_) bytes += builder.bytes();
  if (bytes >= block_bytes_) flush();
}

void RowGatherer::flush() {
  if (rows_ == 0) return;
  RowBlock block;
  block.rows = rows_;
  for (auto& [name, builder] : columns_) block.columns.push_back(builder.finish());
  done_rows_ += rows_;
  rows_ = 0;
  blocks_.push_back(full_ ? full_(std::move(block)) : std::move(block));
}

std::shared_ptr<const Dataset::Impl> RowGatherer::finish(std::string fingerprint) {
  flush();
  std::vector<std::pair<std::string, Feature>> features;
  for (const auto& [name, builder] : columns_) features.emplace_back(name, builder.type());
  return std::make_shared<const Dataset::Impl>(Features(std::move(features)), std::move(blocks_), std::nullopt,
                                               std::move(fingerprint));
}

}  // namespace mica
