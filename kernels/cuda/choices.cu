#include <charconv>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/json.h"
#include "mica/kernels/cuda/choices.h"

namespace mica::cuda {
namespace {

constexpr int kFormat = 1;
constexpr int64_t kMostBytes = int64_t{64} << 20;

std::string hexadecimal(uint64_t word) {
  char text[17] = {};
  const auto end = std::to_chars(text, text + 16, word, 16).ptr;
  return {text, end};
}

std::optional<uint64_t> word_of(const Json& json) {
  if (!json.is_string()) return std::nullopt;
  const auto& text = json.get_ref<const std::string&>();
  uint64_t word = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), word, 16);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return word;
}

std::optional<Choices::Choice> choice_of(const Json& json) {
  Choices::Choice choice{};
  if (!json.is_array() || json.size() != choice.size()) return std::nullopt;
  for (size_t i = 0; i < choice.size(); ++i) {
    const auto word = word_of(json[i]);
    if (!word) return std::nullopt;
    choice[i] = *word;
  }
  return choice;
}

// All of the file's choices, or none.
std::map<std::string, Choices::Choice> read(const std::string& path) {
  std::map<std::string, Choices::Choice> choices;
  if (path.empty() || !file_exists(path)) return choices;
  try {
    const Json json = parse_json(read_file(path, kMostBytes), path);
    if (!json.is_object() || !json.contains("format") || json["format"] != kFormat || !json.contains("choices") ||
        !json["choices"].is_object()) {
      return {};
    }
    for (const auto& [key, value] : json["choices"].items()) {
      const auto choice = choice_of(value);
      if (!choice) return {};
      choices.emplace(key, *choice);
    }
  } catch (const Error&) {
    return {};
  }
  return choices;
}

}  // namespace

std::string choices_path(const std::string& device_name, const std::string& library_version) {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value != nullptr ? value : "");
  };
  std::string folder = variable("XDG_CACHE_HOME");
  if (folder.empty()) {
    const std::string home = variable("HOME");
    if (home.empty()) return {};
    folder = join_path(home, ".cache");
  }
  std::string plain;
  for (const char c : device_name) {
    const bool kept = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    plain += kept ? c : '-';
  }
  return join_path(join_path(folder, "mica"), "cublaslt-" + plain + "-" + library_version + ".json");
}

Choices::Choices(std::string path) : path_(std::move(path)), choices_(read(path_)) {}

std::optional<Choices::Choice> Choices::find(const std::string& key) const {
  const auto found = choices_.find(key);
  if (found == choices_.end()) return std::nullopt;
  return found->second;
}

void Choices::add(const std::string& key, const Choice& choice) {
  choices_[key] = choice;
  if (path_.empty()) return;
  choices_.merge(read(path_));
  Json all = Json::object();
  for (const auto& [each, words] : choices_) {
    Json list = Json::array();
    for (const uint64_t word : words) list.push_back(hexadecimal(word));
    all[each] = std::move(list);
  }
  try {
    make_directories(path_.substr(0, path_.rfind('/')));
    write_file_atomically(path_, dump_json({{"format", kFormat}, {"choices", std::move(all)}}));
  } catch (const Error&) {
    return;
  }
}

}  // namespace mica::cuda
