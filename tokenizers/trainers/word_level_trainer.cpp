#include "mica/tokenizers/trainers/word_level_trainer.h"

#include <algorithm>
#include <unordered_map>

#include "mica/base/error.h"
#include "mica/tokenizers/models/vocabulary.h"

namespace mica {

std::vector<std::pair<std::string, int64_t>> train_word_level(const WordCounts& words,
                                                              const WordLevelTraining& training) {
  if (training.vocab_size < 0 || training.vocab_size > Vocabulary::kMaxId) {
    throw Error("vocab_size out of range: " + std::to_string(training.vocab_size), "word level training",
                "use 0 to " + std::to_string(Vocabulary::kMaxId));
  }
  if (training.min_frequency < 0) {
    throw Error("min_frequency out of range: " + std::to_string(training.min_frequency), "word level training",
                "use 0 or more");
  }
  std::vector<WordCount> ordered = words.words;
  std::stable_sort(ordered.begin(), ordered.end(),
                   [](const WordCount& a, const WordCount& b) { return a.count > b.count; });
  std::vector<std::pair<std::string, int64_t>> tokens;
  std::unordered_map<std::string, size_t> places;
  int64_t id = 0;
  const auto add = [&](std::string token) {
    if (id >= training.vocab_size) return false;
    const auto [it, is_new] = places.emplace(token, tokens.size());
    if (is_new) {
      tokens.emplace_back(std::move(token), id);
    } else {
      tokens[it->second].second = id;
    }
    ++id;
    return true;
  };
  for (const std::string& token : training.special_tokens) add(token);
  for (const WordCount& word : ordered) {
    if (word.count < static_cast<uint64_t>(training.min_frequency) || !add(std::string(word.text))) break;
  }
  std::sort(tokens.begin(), tokens.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return tokens;
}

}  // namespace mica
