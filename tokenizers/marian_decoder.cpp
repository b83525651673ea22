#include "mica/tokenizers/marian_decoder.h"

#include <algorithm>
#include <utility>

#include "mica/tokenizers/python_only.h"
#include "mica/tokenizers/python_text.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

constexpr std::string_view kMark = "\u2581";

class MarianDecoder : public Decoder {
 public:
  MarianDecoder(DecoderPtr pieces, std::vector<std::string> special_tokens, Special special)
      : pieces_(std::move(pieces)), special_tokens_(std::move(special_tokens)), special_(special) {}

  void decode(std::vector<std::string>& tokens) const override {
    std::string text;
    std::vector<std::string> open;
    const auto flush = [&] {
      pieces_->decode(open);
      for (const std::string& part : open) text += part;
      open.clear();
    };
    bool after_special = false;
    for (std::string& token : tokens) {
      if (std::find(special_tokens_.begin(), special_tokens_.end(), token) == special_tokens_.end()) {
        open.push_back(std::move(token));
        after_special = false;
        continue;
      }
      if (special_ == Special::space_before && !after_special) text += ' ';
      flush();
      text += token;
      if (special_ == Special::space_behind) text += ' ';
      after_special = true;
    }
    flush();
    if (special_ == Special::space_before) {
      tokens.assign(1, std::move(text));
      return;
    }
    std::string valid;
    std::string plain(utf8::valid(text, valid));
    for (size_t at = plain.find(kMark); at != plain.npos; at = plain.find(kMark, at)) {
      plain.replace(at, kMark.size(), " ");
    }
    tokens.assign(1, std::string(strip_python_space(plain)));
  }

  Json to_json() const override { no_tokenizer_json(); }

 private:
  DecoderPtr pieces_;
  std::vector<std::string> special_tokens_;
  Special special_;
};

}  // namespace

DecoderPtr make_marian_decoder(DecoderPtr pieces, std::vector<std::string> special_tokens, Special special) {
  return std::make_shared<MarianDecoder>(std::move(pieces), std::move(special_tokens), special);
}

}  // namespace mica
