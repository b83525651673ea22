#include "mica/tokenizers/split_scanner.h"

#include "mica/tokenizers/unicode.h"
#include "mica/tokenizers/unicode_categories.h"

namespace mica::split {
namespace {

using unicode::tables::Category;

uint8_t class_of(Category category) {
  switch (category) {
    case Category::Lu:
    case Category::Lt:
      return kLetter | kUpper;
    case Category::Ll:
      return kLetter | kLower;
    case Category::Lm:
    case Category::Lo:
      return kLetter | kUpper | kLower;
    case Category::M:
      return kMark | kUpper | kLower;
    case Category::N:
      return kNumber;
    case Category::P:
    case Category::S:
      break;
  }
  return kPunctuation;
}

// Every code point's class, 1.1 MB for the moment.
std::vector<uint8_t> all_classes() {
  std::vector<uint8_t> all(0x110000, 0);
  for (const auto& run : unicode::tables::categories) {
    for (uint32_t c = run.first; c <= run.last; c += run.step) all[c] = class_of(run.category);
  }
  for (char32_t c = 0; c < 0x3001; ++c) {
    if (unicode::has(c, unicode::kWhitespace)) all[c] |= kSpace;
  }
  all['\r'] |= kLineEnd;
  all['\n'] |= kLineEnd;
  return all;
}

struct Spelling {
  std::string_view pattern;
  Known known;
};

// As tokenizer.json files and tiktoken's sources spell them.
constexpr Spelling kSpellings[] = {
    {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", Known::gpt2},
    {R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", Known::gpt2},
    {R"('(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s)", Known::gpt2},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     Known::cl100k},
    {R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)",
     Known::cl100k},
    // (In this dialect {1,3}+ would repeat the three digits.)
    {R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)",
     Known::cl100k_end_first},
    {R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|(?>\p{N}{1,3})| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)",
     Known::cl100k_end_first},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     Known::qwen2},
    {R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
     R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
     R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     Known::o200k},
    {R"(\p{N}{1,3})", Known::deepseek_numbers},
    {"[一-龥぀-ゟ゠-ヿ]+", Known::deepseek_chinese},
    {"[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
     "?[\\p{P}\\p{S}]+[\r\n]*|"
     "\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
     Known::deepseek_words},
    {R"(<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)", Known::clip},
};

template <typename Scanner>
void find_all(std::string_view text, const std::function<void(size_t, size_t)>& found) {
  const Scanner scanner;
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  for (const char* p = begin; p < end;) {
    bool gap = false;
    const char* const after = scanner.next(p, end, &gap);
    if (!gap) found(static_cast<size_t>(p - begin), static_cast<size_t>(after - begin));
    p = after;
  }
}

}  // namespace

template <typename Keep>
ClassTable::ClassTable(const ClassTable* from, Keep keep) {
  std::vector<uint8_t> all;
  if (from == nullptr) all = all_classes();
  uint8_t page[256];
  for (char32_t first = 0; first < 0x110000; first += 256) {
    for (char32_t i = 0; i < 256; ++i) page[i] = keep(first + i, from == nullptr ? all[first + i] : (*from)[first + i]);
    size_t same = 0;
    while (same < pages_.size() && std::memcmp(&pages_[same], page, 256) != 0) same += 256;
    if (same == pages_.size()) pages_.insert(pages_.end(), page, page + 256);
    page_of_[first >> 8] = static_cast<uint16_t>(same >> 8);
  }
}

const ClassTable& ClassTable::plain() {
  static const ClassTable table(nullptr, [](char32_t, uint8_t bits) { return bits; });
  return table;
}

const ClassTable& ClassTable::between() {
  static const ClassTable table(&plain(), [](char32_t c, uint8_t bits) {
    return (bits & kNumber) != 0 || is_chinese(c) ? kStop : static_cast<uint8_t>(bits & ~(kUpper | kLower));
  });
  return table;
}

const ClassTable& ClassTable::chinese() {
  static const ClassTable table(&plain(), [](char32_t c, uint8_t bits) {
    return is_chinese(c) ? static_cast<uint8_t>(bits & ~(kUpper | kLower)) : kStop;
  });
  return table;
}

Known recognize(std::string_view pattern) {
  for (const Spelling& spelling : kSpellings) {
    if (spelling.pattern == pattern) return spelling.known;
  }
  return Known::none;
}

FindAll find_scanner(std::string_view pattern) {
  switch (recognize(pattern)) {
    case Known::gpt2:
      return find_all<Gpt2Scanner>;
    case Known::cl100k:
      return find_all<Cl100kScanner<3>>;
    case Known::cl100k_end_first:
      return find_all<Cl100kScanner<3, true>>;
    case Known::qwen2:
      return find_all<Cl100kScanner<1>>;
    case Known::o200k:
      return find_all<O200kScanner>;
    case Known::deepseek_numbers:
      return find_all<NumbersScanner>;
    case Known::deepseek_words:
      return find_all<DeepSeekWordScanner>;
    case Known::clip:
      return find_all<ClipScanner>;
    case Known::deepseek_chinese:  // plain ranges, which any engine sees alike
    case Known::none:
      break;
  }
  return nullptr;
}

}  // namespace mica::split
