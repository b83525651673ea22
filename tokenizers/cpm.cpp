#include "mica/tokenizers/cpm.h"

#include <utility>

#include "mica/tokenizers/chat/characters.h"
#include "mica/tokenizers/placed_text.h"
#include "mica/tokenizers/python_only.h"
#include "mica/tokenizers/readers/sentencepiece_model.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

constexpr std::string_view kMark = "\u2581";

class CpmDecoder : public Decoder {
 public:
  void decode(std::vector<std::string>& tokens) const override {
    std::string text;
    for (const std::string& token : tokens) text += token;
    replace_all(text, kMark, " ");
    text = std::string(strip_python_space(text));
    replace_all(text, " ", "");
    replace_all(text, "\u2582", " ");
    replace_all(text, "\u2583", "\n");
    tokens.assign(1, std::move(text));
  }
  Json to_json() const override { no_tokenizer_json(); }
};

bool is_number_with_comma(const std::u32string& piece) {
  return piece.size() > 1 && piece.back() == U',' && jinja::is_digit(piece[piece.size() - 2]);
}

}  // namespace

void CpmNormalizer::normalize(NormalizedText& text) const {
  PlacedText all = placed_text(text, text.all());
  if (settings_.joins_white) all = join_words(split_white(all));
  replace_all(all, U"``", U"\"");
  replace_all(all, U"''", U"\"");
  if (!settings_.keeps_accents) {
    assign(all, text);
    apply_normal_form(NormalForm::nfkd, text);
    text.filter([](char32_t c) { return !unicode::has(c, unicode::kReordered); });  // combining characters
    all = placed_text(text, text.all());
  }
  if (settings_.lowers) python_lower(all);
  assign(all, text);
}

CpmPieces::CpmPieces(const std::shared_ptr<const SentencePieceModel>& model) {
  const std::shared_ptr<Engine> engine = make_sentencepiece_engine(model);
  pieces_ = std::dynamic_pointer_cast<const SentencePiece>(engine->model);
  const auto id_of = [&](std::string_view piece) { return model->vocabulary->find(piece).value_or(model->unk_id); };
  for (int32_t id = 0; id < model->size(); ++id) {
    const std::string_view piece = model->piece(id);
    if (!is_number_with_comma(jinja::decode(piece))) continue;
    std::string number(piece.substr(0, piece.size() - 1));
    replace_all(number, kMark, "");
    NormalizedText text;
    text.assign(number, 0);
    engine->normalizer->normalize(text);
    std::vector<ModelToken> tokens;
    pieces_->tokenize(text.text(), tokens);
    std::vector<int32_t>& parts = cut_again_[id];
    for (const ModelToken& token : tokens) {
      // An unknown piece is the text that it stands for.
      std::string_view part = token.id == pieces_->surface_id()
                                  ? std::string_view(text.text()).substr(token.begin, token.end - token.begin)
                                  : model->piece(token.id);
      if (parts.empty() && !piece.starts_with(kMark) && part.starts_with(kMark)) part.remove_prefix(kMark.size());
      if (!part.empty()) parts.push_back(id_of(part));
    }
    parts.push_back(id_of(","));
  }
}

void CpmPieces::tokenize(std::string_view text, std::vector<ModelToken>& out) const {
  std::vector<ModelToken> tokens;
  pieces_->tokenize(text, tokens);
  for (const ModelToken& token : tokens) {
    const auto again = cut_again_.find(token.id);
    if (again == cut_again_.end()) {
      out.push_back(token);
      continue;
    }
    for (const int32_t part : again->second) out.push_back({part, token.begin, token.end});
  }
}

Json CpmPieces::to_json() const {
  no_tokenizer_json();
}

DecoderPtr make_cpm_decoder() {
  return std::make_shared<CpmDecoder>();
}

}  // namespace mica
