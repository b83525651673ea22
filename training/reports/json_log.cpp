// The log as JSON lines.

#include <optional>

#include "mica/base/file.h"
#include "mica/base/json.h"
#include "mica/training/reports/reports.h"

namespace mica {
namespace {

std::string line_of(const LogEntry& entry) {
  Json json = Json::object();
  for (const auto& [name, value] : entry) {
    if (name == "step") {
      json[name] = static_cast<int64_t>(value);
    } else {
      json[name] = value;
    }
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

class JsonLog : public TrainerCallback {
 public:
  explicit JsonLog(std::string path) : path_(std::move(path)) {}

  void on_train_begin(const TrainerContext& context) override {
    file_.emplace(path_, true);
    for (const LogEntry& entry : context.state.log_history) file_->append(line_of(entry));
  }
  void on_log(const TrainerContext&, const LogEntry& entry) override {
    if (file_) file_->append(line_of(entry));
  }

 private:
  std::string path_;
  std::optional<GrowingFile> file_;
};

}  // namespace

std::shared_ptr<TrainerCallback> json_log(const std::string& path) {
  return std::make_shared<JsonLog>(path);
}

}  // namespace mica
