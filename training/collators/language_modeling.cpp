#include "mica/training/collators/language_modeling.h"

#include <utility>

#include "mica/base/error.h"
#include "mica/kernels/random.h"
#include "mica/training/collators/rows.h"

namespace mica {
namespace {

constexpr uint64_t kMaskingSeed = 0x6D61736B5F746F6BU;  // other users of the seed draw other numbers

void check_probability(double p, const char* name) {
  if (!(p >= 0 && p <= 1)) {
    throw Error(std::string(name) + " is " + std::to_string(p), "data collator", "give a probability, from 0 to 1");
  }
}

}  // namespace

DataCollatorForLanguageModeling::DataCollatorForLanguageModeling(Tokenizer tokenizer, LanguageModelingOptions options)
    : tokenizer_(std::move(tokenizer)), options_(options) {
  check_padding(options_.padding);
  check_probability(options_.mlm_probability, "mlm_probability");
  check_probability(options_.mask_replace_prob, "mask_replace_prob");
  check_probability(options_.random_replace_prob, "random_replace_prob");
  check_probability(options_.mask_replace_prob + options_.random_replace_prob,
                    "mask_replace_prob + random_replace_prob");
  if (!options_.mlm) {
    if (options_.whole_word_mask) throw Error("whole_word_mask without mlm", "data collator", "set mlm");
    return;
  }
  if (!tokenizer_.mask_token_id()) {
    throw Error("the tokenizer has no mask token", "data collator", "set mlm = false for a causal language model");
  }
  const auto flag = [](std::vector<uint8_t>* flags, size_t id) {
    if (flags->size() <= id) flags->resize(id + 1);
    (*flags)[id] = 1;
  };
  for (const int32_t id : tokenizer_.all_special_ids()) flag(&special_, static_cast<size_t>(id));
  if (options_.whole_word_mask) {
    const std::vector<std::string> bytes = tokenizer_.token_bytes();
    for (size_t id = 0; id < bytes.size(); ++id) {
      if (bytes[id].starts_with(' ')) flag(&begins_word_, id);
    }
  }
}

// Each token has four random words of its own: whether its word is chosen, what replaces it, and by which token.
void DataCollatorForLanguageModeling::mask(const Example& row, uint64_t stream, uint64_t seed,
                                           std::vector<int64_t>* ids, std::vector<int64_t>* labels) const {
  const auto list = [&](const char* column) {
    const Value* cell = row.find(column);
    const std::span<const int64_t> values = cell == nullptr ? std::span<const int64_t>() : cell->as_ints();
    if (cell != nullptr && values.size() != ids->size()) {
      throw Error("the row has " + std::to_string(values.size()) + " " + column + ", but " +
                      std::to_string(ids->size()) + " tokens",
                  place(row, column), "give one for each token");
    }
    return values;
  };
  const std::span<const int64_t> special = list("special_tokens_mask"), words = list("word_ids");
  const auto flagged = [](const std::vector<uint8_t>& flags, int64_t id) {
    return id >= 0 && static_cast<size_t>(id) < flags.size() && flags[static_cast<size_t>(id)] != 0;
  };
  const auto draw = [&](size_t token, uint64_t which) { return philox_word(seed, stream, 4 * token + which); };
  labels->assign(ids->size(), -100);
  bool chosen = false;   // the word at hand
  bool in_word = false;  // the token before belongs to a word
  int64_t word = -1;     // its number
  for (size_t i = 0; i < ids->size(); ++i) {
    int64_t& id = (*ids)[i];
    const bool is_special = special.empty() ? flagged(special_, id) : special[i] != 0;
    if (is_special) {
      in_word = false;
      continue;
    }
    bool begins = true;
    if (options_.whole_word_mask) {
      begins = !in_word || (words.empty() ? flagged(begins_word_, id) : words[i] != word);
      if (!words.empty()) word = words[i];
    }
    in_word = true;
    if (begins) chosen = uniform_from_word(draw(i, 0)) < options_.mlm_probability;
    if (!chosen) continue;
    (*labels)[i] = id;
    const double u = uniform_from_word(draw(i, 1));
    if (u < options_.mask_replace_prob) {
      id = *tokenizer_.mask_token_id();
    } else if (u < options_.mask_replace_prob + options_.random_replace_prob) {
      id = static_cast<int64_t>(uint64_t{draw(i, 2)} * static_cast<uint64_t>(tokenizer_.size()) >> 32);
    }
  }
}

ModelInputs DataCollatorForLanguageModeling::collate(std::span<const Example> rows, const BatchContext& context) const {
  ModelInputs inputs;
  const TokenLayout layout = add_tokens(&inputs, rows, tokenizer_, options_.padding);
  TokenRows ids = token_rows(rows, "input_ids");
  TokenRows labels = ids;
  if (options_.mlm) {
    for (size_t i = 0; i < rows.size(); ++i) {
      const auto row = rows[i].row() < 0 ? i : static_cast<uint64_t>(rows[i].row());
      mask(rows[i], context.epoch << 40 ^ row, context.seed ^ kMaskingSeed, &ids[i], &labels[i]);
    }
    inputs.input_ids = layout.tensor(ids, padding_id(tokenizer_, layout), "input_ids", rows);
  } else {
    const TokenRows masks = token_rows(rows, "attention_mask");
    for (size_t i = 0; i < masks.size(); ++i) {
      for (size_t j = 0; j < masks[i].size(); ++j) {
        if (masks[i][j] == 0) labels[i][j] = -100;
      }
    }
  }
  inputs.labels = layout.tensor(labels, -100, "labels", rows);
  add_others(&inputs, rows, {"input_ids", "token_type_ids", "attention_mask", "labels"});
  return inputs;
}

}  // namespace mica
