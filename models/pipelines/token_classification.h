#pragma once
// Token classification (named entities, parts of speech): a label for each token, or for each run of tokens.

#include <initializer_list>
#include <optional>
#include <string_view>

#include "mica/models/pipelines/parts.h"

namespace mica {

/// How tokens become entities.
enum class Aggregation : uint8_t {
  none,     ///< one entity a token
  simple,   ///< adjacent tokens of one label
  first,    ///< words first, each labelled as its first token; then adjacent words of one label
  average,  ///< the same, by the mean of its tokens' scores
  max,      ///< the same, by its most certain token
};

/// "none", "simple", "first", "average" or "max"; throws Error for another name.
Aggregation aggregation_from_name(std::string_view name);

struct TokenClassificationOptions {
  Aggregation aggregation_strategy = Aggregation::none;
  std::vector<std::string> ignore_labels = {"O"};
  /// Tokens that neighbouring windows of a long text share; without it long texts are cut. Needs an aggregation.
  std::optional<int64_t> stride = {};
  int64_t batch_size = 32;
  Progress progress = {};
};

struct Entity {
  std::string label;  ///< "B-PER"; without the prefix where tokens are grouped
  float score = 0;
  std::string word;   ///< decoded tokens; the text itself is [start, end)
  int64_t start = 0;  ///< in code points of the text
  int64_t end = 0;
  int64_t index = -1;  ///< of the token, special ones counted; -1 where tokens are grouped
};

class TokenClassificationPipeline {
 public:
  explicit TokenClassificationPipeline(const std::string& name_or_folder, const PipelineOptions& options = {});
  TokenClassificationPipeline(Model model, Tokenizer tokenizer);

  std::vector<Entity> operator()(std::string_view text, const TokenClassificationOptions& options = {}) const;
  /// One list a text, in the order of the texts.
  std::vector<std::vector<Entity>> operator()(const std::vector<std::string>& texts,
                                              const TokenClassificationOptions& options = {}) const;
  std::vector<std::vector<Entity>> operator()(std::initializer_list<std::string_view> texts,
                                              const TokenClassificationOptions& options = {}) const {
    return (*this)(std::vector<std::string>(texts.begin(), texts.end()), options);
  }

  const Model& model() const { return parts_.model; }
  const Tokenizer& tokenizer() const { return parts_.tokenizer; }

 private:
  PipelineParts parts_;
};

/// {"entity_group" or "entity", "score", ("index",) "word", "start", "end"}.
std::string to_json(const Entity& entity);
std::string to_json(const std::vector<Entity>& entities);

}  // namespace mica
