#include "mica/tokenizers/ctc.h"

#include <algorithm>

namespace mica {

void CtcDecoder::decode(std::vector<std::string>& tokens) const {
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  std::vector<std::string> result;
  for (std::string& token : tokens) {
    replace_all(token, settings_.pad_token, "");
    if (settings_.cleanup) {
      clean_up_wordpiece(token);
      replace_all(token, settings_.word_delimiter_token, " ");
    }
    if (!token.empty()) result.push_back(std::move(token));
  }
  tokens = std::move(result);
}

Json CtcDecoder::to_json() const {
  return {{"type", "CTC"},
          {"pad_token", settings_.pad_token},
          {"word_delimiter_token", settings_.word_delimiter_token},
          {"cleanup", settings_.cleanup}};
}

}  // namespace mica
