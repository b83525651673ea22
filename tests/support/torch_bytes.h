#pragma once
// Files of torch made byte by byte: pickles from their opcodes, and zip archives of stored entries.

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace mica::torch_bytes {

template <typename T>
std::string little(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

// ---- Pickles

inline std::string text(std::string_view value) {
  return "X" + little(static_cast<uint32_t>(value.size())) + std::string(value);
}
inline std::string integer(int64_t value) {
  return "\x8a\x08" + little(value);
}
inline std::string global(std::string_view module, std::string_view name) {
  return "c" + std::string(module) + "\n" + std::string(name) + "\n";
}
inline std::string tuple(const std::string& items) {
  return "(" + items + "t";
}
inline std::string integers(const std::vector<int64_t>& values) {
  std::string items;
  for (const int64_t value : values) items += integer(value);
  return tuple(items);
}
inline std::string dict(const std::string& items) {
  return "}(" + items + "u";
}
/// A whole pickle of that value.
inline std::string pickle(const std::string& value) {
  return "\x80\x02" + value + ".";
}
inline std::string storage(std::string_view key, int64_t items, std::string_view type = "FloatStorage",
                           const std::string& view = "") {
  return tuple(text("storage") + global("torch", type) + text(key) + text("cpu") + integer(items) + view) + "Q";
}
inline std::string tensor(const std::string& storage, int64_t offset, const std::vector<int64_t>& shape,
                          const std::vector<int64_t>& strides) {
  const std::string hooks = global("collections", "OrderedDict") + ")R";
  return global("torch._utils", "_rebuild_tensor_v2") +
         tuple(storage + integer(offset) + integers(shape) + integers(strides) + "\x89" + hooks) + "R";
}

// ---- Archives

struct Entry {
  std::string name, content;
};

struct ZipOptions {
  bool in64 = false;  ///< sizes and places in the 64-bit extension
  bool end64 = true;  ///< the 64-bit end record, as torch always writes it
  uint16_t method = 0;
  uint16_t flags = 0;
};

/// An archive whose contents begin at multiples of 64 bytes.
inline std::string zip(const std::vector<Entry>& entries, const ZipOptions& options = {}) {
  std::string file;
  std::string directory;
  const std::string all(4, '\xff');
  for (const auto& [name, content] : entries) {
    const uint64_t at = file.size();
    const auto size = static_cast<uint32_t>(content.size());
    const auto padding = static_cast<uint16_t>((64 - (at + 30 + name.size() + 4) % 64) % 64);
    const std::string shared = little(options.flags) + little(options.method) + std::string(8, '\0');
    file += "PK\x03\x04" + little(uint16_t{0}) + shared + little(size) + little(size) +
            little(static_cast<uint16_t>(name.size())) + little(static_cast<uint16_t>(padding + 4)) + name + "FB" +
            little(padding) + std::string(padding, 'Z') + content;
    const std::string extra = options.in64 ? little(uint16_t{1}) + little(uint16_t{24}) + little(uint64_t{size}) +
                                                 little(uint64_t{size}) + little(at)
                                           : "";
    directory += "PK\x01\x02" + little(uint16_t{0}) + little(uint16_t{0}) + shared;
    directory += options.in64 ? all + all : little(size) + little(size);
    directory += little(static_cast<uint16_t>(name.size())) + little(static_cast<uint16_t>(extra.size()));
    directory += std::string(10, '\0') + (options.in64 ? all : little(static_cast<uint32_t>(at))) + name + extra;
  }
  const uint64_t begin = file.size();
  const auto count = static_cast<uint16_t>(entries.size());
  const std::string zeros(8, '\0');
  file += directory;
  if (options.end64) {
    const uint64_t record = file.size();
    file += "PK\x06\x06" + little(uint64_t{44}) + little(uint32_t{0}) + zeros + little(uint64_t{count}) +
            little(uint64_t{count}) + little(uint64_t{directory.size()}) + little(begin);
    file += "PK\x06\x07" + little(uint32_t{0}) + little(record) + little(uint32_t{1});
  }
  file += "PK\x05\x06" + little(uint32_t{0}) + little(count) + little(count);
  file +=
      options.in64 ? all + all : little(static_cast<uint32_t>(directory.size())) + little(static_cast<uint32_t>(begin));
  return file + little(uint16_t{0});
}

/// The archive that torch.save makes of that pickle, whose storages "0", "1", ... have these contents.
inline std::string archive(const std::string& pickle, const std::vector<std::string>& storages = {},
                           const ZipOptions& options = {}) {
  std::vector<Entry> entries{{"a/data.pkl", pickle}, {"a/byteorder", "little"}};
  for (size_t i = 0; i < storages.size(); ++i) entries.push_back({"a/data/" + std::to_string(i), storages[i]});
  entries.push_back({"a/version", "3\n"});
  return zip(entries, options);
}

/// The file of before torch 1.6: `storages` is what follows the pickles.
inline std::string legacy(const std::string& object, const std::string& keys, const std::string& storages) {
  const std::string magic = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
  return magic + pickle("M\xe9\x03") + pickle(dict(text("little_endian") + "\x88")) + object + keys + storages;
}

/// The first `old_bytes` of the file become `new_bytes`; an empty text where there are none.
inline std::string replaced(std::string file, std::string_view old_bytes, std::string_view new_bytes) {
  const size_t at = file.find(old_bytes);
  if (at == file.npos) return "";
  return file.replace(at, old_bytes.size(), new_bytes);
}

}  // namespace mica::torch_bytes
