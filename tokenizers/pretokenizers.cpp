#include "mica/tokenizers/pretokenizers.h"

#include <string>
#include <utility>

#include "mica/base/error.h"
#include "mica/tokenizers/byte_level.h"
#include "mica/tokenizers/fixed_length.h"
#include "mica/tokenizers/metaspace.h"
#include "mica/tokenizers/pattern.h"
#include "mica/tokenizers/unicode.h"
#include "mica/tokenizers/unicode_scripts.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

struct Part {
  ByteRange range;
  bool is_match;
};

// Gives each match the place that the behavior says and drops what is empty.
void join_parts(const std::vector<Part>& parts, SplitBehavior behavior, std::vector<ByteRange>& out) {
  const auto push = [&](ByteRange range) {
    if (range.begin < range.end) out.push_back(range);
  };
  switch (behavior) {
    case SplitBehavior::removed:
      for (const Part& part : parts) {
        if (!part.is_match) push(part.range);
      }
      return;
    case SplitBehavior::isolated:
      for (const Part& part : parts) push(part.range);
      return;
    case SplitBehavior::merged_with_previous:
    case SplitBehavior::contiguous:
    case SplitBehavior::merged_with_next: {
      ByteRange open{0, 0};
      bool open_is_match = false;
      for (size_t i = 0; i < parts.size(); ++i) {
        const Part& part = parts[i];
        const bool joins =
            i > 0 && (behavior == SplitBehavior::contiguous             ? part.is_match == open_is_match
                      : behavior == SplitBehavior::merged_with_previous ? part.is_match && !open_is_match
                                                                        : !part.is_match && open_is_match);
        if (joins) {
          open.end = part.range.end;
        } else {
          push(open);
          open = part.range;
        }
        open_is_match = part.is_match;
      }
      push(open);
      return;
    }
  }
}

// Every character that `matches` accepts is a match of its own.
template <typename Predicate>
void split_characters(const std::string& text, std::vector<ByteRange>& pieces, SplitBehavior behavior,
                      const Predicate& matches) {
  std::vector<ByteRange> result;
  std::vector<Part> parts;
  for (const ByteRange piece : pieces) {
    parts.clear();
    const char* const base = text.data();
    uint32_t open = piece.begin;
    for (const char *p = base + piece.begin, *end = base + piece.end; p < end;) {
      const auto at = static_cast<uint32_t>(p - base);
      if (!matches(utf8::next(p))) continue;
      const auto after = static_cast<uint32_t>(p - base);
      if (open < at) parts.push_back({{open, at}, false});
      parts.push_back({{at, after}, true});
      open = after;
    }
    if (open < piece.end) parts.push_back({{open, piece.end}, false});
    join_parts(parts, behavior, result);
  }
  pieces = std::move(result);
}

bool is_space(char32_t c) {
  return unicode::has(c, unicode::kWhitespace);
}
bool is_punctuation(char32_t c) {
  return unicode::has(c, unicode::kPunctuation);
}

// The matches of \w+|[^\w\s]+.
class Whitespace : public PreTokenizer {
 public:
  void split(NormalizedText& text, std::vector<ByteRange>& pieces) const override {
    std::vector<ByteRange> result;
    const char* const base = text.text().data();
    for (const ByteRange piece : pieces) {
      int open_kind = 0;  // 0: white space, 1: word, 2: other
      uint32_t open = piece.begin;
      for (const char *p = base + piece.begin, *end = base + piece.end; p < end;) {
        const auto at = static_cast<uint32_t>(p - base);
        const uint16_t bits = unicode::properties()[utf8::next(p)];
        const int kind = (bits & unicode::kWord) != 0 ? 1 : (bits & unicode::kWhitespace) != 0 ? 0 : 2;
        if (kind == open_kind) continue;
        if (open_kind != 0 && open < at) result.push_back({open, at});
        open = at;
        open_kind = kind;
      }
      if (open_kind != 0 && open < piece.end) result.push_back({open, piece.end});
    }
    pieces = std::move(result);
  }
  Json to_json() const override { return {{"type", "Whitespace"}}; }
};

class WhitespaceSplit : public PreTokenizer {
 public:
  void split(NormalizedText& text, std::vector<ByteRange>& pieces) const override {
    split_characters(text.text(), pieces, SplitBehavior::removed, is_space);
  }
  Json to_json() const override { return {{"type", "WhitespaceSplit"}}; }
};

constexpr std::initializer_list<const char*> kBehaviors = {"Removed", "Isolated", "MergedWithPrevious",
                                                           "MergedWithNext", "Contiguous"};

class Punctuation : public PreTokenizer {
 public:
  explicit Punctuation(SplitBehavior behavior) : behavior_(behavior) {}
  void split(NormalizedText& text, std::vector<ByteRange>& pieces) const override {
    split_characters(text.text(), pieces, behavior_, is_punctuation);
  }
  Json to_json() const override {
    return {{"type", "Punctuation"}, {"behavior", kBehaviors.begin()[static_cast<size_t>(behavior_)]}};
  }

 private:
  SplitBehavior behavior_;
};

class Digits : public PreTokenizer {
 public:
  explicit Digits(bool individual) : individual_(individual) {}
  void split(NormalizedText& text, std::vector<ByteRange>& pieces) const override {
    split_characters(text.text(), pieces, individual_ ? SplitBehavior::isolated : SplitBehavior::contiguous,
                     [](char32_t c) { return unicode::has(c, unicode::kNumeric); });
  }
  Json to_json() const override { return {{"type", "Digits"}, {"individual_digits", individual_}}; }

 private:
  bool individual_;
};

class CharDelimiterSplit : public PreTokenizer {
 public:
  explicit CharDelimiterSplit(char32_t delimiter) : delimiter_(delimiter) {}
  void split(NormalizedText& text, std::vector<ByteRange>& pieces) const override {
    split_characters(text.text(), pieces, SplitBehavior::removed, [&](char32_t c) { return c == delimiter_; });
  }
  Json to_json() const override {
    std::string delimiter;
    utf8::append(delimiter_, delimiter);
    return {{"type", "CharDelimiterSplit"}, {"delimiter", delimiter}};
  }

 private:
  char32_t delimiter_;
};

// Cuts at the matches of a pattern; inverted, at what lies between them.
class Split : public PreTokenizer {
 public:
  Split(Pattern pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  void split(NormalizedText& text, std::vector<ByteRange>& pieces) const override {
    std::vector<ByteRange> result;
    std::vector<Part> parts;
    for (const ByteRange piece : pieces) {
      parts.clear();
      uint32_t open = piece.begin;
      const std::string_view part = std::string_view(text.text()).substr(piece.begin, piece.end - piece.begin);
      pattern_.find(part, [&](size_t begin, size_t end) {
        const auto first = piece.begin + static_cast<uint32_t>(begin);
        if (open < first) parts.push_back({{open, first}, invert_});
        open = piece.begin + static_cast<uint32_t>(end);
        parts.push_back({{first, open}, !invert_});
      });
      if (open < piece.end) parts.push_back({{open, piece.end}, invert_});
      join_parts(parts, behavior_, result);
    }
    pieces = std::move(result);
  }

  Json to_json() const override {
    return {{"type", "Split"},
            {"pattern", pattern_.to_json()},
            {"behavior", kBehaviors.begin()[static_cast<size_t>(behavior_)]},
            {"invert", invert_}};
  }

 private:
  Pattern pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

PreTokenizerPtr read_one(const std::string& type, Fields& fields) {
  if (type == "BertPreTokenizer") return std::make_shared<BertPreTokenizer>();
  if (type == "ByteLevel") return std::make_shared<ByteLevelPreTokenizer>(read_byte_level(fields));
  if (type == "Whitespace") return std::make_shared<Whitespace>();
  if (type == "WhitespaceSplit") return std::make_shared<WhitespaceSplit>();
  if (type == "Punctuation") {
    return std::make_shared<Punctuation>(static_cast<SplitBehavior>(fields.choice("behavior", kBehaviors, 1)));
  }
  if (type == "Digits") return std::make_shared<Digits>(fields.boolean("individual_digits"));
  if (type == "CharDelimiterSplit") {
    const std::string delimiter = fields.string("delimiter");
    if (utf8::count(delimiter) != 1) fields.fail(fields.path() + ".delimiter is not one character", "mend the file");
    const char* p = delimiter.data();
    return std::make_shared<CharDelimiterSplit>(utf8::next(p));
  }
  if (type == "Metaspace") return std::make_shared<MetaspacePreTokenizer>(read_metaspace(fields));
  if (type == "Split") {
    Pattern pattern = Pattern::read(fields, "pattern");
    const auto behavior = static_cast<SplitBehavior>(fields.choice("behavior", kBehaviors));
    return std::make_shared<Split>(std::move(pattern), behavior, fields.boolean("invert", false));
  }
  if (type == "FixedLength") return std::make_shared<FixedLength>(fields.integer("length", 1, INT32_MAX, 5));
  if (type == "UnicodeScripts") return std::make_shared<UnicodeScripts>();
  if (type == "Sequence") {
    std::vector<PreTokenizerPtr> parts;
    for (Fields& part : fields.objects("pretokenizers")) parts.push_back(make_pre_tokenizer(std::move(part)));
    return std::make_shared<PreTokenizerSequence>(std::move(parts));
  }
  fields.fail("unknown pre-tokenizer \"" + printable(type, 60) + "\" at " + fields.path(),
              "known are BertPreTokenizer, ByteLevel, CharDelimiterSplit, Digits, FixedLength, Metaspace, "
              "Punctuation, Sequence, Split, UnicodeScripts, Whitespace, WhitespaceSplit");
}

}  // namespace

PreTokenizerPtr make_pre_tokenizer(Fields fields) {
  const std::string type = fields.string("type");
  PreTokenizerPtr made = read_one(type, fields);
  fields.finish();
  return made;
}

void PreTokenizerSequence::split(NormalizedText& text, std::vector<ByteRange>& pieces) const {
  for (const auto& part : parts_) part->split(text, pieces);
}

Json PreTokenizerSequence::to_json() const {
  Json parts = Json::array();
  for (const auto& part : parts_) parts.push_back(part->to_json());
  return {{"type", "Sequence"}, {"pretokenizers", parts}};
}

void BertPreTokenizer::split(NormalizedText& text, std::vector<ByteRange>& pieces) const {
  split_characters(text.text(), pieces, SplitBehavior::removed, is_space);
  split_characters(text.text(), pieces, SplitBehavior::isolated, is_punctuation);
}

}  // namespace mica
