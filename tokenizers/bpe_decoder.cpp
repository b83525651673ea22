#include "mica/tokenizers/bpe_decoder.h"

#include <utility>

namespace mica {
namespace {

class BpeDecoder : public Decoder {
 public:
  explicit BpeDecoder(std::string suffix) : suffix_(std::move(suffix)) {}
  void decode(std::vector<std::string>& tokens) const override {
    if (suffix_.empty()) return;
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::string& token = tokens[i];
      const char* const replacement = i + 1 == tokens.size() ? "" : " ";  // nothing follows the last word
      for (size_t at = token.find(suffix_); at != token.npos; at = token.find(suffix_, at)) {
        token.replace(at, suffix_.size(), replacement);
        at += *replacement != 0 ? 1 : 0;
      }
    }
  }
  Json to_json() const override { return {{"type", "BPEDecoder"}, {"suffix", suffix_}}; }

 private:
  std::string suffix_;
};

}  // namespace

DecoderPtr make_bpe_decoder(Fields& fields) {
  std::string suffix = fields.string("suffix", "</w>");
  if (suffix.empty()) fields.fail(fields.path() + ".suffix is empty", "name the mark, or leave the decoder out");
  return make_bpe_decoder(std::move(suffix));
}

DecoderPtr make_bpe_decoder(std::string suffix) {
  return std::make_shared<BpeDecoder>(std::move(suffix));
}

}  // namespace mica
