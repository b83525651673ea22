// Saving weights: one file byte for byte as the Python library writes it, and folders that are replaced as a whole.

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <unordered_set>

#include "mica/base/checked.h"
#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/json.h"
#include "mica/kernels/backend.h"
#include "mica/tensor/safetensors.h"
#include "mica/tensor/safetensors_header.h"

namespace mica {
namespace {

using safetensors::place;
using Pointers = std::vector<const std::pair<std::string, Tensor>*>;
using Metadata = std::map<std::string, std::string>;

// What a device's tensors pass through on their way to the file.
constexpr int64_t kPieceBytes = int64_t{16} << 20;

const char* const kSingle = "model.safetensors";
const char* const kIndex = "model.safetensors.index.json";

int64_t byte_size(const Tensor& tensor) {
  return tensor.numel() * item_size(tensor.dtype());
}

Pointers pointers_to(const NamedTensors& tensors) {
  Pointers pointers;
  pointers.reserve(tensors.size());
  for (const auto& tensor : tensors) pointers.push_back(&tensor);
  return pointers;
}

void check_tensors(const std::string& path, const NamedTensors& tensors) {
  std::unordered_set<std::string_view> names;
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.defined()) throw Error("tensor is not defined", place(path, name), "leave it out");
    if (name == "__metadata__") throw Error("reserved name", place(path, name), "rename the tensor");
    if (!names.insert(name).second) throw Error("tensor occurs twice", place(path, name), "rename one of them");
  }
}

std::string quoted(const std::string& text, const std::string& path) {
  try {
    return Json(text).dump();
  } catch (const Json::exception&) {
    throw Error("text is not UTF-8: \"" + printable(text) + "\"", printable(path, 400), "rename the tensor or key");
  }
}

// Length and header, for tensors in the order of the file.
std::string header_of(const std::string& path, const Pointers& tensors, const Metadata& metadata) {
  std::string json = "{";
  if (!metadata.empty()) {
    json += "\"__metadata__\":";
    char separator = '{';
    for (const auto& [key, value] : metadata) {
      json += separator + quoted(key, path) + ":" + quoted(value, path);
      separator = ',';
    }
    json += "},";
  }
  int64_t offset = 0;
  for (const auto* named : tensors) {
    const auto& [name, tensor] = *named;
    const int64_t end = checked_add(offset, byte_size(tensor), path);
    json += quoted(name, path) + ":{\"dtype\":\"";
    json += safetensors::type_of(tensor.dtype()).spelling;
    json += "\",\"shape\":[";
    for (int i = 0; i < tensor.rank(); ++i) {
      if (i > 0) json += ',';
      json += std::to_string(tensor.size(i));
    }
    json += "],\"data_offsets\":[" + std::to_string(offset) + "," + std::to_string(end) + "]},";
    offset = end;
  }
  if (json.back() == ',') json.pop_back();
  json += '}';
  json.resize((json.size() + 7) / 8 * 8, ' ');
  const uint64_t length = json.size();
  std::string header(sizeof(length), '\0');
  std::memcpy(header.data(), &length, sizeof(length));
  return header + json;
}

void write_tensor(const Tensor& tensor, const std::function<void(std::span<const std::byte>)>& sink) {
  const Tensor rows = tensor.detach().contiguous();
  const int64_t bytes = byte_size(rows);
  if (bytes == 0) return;
  const auto* const data = static_cast<const std::byte*>(rows.raw_data());
  Backend& device = backend(rows.device());
  if (rows.device().is_cpu()) {
    device.queue().synchronize();
    sink({data, static_cast<size_t>(bytes)});
    return;
  }
  std::vector<std::byte> piece(static_cast<size_t>(std::min(bytes, kPieceBytes)));
  for (int64_t done = 0; done < bytes; done += kPieceBytes) {
    const int64_t n = std::min(bytes - done, kPieceBytes);
    device.memory().copy_to_host(piece.data(), data + done, n);
    sink({piece.data(), static_cast<size_t>(n)});
  }
}

void write_file(const std::string& path, Pointers tensors, const Metadata& metadata) {
  // Larger items first keep every tensor aligned; ties between dtypes fall as in the reference's own list of them.
  std::sort(tensors.begin(), tensors.end(), [](const auto* a, const auto* b) {
    const auto* const x = &safetensors::type_of(a->second.dtype());
    const auto* const y = &safetensors::type_of(b->second.dtype());
    return x != y ? x > y : a->first < b->first;
  });
  const std::string header = header_of(path, tensors, metadata);
  write_file_atomically(path, [&](const auto& sink) {
    sink(std::as_bytes(std::span(header)));
    for (const auto* named : tensors) write_tensor(named->second, sink);
  });
}

std::vector<Pointers> split(const NamedTensors& tensors, int64_t max_bytes) {
  std::vector<Pointers> shards(1);
  int64_t filled = 0;
  for (const auto* named : pointers_to(tensors)) {
    const int64_t bytes = byte_size(named->second);
    if (!shards.back().empty() && bytes > max_bytes - filled) {
      shards.emplace_back();
      filled = 0;
    }
    shards.back().push_back(named);
    filled += bytes;
  }
  return shards;
}

std::string shard_name(size_t shard, size_t count, const std::string& tag) {
  const auto digits = [](size_t n) {
    const std::string text = std::to_string(n);
    return std::string(text.size() < 5 ? 5 - text.size() : 0, '0') + text;
  };
  return "model-" + digits(shard + 1) + "-of-" + digits(count) + tag + ".safetensors";
}

std::vector<std::string> shard_names(size_t count, const std::string& tag) {
  std::vector<std::string> names;
  for (size_t i = 0; i < count; ++i) names.push_back(shard_name(i, count, tag));
  return names;
}

bool any_exists(const std::string& folder, const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return std::filesystem::exists(join_path(folder, name)); });
}

// Whether a file is a shard of some save: model-DIGITS-of-DIGITS, perhaps .newDIGITS, .safetensors
bool is_shard_name(std::string_view name) {
  const auto take = [&](std::string_view text) {
    const bool there = name.starts_with(text);
    if (there) name.remove_prefix(text.size());
    return there;
  };
  const auto take_digits = [&] {
    const size_t n = std::min(name.find_first_not_of("0123456789"), name.size());
    name.remove_prefix(n);
    return n > 0;
  };
  if (!take("model-") || !take_digits() || !take("-of-") || !take_digits()) return false;
  if (take(".new") && !take_digits()) return false;
  return name == ".safetensors";
}

void remove_file(const std::string& path) {
  std::error_code code;
  std::filesystem::remove(path, code);
  if (code) {
    throw Error("cannot remove a file of the previous save: " + code.message(), printable(path, 400),
                "remove it by hand");
  }
}

// Removes the files of other saves. What decides which weights a folder has goes first: a single file outranks an
// index.
void remove_others(const std::string& folder, const std::vector<std::string>& keep) {
  const auto kept = [&](const std::string& name) { return std::find(keep.begin(), keep.end(), name) != keep.end(); };
  for (const char* name : {kSingle, kIndex}) {
    if (!kept(name)) remove_file(join_path(folder, name));
  }
  std::vector<std::string> stale;
  std::error_code code;
  for (const auto& file : std::filesystem::directory_iterator(folder, code)) {
    const std::string name = file.path().filename().string();
    if (is_shard_name(name) && !kept(name)) stale.push_back(name);
  }
  for (const std::string& name : stale) remove_file(join_path(folder, name));
}

void write_index(const std::string& folder, const std::vector<Pointers>& shards,
                 const std::vector<std::string>& names) {
  int64_t total = 0;
  std::map<std::string_view, std::string_view> sorted;
  for (size_t i = 0; i < shards.size(); ++i) {
    for (const auto* named : shards[i]) {
      total += byte_size(named->second);
      sorted.emplace(named->first, names[i]);
    }
  }
  Json::object_t weight_map;
  weight_map.reserve(sorted.size());
  for (const auto& [name, file] : sorted) weight_map.emplace_back(std::string(name), std::string(file));
  Json index;
  index["metadata"]["total_size"] = total;
  index["weight_map"] = std::move(weight_map);
  write_file_atomically(join_path(folder, kIndex), dump_json(index));
}

// Removes what it lists unless told that the save is done.
struct Leftovers {
  ~Leftovers() {
    std::error_code ignored;
    for (const std::string& path : paths) std::filesystem::remove(path, ignored);
  }
  std::vector<std::string> paths;
};

// Gives the shards, which the index knows under `from`, the names `to`, by hard links, so that at every moment an index
// stands whose files all exist. Where the file system has no links, the names stay as they are: unusual, but whole.
void rename_shards(const std::string& folder, const std::vector<Pointers>& shards, const std::vector<std::string>& from,
                   const std::vector<std::string>& to) {
  Leftovers links;
  for (size_t i = 0; i < from.size(); ++i) {
    std::error_code code;
    std::filesystem::create_hard_link(join_path(folder, from[i]), join_path(folder, to[i]), code);
    if (code) return;
    links.paths.push_back(join_path(folder, to[i]));
  }
  write_index(folder, shards, to);
  links.paths.clear();
  for (const std::string& name : from) remove_file(join_path(folder, name));
}

}  // namespace

void save_safetensors(const std::string& path, const NamedTensors& tensors, const Metadata& metadata) {
  check_tensors(path, tensors);
  write_file(path, pointers_to(tensors), metadata);
}

void save_checkpoint(const std::string& folder, const NamedTensors& tensors, const Metadata& metadata,
                     int64_t max_shard_bytes) {
  if (max_shard_bytes <= 0) {
    throw Error("shards of " + std::to_string(max_shard_bytes) + " bytes", "save_checkpoint", "pass a positive size");
  }
  check_tensors(folder, tensors);
  make_directories(folder);
  const std::vector<Pointers> shards = split(tensors, max_shard_bytes);
  if (shards.size() == 1) {
    write_file(join_path(folder, kSingle), shards[0], metadata);
    remove_others(folder, {kSingle});
    return;
  }
  // The index is the switch from the old save to the new one, so no file that an old index may name is overwritten
  // before it: where names are taken, the shards first get others.
  const std::vector<std::string> names = shard_names(shards.size(), "");
  std::vector<std::string> written = names;
  for (int tag = 1; any_exists(folder, written); ++tag) {
    written = shard_names(shards.size(), ".new" + std::to_string(tag));
  }
  Leftovers leftovers;
  for (size_t i = 0; i < shards.size(); ++i) {
    write_file(join_path(folder, written[i]), shards[i], metadata);
    leftovers.paths.push_back(join_path(folder, written[i]));
  }
  write_index(folder, shards, written);
  leftovers.paths.clear();
  std::vector<std::string> keep = written;
  keep.emplace_back(kIndex);
  remove_others(folder, keep);
  if (written != names) rename_shards(folder, shards, written, names);
}

}  // namespace mica
