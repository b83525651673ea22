#include "mica/tokenizers/sentencepiece_text.h"

#include <utility>

#include "mica/tokenizers/readers/sentencepiece_model.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

using PieceType = SentencePieceModel::PieceType;

constexpr std::string_view kSpace = "\u2581";
constexpr std::string_view kReplacement = "\ufffd";

CharsMap map_of(const std::string& bytes, const std::string& file) {
  return bytes.empty() ? CharsMap() : CharsMap(bytes, file);
}

struct Replaced {
  std::string_view text;
  size_t length;  // bytes of the input that it replaces
};

Replaced replace_prefix(std::string_view input, const CharsMap& map, const PieceTrie* symbols) {
  if (symbols != nullptr) {
    const PieceTrie::Match symbol = symbols->longest(input, false);
    if (symbol.length > 0) return {input.substr(0, symbol.length), symbol.length};
  }
  const CharsMap::Match match = map.longest(input);
  if (match.length > 0) return {match.replacement, match.length};
  const auto length = static_cast<size_t>(utf8::length(static_cast<unsigned char>(input[0])));
  return {input.substr(0, length), length};
}

class SentencePieceDecoder : public Decoder {
 public:
  explicit SentencePieceDecoder(std::shared_ptr<const SentencePieceModel> model)
      : model_(std::move(model)), denormalizer_(map_of(model_->denormalizer, model_->file)) {}

  void decode(std::vector<std::string>& tokens) const override {
    std::string text, bytes;
    bool at_begin = true;      // a space that was put in front is still to come
    bool space_taken = false;  // it came with the last piece
    for (const std::string& token : tokens) {
      const int32_t id = model_->vocabulary->find(token).value_or(model_->unk_id);
      if (model_->type(id) == PieceType::byte) {
        bytes += static_cast<char>(std::stoi(token.substr(3, 2), nullptr, 16));
        continue;
      }
      flush(bytes, text);
      if (space_taken || !text.empty()) at_begin = false;
      space_taken = append_piece(token, id, at_begin, text);
    }
    flush(bytes, text);
    if (!denormalizer_.empty()) text = denormalize(text);
    tokens.assign(1, std::move(text));
  }
  Json to_json() const override { return {{"type", "SentencePiece"}}; }

 private:
  // Byte pieces in a row: characters where they are UTF-8, one U+FFFD for each byte that is none.
  static void flush(std::string& bytes, std::string& text) {
    for (size_t at = 0; at < bytes.size();) {
      size_t length = 1;
      while (length <= 4 && at + length <= bytes.size() && !utf8::is_valid(bytes.substr(at, length))) ++length;
      const bool valid = length <= 4 && at + length <= bytes.size();
      text += valid ? std::string_view(bytes).substr(at, length) : kReplacement;
      at += valid ? length : 1;
    }
    bytes.clear();
  }

  // Returns whether the piece gave away the space that was put in front of the text.
  bool append_piece(std::string_view piece, int32_t id, bool at_begin, std::string& text) const {
    if (model_->type(id) == PieceType::control) return false;
    if (model_->type(id) == PieceType::unknown) {
      text += piece == model_->piece(id) ? std::string_view(model_->unk_surface) : piece;
      return false;
    }
    bool taken = false;
    if (at_begin && (model_->add_dummy_prefix || model_->remove_extra_whitespaces) &&
        piece.substr(0, kSpace.size()) == kSpace) {
      piece.remove_prefix(kSpace.size());
      // Where superfluous spaces are taken out, all of them in front go.
      taken = !model_->remove_extra_whitespaces;
    }
    size_t done = 0;
    for (size_t at = piece.find(kSpace); at != piece.npos; at = piece.find(kSpace, done)) {
      text.append(piece, done, at - done) += ' ';
      done = at + kSpace.size();
    }
    text.append(piece, done);
    return taken;
  }

  std::string denormalize(const std::string& text) const {
    std::string result;
    for (std::string_view rest = text; !rest.empty();) {
      const Replaced replaced = replace_prefix(rest, denormalizer_, nullptr);
      result += replaced.text;
      rest.remove_prefix(replaced.length);
    }
    return result;
  }

  std::shared_ptr<const SentencePieceModel> model_;
  CharsMap denormalizer_;
};

}  // namespace

SentencePieceNormalizer::SentencePieceNormalizer(std::shared_ptr<const SentencePieceModel> model,
                                                 std::shared_ptr<const PieceTrie> symbols)
    : model_(std::move(model)), symbols_(std::move(symbols)), map_(map_of(model_->charsmap, model_->file)) {}

void SentencePieceNormalizer::normalize(NormalizedText& text) const {
  const std::string& all = text.text();
  const std::string_view space = model_->escape_whitespaces ? kSpace : std::string_view(" ");
  size_t at = 0;  // bytes that have been read
  const auto place = [&](size_t byte) {
    return byte < all.size() ? text.original({static_cast<uint32_t>(byte), static_cast<uint32_t>(byte) + 1}).begin
                             : text.original(text.all()).end;
  };
  const auto next = [&] { return replace_prefix(std::string_view(all).substr(at), map_, symbols_.get()); };
  std::string result;
  std::vector<int32_t> places;  // where each byte of the result begins in the original
  const auto put = [&](std::string_view bytes) {
    result += bytes;
    places.insert(places.end(), bytes.size(), place(at));
  };
  while (model_->remove_extra_whitespaces && at < all.size()) {
    const Replaced replaced = next();
    if (replaced.text != " ") break;
    at += replaced.length;
  }
  if (at == all.size()) {
    text.crop({0, 0});
    return;
  }
  if (model_->add_dummy_prefix && !model_->treat_whitespace_as_suffix) put(space);
  bool after_space = model_->remove_extra_whitespaces;
  while (at < all.size()) {
    Replaced replaced = next();
    while (after_space && !replaced.text.empty() && replaced.text[0] == ' ') replaced.text.remove_prefix(1);
    for (const char& c : replaced.text) put(c == ' ' ? space : std::string_view(&c, 1));
    if (!replaced.text.empty()) after_space = model_->remove_extra_whitespaces && replaced.text.back() == ' ';
    at += replaced.length;
  }
  int32_t end = place(at);
  const auto ends_in_space = [&] {
    return result.size() >= space.size() && result.compare(result.size() - space.size(), space.size(), space) == 0;
  };
  while (model_->remove_extra_whitespaces && ends_in_space()) {
    end = places[result.size() - space.size()];
    result.resize(result.size() - space.size());
    places.resize(result.size());
  }
  if (model_->add_dummy_prefix && model_->treat_whitespace_as_suffix) {
    result += space;
    places.insert(places.end(), space.size(), end);
  }
  // A character stands for what lies before the beginning of the next.
  NormalizedText made;
  made.start_like(text);
  for (size_t i = 0; i < result.size();) {
    const auto length = static_cast<size_t>(utf8::length(static_cast<unsigned char>(result[i])));
    made.append(std::string_view(result).substr(i, length),
                {places[i], i + length < result.size() ? places[i + length] : end});
    i += length;
  }
  text = std::move(made);
}

Json SentencePieceNormalizer::to_json() const {
  return {{"type", "SentencePiece"}};
}

DecoderPtr make_sentencepiece_decoder(std::shared_ptr<const SentencePieceModel> model) {
  return std::make_shared<SentencePieceDecoder>(std::move(model));
}

}  // namespace mica
