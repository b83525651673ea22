#pragma once
// Task heads: written once, shared by all families. What differs from family to family is data in a HeadStyle.

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mica/models/architectures/network.h"
#include "mica/models/config.h"
#include "mica/models/inputs.h"
#include "mica/models/modules/local_global.h"
#include "mica/models/scope.h"

namespace mica {

enum class Task : uint8_t {
  base,
  pretraining,
  causal_lm,
  masked_lm,
  sequence_classification,
  token_classification,
  question_answering,
  multiple_choice,
  next_sentence_prediction,
  text_encoding,
  seq2seq_lm,
};

/// "masked_lm", "base", ...
std::string_view name(Task task);
/// Throws Error for a name that is no task.
Task task_from_name(std::string_view name);
/// "AutoModelForMaskedLM", "AutoModel", ...
std::string_view auto_class(Task task);
const std::vector<Task>& all_tasks();

/// Hidden states to a distribution over the vocabulary: norm(activation(dense(h))) times the word embeddings, plus a
/// bias. Names on disk; an empty dense leaves the transform out.
struct LanguageStyle {
  std::string dense, norm;
  std::string decoder;            ///< the module with the bias, and the weight where it is not tied; empty: always tied
  std::string bias;               ///< the bias's name, full; empty: none
  std::string bias_key;           ///< the config's flag that says whether there is a bias, if the family has one
  bool bias_is_buffer = false;    ///< [1, vocab_size], of which nothing is learned
  bool bias_is_own = false;       ///< added whether or not the decoder is tied, which has none
  bool config_activation = true;  ///< hidden_act; otherwise gelu whatever the config says
};

/// Which vector stands for a sequence.
enum class SentencePooling : uint8_t {
  pooler,  ///< the network's own
  first_token,
  last_token,   ///< the last one that is not padding
  end_token,    ///< the last end-of-text token of the encoder's input
  last_row,     ///< the last one, whatever it is
  first_shown,  ///< the first token that is not hidden
  mean,         ///< of the tokens that are not hidden
  mean_score,   ///< every token is scored; the mean of those that are not hidden
};

/// norm(activation(dense(h))) before a head's own layer.
struct TransformStyle {
  std::string dense;           ///< empty: no transform
  std::string norm;            ///< empty: no norm
  std::string activation_key;  ///< a config key that names the activation
  std::string bias_key;        ///< a config key that says whether the dense layer has a bias
};

/// How one vector stands for a sequence, and the projection that scores it.
struct SentenceStyle {
  SentencePooling pooling = SentencePooling::pooler;
  std::string pooling_key;  ///< a config key that may say "mean" or "late" (mean_score) instead
  std::string dense;        ///< a dense layer of the head's own, and its activation
  Activation activation = Activation::tanh;
  std::string activation_key;  ///< a config key that names the activation, if the family has one
  std::string dropout_key;     ///< a config key of the dropout before the classifier, if the head has its own
  std::string classifier = "classifier";
  bool bias = true;  ///< of the classifier
};

struct HeadStyle {
  LanguageStyle language;
  /// The language head where the config's flag of that name is false, if the family has two.
  std::string language_key;
  LanguageStyle other_language;
  SentenceStyle sequence, choice;
  /// What hidden states pass before every head's own layers; where one vector stands for a sequence, that one does.
  TransformStyle transform;
  std::string token = "classifier";
  std::string question = "qa_outputs";
  /// The prefix of the network's names in files with that head, where it is another than usual.
  std::vector<std::pair<Task, std::string>> prefixes;
  bool base_pools = true;  ///< the base model has the network's pooler
  /// Heads on one half of an encoder-decoder.
  std::vector<std::pair<Task, NetworkPart>> parts;
  /// Heads in whose files tables of sines are missing, since they are computed.
  std::vector<Task> computes_positions;
  /// Which tokens are global under these heads unless the call says it; elsewhere none.
  std::vector<std::pair<Task, GlobalTokens>> global_tokens;
  bool shifts_labels =
      true;  ///< causal language modelling predicts the next label; otherwise labels are shifted already
  std::string relationship = "cls.seq_relationship";  ///< scores [is next, is random]
  /// Pre-training predicts masked words and an order of sentences; `order_output` names that output. Empty where
  /// pre-training is masked language modelling alone.
  std::string order_classifier, order_output, order_label;
  bool causal_pretraining = false;  ///< pre-training is causal language modelling
  /// Pre-training tells replaced tokens from original ones (two dense layers); empty elsewhere.
  std::string replaced_dense, replaced_projection;
};

/// A head on a network. forward() gets the hidden states and fills in what it computes.
class Head {
 public:
  virtual ~Head() = default;
  virtual void forward(const Network& network, const Tensor& hidden, const Rows& rows, const ModelInputs& inputs,
                       ModelOutput* output) const = 0;
  /// Of a language head: logits [rows, vocab_size] of hidden states [rows, hidden_size]. Throws Error for others.
  virtual Tensor logits(const Tensor& hidden) const;
  /// Of a head whose loss is a mean over tokens: what each row of logits is to predict, -100 where it does not count.
  /// Empty for other heads.
  virtual std::vector<int64_t> targets(const ModelInputs& inputs) const;
};

/// Whether this task's model has the encoder's pooler.
bool needs_pooler(Task task, const HeadStyle& style);

/// Builds the head of a task; null for the base model. Its parameters may be new when a checkpoint lacks them.
std::unique_ptr<Head> make_head(Task task, const HeadStyle& style, const Config& config, const Scope& root,
                                const Network& network);

}  // namespace mica
