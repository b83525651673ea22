// The bytes that a token adds to a text, whatever stands around it.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mica/tokenizers/tokenizer.h"
#include "mica/tokenizers/tokenizer_impl.h"

namespace mica {
namespace {

// The byte that a token like <0xE4> names, -1 for others.
int named_byte(std::string_view token) {
  if (token.size() != 6 || token.substr(0, 3) != "<0x" || token[5] != '>') return -1;
  int value = 0;
  for (const char c : token.substr(3, 2)) {
    const auto digit = std::string_view("0123456789ABCDEF").find(c >= 'a' && c <= 'f' ? static_cast<char>(c - 32) : c);
    if (digit == std::string_view::npos) return -1;
    value = value * 16 + static_cast<int>(digit);
  }
  return value;
}

// A decoder that needs the whole text sees the token between two letters, which are taken off again: what it does at
// the ends of a text is not done to the token.
std::string between_letters(const Engine& engine, std::string_view token) {
  std::string text = engine.join({"a", std::string(token), "a"});
  const bool whole = text.size() >= 2 && text.front() == 'a' && text.back() == 'a';
  return whole ? text.substr(1, text.size() - 2) : std::string();
}

}  // namespace

std::vector<std::string> Tokenizer::token_bytes() const {
  const Engine& engine = *impl_->engine;
  std::string probe;
  const bool one_by_one = engine.decoder && engine.decoder->append("a", false, probe);
  const bool knows_bytes = !one_by_one && engine.decoder && engine.join({"a", "<0x62>", "a"}) == "aba";
  std::vector<std::string> texts(static_cast<size_t>(engine.id_bound()));
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    if (!engine.knows(id) || engine.added.is_special_id(id)) continue;
    const std::string_view token = engine.text(id);
    if (one_by_one) {
      engine.decoder->append(token, false, texts[i]);
    } else if (const int byte = knows_bytes ? named_byte(token) : -1; byte >= 0) {
      texts[i].assign(1, static_cast<char>(byte));
    } else {
      texts[i] = between_letters(engine, token);
    }
  }
  return texts;
}

}  // namespace mica
