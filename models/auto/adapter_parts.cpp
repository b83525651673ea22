#include "mica/models/auto/adapter_parts.h"

#include <algorithm>
#include <utility>

#include "mica/base/error.h"

namespace mica {

const char* task_type(Task task) {
  switch (task) {
    case Task::sequence_classification:
      return "SEQ_CLS";
    case Task::token_classification:
      return "TOKEN_CLS";
    case Task::question_answering:
      return "QUESTION_ANS";
    case Task::causal_lm:
      return "CAUSAL_LM";
    case Task::seq2seq_lm:
      return "SEQ_2_SEQ_LM";
    default:
      return nullptr;
  }
}

std::vector<std::string> saved_modules(const Model& model, const std::vector<std::string>& named) {
  std::vector<std::string> saved = named;
  const Task task = model.task();
  if (task == Task::sequence_classification || task == Task::token_classification) {
    for (const char* each : {"classifier", "score"}) {
      if (std::find(saved.begin(), saved.end(), each) == saved.end()) saved.emplace_back(each);
    }
  }
  return saved;
}

bool belongs_to(const std::string& parameter, const std::vector<std::string>& modules) {
  const std::string module = parameter.substr(0, parameter.rfind('.'));
  return std::any_of(modules.begin(), modules.end(), [&](const std::string& each) {
    const std::string dotted = "." + module + ".";
    return dotted.find("." + each + ".") != std::string::npos;
  });
}

void freeze_model(const Model& model, const std::vector<std::string>& but) {
  for (const auto& [name, parameter] : model.parameters()) parameter.set_requires_grad(belongs_to(name, but));
}

void check_free(const AdapterRegistry& registry, const std::string& name) {
  if (registry.configs.contains(name)) {
    throw Error("the model has an adapter \"" + printable(name) + "\" already", "adapter", "take another name");
  }
}

const std::string& config_text(const AdapterRegistry& registry, const std::string& name) {
  const auto found = registry.configs.find(name);
  if (found != registry.configs.end()) return found->second;
  std::string known;
  for (const auto& [each, text] : registry.configs) known += (known.empty() ? "" : ", ") + each;
  throw Error("no adapter \"" + printable(name) + "\"", "adapter",
              known.empty() ? "add or load one" : "there are " + known);
}

void activate(AdapterRegistry& registry, std::vector<std::string> names) {
  for (const std::string& name : names) {
    if (names.size() > 1 && registry.virtual_tokens.contains(name)) {
      throw Error("the virtual tokens of \"" + printable(name) + "\" beside another adapter", "adapter",
                  "make them active alone");
    }
  }
  registry.active = std::move(names);
  for (const auto& [module, slot] : registry.slots) slot->set_active(registry.active);
}

std::vector<std::string> names_in(const Json& json, const char* key, const std::string& path) {
  const auto wrong = [&](const std::string& what) {
    return Error(std::string("key ") + key + " " + what, path, "make it a list of names");
  };
  std::vector<std::string> list;
  if (!json.contains(key) || json[key].is_null()) return list;
  if (json[key].is_string()) return {json[key].get<std::string>()};
  if (!json[key].is_array()) throw wrong("is no list");
  for (const Json& each : json[key]) {
    if (!each.is_string()) throw wrong("holds no name");
    list.push_back(each.get<std::string>());
  }
  return list;
}

}  // namespace mica
