#include "mica/base/warnings.h"

#include <mutex>
#include <utility>

namespace mica {
namespace {

struct Global {
  std::mutex mutex;
  WarningHandler handler;
};

Global& global() {
  static Global instance;
  return instance;
}

thread_local WarningCatcher* innermost = nullptr;

}  // namespace

WarningHandler set_warning_handler(WarningHandler handler) {
  const std::lock_guard lock(global().mutex);
  return std::exchange(global().handler, std::move(handler));
}

void warn(const std::string& message) {
  if (innermost != nullptr) {
    innermost->messages_.push_back(message);
    return;
  }
  WarningHandler handler;
  {
    const std::lock_guard lock(global().mutex);
    handler = global().handler;
  }
  if (handler) handler(message);
}

WarningCatcher::WarningCatcher() : outer_(std::exchange(innermost, this)) {}
WarningCatcher::~WarningCatcher() {
  innermost = outer_;
}

}  // namespace mica
