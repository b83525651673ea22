#pragma once
// Prompt tuning (Lester et al. 2021) and prefix tuning (Li and Liang 2021): virtual tokens, trained while the model
// stays as it is, in PEFT's folders. For causal_lm, seq2seq_lm, sequence_classification and token_classification.
// Loading, saving and choosing among them: models/auto/lora.h.
//
//     add_prompt_tuning(model, {.num_virtual_tokens = 20});
//     Trainer(model, ...).train();
//     save_adapter(model, "my-prompt");
//
// Logits, like every result of single tokens, are those of the tokens that were given.

#include <cstdint>
#include <string>
#include <vector>

#include "mica/models/auto/model.h"

namespace mica {

/// How a prompt starts.
enum class PromptTuningInit : uint8_t {
  random,        ///< normal, as PEFT has it
  text,          ///< the embeddings of a text's tokens, repeated or cut
  sample_vocab,  ///< the embeddings of random tokens
};

struct PromptTuningConfig {
  int64_t num_virtual_tokens = 20;
  PromptTuningInit prompt_tuning_init = PromptTuningInit::random;
  std::string prompt_tuning_init_text{};
  std::string tokenizer_name_or_path{};  ///< of that text
  /// Modules that are trained as a whole and saved with the adapter. Heads of classification always are.
  std::vector<std::string> modules_to_save{};
};

struct PrefixTuningConfig {
  int64_t num_virtual_tokens = 20;
  /// Trains the prefix as a function of smaller embeddings: two layers with a tanh between.
  bool prefix_projection = false;
  int64_t encoder_hidden_size = 0;  ///< between those layers; 0: as wide as the embeddings
  bool init_zero = false;           ///< starts as keys and values of zeros
  std::vector<std::string> modules_to_save{};
};

/// Gives the model an embedding for each of so many tokens before every text, and makes it the active adapter: it alone
/// learns, and of the model what modules_to_save names. Texts may be shorter by as many tokens. Throws Error for a name
/// that is taken, a number out of range, and a task that this is not for.
void add_prompt_tuning(const Model& model, const PromptTuningConfig& config, const std::string& name = "default");

/// The same with keys and values before those of every layer; of an encoder-decoder, of its decoder's. Throws Error
/// also for attention that takes none.
void add_prefix_tuning(const Model& model, const PrefixTuningConfig& config, const std::string& name = "default");

}  // namespace mica
