#pragma once
// Decoders turn tokens back into text.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mica/base/json.h"
#include "mica/tokenizers/readers/fields.h"

namespace mica {

class Decoder {
 public:
  virtual ~Decoder() = default;
  /// Rewrites the tokens; the text is their concatenation.
  virtual void decode(std::vector<std::string>& tokens) const = 0;
  /// For decoders that treat each token on its own: appends what becomes of it and returns true.
  virtual bool append(std::string_view token, bool first, std::string& text) const {
    static_cast<void>(token), static_cast<void>(first), static_cast<void>(text);
    return false;
  }
  /// What append() gives are bytes, parts of characters among them: what is no UTF-8 in the end becomes U+FFFD.
  virtual bool makes_bytes() const { return false; }
  virtual Json to_json() const = 0;
};

using DecoderPtr = std::shared_ptr<const Decoder>;

/// Reads {"type": ..., ...}. Throws Error that names an unknown type.
DecoderPtr make_decoder(Fields fields);
/// "##ing" joined to the token before it, other tokens after a space.
DecoderPtr make_wordpiece_decoder(std::string prefix, bool cleanup);

/// Takes out the spaces that tokenizing puts before punctuation and English contractions.
std::string clean_up_spaces(std::string text);
/// The same for one token, as the components do it: " do not" becomes " don't" besides.
void clean_up_wordpiece(std::string& token);
/// An empty `from` is nowhere.
void replace_all(std::string& text, std::string_view from, std::string_view to);

}  // namespace mica
