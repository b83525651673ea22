#include "mica/tensor/checkpoint.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/json.h"
#include "mica/tensor/safetensors_header.h"

namespace mica {
namespace {

constexpr int64_t kMaxIndexBytes = 100'000'000;

// What a folder's weights are called, the preferred first.
constexpr const char* kNames[] = {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
                                  "pytorch_model.bin.index.json"};

// ---- Either format

WeightFile open_file(const std::string& path, SafeTensorsOptions options) {
  constexpr std::string_view kTorch[] = {".bin", ".pt", ".pth", ".ckpt"};
  const bool torch = std::any_of(std::begin(kTorch), std::end(kTorch),
                                 [&](std::string_view ending) { return path.ends_with(ending); });
  if (torch) return TorchFile::open(path);
  return SafeTensors::open(path, options);
}

const std::vector<TensorEntry>& entries(const WeightFile& file) {
  return std::visit([](const auto& each) -> const std::vector<TensorEntry>& { return each.entries(); }, file);
}

const std::string& path_of(const WeightFile& file) {
  return std::visit([](const auto& each) -> const std::string& { return each.path(); }, file);
}

bool holds(const WeightFile& file, std::string_view name) {
  return std::visit([&](const auto& each) { return each.find(name) != nullptr; }, file);
}

// The weight_map of an index, as (name, file), checked but for what the files hold.
std::vector<std::pair<std::string, std::string>> read_weight_map(std::string_view text, const std::string& where) {
  const auto fail = [&](const std::string& problem) {
    throw Error(problem, printable(where, 400), "mend the index or fetch it again");
  };
  Json index = parse_json(text, where, {.max_depth = 16});
  if (!index.is_object()) fail("index is no JSON object");
  const auto map = index.find("weight_map");
  if (map == index.end() || !map->is_object()) fail("index has no object \"weight_map\"");
  if (map->empty()) fail("\"weight_map\" is empty");
  std::vector<std::pair<std::string, std::string>> entries;
  entries.reserve(map->size());
  for (auto& [name, file] : map->get_ref<Json::object_t&>()) {
    if (!file.is_string()) fail("file of tensor \"" + printable(name) + "\" is no text");
    std::string& file_name = file.get_ref<std::string&>();
    if (!is_plain_file_name(file_name)) {
      fail("\"" + printable(file_name) + "\" of tensor \"" + printable(name) + "\" is no plain file name");
    }
    entries.emplace_back(name, std::move(file_name));
  }
  return entries;
}

[[noreturn]] void no_weights(const std::string& folder) {
  std::string mend = "name a model folder with one of them, or with the index of their shards";
  for (const char* other : {"tf_model.h5", "flax_model.msgpack"}) {
    if (file_exists(join_path(folder, other))) {
      mend = std::string("convert its ") + other + " to safetensors, or fetch a revision that has it";
    }
  }
  throw Error("folder holds neither model.safetensors nor pytorch_model.bin", printable(folder, 400), mend);
}

}  // namespace

struct Checkpoint::Impl {
  explicit Impl(std::vector<WeightFile> opened) : shards(std::move(opened)) {
    size_t count = 0;
    for (const WeightFile& shard : shards) count += entries(shard).size();
    names.reserve(count);
    by_name.reserve(count);
    for (const WeightFile& shard : shards) {
      for (const TensorEntry& entry : entries(shard)) {
        const auto [it, added] = by_name.emplace(entry.name, Place{&shard, &entry});
        if (!added) {
          throw Error("tensor stands in two shards, also in " + printable(path_of(*it->second.shard), 400),
                      safetensors::place(path_of(shard), entry.name), "remove one of them");
        }
        names.push_back(entry.name);
      }
    }
  }

  struct Place {
    const WeightFile* shard = nullptr;
    const TensorEntry* entry = nullptr;
  };
  std::vector<WeightFile> shards;
  std::vector<std::string_view> names;
  std::unordered_map<std::string_view, Place> by_name;
};

Checkpoint Checkpoint::from_shards(std::vector<WeightFile> shards) {
  return Checkpoint(std::make_shared<const Impl>(std::move(shards)));
}

Checkpoint Checkpoint::from_index(std::string_view index_json, const std::string& where,
                                  const std::function<WeightFile(const std::string& file)>& open_shard) {
  const std::vector<std::pair<std::string, std::string>> weight_map = read_weight_map(index_json, where);
  std::set<std::string_view> files;
  for (const auto& [name, file] : weight_map) files.insert(file);
  std::vector<WeightFile> shards;
  std::unordered_map<std::string_view, size_t> shard_of;
  for (const std::string_view file : files) {
    shard_of.emplace(file, shards.size());
    shards.push_back(open_shard(std::string(file)));
  }
  for (const auto& [name, file] : weight_map) {
    const WeightFile& shard = shards[shard_of.at(file)];
    if (!holds(shard, name)) {
      throw Error("shard lacks a tensor that the index " + printable(where, 400) + " places in it",
                  safetensors::place(path_of(shard), name),
                  "index and shards are of different versions: fetch both again");
    }
  }
  return from_shards(std::move(shards));
}

Checkpoint Checkpoint::open(const std::string& path, SafeTensorsOptions options) {
  if (directory_exists(path)) {
    for (const char* name : kNames) {
      const std::string file = join_path(path, name);
      if (file_exists(file)) return open(file, options);
    }
    no_weights(path);
  }
  if (!path.ends_with(".index.json")) return from_shards({open_file(path, options)});
  const std::string index = read_file(path, kMaxIndexBytes);
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  return from_index(index, path, [&](const std::string& name) {
    const std::string file = join_path(folder, name);
    if (!file_exists(file)) {
      throw Error("a shard of the checkpoint is missing", printable(file, 400),
                  "fetch all files that " + printable(path, 400) + " names");
    }
    return open_file(file, options);
  });
}

const std::vector<std::string_view>& Checkpoint::names() const {
  return impl_->names;
}

const TensorEntry* Checkpoint::find(std::string_view name) const {
  const auto it = impl_->by_name.find(name);
  return it == impl_->by_name.end() ? nullptr : it->second.entry;
}

Tensor Checkpoint::tensor(std::string_view name) const {
  const auto it = impl_->by_name.find(name);
  if (it != impl_->by_name.end()) {
    return std::visit([&](const auto& shard) { return shard.tensor(name); }, *it->second.shard);
  }
  std::string where = path_of(impl_->shards.front());
  if (impl_->shards.size() > 1) where += " and " + std::to_string(impl_->shards.size() - 1) + " more";
  throw Error("no such tensor", safetensors::place(where, name),
              "the checkpoint holds " + std::to_string(impl_->names.size()) + " others");
}

const std::map<std::string, std::string>& Checkpoint::metadata() const {
  return std::visit(
      [](const auto& shard) -> const auto& { return shard.metadata(); }, impl_->shards.front());
}

std::vector<std::string> Checkpoint::files() const {
  std::vector<std::string> paths;
  paths.reserve(impl_->shards.size());
  for (const WeightFile& shard : impl_->shards) paths.push_back(path_of(shard));
  return paths;
}

}  // namespace mica
