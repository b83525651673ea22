#include "mica/tokenizers/models/marked_bpe.h"

#include <unordered_set>
#include <utility>

#include "mica/tokenizers/python_only.h"
#include "mica/tokenizers/unicode.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

std::unique_ptr<const Bpe> pairs_of(const Merges& merges, const std::string& file) {
  auto parts = std::make_shared<Vocabulary>();
  std::unordered_set<std::string_view> known;
  const auto add = [&](std::string_view part) {
    if (known.insert(part).second) parts->add(part, static_cast<int64_t>(known.size()) - 1, file);
  };
  add("<unk>");
  for (size_t i = 0; i < merges.size(); ++i) {
    add(merges.left(i));
    add(merges.right(i));
    add(merges.at(i));
  }
  parts->finish(file);
  Bpe::Settings settings;
  settings.unk_token = "<unk>";
  settings.end_of_word_suffix = "</w>";
  return std::make_unique<Bpe>(std::move(parts), merges, std::move(settings), file);
}

class MarkedDecoder : public Decoder {
 public:
  explicit MarkedDecoder(bool ends) : ends_(ends) {}
  void decode(std::vector<std::string>& tokens) const override {
    std::string text;
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (i > 0 && !ends_) text += ' ';
      text += tokens[i];
    }
    ends_ ? replace_all(text, "</w>", " ") : replace_all(text, "@@ ", "");
    tokens.assign(1, std::string(strip_python_space(text)));
  }
  Json to_json() const override { no_tokenizer_json(); }

 private:
  bool ends_;
};

}  // namespace

MarkedBpe::MarkedBpe(std::shared_ptr<const Vocabulary> vocabulary, const Merges& merges, Settings settings,
                     const std::string& file)
    : vocabulary_(std::move(vocabulary)), settings_(settings), pairs_(pairs_of(merges, file)) {}

void MarkedBpe::tokenize(std::string_view text, std::vector<ModelToken>& out) const {
  if (!settings_.marks_ends) {
    cut_words(text, out);
    return;
  }
  std::vector<ModelToken> parts;
  pairs_->tokenize(text, parts);
  std::string token;
  for (const ModelToken& part : parts) {
    token.assign(text.substr(part.begin, part.end - part.begin));
    if (part.end == text.size()) token += "</w>";
    out.push_back({vocabulary_->find(token).value_or(settings_.unk_id), part.begin, part.end});
  }
}

void MarkedBpe::cut_words(std::string_view text, std::vector<ModelToken>& out) const {
  std::vector<PlacedCharacter> word;
  const auto flush = [&] {
    if (!word.empty()) settings_.blenderbot ? cut_blenderbot(word, out) : cut(word, out);
    word.clear();
  };
  for (const char* p = text.data(); p < text.data() + text.size();) {
    const auto begin = static_cast<uint32_t>(p - text.data());
    const char32_t c = utf8::next(p);
    const auto end = static_cast<uint32_t>(p - text.data());
    const bool white = settings_.separators_are_white ? is_python_space(c) : unicode::has(c, unicode::kWhitespace);
    if (!white || (c == '\n' && !word.empty())) word.push_back({c, begin, end});
    if (white) flush();
  }
  flush();
}

void MarkedBpe::cut(const std::vector<PlacedCharacter>& word, std::vector<ModelToken>& out) const {
  std::string text;
  std::vector<size_t> places;  // of the characters in it
  for (const PlacedCharacter& character : word) {
    places.push_back(text.size());
    utf8::append(character.c, text);
  }
  places.push_back(text.size());
  std::vector<ModelToken> parts;
  pairs_->tokenize(text, parts);
  size_t at = 0;  // of the next part's first character
  for (const ModelToken& part : parts) {
    size_t last = at;
    while (places[last + 1] < part.end) ++last;
    std::string token = text.substr(part.begin, part.end - part.begin);
    if (part.end < text.size()) token += "@@";
    out.push_back({vocabulary_->find(token).value_or(settings_.unk_id), word[at].begin, word[last].end});
    at = last + 1;
  }
}

void MarkedBpe::cut_blenderbot(const std::vector<PlacedCharacter>& word, std::vector<ModelToken>& out) const {
  // A blank before each of .,!?() and around apostrophes; runs of white space to one blank; the line end a word.
  std::vector<PlacedCharacter> spaced;
  const auto push = [&](char32_t c, const PlacedCharacter& place) { spaced.push_back({c, place.begin, place.end}); };
  for (const PlacedCharacter& one : word) {
    const bool apostrophe = one.c == '\'';
    if (apostrophe ||
        (one.c < 0x80 && std::string_view(".,!?()").find(static_cast<char>(one.c)) != std::string::npos)) {
      push(' ', one);
    }
    spaced.push_back(one);
    if (apostrophe) push(' ', one);
  }
  const auto is_white = [&](size_t i) { return i < spaced.size() && (spaced[i].c == ' ' || spaced[i].c == '\n'); };
  std::vector<PlacedCharacter> part;
  const auto flush = [&] {
    python_lower(part);
    if (!part.empty()) cut(part, out);
    part.clear();
  };
  for (size_t i = 0; i < spaced.size(); ++i) {
    if (is_white(i) && is_white(i + 1)) {
      while (is_white(i + 1)) ++i;
      flush();
    } else if (spaced[i].c == ' ') {
      flush();
    } else if (spaced[i].c == '\n') {
      flush();
      for (const char c : std::string_view("__newln__")) {
        part.push_back({static_cast<char32_t>(c), spaced[i].begin, spaced[i].end});
      }
    } else {
      part.push_back(spaced[i]);
    }
  }
  flush();
}

Json MarkedBpe::to_json() const {
  no_tokenizer_json();
}

DecoderPtr make_marked_decoder() {
  return std::make_shared<MarkedDecoder>(false);
}

DecoderPtr make_marked_ends_decoder() {
  return std::make_shared<MarkedDecoder>(true);
}

}  // namespace mica
