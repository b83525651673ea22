#include "mica/training/tasks/columns.h"

#include <algorithm>
#include <set>

#include "mica/base/error.h"
#include "mica/models/pipelines/batches.h"

namespace mica {
namespace {

constexpr int64_t kDefaultTokens = 512;

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + printable(name);
  return text;
}

// Calls f with each label of a cell: itself, or the items of a list.
template <typename F>
void each_label(const Value& cell, const F& f) {
  if (!cell.is_list()) return f(cell);
  for (int64_t i = 0; i < cell.size(); ++i) f(cell.at(i));
}

}  // namespace

std::optional<std::string> optional_column(const Dataset& data, const std::string& given,
                                           const std::vector<std::string>& defaults, const char* flag) {
  const std::vector<std::string> names = data.column_names();
  const auto has = [&](const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); };
  if (!given.empty()) {
    if (!has(given)) {
      throw Error("no column \"" + printable(given) + "\"", std::string("--") + flag, "the data has " + listed(names));
    }
    return given;
  }
  const auto found = std::find_if(defaults.begin(), defaults.end(), has);
  return found == defaults.end() ? std::nullopt : std::optional<std::string>(*found);
}

std::string column_of(const Dataset& data, const std::string& given, const std::vector<std::string>& defaults,
                      const char* flag) {
  const std::optional<std::string> found = optional_column(data, given, defaults, flag);
  if (found) return *found;
  throw Error("no column " + listed(defaults), "training data",
              "name one of " + listed(data.column_names()) + " with --" + flag);
}

int64_t row_limit(const Model& model, const Tokenizer& tokenizer, std::optional<int64_t> given) {
  const std::optional<int64_t> most = token_limit(model, tokenizer);
  if (!given) return std::min(most.value_or(kDefaultTokens), kDefaultTokens);
  if (*given < 1 || (most && *given > *most)) {
    throw Error("max_length " + std::to_string(*given), "training data",
                "use 1 to " + (most ? std::to_string(*most) + ", what the model takes" : "any number"));
  }
  return *given;
}

int64_t LabelNames::id_of(const Value& cell) const {
  if (cell.is_string()) {
    const auto found = std::find(names_.begin(), names_.end(), cell.as_string());
    if (found == names_.end()) cell.fail("one of the labels " + listed(names_));
    return found - names_.begin();
  }
  const int64_t id = cell.as_int();
  if (id < 0 || id >= static_cast<int64_t>(names_.size())) {
    cell.fail("a label from 0 to " + std::to_string(static_cast<int64_t>(names_.size()) - 1));
  }
  return id;
}

std::vector<std::string> label_names(const std::vector<Value>& cells, const Config& config) {
  const std::vector<std::string> known = config.labels();
  std::set<std::string> names;
  int64_t ids = 0;
  for (const Value& cell : cells) {
    each_label(cell, [&](const Value& label) {
      if (label.is_string()) {
        names.emplace(label.as_string());
        return;
      }
      const int64_t id = label.as_int();
      if (id < 0 || id >= 1'000'000) label.fail("a label from 0 on");
      ids = std::max(ids, id + 1);
    });
  }
  if (!names.empty() && ids > 0) {
    throw Error("labels are names in some rows and numbers in others", "training data", "write all of them alike");
  }
  if (names.empty()) {
    if (ids == static_cast<int64_t>(known.size())) return known;
    std::vector<std::string> numbered;
    for (int64_t i = 0; i < std::max<int64_t>(ids, 2); ++i) numbered.push_back("LABEL_" + std::to_string(i));
    return numbered;
  }
  const bool all_known = std::all_of(names.begin(), names.end(), [&](const std::string& name) {
    return std::find(known.begin(), known.end(), name) != known.end();
  });
  if (all_known) return known;
  return {names.begin(), names.end()};
}

}  // namespace mica
