#include "mica/tokenizers/normalizers.h"

#include <utility>

#include "mica/base/error.h"
#include "mica/tokenizers/byte_level.h"
#include "mica/tokenizers/pattern.h"
#include "mica/tokenizers/precompiled.h"
#include "mica/tokenizers/unicode.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

class UnicodeForm : public Normalizer {
 public:
  explicit UnicodeForm(NormalForm form) : form_(form) {}
  void normalize(NormalizedText& text) const override { apply_normal_form(form_, text); }
  Json to_json() const override {
    constexpr const char* names[] = {"NFC", "NFD", "NFKC", "NFKD"};
    return {{"type", names[static_cast<int>(form_)]}};
  }

 private:
  NormalForm form_;
};

class Lowercase : public Normalizer {
 public:
  void normalize(NormalizedText& text) const override { apply_lowercase(text); }
  Json to_json() const override { return {{"type", "Lowercase"}}; }
};

class StripAccents : public Normalizer {
 public:
  void normalize(NormalizedText& text) const override {
    text.filter([](char32_t c) { return !unicode::has(c, unicode::kCombiningMark); });
  }
  Json to_json() const override { return {{"type", "StripAccents"}}; }
};

// White space off the ends.
class Strip : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  void normalize(NormalizedText& text) const override {
    const std::string& s = text.text();
    ByteRange keep = text.all();
    while (left_ && keep.begin < keep.end) {
      const char* p = s.data() + keep.begin;
      if (!unicode::has(utf8::next(p), unicode::kWhitespace)) break;
      keep.begin = static_cast<uint32_t>(p - s.data());
    }
    while (right_ && keep.begin < keep.end) {
      const size_t start = utf8::last_start(s, keep.end);
      const char* p = s.data() + start;
      if (!unicode::has(utf8::next(p), unicode::kWhitespace)) break;
      keep.end = static_cast<uint32_t>(start);
    }
    if (keep != text.all()) text.crop(keep);
  }
  Json to_json() const override { return {{"type", "Strip"}, {"strip_left", left_}, {"strip_right", right_}}; }

 private:
  bool left_, right_;
};

class Replace : public Normalizer {
 public:
  Replace(Pattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void normalize(NormalizedText& text) const override {
    std::vector<ByteRange> matches;
    pattern_.find(text.text(), [&](size_t begin, size_t end) {
      matches.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end)});
    });
    text.replace(matches, content_);
  }
  Json to_json() const override {
    return {{"type", "Replace"}, {"pattern", pattern_.to_json()}, {"content", content_}};
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  void normalize(NormalizedText& text) const override {
    if (text.empty()) return;
    // The prefix stands for the first character, as the reference aligns it.
    std::vector<unicode::Change> changes;
    for (const char *p = prefix_.data(), *end = p + prefix_.size(); p < end;) {
      changes.push_back({utf8::next(p), changes.empty() ? 0 : 1});
    }
    if (changes.empty()) return;
    const std::vector<char32_t> all = text.characters();
    for (size_t i = 0; i < all.size(); ++i) changes.push_back({all[i], i == 0 ? 1 : 0});
    text.transform(changes);
  }
  Json to_json() const override { return {{"type", "Prepend"}, {"prepend", prefix_}}; }

 private:
  std::string prefix_;
};

NormalizerPtr read_bert(Fields& fields) {
  BertNormalizer::Settings settings;
  settings.clean_text = fields.boolean("clean_text");
  settings.handle_chinese_chars = fields.boolean("handle_chinese_chars");
  settings.strip_accents = fields.optional_boolean("strip_accents");
  settings.lowercase = fields.boolean("lowercase");
  return std::make_shared<BertNormalizer>(settings);
}

NormalizerPtr read_one(const std::string& type, Fields& fields) {
  if (type == "BertNormalizer") return read_bert(fields);
  if (type == "ByteLevel") return std::make_shared<ByteLevelNormalizer>();
  if (type == "NFC") return std::make_shared<UnicodeForm>(NormalForm::nfc);
  if (type == "NFD") return std::make_shared<UnicodeForm>(NormalForm::nfd);
  if (type == "NFKC") return std::make_shared<UnicodeForm>(NormalForm::nfkc);
  if (type == "NFKD") return std::make_shared<UnicodeForm>(NormalForm::nfkd);
  if (type == "Lowercase") return std::make_shared<Lowercase>();
  if (type == "StripAccents") return std::make_shared<StripAccents>();
  if (type == "Nmt") return std::make_shared<Nmt>();
  if (type == "Precompiled") return read_precompiled(fields);
  if (type == "Strip") {
    const bool left = fields.boolean("strip_left");
    return std::make_shared<Strip>(left, fields.boolean("strip_right"));
  }
  if (type == "Replace") {
    Pattern pattern = Pattern::read(fields, "pattern");
    return std::make_shared<Replace>(std::move(pattern), fields.string("content"));
  }
  if (type == "Prepend") return std::make_shared<Prepend>(fields.string("prepend"));
  if (type == "Sequence") {
    std::vector<NormalizerPtr> parts;
    for (Fields& part : fields.objects("normalizers")) parts.push_back(make_normalizer(std::move(part)));
    return std::make_shared<NormalizerSequence>(std::move(parts));
  }
  fields.fail("unknown normalizer \"" + printable(type, 60) + "\" at " + fields.path(),
              "known are BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, "
              "Prepend, Replace, Sequence, Strip, StripAccents");
}

}  // namespace

bool is_identity(const Normalizer* normalizer) {
  return normalizer == nullptr || normalizer->to_json() == Json{{"type", "Sequence"}, {"normalizers", Json::array()}};
}

NormalizerPtr make_normalizer(Fields fields) {
  const std::string type = fields.string("type");
  NormalizerPtr made = read_one(type, fields);
  fields.finish();
  return made;
}

void NormalizerSequence::normalize(NormalizedText& text) const {
  for (const auto& part : parts_) part->normalize(text);
}

Json NormalizerSequence::to_json() const {
  Json parts = Json::array();
  for (const auto& part : parts_) parts.push_back(part->to_json());
  return {{"type", "Sequence"}, {"normalizers", parts}};
}

void apply_normal_form(NormalForm form, NormalizedText& text) {
  bool plain = true;
  for (const char c : text.text()) plain = plain && static_cast<unsigned char>(c) < 0x80;
  if (plain) return;
  std::vector<unicode::Change> changes;
  unicode::decompose(text.characters(), form == NormalForm::nfkc || form == NormalForm::nfkd, changes);
  if (form == NormalForm::nfc || form == NormalForm::nfkc) unicode::compose(changes);
  text.transform(changes);
}

void apply_lowercase(NormalizedText& text) {
  std::vector<unicode::Change> changes;
  changes.reserve(text.text().size());
  for (const char32_t c : text.characters()) {
    char32_t lower[2];
    const int n = unicode::to_lower(c, lower);
    for (int i = 0; i < n; ++i) changes.push_back({lower[i], i > 0 ? 1 : 0});
  }
  text.transform(changes);
}

void BertNormalizer::normalize(NormalizedText& text) const {
  if (settings_.clean_text) {
    text.filter([](char32_t c) { return !unicode::has(c, unicode::kControl); });
    text.map([](char32_t c) { return unicode::has(c, unicode::kWhitespace) ? U' ' : c; });
  }
  if (settings_.handle_chinese_chars) {
    std::vector<unicode::Change> changes;
    changes.reserve(text.text().size());
    for (const char32_t c : text.characters()) {
      if (unicode::has(c, unicode::kChinese)) {
        changes.insert(changes.end(), {{U' ', 0}, {c, 1}, {U' ', 1}});
      } else {
        changes.push_back({c, 0});
      }
    }
    text.transform(changes);
  }
  if (settings_.strips_accents()) {
    apply_normal_form(NormalForm::nfd, text);
    text.filter([](char32_t c) { return !unicode::has(c, unicode::kNonspacingMark); });
  }
  if (settings_.lowercase) apply_lowercase(text);
}

Json BertNormalizer::to_json() const {
  Json strip = nullptr;
  if (settings_.strip_accents) strip = *settings_.strip_accents;
  return {{"type", "BertNormalizer"},
          {"clean_text", settings_.clean_text},
          {"handle_chinese_chars", settings_.handle_chinese_chars},
          {"strip_accents", strip},
          {"lowercase", settings_.lowercase}};
}

}  // namespace mica
