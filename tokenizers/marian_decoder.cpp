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
    if (special_ == Special::apart) {
      decode_apart(tokens);
      return;
    }
    bool after_special = false;
    for (std::string& token : tokens) {
      if (!is_special(token)) {
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
    tokens.assign(1, without_marks(text));
  }

  Json to_json() const override { no_tokenizer_json(); }

 private:
  bool is_special(const std::string& token) const {
    return std::find(special_tokens_.begin(), special_tokens_.end(), token) != special_tokens_.end();
  }

  static std::string without_marks(std::string_view text) {
    std::string valid;
    std::string plain(utf8::valid(text, valid));
    replace_all(plain, kMark, " ");
    return std::string(strip_python_space(plain));
  }

  void decode_apart(std::vector<std::string>& tokens) const {
    std::string text;
    std::vector<std::string> open;
    bool first = true;
    const auto put = [&](std::string_view part) {
      if (!first) text += ' ';
      first = false;
      text += part;
    };
    const auto flush = [&] {
      if (open.empty()) return;
      pieces_->decode(open);
      std::string joined;
      for (const std::string& part : open) joined += part;
      put(without_marks(joined));
      open.clear();
    };
    for (std::string& token : tokens) {
      if (!is_special(token)) {
        open.push_back(std::move(token));
        continue;
      }
      flush();
      put(token);
    }
    flush();
    tokens.assign(1, std::move(text));
  }

  DecoderPtr pieces_;
  std::vector<std::string> special_tokens_;
  Special special_;
};

}  // namespace

DecoderPtr make_marian_decoder(DecoderPtr pieces, std::vector<std::string> special_tokens, Special special) {
  return std::make_shared<MarianDecoder>(std::move(pieces), std::move(special_tokens), special);
}

}  // namespace mica
