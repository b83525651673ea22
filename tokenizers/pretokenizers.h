#pragma once
// Pre-tokenizers cut the normalized text into the words that the model sees one by one.

#include <memory>
#include <utility>
#include <vector>

#include "mica/base/json.h"
#include "mica/tokenizers/normalized_text.h"
#include "mica/tokenizers/readers/fields.h"

namespace mica {

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  /// Cuts every piece further. Pieces are in order, do not overlap and are not empty. One that rewrites the text (byte
  /// level, metaspace) gives new text and new pieces.
  virtual void split(NormalizedText& text, std::vector<ByteRange>& pieces) const = 0;
  virtual Json to_json() const = 0;
};

using PreTokenizerPtr = std::shared_ptr<const PreTokenizer>;

/// Reads {"type": ..., ...}. Throws Error that names an unknown type.
PreTokenizerPtr make_pre_tokenizer(Fields fields);

/// What becomes of a match when a text is split at it.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// White space removed, each punctuation character a word of its own.
class BertPreTokenizer : public PreTokenizer {
 public:
  void split(NormalizedText& text, std::vector<ByteRange>& pieces) const override;
  Json to_json() const override { return {{"type", "BertPreTokenizer"}}; }
};

/// One pre-tokenizer after another.
class PreTokenizerSequence : public PreTokenizer {
 public:
  explicit PreTokenizerSequence(std::vector<PreTokenizerPtr> parts) : parts_(std::move(parts)) {}
  const std::vector<PreTokenizerPtr>& parts() const { return parts_; }
  void split(NormalizedText& text, std::vector<ByteRange>& pieces) const override;
  Json to_json() const override;

 private:
  std::vector<PreTokenizerPtr> parts_;
};

}  // namespace mica
