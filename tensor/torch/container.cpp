#include "mica/tensor/torch/container.h"

#include <algorithm>
#include <cstring>

#include "mica/base/error.h"
#include "mica/tensor/torch/zip_directory.h"

namespace mica::torch {
namespace {

using Kind = Value::Kind;

constexpr const char* kFetchAgain = "the file is damaged or cut short: fetch it again";

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// ---- The zip form

class ZipForm {
 public:
  ZipForm(std::span<const std::byte> file, const std::string& path)
      : file_(file), path_(path), directory_(file, path), prefix_(find_prefix()) {}

  Container read() const {
    check_version();
    Container container;
    container.pickle_place = path_ + ", data.pkl";
    container.pickle = read_pickle(content(*entry("data.pkl")), {container.pickle_place});
    for (const StorageRef& storage : container.pickle.storages) locate(storage, &container);
    return container;
  }

 private:
  [[noreturn]] void fail(const std::string& problem, const char* mend = kFetchAgain) const {
    throw Error(problem, printable(path_, 400), mend);
  }

  // "ARCHIVE/" of the one ARCHIVE/data.pkl.
  std::string_view find_prefix() const {
    constexpr std::string_view kPickle = "data.pkl";
    std::string_view prefix;
    for (const ZipEntry& each : directory_.entries()) {
      const size_t slash = each.name.find('/');
      if (slash == each.name.npos || each.name.substr(slash + 1) != kPickle) continue;
      if (!prefix.empty()) fail("archive holds two pickles", "keep one model in the file");
      prefix = each.name.substr(0, slash + 1);
    }
    if (prefix.empty()) fail("archive holds no data.pkl", "name a file that torch.save wrote");
    return prefix;
  }

  const ZipEntry* entry(std::string_view name) const {
    return directory_.find(std::string(prefix_) + std::string(name));
  }
  std::span<const std::byte> content(const ZipEntry& entry) const {
    return file_.subspan(static_cast<size_t>(entry.offset), static_cast<size_t>(entry.size));
  }

  void check_version() const {
    if (entry("constants.pkl") != nullptr) {
      fail("archive is a TorchScript program, not weights", "save model.state_dict() in its place");
    }
    if (const ZipEntry* const order = entry("byteorder"); order != nullptr && as_text(content(*order)) != "little") {
      fail("byte order is \"" + printable(as_text(content(*order)), 20) + "\", not \"little\"",
           "save the weights on a little-endian machine, or as safetensors");
    }
    // One number and a line feed: 3 since torch 1.6. A reader of torch takes up to 10.
    if (const ZipEntry* const version = entry("version"); version != nullptr) {
      std::string_view text = as_text(content(*version));
      if (text.ends_with('\n')) text.remove_suffix(1);
      const bool known = text == "10" || (text.size() == 1 && text[0] >= '1' && text[0] <= '9');
      if (!known)
        fail("format of version \"" + printable(text, 20) + "\" is not known", "save the weights as safetensors");
    }
  }

  void locate(const StorageRef& storage, Container* container) const {
    const ZipEntry* const found = entry("data/" + std::string(storage.key));
    if (found == nullptr) fail("archive lacks the storage data/" + printable(storage.key));
    if (found->size != storage.bytes()) {
      fail("storage data/" + printable(storage.key) + " has " + std::to_string(found->size) +
           " bytes, but data.pkl says " + std::to_string(storage.bytes()));
    }
    container->storages.emplace(storage.key, found->offset);
  }

  std::span<const std::byte> file_;
  const std::string& path_;
  ZipDirectory directory_;
  std::string_view prefix_;
};

// ---- The form of before torch 1.6: pickles of a magic number, the protocol's number, facts on the machine that wrote
// the file, what was saved, and the storages' keys; then for each key the number of elements and the elements.

class LegacyForm {
 public:
  LegacyForm(std::span<const std::byte> file, const std::string& path) : file_(file), path_(path) {}

  Container read() {
    check_magic();
    const Pickle protocol = next();
    if (protocol.root.kind != Kind::integer || protocol.root.number != 1001) fail("protocol is not 1001");
    check_machine(next());
    Container container;
    container.pickle_place = path_;
    container.pickle = next();
    read_storages(next(), &container);
    return container;
  }

 private:
  [[noreturn]] void fail(const std::string& problem, const char* mend = kFetchAgain) const {
    throw Error(problem, printable(path_, 400), mend);
  }

  Pickle next() {
    Pickle pickle = read_pickle(file_.subspan(at_), {path_, static_cast<int64_t>(at_)});
    at_ += pickle.bytes.size();
    return pickle;
  }

  void check_magic() {
    constexpr std::string_view kMagic("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);
    const Pickle magic = next();
    if (magic.root.kind != Kind::bytes || magic.text(magic.root) != kMagic) {
      fail("pickle is none that torch.save wrote", "name a file that torch.save wrote");
    }
  }

  void check_machine(const Pickle& machine) const {
    if (machine.root.kind != Kind::dict) fail("description of the machine is no dict");
    for (const auto& [key, value] : machine.dict(machine.root)) {
      if (key.kind != Kind::text || machine.text(key) != "little_endian") continue;
      if (value.kind != Kind::boolean || value.number == 0) {
        fail("file was written on a big-endian machine", "save the weights on a little-endian machine");
      }
    }
  }

  void read_storages(const Pickle& keys, Container* container) {
    if (keys.root.kind != Kind::list) fail("keys of the storages are no list");
    // All views of a storage name its whole size; where they do not agree, one of them is wrong.
    std::map<std::string_view, int64_t> sizes;
    std::map<std::string_view, int64_t> items;
    for (const StorageRef& storage : container->pickle.storages) {
      const auto [it, added] = sizes.emplace(storage.key, storage.bytes());
      if (!added && it->second != storage.bytes()) fail("storage " + printable(storage.key) + " has two sizes");
      items.emplace(storage.key, storage.items);
    }
    for (const Value& value : keys.list(keys.root)) {
      if (value.kind != Kind::text) fail("key of a storage is no text");
      const auto known = sizes.find(keys.text(value));
      if (known == sizes.end()) fail("storage " + printable(keys.text(value)) + " belongs to no tensor");
      const std::string name = "storage " + printable(known->first);
      int64_t count = 0;
      if (file_.size() - at_ < sizeof(count)) fail(name + " lies after the end of the file");
      std::memcpy(&count, file_.data() + at_, sizeof(count));
      at_ += sizeof(count);
      if (count != items.at(known->first)) {
        fail(name + " has " + std::to_string(count) + " elements, but its tensors say " +
             std::to_string(items.at(known->first)));
      }
      if (file_.size() - at_ < static_cast<uint64_t>(known->second)) fail(name + " reaches beyond the end of the file");
      if (!container->storages.emplace(known->first, static_cast<int64_t>(at_)).second) fail(name + " occurs twice");
      at_ += static_cast<size_t>(known->second);
    }
    if (container->storages.size() != sizes.size()) fail("file lacks a storage of its tensors");
    if (at_ != file_.size()) fail(std::to_string(file_.size() - at_) + " bytes after the last storage");
  }

  std::span<const std::byte> file_;
  const std::string& path_;
  size_t at_ = 0;
};

}  // namespace

Container read_container(std::span<const std::byte> file, const std::string& path) {
  const std::string_view text = as_text(file);
  const auto fail = [&](const std::string& problem, const char* mend) {
    throw Error(problem, printable(path, 400), mend);
  };
  if (text.empty()) fail("file is empty", "fetch it again");
  if (text.starts_with("version https://git-lfs")) {
    fail("file is a Git LFS pointer, not the weights", "fetch the weights with `git lfs pull`");
  }
  if (text.starts_with("PK\x03\x04")) return ZipForm(file, path).read();
  if (text[0] == '\x80') return LegacyForm(file, path).read();
  constexpr size_t kTarMark = 257;
  if (text.size() > kTarMark && text.substr(kTarMark).starts_with("ustar")) {
    fail("file is of the tar form of before torch 0.1.10",
         "load and save it with a later torch, or convert it to safetensors");
  }
  fail("file is neither a zip archive nor a pickle, as torch.save writes them", "fetch it again");
  return {};
}

}  // namespace mica::torch
