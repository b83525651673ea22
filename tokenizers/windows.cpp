#include "mica/tokenizers/windows.h"

#include <algorithm>
#include <string>
#include <utility>

#include "mica/base/error.h"

namespace mica {

std::vector<Window> make_windows(int64_t length, int64_t keep, int64_t stride, Side side) {
  if (keep >= length) return {{0, length}};
  if (keep == 0) return {{0, 0}, {0, length}};
  if (stride >= keep) {
    throw Error("stride " + std::to_string(stride) + " is not below the window of " + std::to_string(keep) + " tokens",
                "truncation", "lower stride or raise max_length (special tokens count towards it)");
  }
  std::vector<Window> windows;
  const int64_t step = keep - stride;
  if (side == Side::right) {
    for (int64_t begin = 0;; begin += step) {
      windows.push_back({begin, std::min(begin + keep, length)});
      if (windows.back().end == length) break;
    }
  } else {
    for (int64_t end = length;; end -= step) {
      windows.push_back({std::max<int64_t>(0, end - keep), end});
      if (windows.back().begin == 0) break;
    }
  }
  return windows;
}

Lengths truncated_lengths(int64_t first, int64_t second, const TruncationPlan& plan) {
  const int64_t total = first + std::max<int64_t>(0, second);
  if (plan.strategy == Truncation::none || total <= plan.max_length) return {first, second};
  if (plan.max_length == 0) return {0, second < 0 ? second : 0};
  const int64_t remove = total - plan.max_length;
  if (plan.strategy == Truncation::longest_first) {
    if (second < 0) return {plan.max_length, second};
    // The shorter text stays whole while the longer one can give enough; else both get half.
    int64_t shorter = std::min(first, second);
    int64_t longer = shorter > plan.max_length ? shorter : std::max(shorter, plan.max_length - shorter);
    if (shorter + longer > plan.max_length) {
      shorter = plan.max_length / 2;
      longer = shorter + plan.max_length % 2;
    }
    return first > second ? Lengths{longer, shorter} : Lengths{shorter, longer};
  }
  const bool is_first = plan.strategy == Truncation::only_first;
  if (!is_first && second < 0) {
    throw Error("cannot cut the second text: there is none", "truncation", "give a pair, or cut the first text");
  }
  const int64_t target = is_first ? first : second;
  if (target <= remove) {
    throw Error("sequence to truncate is too short for max_length: " + std::to_string(target) + " tokens, " +
                    std::to_string(remove) + " too many",
                "truncation", "raise max_length or truncate the longest first");
  }
  return is_first ? Lengths{target - remove, second} : Lengths{first, target - remove};
}

}  // namespace mica
