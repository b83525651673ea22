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
#include "mica/models/pipelines/similarity.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica {

struct SentenceTransformerOptions {
  std::optional<DType> dtype{};  ///< of matrix products: float32 or bfloat16; left out, as the checkpoint's weights
  Device device;
};

struct EncodeOptions {
  std::optional<std::string> prompt_name;  ///< one of prompts(); default: the folder's default_prompt_name, if any
  std::optional<std::string> prompt;       ///< put before each text; wins over prompt_name
  int64_t batch_size = 32;
  bool normalize_embeddings = false;         ///< scale vectors to length 1
  std::optional<int64_t> truncate_dim = {};  ///< keep only the first elements of each vector
  Progress progress = {};                    ///< told about each finished batch
};

class SentenceTransformer {
 public:
  /// A directory or hub id. Throws Error, naming file and key, for a folder that is incomplete or malformed, or that
  /// names modules which mica lacks.
  explicit SentenceTransformer(const std::string& name_or_folder, const SentenceTransformerOptions& options = {});

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
