#include "mica/tokenizers/moses_detokenizer.h"

#include <algorithm>
#include <map>
#include <utility>

#include "mica/tokenizers/chat/characters.h"
#include "mica/tokenizers/moses_characters.h"
#include "mica/tokenizers/python_only.h"
#include "mica/tokenizers/python_text.h"

namespace mica {
namespace {

using moses::kCurrency;
using moses::kLetter;

bool is_east_asian(char32_t c) {
  constexpr std::pair<char32_t, char32_t> kRanges[] = {
      {0x1100, 0x11ff}, {0x2e80, 0xa4cf},   {0xa840, 0xa87f},   {0xac00, 0xd7af},   {0xf900, 0xfaff},  {0xfe30, 0xfe4f},
      {0xff65, 0xffdc}, {0x17000, 0x18aff}, {0x1b000, 0x1b12f}, {0x1b170, 0x1b2ff}, {0x20000, 0x2ffff}};
  return std::any_of(std::begin(kRanges), std::end(kRanges),
                     [c](const auto& range) { return c >= range.first && c <= range.second; });
}

bool is_in(char32_t c, std::u32string_view set) {
  return set.find(c) != set.npos;
}

bool consists_of(std::u32string_view word, std::u32string_view set) {
  return std::all_of(word.begin(), word.end(), [&](char32_t c) { return is_in(c, set); });
}

bool is_currency(char32_t c) {
  return moses::has(c, kCurrency) || is_in(c, U"([{¿¡");
}

std::vector<std::u32string> split_white(std::u32string_view text) {
  std::vector<std::u32string> words(1);
  for (const char32_t c : text) {
    if (!is_python_space(c)) {
      words.back() += c;
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

class Detokenizer {
 public:
  explicit Detokenizer(std::string_view language) : english_(language == "en"), french_(language == "fr") {}

  std::u32string join(const std::vector<std::u32string>& words) {
    for (size_t i = 0; i < words.size(); ++i) place(words, i);
    const auto blanks = [](char32_t a, char32_t b) { return a == U' ' && b == U' '; };
    text_.erase(std::unique(text_.begin(), text_.end(), blanks), text_.end());
    return std::move(text_);
  }

 private:
  // A blank before the word, or not; and whether one may stand behind it.
  void put(std::u32string_view word, bool before, bool behind) {
    if (before && blank_) text_ += U' ';
    text_ += word;
    blank_ = behind;
  }

  void place(const std::vector<std::u32string>& words, size_t i) {
    const std::u32string& word = words[i];
    if (is_east_asian(word.front())) {
      put(word, i == 0 || !is_east_asian(words[i - 1].back()), true);
    } else if (std::all_of(word.begin(), word.end(), is_currency)) {
      put(word, true, false);
    } else if (consists_of(word, U",.?!:;\\%}])")) {
      if (french_ && word.size() == 1 && is_in(word[0], U"?!:;\\%")) text_ += U' ';
      put(word, false, true);
    } else if (english_ && i > 0 && word.size() > 1 && word[0] == U'\'' && moses::has(word[1], kLetter)) {
      put(word, false, true);
    } else if (french_ && i + 1 < words.size() && word.size() > 1 && word.back() == U'\'' &&
               moses::has(word[word.size() - 2], kLetter) && moses::has(words[i + 1].front(), kLetter)) {
      put(word, true, false);
    } else if (consists_of(word, U"'\"„“`")) {
      place_quote(word, i > 0 ? words[i - 1] : std::u32string());
    } else {
      put(word, true, true);
    }
  }

  // Every second one of a kind closes.
  void place_quote(const std::u32string& word, const std::u32string& before) {
    bool& open = open_[consists_of(word, U"„“”") ? U"\"" : word];
    if (open) {
      put(word, false, true);
      open = false;
    } else if (english_ && word == U"'" && !before.empty() && before.back() == U's') {
      put(word, false, true);
    } else {
      put(word, true, false);
      open = true;
    }
  }

  bool english_, french_;
  bool blank_ = true;
  std::map<std::u32string, bool> open_;
  std::u32string text_;
};

class MosesDecoder : public Decoder {
 public:
  explicit MosesDecoder(const moses::Language& language) : language_(language) {}

  void decode(std::vector<std::string>& tokens) const override {
    std::string joined;
    for (std::string& token : tokens) {
      replace_all(token, " ", "");
      replace_all(token, "</w>", " ");
      joined += token;
    }
    std::u32string text = U" ";
    for (const std::u32string& word : split_white(jinja::decode(joined))) {
      text += word;
      text += U' ';
    }
    std::string bytes = jinja::encode(text);
    replace_all(bytes, " @-@ ", "-");
    constexpr std::pair<const char*, const char*> kSpelled[] = {
        {"&bar;", "|"},   {"&#124;", "|"}, {"&lt;", "<"},  {"&gt;", ">"},  {"&bra;", "["}, {"&ket;", "]"},
        {"&quot;", "\""}, {"&apos;", "'"}, {"&#91;", "["}, {"&#93;", "]"}, {"&amp;", "&"}};
    for (const auto& [spelled, meant] : kSpelled) replace_all(bytes, spelled, meant);
    const std::u32string whole = Detokenizer(language_.code).join(split_white(jinja::decode(bytes)));
    tokens.assign(1, std::string(strip_python_space(jinja::encode(whole))));
  }
  Json to_json() const override { no_tokenizer_json(); }

 private:
  const moses::Language& language_;
};

}  // namespace

DecoderPtr make_moses_decoder(const moses::Language& language) {
  return std::make_shared<MosesDecoder>(language);
}

}  // namespace mica
