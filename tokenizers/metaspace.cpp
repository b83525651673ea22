#include "mica/tokenizers/metaspace.h"

#include <utility>

#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

Json settings_json(const MetaspaceSettings& settings) {
  constexpr const char* schemes[] = {"always", "first", "never"};
  return {{"type", "Metaspace"},
          {"replacement", settings.replacement},
          {"prepend_scheme", schemes[static_cast<size_t>(settings.prepend)]},
          {"split", settings.split}};
}

class MetaspaceDecoder : public Decoder {
 public:
  explicit MetaspaceDecoder(MetaspaceSettings settings) : settings_(std::move(settings)) {}
  void decode(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::string text;
      append(tokens[i], i == 0, text);
      tokens[i] = std::move(text);
    }
  }
  bool append(std::string_view token, bool first, std::string& text) const override {
    const std::string& mark = settings_.replacement;
    const bool drops = first && settings_.prepend != MetaspaceSettings::Prepend::never;
    size_t done = 0;
    for (size_t at = token.find(mark); at != token.npos; at = token.find(mark, done)) {
      text.append(token, done, at - done);
      if (!drops) text += ' ';
      done = at + mark.size();
    }
    text.append(token, done);
    return true;
  }
  Json to_json() const override { return settings_json(settings_); }

 private:
  MetaspaceSettings settings_;
};

}  // namespace

MetaspaceSettings read_metaspace(Fields& fields) {
  using Prepend = MetaspaceSettings::Prepend;
  MetaspaceSettings settings;
  settings.replacement = fields.string("replacement", settings.replacement);
  if (utf8::count(settings.replacement) != 1) {
    fields.fail(fields.path() + ".replacement is not one character", "mend the file");
  }
  fields.optional_string("str_rep");  // the same once more
  settings.prepend = static_cast<Prepend>(fields.choice("prepend_scheme", {"always", "first", "never"}, 0));
  if (!fields.boolean("add_prefix_space", true)) {
    if (fields.has("prepend_scheme") && settings.prepend != Prepend::never) {
      fields.fail(fields.path() + ".add_prefix_space is false, and prepend_scheme is not \"never\"",
                  "remove add_prefix_space");
    }
    settings.prepend = Prepend::never;
  }
  settings.split = fields.boolean("split", true);
  return settings;
}

void MetaspacePreTokenizer::split(NormalizedText& text, std::vector<ByteRange>& pieces) const {
  const std::string& mark = settings_.replacement;
  NormalizedText result;
  std::vector<ByteRange> words;
  result.start_like(text);
  for (const ByteRange piece : pieces) {
    const std::string_view view = text.view(piece);
    const CharSpan first = text.original({piece.begin, piece.begin + 1});
    auto open = static_cast<uint32_t>(result.text().size());
    const bool wanted = settings_.prepend == MetaspaceSettings::Prepend::always ||
                        (settings_.prepend == MetaspaceSettings::Prepend::first && first.begin == 0);
    if (wanted && view[0] != ' ' && view.substr(0, mark.size()) != mark) result.append(mark, first);
    for (uint32_t at = piece.begin; at < piece.end;) {
      const std::string_view rest = view.substr(at - piece.begin);
      const bool space = rest[0] == ' ';
      const bool marked = space || rest.substr(0, mark.size()) == mark;
      const auto now = static_cast<uint32_t>(result.text().size());
      if (marked && settings_.split && open < now) {
        words.push_back({open, now});
        open = now;
      }
      const auto length = static_cast<uint32_t>(utf8::length(static_cast<unsigned char>(rest[0])));
      if (space) {
        result.append(mark, text.original({at, at + 1}));
      } else {
        result.append(text, {at, at + length});
      }
      at += length;
    }
    if (const auto end = static_cast<uint32_t>(result.text().size()); open < end) words.push_back({open, end});
  }
  text = std::move(result);
  pieces = std::move(words);
}

Json MetaspacePreTokenizer::to_json() const {
  return settings_json(settings_);
}

DecoderPtr make_metaspace_decoder(MetaspaceSettings settings) {
  return std::make_shared<MetaspaceDecoder>(std::move(settings));
}

}  // namespace mica
