#pragma once
// Things a caller should know that are no error (a new head was made, a text was cut). The library itself never
// prints: whoever wants to see warnings installs a handler.

#include <functional>
#include <string>
#include <vector>

namespace mica {

using WarningHandler = std::function<void(const std::string& message)>;

/// Replaces the process-wide handler and returns the previous one; an empty handler drops warnings (the default).
WarningHandler set_warning_handler(WarningHandler handler);

/// Hands `message` to the innermost WarningCatcher of this thread, or else to the process-wide handler.
void warn(const std::string& message);

/// While alive, collects the warnings of this thread instead of passing them on.
class WarningCatcher {
 public:
  WarningCatcher();
  ~WarningCatcher();
  WarningCatcher(const WarningCatcher&) = delete;
  WarningCatcher& operator=(const WarningCatcher&) = delete;
  const std::vector<std::string>& messages() const { return messages_; }

 private:
  friend void warn(const std::string& message);
  std::vector<std::string> messages_;
  WarningCatcher* outer_;
};

}  // namespace mica
