#include "mica/base/hub.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "mica/base/error.h"
#include "mica/base/file.h"

namespace mica {
namespace {

namespace fs = std::filesystem;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string cache_folder() {
  if (std::string cache = environment("HF_HUB_CACHE"); !cache.empty()) return cache;
  if (const std::string home = environment("HF_HOME"); !home.empty()) return join_path(home, "hub");
  if (const std::string cache = environment("XDG_CACHE_HOME"); !cache.empty()) {
    return join_path(cache, "huggingface/hub");
  }
  return join_path(environment("HOME"), ".cache/huggingface/hub");
}

// What the hub allows in a part of a name; the first character is none of "-" and ".".
bool is_name_part(const std::string& part) {
  if (part.empty() || part.size() > 96 || part[0] == '.' || part[0] == '-') return false;
  for (const char c : part) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!letter && c != '-' && c != '_' && c != '.') return false;
  }
  return part.find("..") == part.npos && part.find("--") == part.npos;
}

// "org/name" or "name" as the cache spells it: models--org--name; empty when the name is no hub id.
std::string cache_name(const std::string& name) {
  const size_t slash = name.find('/');
  const std::string first = name.substr(0, slash);
  if (!is_name_part(first)) return "";
  if (slash == name.npos) return "models--" + first;
  const std::string second = name.substr(slash + 1);
  return is_name_part(second) ? "models--" + first + "--" + second : "";
}

std::string newest_snapshot(const std::string& snapshots) {
  std::string newest;
  fs::file_time_type newest_time{};
  std::error_code code;
  for (fs::directory_iterator it(snapshots, code), end; !code && it != end; it.increment(code)) {
    std::error_code ignored;
    if (!it->is_directory(ignored)) continue;
    const auto time = it->last_write_time(ignored);
    const std::string path = it->path().string();
    if (newest.empty() || time > newest_time || (time == newest_time && path > newest)) {
      newest = path;
      newest_time = time;
    }
  }
  return newest;
}

}  // namespace

std::string resolve_model_folder(const std::string& name) {
  if (name.empty() || name.find('\0') != name.npos) {
    throw Error("not a model name: \"" + printable(name, 100) + "\"", "model", "name a folder or a hub id");
  }
  if (directory_exists(name)) return name;
  const std::string cached = cache_name(name);
  if (cached.empty()) {
    throw Error("no such folder, and no hub id: \"" + printable(name, 200) + "\"", "model",
                "name an existing folder, or a hub id such as bert-base-uncased or org/name");
  }
  const std::string folder = join_path(cache_folder(), cached);
  const std::string snapshots = join_path(folder, "snapshots");
  if (const std::string ref = join_path(folder, "refs/main"); file_exists(ref)) {
    std::string revision = read_file(ref, 4096);
    while (!revision.empty() && (revision.back() == '\n' || revision.back() == '\r' || revision.back() == ' ')) {
      revision.pop_back();
    }
    if (is_plain_file_name(revision)) {
      const std::string snapshot = join_path(snapshots, revision);
      if (directory_exists(snapshot)) return snapshot;
    }
  }
  const std::string newest = newest_snapshot(snapshots);
  if (!newest.empty()) return newest;
  throw Error("model not found: \"" + printable(name, 200) + "\"",
              "looked for the folder, and for snapshots in " + printable(snapshots, 300),
              "fetch it into the Hugging Face cache, set HF_HOME or HF_HUB_CACHE, or name its folder");
}

}  // namespace mica
