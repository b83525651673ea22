#include <algorithm>

#include "mica/models/generation/draft.h"

namespace mica {
namespace {

class LookupDrafter : public Drafter {
 public:
  explicit LookupDrafter(const Decoding& decoding)
      : stop_(decoding.stop()),
        tokens_(*decoding.config().prompt_lookup_num_tokens),
        ngram_(*decoding.config().max_matching_ngram_size) {}

  void guess(std::span<GenerationRow* const> rows, std::span<const int64_t> limits, std::span<Draft> drafts) override {
    for (size_t i = 0; i < rows.size(); ++i) {
      look_up(rows[i]->ids, std::min(tokens_, limits[i]), drafts[i].tokens);
      drafts[i].probabilities.clear();
    }
  }
  void learn(int64_t, const GenerationRow&, int64_t, int64_t) override {}
  void reorder(std::span<const int64_t>) override {}

 private:
  // The longest n-grams first; of one length, the first place where it stands.
  void look_up(std::span<const int64_t> ids, int64_t count, std::vector<int64_t>& found) const {
    found.clear();
    const auto length = static_cast<int64_t>(ids.size());
    for (int64_t n = std::min(ngram_, length - 1); n > 0 && count > 0; --n) {
      const std::span<const int64_t> last = ids.last(static_cast<size_t>(n));
      const auto place = std::search(ids.begin(), ids.end() - 1, last.begin(), last.end());
      if (place == ids.end() - 1) continue;
      const auto from = place + n;
      found.assign(from, from + std::min<int64_t>(count, ids.end() - from));
      found.erase(std::find_if(found.begin(), found.end(), [this](int64_t id) { return stop_.is_end_token(id); }),
                  found.end());
      return;
    }
  }

  const StopRules& stop_;
  int64_t tokens_, ngram_;
};

}  // namespace

std::unique_ptr<Drafter> lookup_drafter(const Decoding& decoding) {
  return std::make_unique<LookupDrafter>(decoding);
}

}  // namespace mica
