// Processors that make scores well-formed: no invalid values, and probabilities that add up to 1.

#include <cmath>
#include <limits>

#include "mica/models/generation/logits_processor.h"
#include "mica/models/generation/scores.h"

namespace mica {
namespace {

class RemoveInvalid : public LogitsProcessor {
 public:
  void process(const RowText&, std::span<float> scores, ProcessorScratch&) const override {
    constexpr float largest = std::numeric_limits<float>::max();
    for (float& score : scores) {
      if (std::isnan(score)) {
        score = 0;
      } else if (std::isinf(score)) {
        score = score > 0 ? largest : -largest;
      }
    }
  }
};

class Renormalize : public LogitsProcessor {
 public:
  void process(const RowText&, std::span<float> scores, ProcessorScratch&) const override {
    scores::log_softmax(scores, scores);
  }
};

}  // namespace

std::shared_ptr<const LogitsProcessor> logits::remove_invalid_values() {
  return std::make_shared<RemoveInvalid>();
}
std::shared_ptr<const LogitsProcessor> logits::renormalize() {
  return std::make_shared<Renormalize>();
}

}  // namespace mica
