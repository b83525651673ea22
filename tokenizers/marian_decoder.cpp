#include "mica/tokenizers/marian_decoder.h"

#include <algorithm>
#include <utility>

#include "mica/base/error.h"
#include "mica/tokenizers/unicode.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

constexpr std::string_view kMark = "\u2581";

// Without white space at the ends.
std::string_view strip(std::string_view text) {
  while (!text.empty()) {
    const char* p = text.data();
    if (!unicode::has(utf8::next(p), unicode::kWhitespace)) break;
    text.remove_prefix(static_cast<size_t>(p - text.data()));
  }
  while (!text.empty()) {
    const size_t start = utf8::last_start(text, text.size());
    const char* p = text.data() + start;
    if (!unicode::has(utf8::next(p), unicode::kWhitespace)) break;
    text.remove_suffix(text.size() - start);
  }
  return text;
}

class MarianDecoder : public Decoder {
 public:
  MarianDecoder(DecoderPtr pieces, std::vector<std::string> special_tokens, bool space_behind)
      : pieces_(std::move(pieces)), special_tokens_(std::move(special_tokens)), space_behind_(space_behind) {}

  void decode(std::vector<std::string>& tokens) const override {
    std::string text;
    std::vector<std::string> open;
    const auto flush = [&] {
      pieces_->decode(open);
      for (const std::string& part : open) text += part;
      open.clear();
    };
    for (std::string& token : tokens) {
      if (std::find(special_tokens_.begin(), special_tokens_.end(), token) == special_tokens_.end()) {
        open.push_back(std::move(token));
        continue;
      }
      flush();
      text += token;
      if (space_behind_) text += ' ';
    }
    flush();
    std::string valid;
    std::string plain(utf8::valid(text, valid));
    for (size_t at = plain.find(kMark); at != plain.npos; at = plain.find(kMark, at)) {
      plain.replace(at, kMark.size(), " ");
    }
    tokens.assign(1, std::string(strip(plain)));
  }

  Json to_json() const override {
    throw Error("this tokenizer's decoder is no component of tokenizer.json", "save_pretrained",
                "keep the files that it was opened from as they are");
  }

 private:
  DecoderPtr pieces_;
  std::vector<std::string> special_tokens_;
  bool space_behind_;
};

}  // namespace

DecoderPtr make_marian_decoder(DecoderPtr pieces, std::vector<std::string> special_tokens, bool space_behind) {
  return std::make_shared<MarianDecoder>(std::move(pieces), std::move(special_tokens), space_behind);
}

}  // namespace mica
