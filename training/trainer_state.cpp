#include "mica/training/trainer_state.h"

#include <limits>

#include "mica/base/error.h"
#include "mica/base/json.h"

namespace mica {
namespace {

class Reader {
 public:
  Reader(const Json& json, std::string where) : json_(json), where_(std::move(where)) {}

  void operator()(const char* key, int64_t& value) const {
    const Json* found = at(key);
    if (found == nullptr) return;
    if (!found->is_number_integer()) refuse(key, "a whole number");
    value = found->get<int64_t>();
    if (value < 0) refuse(key, "a number that is not negative");
  }
  void operator()(const char* key, double& value) const {
    const Json* found = at(key);
    if (found == nullptr) return;
    if (!found->is_number()) refuse(key, "a number");
    value = found->get<double>();
  }
  void operator()(const char* key, std::string& value) const {
    const Json* found = at(key);
    if (found == nullptr) return;
    if (!found->is_string()) refuse(key, "a text");
    value = found->get<std::string>();
  }
  template <typename T>
  void operator()(const char* key, std::optional<T>& value) const {
    if (at(key) == nullptr) return;
    T read{};
    (*this)(key, read);
    value = read;
  }
  void operator()(const char* key, std::vector<LogEntry>& value) const {
    const Json* found = at(key);
    if (found == nullptr) return;
    if (!found->is_array()) refuse(key, "a list of objects");
    for (const Json& each : *found) {
      if (!each.is_object()) refuse(key, "a list of objects");
      LogEntry entry;
      for (const auto& [name, number] : each.items()) {
        if (number.is_number()) entry.emplace_back(name, number.get<double>());
      }
      value.push_back(std::move(entry));
    }
  }

 private:
  const Json* at(const char* key) const {
    const auto found = json_.find(key);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }
  [[noreturn]] void refuse(const char* key, const char* takes) const {
    throw Error("\"" + std::string(key) + "\" is not " + takes, where_, "take another checkpoint");
  }
  const Json& json_;
  std::string where_;
};

struct Writer {
  Json json = Json::object();
  template <typename T>
  void operator()(const char* key, const T& value) {
    json[key] = value;
  }
  template <typename T>
  void operator()(const char* key, const std::optional<T>& value) {
    json[key] = value ? Json(*value) : Json(nullptr);
  }
  void operator()(const char* key, const std::string& value) {
    json[key] = value.empty() ? Json(nullptr) : Json(value);
  }
  void operator()(const char* key, const std::vector<LogEntry>& value) {
    Json list = Json::array();
    for (const LogEntry& entry : value) {
      Json each = Json::object();
      for (const auto& [name, number] : entry) {
        // Counts look like counts.
        const auto whole = static_cast<int64_t>(number);
        if (name == "step" && static_cast<double>(whole) == number) {
          each[name] = whole;
        } else {
          each[name] = number;
        }
      }
      list.push_back(std::move(each));
    }
    json[key] = std::move(list);
  }
};

template <typename State, typename Visit>
void visit(State& state, Visit& each) {
  each("best_global_step", state.best_global_step);
  each("best_metric", state.best_metric);
  each("best_model_checkpoint", state.best_model_checkpoint);
  each("epoch", state.epoch);
  each("eval_steps", state.eval_steps);
  each("global_step", state.global_step);
  each("log_history", state.log_history);
  each("logging_steps", state.logging_steps);
  each("max_steps", state.max_steps);
  each("num_input_tokens_seen", state.num_input_tokens_seen);
  each("num_train_epochs", state.num_train_epochs);
  each("save_steps", state.save_steps);
  each("train_batch_size", state.train_batch_size);
  each("evaluations_without_improvement", state.evaluations_without_improvement);
  each("loss_since_log", state.loss_since_log);
  each("total_loss", state.total_loss);
  each("last_logged_step", state.last_logged_step);
}

}  // namespace

std::optional<double> find(const LogEntry& entry, std::string_view name) {
  for (const auto& [each, value] : entry) {
    if (each == name) return value;
  }
  return std::nullopt;
}

std::string TrainerState::to_json() const {
  Writer writer;
  visit(*this, writer);
  return dump_json(writer.json);
}

TrainerState TrainerState::from_json(std::string_view text, const std::string& where) {
  const Json json = parse_json(text, where);
  if (!json.is_object()) throw Error("no JSON object", where, "take another checkpoint");
  TrainerState state;
  const Reader reader(json, where);
  visit(state, reader);
  return state;
}

}  // namespace mica
