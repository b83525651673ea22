#pragma once
// CrossEncoder: how well two texts go together, read side by side by one model, as rerankers do (Nogueira and Cho 2019,
// "Passage Re-ranking with BERT").

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mica/models/pipelines/parts.h"
#include "mica/models/pipelines/text_classification.h"

namespace mica {

struct CrossEncoderOptions {
  std::optional<DType> dtype{};  ///< of matrix products: float32 or bfloat16; left out, as the checkpoint's weights
  Device device;
  std::optional<int64_t> max_length{};  ///< tokens of a pair; default: what model and tokenizer take
  int64_t num_labels = 0;               ///< of a head that the folder lacks; 0: as the config says
};

struct PredictOptions {
  /// Of logits; automatic: what the folder says, else sigmoid for a single label and none for several. Softmax counts
  /// for several labels alone.
  ScoreFunction activation_fn = ScoreFunction::automatic;
  int64_t batch_size = 32;
  Progress progress = {};
};

struct RankOptions {
  std::optional<int64_t> top_k{};  ///< documents given back; all when empty
  ScoreFunction activation_fn = ScoreFunction::automatic;
  int64_t batch_size = 32;
  Progress progress = {};
};

struct RankedDocument {
  int64_t corpus_id = 0;  ///< the document's place in the list
  float score = 0;
  std::string text;
};

class CrossEncoder {
 public:
  /// A folder of sequence classification, or one that sentence-transformers saved. Throws Error for one whose
  /// modules.json has more than a Transformer, and for an activation other than Identity, Sigmoid, Tanh and Softmax.
  explicit CrossEncoder(const std::string& name_or_folder, const CrossEncoderOptions& options = {});
  CrossEncoder(Model model, Tokenizer tokenizer);

  /// One score a pair: [pairs] float32 of a model with one label, else [pairs, labels]; on the CPU.
  Tensor predict(const std::vector<TextPair>& pairs, const PredictOptions& options = {}) const;
  /// [] or [labels].
  Tensor predict(const TextPair& pair, const PredictOptions& options = {}) const;
  /// The documents, best first; equals in their order. Throws Error for a model with several labels.
  std::vector<RankedDocument> rank(std::string_view query, const std::vector<std::string>& documents,
                                   const RankOptions& options = {}) const;

  int64_t num_labels() const;
  std::optional<int64_t> max_length() const { return max_length_; }
  const Model& model() const { return parts_.model; }
  const Tokenizer& tokenizer() const { return parts_.tokenizer; }

  /// Weights, config.json with the activation, and the tokenizer: a folder that the reference and AutoModel open too.
  void save_pretrained(const std::string& folder) const;

 private:
  enum class Activation : uint8_t { identity, sigmoid, tanh, softmax };

  static CrossEncoder open(const std::string& folder, const CrossEncoderOptions& options);
  Activation activation_of(ScoreFunction wanted) const;
  static Activation activation_from_name(const std::string& name, const std::string& where);

  PipelineParts parts_;
  std::optional<int64_t> max_length_;
  std::optional<Activation> activation_;  // as the folder says
};

std::string to_json(const RankedDocument& document);
std::string to_json(const std::vector<RankedDocument>& documents);

}  // namespace mica
