#pragma once
// BERTweet's cleaning of tweets: users become @USER, addresses HTTPURL, contractions are cut as in the Penn treebank.
// Emoji stay as they are, as in the reference where its table of emoji is not installed.

#include "mica/tokenizers/pretokenizers.h"

namespace mica {

/// Rewrites the text; what comes out is one piece.
class TweetNormalizer : public PreTokenizer {
 public:
  void split(NormalizedText& text, std::vector<ByteRange>& pieces) const override;
  /// Throws Error: tokenizer.json has no component that does this.
  Json to_json() const override;
};

}  // namespace mica
