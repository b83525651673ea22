#pragma once
// Batches for language models: tokens to predict are the labels.

#include <cstdint>
#include <vector>

#include "mica/training/collators/padding.h"

namespace mica {

struct LanguageModelingOptions {
  /// Masked: of the tokens that are not special, `mlm_probability` are chosen. Their labels are their ids, all other
  /// labels -100; `mask_replace_prob` of them become the mask token, `random_replace_prob` any token, and the rest
  /// stays (BERT: Devlin et al. 2019). Otherwise causal: the labels are the ids, -100 where the attention_mask hides a
  /// token.
  bool mlm = true;
  double mlm_probability = 0.15;
  /// Chooses words, all tokens of one together. Words are as the column `word_ids` says (the number of each token's
  /// word, -1 for special tokens), where rows have it; else one begins wherever the tokenizer's token begins with a
  /// space.
  bool whole_word_mask = false;
  double mask_replace_prob = 0.8;
  double random_replace_prob = 0.1;
  PaddingOptions padding = {};
};

/// Which tokens are special, the column `special_tokens_mask` says where rows have it, else the tokenizer.
class DataCollatorForLanguageModeling : public DataCollator {
 public:
  /// Throws Error for probabilities out of range, for mlm without a mask token, and for whole words without mlm.
  explicit DataCollatorForLanguageModeling(Tokenizer tokenizer, LanguageModelingOptions options = {});

 private:
  ModelInputs collate(std::span<const Example> rows, const BatchContext& context) const override;
  void mask(const Example& row, uint64_t stream, uint64_t seed, std::vector<int64_t>* ids,
            std::vector<int64_t>* labels) const;

  Tokenizer tokenizer_;
  LanguageModelingOptions options_;
  std::vector<uint8_t> special_;      // by id
  std::vector<uint8_t> begins_word_;  // by id; for whole words
};

}  // namespace mica
