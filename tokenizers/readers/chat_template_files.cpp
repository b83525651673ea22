#include "mica/tokenizers/readers/chat_template_files.h"

#include <algorithm>
#include <filesystem>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

constexpr int64_t kMaxTemplateBytes = 4 << 20;
constexpr size_t kMaxTemplates = 256;
constexpr const char* kFile = "chat_template.jinja";
constexpr const char* kFolder = "additional_chat_templates";
constexpr const char* kOldFile = "chat_template.json";

[[noreturn]] void malformed(const std::string& file, const std::string& problem) {
  throw Error(problem, printable(file, 400), "mend the file or fetch it again");
}

std::string read_template(const std::string& path) {
  std::string storage;
  const std::string text = read_file(path, kMaxTemplateBytes);
  return std::string(utf8::valid(text, storage));
}

ChatTemplates from_files(const std::string& folder) {
  ChatTemplates templates;
  if (const std::string path = join_path(folder, kFile); file_exists(path)) {
    templates.emplace_back("default", read_template(path));
  }
  const std::string more = join_path(folder, kFolder);
  if (!directory_exists(more)) return templates;
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(more)) {
    if (entry.path().extension() == ".jinja") paths.push_back(entry.path());
    if (paths.size() > kMaxTemplates) malformed(more, "more than " + std::to_string(kMaxTemplates) + " templates");
  }
  std::sort(paths.begin(), paths.end());
  for (const auto& path : paths) {
    const std::string name = path.stem().string();
    const auto same = [&](const auto& known) { return known.first == name; };
    const auto it = std::find_if(templates.begin(), templates.end(), same);
    if (it != templates.end()) {
      it->second = read_template(path.string());
    } else {
      templates.emplace_back(name, read_template(path.string()));
    }
  }
  return templates;
}

// A text, or an array of {"name", "template"}.
ChatTemplates from_json(const Json& json, const std::string& file) {
  if (json.is_null()) return {};
  if (json.is_string()) return {{"default", json.get<std::string>()}};
  if (!json.is_array()) malformed(file, "key chat_template is neither a text nor an array of named templates");
  ChatTemplates templates;
  for (const Json& each : json) {
    const bool fits = each.is_object() && each.contains("name") && each["name"].is_string() &&
                      each.contains("template") && each["template"].is_string();
    if (!fits) malformed(file, "an element of chat_template has no name or no template");
    const auto name = each["name"].get<std::string>();
    const auto same = [&](const auto& known) { return known.first == name; };
    if (std::any_of(templates.begin(), templates.end(), same)) {
      malformed(file, "two chat templates are called \"" + printable(name, 60) + "\"");
    }
    templates.emplace_back(name, each["template"].get<std::string>());
  }
  if (templates.size() > kMaxTemplates) malformed(file, "more than " + std::to_string(kMaxTemplates) + " templates");
  return templates;
}

}  // namespace

ChatTemplates read_chat_templates(const std::string& folder, const Json& config, const std::string& config_path) {
  if (ChatTemplates templates = from_files(folder); !templates.empty()) return templates;
  if (const auto it = config.find("chat_template"); it != config.end()) {
    if (ChatTemplates templates = from_json(*it, config_path); !templates.empty()) return templates;
  }
  const std::string path = join_path(folder, kOldFile);
  if (!file_exists(path)) return {};
  const Json json = parse_json(read_file(path, kMaxTemplateBytes), path);
  if (!json.is_object() || !json.contains("chat_template")) malformed(path, "no key chat_template");
  return from_json(json["chat_template"], path);
}

std::vector<std::string> write_chat_templates(const std::string& folder, const ChatTemplates& templates) {
  std::vector<std::string> written;
  for (const auto& [name, text] : templates) {
    if (name == "default") {
      written.push_back(join_path(folder, kFile));
    } else {
      if (!is_plain_file_name(name)) {
        throw Error("a chat template is called \"" + printable(name, 60) + "\", which is no file name",
                    printable(folder, 400), "rename the template");
      }
      const std::string more = join_path(folder, kFolder);
      make_directories(more);
      written.push_back(join_path(more, name + ".jinja"));
    }
    write_file_atomically(written.back(), text);
  }
  return written;
}

}  // namespace mica
