#include "mica/tokenizers/byte_level.h"

#include <utility>

#include "mica/tokenizers/utf8.h"

namespace mica {
namespace byte_level {
namespace {

struct Tables {
  std::array<char32_t, 256> spelling{};
  std::array<int16_t, 0x144> byte{};
  std::array<std::string, 256> text{};

  Tables() {
    byte.fill(-1);
    char32_t next = 0x100;
    for (unsigned b = 0; b < 256; ++b) {
      const bool printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
      spelling[b] = printable ? b : next++;
      byte[spelling[b]] = static_cast<int16_t>(b);
      utf8::append(spelling[b], text[b]);
    }
  }
};

const Tables& tables() {
  static const Tables made;
  return made;
}

}  // namespace

char32_t spelling(unsigned char byte) {
  return tables().spelling[byte];
}

int byte_of(char32_t c) {
  return c < tables().byte.size() ? tables().byte[c] : -1;
}

void spell(std::string_view bytes, std::string& out) {
  const Tables& all = tables();
  for (const char byte : bytes) out += all.text[static_cast<unsigned char>(byte)];
}

bool unspell(std::string_view token, std::string& out) {
  const size_t before = out.size();
  const auto& bytes = tables().byte;
  for (const char *p = token.data(), *end = p + token.size(); p < end;) {
    const char32_t c = utf8::next(p);
    if (c >= bytes.size() || bytes[c] < 0) {
      out.resize(before);
      return false;
    }
    out += static_cast<char>(bytes[c]);
  }
  return true;
}

}  // namespace byte_level

namespace {

// Appends a piece as bytes, each of which stands for what the byte stood for.
void spell_piece(const NormalizedText& from, ByteRange piece, std::string& text, std::vector<CharSpan>& origin) {
  for (uint32_t i = piece.begin; i < piece.end; ++i) {
    const size_t before = text.size();
    byte_level::spell(from.view({i, i + 1}), text);
    origin.insert(origin.end(), text.size() - before, from.original({i, i + 1}));
  }
}

class ByteLevelDecoder : public Decoder {
 public:
  explicit ByteLevelDecoder(ByteLevelPreTokenizer::Settings settings) : settings_(settings) {}
  void decode(std::vector<std::string>& tokens) const override {
    std::string all;
    for (const std::string& token : tokens) append(token, all.empty(), all);
    std::string mended;
    tokens.assign(1, std::string(utf8::valid(all, mended)));
  }
  bool append(std::string_view token, bool, std::string& text) const override {
    if (!byte_level::unspell(token, text)) text += token;
    return true;
  }
  bool makes_bytes() const override { return true; }
  Json to_json() const override {
    return {{"type", "ByteLevel"},
            {"add_prefix_space", settings_.add_prefix_space},
            {"trim_offsets", settings_.trim_offsets},
            {"use_regex", settings_.use_regex}};
  }

 private:
  ByteLevelPreTokenizer::Settings settings_;  // of no effect; kept for writing
};

std::shared_ptr<const PreTokenizer> gpt2_split() {
  static const std::shared_ptr<const PreTokenizer> split = [] {
    const Json json = {
        {"type", "Split"}, {"pattern", {{"Regex", byte_level::kPattern}}}, {"behavior", "Isolated"}, {"invert", false}};
    return make_pre_tokenizer(Fields(json, "tokenizer", "ByteLevel"));
  }();
  return split;
}

}  // namespace

void ByteLevelNormalizer::normalize(NormalizedText& text) const {
  std::string spelled;
  std::vector<CharSpan> origin;
  spell_piece(text, text.all(), spelled, origin);
  text.assign(std::move(spelled), std::move(origin));
}

ByteLevelPreTokenizer::ByteLevelPreTokenizer(Settings settings) : settings_(settings) {
  if (settings_.use_regex) cut_ = gpt2_split();
}

void ByteLevelPreTokenizer::split(NormalizedText& text, std::vector<ByteRange>& pieces) const {
  if (settings_.add_prefix_space) {
    std::string spaced;
    std::vector<CharSpan> origin;
    for (ByteRange& piece : pieces) {
      const auto begin = static_cast<uint32_t>(spaced.size());
      if (text.text()[piece.begin] != ' ') {
        // The space stands for the first character, as the reference aligns it.
        const auto first = static_cast<uint32_t>(utf8::length(static_cast<unsigned char>(text.text()[piece.begin])));
        origin.push_back(text.original({piece.begin, piece.begin + first}));
        spaced += ' ';
      }
      spaced += text.view(piece);
      for (uint32_t i = piece.begin; i < piece.end; ++i) origin.push_back(text.original({i, i + 1}));
      piece = {begin, static_cast<uint32_t>(spaced.size())};
    }
    text.assign(std::move(spaced), std::move(origin));
  }
  if (cut_) cut_->split(text, pieces);
  std::string spelled;
  std::vector<CharSpan> origin;
  spelled.reserve(text.text().size() * 2);
  origin.reserve(text.text().size() * 2);
  for (ByteRange& piece : pieces) {
    const auto begin = static_cast<uint32_t>(spelled.size());
    spell_piece(text, piece, spelled, origin);
    piece = {begin, static_cast<uint32_t>(spelled.size())};
  }
  text.assign(std::move(spelled), std::move(origin));
}

Json ByteLevelPreTokenizer::to_json() const {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", settings_.add_prefix_space},
          {"trim_offsets", settings_.trim_offsets},
          {"use_regex", settings_.use_regex}};
}

ByteLevelPreTokenizer::Settings read_byte_level(Fields& fields) {
  ByteLevelPreTokenizer::Settings settings;
  settings.add_prefix_space = fields.boolean("add_prefix_space", true);
  settings.trim_offsets = fields.boolean("trim_offsets", true);
  settings.use_regex = fields.boolean("use_regex", true);
  return settings;
}

DecoderPtr make_byte_level_decoder(Fields& fields) {
  return std::make_shared<ByteLevelDecoder>(read_byte_level(fields));
}

DecoderPtr make_byte_level_decoder() {
  return std::make_shared<ByteLevelDecoder>(ByteLevelPreTokenizer::Settings{});
}

}  // namespace mica
