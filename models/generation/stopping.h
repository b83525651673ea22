#pragma once
// When a text ends.

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mica/models/generation/generate.h"

namespace mica {

class StopRules {
 public:
  /// The clock of max_time starts now. `config` is resolved().
  StopRules(const GenerationConfig& config, const GenerationHooks& hooks);

  /// Whether the text ends with its last token, and why.
  std::optional<FinishReason> check(std::span<const int64_t> ids, int64_t max_length) const;
  /// Whether all rows end now.
  std::optional<FinishReason> check_all() const;
  bool is_end_token(int64_t token) const;

 private:
  bool completes_stop_string(std::span<const int64_t> ids) const;

  std::vector<int64_t> end_tokens_;
  std::vector<std::string> stop_strings_;
  size_t window_ = 0;  // tokens whose text is looked at
  std::optional<double> max_time_;
  std::chrono::steady_clock::time_point start_;
  const GenerationHooks& hooks_;
};

}  // namespace mica
