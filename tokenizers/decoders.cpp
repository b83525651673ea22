#include "mica/tokenizers/decoders.h"

#include <string_view>
#include <utility>

#include "mica/base/error.h"
#include "mica/tokenizers/bpe_decoder.h"
#include "mica/tokenizers/byte_level.h"
#include "mica/tokenizers/ctc.h"
#include "mica/tokenizers/metaspace.h"
#include "mica/tokenizers/pattern.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

// The order matters: each pass sees what the one before left.
constexpr std::pair<const char*, const char*> kCleanUp[] = {
    {" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},     {" ' ", "'"},
    {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};

class WordPieceDecoder : public Decoder {
 public:
  WordPieceDecoder(std::string prefix, bool cleanup) : prefix_(std::move(prefix)), cleanup_(cleanup) {}
  void decode(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::string text;
      append(tokens[i], i == 0, text);
      tokens[i] = std::move(text);
    }
  }
  bool append(std::string_view token, bool first, std::string& text) const override {
    const bool joined = !first && token.substr(0, prefix_.size()) == prefix_;
    if (joined) token.remove_prefix(prefix_.size());
    const bool spaced = !first && !joined;
    if (!cleanup_ || !may_need_cleanup(token, spaced)) {
      if (spaced) text += ' ';
      text += token;
      return true;
    }
    std::string own = spaced ? " " : "";
    own += token;
    clean_up_wordpiece(own);
    text += own;
    return true;
  }
  Json to_json() const override { return {{"type", "WordPiece"}, {"prefix", prefix_}, {"cleanup", cleanup_}}; }

 private:
  // Every rule begins with a space: one inside the token, or the one before it and a character that a rule goes on
  // with.
  static bool may_need_cleanup(std::string_view token, bool spaced) {
    if (spaced && !token.empty() && std::string_view(".?!,'nd").find(token[0]) != std::string_view::npos) return true;
    return token.find(' ') != token.npos;
  }

  std::string prefix_;
  bool cleanup_;
};

class Fuse : public Decoder {
 public:
  void decode(std::vector<std::string>& tokens) const override {
    std::string all;
    for (const std::string& token : tokens) all += token;
    tokens.assign(1, std::move(all));
  }
  Json to_json() const override { return {{"type", "Fuse"}}; }
};

// Takes up to `start` characters off the front and `stop` off the end, as long as they are `content`.
class StripDecoder : public Decoder {
 public:
  StripDecoder(std::string content, int64_t start, int64_t stop)
      : content_(std::move(content)), start_(start), stop_(stop) {}
  void decode(std::vector<std::string>& tokens) const override {
    const size_t n = content_.size();
    for (std::string& token : tokens) {
      size_t begin = 0;
      for (int64_t i = 0; i < start_ && token.compare(begin, n, content_) == 0; ++i) begin += n;
      size_t end = token.size();
      for (int64_t i = 0; i < stop_ && end >= begin + n && token.compare(end - n, n, content_) == 0; ++i) end -= n;
      token = token.substr(begin, end - begin);
    }
  }
  Json to_json() const override {
    return {{"type", "Strip"}, {"content", content_}, {"start", start_}, {"stop", stop_}};
  }

 private:
  std::string content_;
  int64_t start_, stop_;
};

class ReplaceDecoder : public Decoder {
 public:
  ReplaceDecoder(Pattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void decode(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      std::string text;
      if (append(token, false, text)) token = std::move(text);
    }
  }
  bool append(std::string_view token, bool, std::string& text) const override {
    size_t done = 0;
    pattern_.find(token, [&](size_t begin, size_t end) {
      text.append(token, done, begin - done).append(content_);
      done = end;
    });
    text.append(token, done);
    return true;
  }
  Json to_json() const override {
    return {{"type", "Replace"}, {"pattern", pattern_.to_json()}, {"content", content_}};
  }

 private:
  Pattern pattern_;
  std::string content_;
};

// Runs of <0xNN> become the bytes they name, or one U+FFFD each where these are no UTF-8.
class ByteFallbackDecoder : public Decoder {
 public:
  void decode(std::vector<std::string>& tokens) const override {
    std::vector<std::string> result;
    std::string bytes;
    const auto flush = [&] {
      if (bytes.empty()) return;
      if (utf8::is_valid(bytes)) {
        result.push_back(std::move(bytes));
      } else {
        for (size_t i = 0; i < bytes.size(); ++i) result.emplace_back("\xef\xbf\xbd");
      }
      bytes.clear();
    };
    for (std::string& token : tokens) {
      if (const int byte = byte_of(token); byte >= 0) {
        bytes += static_cast<char>(byte);
      } else {
        flush();
        result.push_back(std::move(token));
      }
    }
    flush();
    tokens = std::move(result);
  }
  Json to_json() const override { return {{"type", "ByteFallback"}}; }

 private:
  static int byte_of(const std::string& token) {
    if (token.size() != 6 || token.compare(0, 3, "<0x") != 0 || token[5] != '>') return -1;
    int value = 0;
    for (const char c : {token[3], token[4]}) {
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return -1;
      value = value * 16 + digit;
    }
    return value;
  }
};

class DecoderSequence : public Decoder {
 public:
  explicit DecoderSequence(std::vector<DecoderPtr> parts) : parts_(std::move(parts)) {}
  void decode(std::vector<std::string>& tokens) const override {
    for (const auto& part : parts_) part->decode(tokens);
  }
  Json to_json() const override {
    Json parts = Json::array();
    for (const auto& part : parts_) parts.push_back(part->to_json());
    return {{"type", "Sequence"}, {"decoders", parts}};
  }

 private:
  std::vector<DecoderPtr> parts_;
};

DecoderPtr read_one(const std::string& type, Fields& fields) {
  if (type == "WordPiece") {
    std::string prefix = fields.string("prefix", "##");
    return make_wordpiece_decoder(std::move(prefix), fields.boolean("cleanup", true));
  }
  if (type == "ByteLevel") return make_byte_level_decoder(fields);
  if (type == "BPEDecoder") return make_bpe_decoder(fields);
  if (type == "CTC") {
    CtcDecoder::Settings settings;
    settings.pad_token = fields.string("pad_token");
    settings.word_delimiter_token = fields.string("word_delimiter_token");
    settings.cleanup = fields.boolean("cleanup");
    return std::make_shared<CtcDecoder>(std::move(settings));
  }
  if (type == "Fuse") return std::make_shared<Fuse>();
  if (type == "Strip") {
    std::string content = fields.string("content");
    if (utf8::count(content) != 1) fields.fail(fields.path() + ".content is not one character", "mend the file");
    const int64_t start = fields.integer("start", 0, 1'000'000);
    return std::make_shared<StripDecoder>(std::move(content), start, fields.integer("stop", 0, 1'000'000));
  }
  if (type == "Replace") {
    Pattern pattern = Pattern::read(fields, "pattern");
    return std::make_shared<ReplaceDecoder>(std::move(pattern), fields.string("content"));
  }
  if (type == "Metaspace") return make_metaspace_decoder(read_metaspace(fields));
  if (type == "ByteFallback") return std::make_shared<ByteFallbackDecoder>();
  if (type == "Sequence") {
    std::vector<DecoderPtr> parts;
    for (Fields& part : fields.objects("decoders")) parts.push_back(make_decoder(std::move(part)));
    return std::make_shared<DecoderSequence>(std::move(parts));
  }
  fields.fail("unknown decoder \"" + printable(type, 60) + "\" at " + fields.path(),
              "known are BPEDecoder, ByteFallback, ByteLevel, CTC, Fuse, Metaspace, Replace, Sequence, Strip, "
              "WordPiece");
}

}  // namespace

DecoderPtr make_wordpiece_decoder(std::string prefix, bool cleanup) {
  return std::make_shared<WordPieceDecoder>(std::move(prefix), cleanup);
}

DecoderPtr make_decoder(Fields fields) {
  const std::string type = fields.string("type");
  DecoderPtr made = read_one(type, fields);
  fields.finish();
  return made;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  size_t at = text.find(from);
  if (from.empty() || at == text.npos) return;
  std::string result;
  size_t done = 0;
  for (; at != text.npos; at = text.find(from, done)) {
    result.append(text, done, at - done).append(to);
    done = at + from.size();
  }
  result.append(text, done);
  text = std::move(result);
}

void clean_up_wordpiece(std::string& token) {
  // As the list above, with one more rule at its place.
  for (const auto& [from, to] : kCleanUp) {
    if (std::string_view(from) == " 's") replace_all(token, " do not", " don't");
    replace_all(token, from, to);
  }
}

std::string clean_up_spaces(std::string text) {
  for (const auto& [from, to] : kCleanUp) replace_all(text, from, to);
  return text;
}

}  // namespace mica
