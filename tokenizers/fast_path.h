#pragma once
// Fused paths: normalizer, pre-tokenizer and model of a well-known combination in one pass over the text.
//
// A fused path is an addition. The separate components define what a tokenizer does; a path gives the same tokens, and
// steps aside for a text it has no short way for.

#include <cstdint>
#include <memory>
#include <string_view>

#include "mica/base/image.h"
#include "mica/tokenizers/token_list.h"

namespace mica {

class Normalizer;
class PreTokenizer;
class TokenModel;

class FastPath {
 public:
  /// Memory that one thread reuses from text to text; each path derives its own.
  struct Scratch {
    virtual ~Scratch() = default;
  };
  virtual ~FastPath() = default;
  /// The path's name in images, and what of its tables takes long to make; both follow from the model alone.
  virtual const char* name() const = 0;
  virtual void write(ImageWriter& image) const { static_cast<void>(image); }
  virtual std::unique_ptr<Scratch> make_scratch() const = 0;
  /// Appends the tokens of a segment (valid UTF-8, not empty, whose first character has number `first`); `word` is the
  /// number of the next word, and with `one_word` all tokens get it. Returns false, leaving `out` and `word` as they
  /// were, when the segment needs the separate components.
  virtual bool encode(std::string_view segment, int32_t first, bool one_word, int32_t& word, Scratch& scratch,
                      TokenList& out) const = 0;
};

/// The path for these components (normalizer and pre-tokenizer may be null), or null where none fits. The components
/// must outlive it. `image`, if there is one, holds next what write_fast_path() put there.
std::shared_ptr<const FastPath> make_fast_path(const Normalizer* normalizer, const PreTokenizer* pre_tokenizer,
                                               const TokenModel* model, ImageReader* image = nullptr);
/// Adds a path (or null: that there is none) to an image.
void write_fast_path(const FastPath* path, ImageWriter& image);

}  // namespace mica
