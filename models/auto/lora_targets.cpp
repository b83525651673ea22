#include "mica/models/auto/lora_targets.h"

#include <algorithm>
#include <array>
#include <memory>
#include <set>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace mica {
namespace {

bool is_expression(const std::string& text) {
  return text.find_first_of("*+?[](){}|^$\\") != std::string::npos;
}

bool ends_in(const std::string& module, const std::string& part) {
  return module == part || module.ends_with("." + part);
}

// Whether the expression matches all of the text.
bool matches_whole(const std::string& text, const std::string& expression) {
  int error = 0;
  PCRE2_SIZE place = 0;
  const std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(),
                    PCRE2_ANCHORED | PCRE2_ENDANCHORED, &error, &place, nullptr),
      pcre2_code_free);
  if (code == nullptr) {
    throw Error("\"" + printable(expression) + "\" is no regular expression", "adapter",
                "mend it at character " + std::to_string(place) + ", or write names");
  }
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create_from_pattern(code.get(), nullptr), pcre2_match_data_free);
  return pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0, data.get(), nullptr) >=
         0;
}

std::string last_part(const std::string& module) {
  return module.substr(module.rfind('.') + 1);
}

}  // namespace

bool is_target(const std::string& module, const std::vector<std::string>& targets) {
  if (targets.size() == 1 && targets[0] == "all-linear") {
    static const std::set<std::string> heads{"lm_head",   "classifier", "score",   "qa_outputs",
                                             "embed_out", "decoder",    "out_proj"};
    const bool in_layer = module.find_first_of("0123456789") != std::string::npos;
    return in_layer || !heads.contains(last_part(module));
  }
  if (targets.size() == 1 && is_expression(targets[0])) {
    return matches_whole(module, targets[0]);
  }
  return std::any_of(targets.begin(), targets.end(), [&](const std::string& each) { return ends_in(module, each); });
}

bool fits_pattern(const std::string& module, const std::string& pattern) {
  return matches_whole(module, "(.*\\.)?(" + pattern + ")");
}

std::vector<std::string> usual_targets(const AdapterRegistry& registry) {
  // Names of projections of queries and values, or of all three where a family has one layer for them.
  static constexpr std::array<std::array<const char*, 2>, 9> kPairs{{{"q_proj", "v_proj"},
                                                                     {"query", "value"},
                                                                     {"q", "v"},
                                                                     {"q_lin", "v_lin"},
                                                                     {"query_proj", "value_proj"},
                                                                     {"query_key_value", "query_key_value"},
                                                                     {"qkv_proj", "qkv_proj"},
                                                                     {"c_attn", "c_attn"},
                                                                     {"Wqkv", "Wqkv"}}};
  for (const auto& [first, second] : kPairs) {
    const bool there =
        std::any_of(registry.slots.begin(), registry.slots.end(),
                    [&, name = std::string(first)](const auto& each) { return ends_in(each.first, name); });
    if (!there) continue;
    std::vector<std::string> targets{first};
    if (std::string(first) != second) targets.emplace_back(second);
    return targets;
  }
  return {"all-linear"};
}

Error no_target(const AdapterRegistry& registry, const std::vector<std::string>& targets) {
  std::set<std::string> parts;
  for (const auto& [module, slot] : registry.slots) parts.insert(last_part(module));
  std::string known, asked;
  for (const std::string& each : parts) known += (known.empty() ? "" : ", ") + each;
  for (const std::string& each : targets) asked += (asked.empty() ? "" : ", ") + printable(each);
  return {"target_modules " + asked + " fit no module", "adapter", "the model has " + known};
}

}  // namespace mica
