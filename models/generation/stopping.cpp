#include "mica/models/generation/stopping.h"

#include <algorithm>

#include "mica/base/error.h"

namespace mica {

StopRules::StopRules(const GenerationConfig& config, const GenerationHooks& hooks)
    : end_tokens_(config.eos_token_id.values()),
      stop_strings_(config.stop_strings.values()),
      max_time_(config.max_time),
      start_(std::chrono::steady_clock::now()),
      hooks_(hooks) {
  if (stop_strings_.empty()) return;
  if (!hooks.decode) {
    throw Error("stop_strings without a tokenizer", "generate", "give GenerationHooks::decode, or leave them out");
  }
  // Nearly every token has at least one byte of text. Some more, as the first of a window may lose its leading space,
  // and special tokens have none.
  for (const std::string& text : stop_strings_) window_ = std::max(window_, text.size() + 8);
}

bool StopRules::is_end_token(int64_t token) const {
  return std::find(end_tokens_.begin(), end_tokens_.end(), token) != end_tokens_.end();
}

std::optional<FinishReason> StopRules::check(std::span<const int64_t> ids, int64_t max_length) const {
  if (is_end_token(ids.back())) return FinishReason::end_token;
  if (!stop_strings_.empty() && completes_stop_string(ids)) return FinishReason::stop_string;
  if (static_cast<int64_t>(ids.size()) >= max_length) return FinishReason::length;
  return std::nullopt;
}

std::optional<FinishReason> StopRules::check_all() const {
  if (hooks_.interrupt != nullptr && hooks_.interrupt->load(std::memory_order_relaxed))
    return FinishReason::interrupted;
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_;
  if (max_time_ && elapsed.count() > *max_time_) return FinishReason::max_time;
  return std::nullopt;
}

// A stop string counts when it ends within the text of the last token, wherever it begins. That text is what decoding
// gives beyond the tokens before; a character whose last byte has just come counts to the last token.
bool StopRules::completes_stop_string(std::span<const int64_t> ids) const {
  const std::span<const int64_t> tail = ids.last(std::min(window_, ids.size()));
  const std::string text = hooks_.decode(tail);
  const std::string before = hooks_.decode(tail.first(tail.size() - 1));
  const auto old =
      static_cast<size_t>(std::mismatch(text.begin(), text.end(), before.begin(), before.end()).first - text.begin());
  return std::any_of(stop_strings_.begin(), stop_strings_.end(), [&](const std::string& stop) {
    const size_t from = old >= stop.size() ? old - stop.size() + 1 : 0;
    const size_t at = text.find(stop, from);
    return at != std::string::npos && at + stop.size() > old;
  });
}

}  // namespace mica
