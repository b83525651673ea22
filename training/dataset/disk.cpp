#include "mica/training/dataset/disk.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "mica/base/checked.h"
#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/training/dataset/column_file.h"
#include "mica/training/dataset/fingerprint.h"

namespace mica {
namespace {

constexpr const char* kFormat = "mica.dataset";
constexpr int kVersion = 1;
constexpr const char* kInfoName = "dataset.json";

[[noreturn]] void damaged(const std::string& problem, const std::string& where) {
  throw Error(problem, printable(where, 400), "make the data set again, and save it");
}

const Json& member(const Json& json, const char* name, const std::string& where) {
  if (!json.is_object() || !json.contains(name)) damaged("no \"" + std::string(name) + "\"", where);
  return json.at(name);
}

std::string text_of(const Json& json, const std::string& where) {
  if (!json.is_string()) damaged("no text where one belongs", where);
  return json.get<std::string>();
}

Json info_json(const DatasetInfo& info) {
  Json features = Json::array(), shards = Json::array();
  for (const auto& [name, feature] : info.features.columns()) {
    Json column = feature_json(feature);
    column["name"] = name;
    features.push_back(std::move(column));
  }
  for (const DatasetInfo::Shard& shard : info.shards) shards.push_back({{"file", shard.file}, {"rows", shard.rows}});
  return {{"format", kFormat},
          {"version", kVersion},
          {"fingerprint", info.fingerprint},
          {"features", std::move(features)},
          {"shards", std::move(shards)}};
}

void hash_column(const Column& column, Fingerprint* fingerprint) {
  fingerprint->add(column.type.text()).add(column.rows);
  fingerprint->add_all<uint8_t>({column.valid.data(), column.valid.size()});
  fingerprint->add_all<uint8_t>({column.booleans.data(), column.booleans.size()});
  fingerprint->add_all<int64_t>({column.integers.data(), column.integers.size()});
  fingerprint->add_all<double>({column.numbers.data(), column.numbers.size()});
  fingerprint->add_all<int64_t>({column.offsets.data(), column.offsets.size()});
  fingerprint->add_all<char>({column.bytes.data(), column.bytes.size()});
  for (const auto& child : column.children) hash_column(*child, fingerprint);
}

}  // namespace

DatasetInfo dataset_info(const Json& json, const std::string& where) {
  if (text_of(member(json, "format", where), where) != kFormat || member(json, "version", where) != kVersion) {
    damaged("another format or version of data sets", where);
  }
  DatasetInfo info;
  info.fingerprint = text_of(member(json, "fingerprint", where), where);
  const Json& features = member(json, "features", where);
  if (!features.is_array() || features.size() > kMaxFields) damaged("\"features\" is no list of columns", where);
  for (const Json& column : features) {
    std::string name = text_of(member(column, "name", where), where);
    if (info.features.has(name)) damaged("the column \"" + printable(name) + "\" twice", where);
    info.features.columns().emplace_back(std::move(name), feature_of(column, where));
  }
  const Json& shards = member(json, "shards", where);
  if (!shards.is_array()) damaged("\"shards\" is no list of files", where);
  int64_t total = 0;
  for (const Json& each : shards) {
    const Json& rows = member(each, "rows", where);
    if (!rows.is_number_integer() || rows < 0 || rows > INT64_MAX) damaged("a number of rows out of range", where);
    DatasetInfo::Shard shard{text_of(member(each, "file", where), where), rows.get<int64_t>()};
    if (!is_plain_file_name(shard.file)) damaged("\"" + printable(shard.file) + "\" is no plain file name", where);
    total = checked_add(total, shard.rows, where);
    info.shards.push_back(std::move(shard));
  }
  return info;
}

RowBlock block_of(const SafeTensors& file, const Features& features, int64_t rows) {
  const auto types = file.metadata().find("columns");
  if (types == file.metadata().end()) damaged("no types of columns", file.path());
  const Json json = parse_json(types->second, file.path());
  // Columns that came up later are not in files written before.
  if (!json.is_array() || json.size() > features.size()) damaged("another number of columns", file.path());
  RowBlock block;
  block.rows = rows;
  block.columns.resize(features.size());
  bool any = false;
  for (size_t i = 0; i < json.size(); ++i) {
    std::shared_ptr<const Column>& column = block.columns[i];
    if (json[i].is_null()) continue;  // nothing but nulls
    column = read_column(file, std::to_string(i), json[i]);
    any = true;
    const Feature whole = without_names(features.columns()[i].second);
    if (column->rows != rows || common_feature(whole, column->type) != whole) {
      damaged("the column \"" + printable(features.columns()[i].first) + "\" does not fit the data set", file.path());
    }
  }
  if (!any && rows > 0) damaged("rows without columns", file.path());
  return block;
}

DatasetWriter::DatasetWriter(std::string folder, std::string fingerprint) : folder_(std::move(folder)) {
  info_.fingerprint = std::move(fingerprint);
  make_directories(folder_);
}

RowBlock DatasetWriter::write(const RowBlock& block) {
  char number[16];
  std::snprintf(number, sizeof(number), "%05zu", info_.shards.size());
  DatasetInfo::Shard shard{"data-" + info_.fingerprint.substr(0, 16) + "-" + number + ".safetensors", block.rows};
  NamedTensors tensors;
  Json types = Json::array();
  Features features;
  for (size_t i = 0; i < block.columns.size(); ++i) {
    const std::shared_ptr<const Column>& column = block.columns[i];
    types.push_back(column ? write_column(*column, std::to_string(i), &tensors) : Json(nullptr));
    features.columns().emplace_back(std::to_string(i), column ? column->type : Feature());
  }
  const std::string path = join_path(folder_, shard.file);
  save_safetensors(path, tensors, {{"columns", types.dump()}});
  info_.shards.push_back(std::move(shard));
  return block_of(SafeTensors::open(path), features, block.rows);
}

void DatasetWriter::finish(const Features& features) {
  info_.features = features;
  write_file_atomically(join_path(folder_, kInfoName), dump_json(info_json(info_)));
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, ignored)) {
    const std::string name = entry.path().filename();
    const bool ours = name.starts_with("data-") && name.ends_with(".safetensors");
    const bool current = std::any_of(info_.shards.begin(), info_.shards.end(),
                                     [&](const DatasetInfo::Shard& shard) { return shard.file == name; });
    if (ours && !current) std::filesystem::remove(entry.path(), ignored);
  }
}

std::shared_ptr<const Dataset::Impl> load_dataset(const std::string& folder) {
  const std::string path = join_path(folder, kInfoName);
  const DatasetInfo info = dataset_info(read_json_file(path), path);
  std::vector<RowBlock> blocks;
  for (const DatasetInfo::Shard& shard : info.shards) {
    blocks.push_back(block_of(SafeTensors::open(join_path(folder, shard.file)), info.features, shard.rows));
  }
  return std::make_shared<const Dataset::Impl>(info.features, std::move(blocks), std::nullopt, info.fingerprint);
}

std::shared_ptr<const Dataset::Impl> find_dataset(const std::string& folder, const std::string& fingerprint) {
  if (!file_exists(join_path(folder, kInfoName))) return nullptr;
  try {
    std::shared_ptr<const Dataset::Impl> found = load_dataset(folder);
    return found->fingerprint == fingerprint ? found : nullptr;
  } catch (const Error&) {
    return nullptr;  // damaged: as if it were not there
  }
}

std::string fingerprint_of(const Dataset::Impl& dataset) {
  if (!dataset.fingerprint.empty()) return dataset.fingerprint;
  Fingerprint fingerprint;
  fingerprint.add(dataset.features.text());
  for (const RowBlock& block : dataset.blocks) {
    fingerprint.add(block.rows);
    for (const auto& column : block.columns) {
      if (column) {
        hash_column(*column, &fingerprint);
      } else {
        fingerprint.add("none");
      }
    }
  }
  if (dataset.indices) fingerprint.add_all<int64_t>({dataset.indices->data(), dataset.indices->size()});
  return fingerprint.text();
}

std::shared_ptr<const Dataset::Impl> cached(const std::string& cache_folder, const std::string& fingerprint,
                                            const Features& source, const std::function<void(RowGatherer&)>& gather) {
  if (cache_folder.empty()) {
    RowGatherer rows;
    gather(rows);
    return with_features(rows.finish(fingerprint), source);
  }
  const std::string folder = join_path(cache_folder, fingerprint);
  if (std::shared_ptr<const Dataset::Impl> found = find_dataset(folder, fingerprint)) return found;
  DatasetWriter writer(folder, fingerprint);
  RowGatherer rows([&](const RowBlock& block) { return writer.write(block); });
  gather(rows);
  std::shared_ptr<const Dataset::Impl> made = with_features(rows.finish(fingerprint), source);
  writer.finish(made->features);
  return made;
}

void Dataset::save_to_disk(const std::string& folder) const {
  if (num_columns() == 0) throw Error("a data set without columns", printable(folder, 400), "there is nothing to save");
  const std::string fingerprint = fingerprint_of(*impl_);
  DatasetWriter writer(folder, fingerprint);
  if (!impl_->indices) {
    for (const RowBlock& block : impl_->blocks) writer.write(block);
    return writer.finish(impl_->features);
  }
  RowGatherer rows([&](const RowBlock& block) { return writer.write(block); });
  rows.declare(column_names());
  Dataset all = *this;
  all.reset_format();
  for (const Example& row : all) rows.add(row);
  rows.finish();
  writer.finish(impl_->features);
}

Dataset Dataset::load_from_disk(const std::string& folder) {
  return Dataset(load_dataset(folder));
}

std::string Dataset::fingerprint() const {
  return fingerprint_of(*impl_);
}

}  // namespace mica
