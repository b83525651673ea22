#pragma once
// SentenceTransformer: texts to vectors, as a published folder says: modules.json names a transformer, how its token
// vectors are pooled, and layers on the result. A plain model folder without modules.json gets mean pooling.

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mica/models/auto/model.h"
#include "mica/models/pipelines/batches.h"
#include "mica/models/pipelines/sentence_pooling.h"
#include "mica/models/pipelines/similarity.h"
#include "mica/tensor/safetensors.h"
#include "mica/tokenizers/batch_encoding.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica {

struct SentenceTransformerOptions {
  std::optional<DType> dtype{};  ///< of matrix products: float32 or bfloat16; left out, as the checkpoint's weights
  Device device = {};
  std::string tokenizer = {};  ///< folder or hub id of another tokenizer than the folder's
  /// Fields of the transformer's config, as LoadOptions has them.
  std::vector<std::pair<std::string, std::string>> config = {};
};

struct EncodeOptions {
  std::optional<std::string> prompt_name;  ///< one of prompts(); default: the folder's default_prompt_name, if any
  std::optional<std::string> prompt;       ///< put before each text; wins over prompt_name
  int64_t batch_size = 32;
  bool normalize_embeddings = false;         ///< scale vectors to length 1
  std::optional<int64_t> truncate_dim = {};  ///< keep only the first elements of each vector; default: the folder's
  Progress progress = {};                    ///< told about each finished batch
};

class SentenceTransformer {
 public:
  /// A directory or hub id. Throws Error, naming file and key, for a folder that is incomplete or malformed, or that
  /// names modules which mica lacks.
  explicit SentenceTransformer(const std::string& name_or_folder, const SentenceTransformerOptions& options = {});
  /// Of a base model (Task::base), its token vectors pooled; `normalize` scales sentence vectors to length 1.
  SentenceTransformer(const Model& model, const Tokenizer& tokenizer, PoolingMode pooling = PoolingMode::mean,
                      bool normalize = false);

  /// Vectors [texts, size] float32 on the host, in the order of the texts. Texts longer than max_seq_length() tokens
  /// are cut, with one warning. Results do not depend on the batch size or on the other texts.
  Tensor encode(const std::vector<std::string>& texts, const EncodeOptions& options = {}) const;
  Tensor encode(std::initializer_list<std::string_view> texts, const EncodeOptions& options = {}) const;
  Tensor encode(std::span<const std::string_view> texts, const EncodeOptions& options = {}) const;
  /// One vector [size].
  Tensor encode(std::string_view text, const EncodeOptions& options = {}) const;
  Tensor encode(const char* text, const EncodeOptions& options = {}) const {
    return encode(std::string_view(text), options);
  }
  /// With the prompt named "query" or "document": empty where the folder has none of that name.
  Tensor encode_query(const std::vector<std::string>& texts, EncodeOptions options = {}) const;
  Tensor encode_document(const std::vector<std::string>& texts, EncodeOptions options = {}) const;

  /// Texts as the model reads them, with the prompt before each: rows of at most max_seq_length() tokens.
  BatchEncoding tokenize(std::span<const std::string_view> texts, const std::string& prompt = "") const;
  /// Vectors [sentences, size] of a ragged batch of such rows (or of rows of one length, [sentences, tokens]), on the
  /// model's device and differentiable with respect to all parameters(). Rows without a prompt. Throws Error for a
  /// batch with padding.
  Tensor embed(const ModelInputs& inputs) const;
  /// Moves all parameters to another device, in place: every handle of this model sees it.
  const SentenceTransformer& to(Device device) const;
  /// Training mode applies dropout in embed(), never in encode(); a new model is in evaluation mode.
  void train(bool on = true) const;
  void eval() const { train(false); }
  /// The transformer's under their own names, those of the modules behind it as "FOLDER.NAME": "2_Dense.linear.weight".
  NamedTensors parameters() const;
  /// Writes a folder that this class and the sentence-transformers library open: the transformer and its tokenizer,
  /// modules.json, a folder for each module, and settings. Of a transformer with adapters (models/auto/lora.h) the
  /// first adapter alone is saved; `adapter_base_model` is where it says that its model lies.
  void save_pretrained(const std::string& folder, const std::string& adapter_base_model = "") const;

  /// Scores by the folder's similarity function (cosine unless it names another): [a's rows, b's rows], and row by row.
  Tensor similarity(const Tensor& a, const Tensor& b) const;
  Tensor similarity_pairwise(const Tensor& a, const Tensor& b) const;
  SimilarityFunction similarity_fn_name() const;
  void set_similarity_fn_name(SimilarityFunction function);

  int64_t get_embedding_dimension() const;
  int64_t get_sentence_embedding_dimension() const { return get_embedding_dimension(); }
  /// Longest input in tokens; nothing when there is no limit.
  std::optional<int64_t> max_seq_length() const;
  /// Throws Error for more than the model takes.
  void set_max_seq_length(int64_t tokens);
  const std::map<std::string, std::string>& prompts() const;
  const std::optional<std::string>& default_prompt_name() const;
  const Model& model() const;
  const Tokenizer& tokenizer() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

/// The pairs of texts that are most alike, best first.
std::vector<ParaphrasePair> paraphrase_mining(const SentenceTransformer& model, const std::vector<std::string>& texts,
                                              const EncodeOptions& encode_options = {},
                                              const MiningOptions& options = {});

}  // namespace mica
