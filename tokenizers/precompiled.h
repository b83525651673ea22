#pragma once
// The normalizers that SentencePiece brings: its map of characters, and the cleaning of its neural translation rules.

#include <memory>
#include <utility>

#include "mica/tokenizers/chars_map.h"
#include "mica/tokenizers/normalizers.h"

namespace mica {

/// Applies a CharsMap as the reference does. A grapheme cluster of less than 6 bytes that begins with an entry is
/// replaced whole, by the shortest such entry; of longer clusters, and of those that begin with none, each character is
/// looked up alone. (SentencePiece itself takes the longest entry at each place; sentencepiece_model.h does that.)
class Precompiled : public Normalizer {
 public:
  explicit Precompiled(CharsMap map) : map_(std::move(map)) {}
  const CharsMap& map() const { return map_; }
  void normalize(NormalizedText& text) const override;
  Json to_json() const override;

  /// Clusters from this many bytes on are looked up character by character.
  static constexpr size_t kLongCluster = 6;

 private:
  CharsMap map_;
};

/// Takes control characters out, and turns characters that act as spaces into spaces.
class Nmt : public Normalizer {
 public:
  void normalize(NormalizedText& text) const override;
  Json to_json() const override { return {{"type", "Nmt"}}; }
};

/// Reads {"type": "Precompiled", "precompiled_charsmap": base64}; null or an empty map changes nothing.
NormalizerPtr read_precompiled(Fields& fields);

}  // namespace mica
