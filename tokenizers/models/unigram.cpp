#include "mica/tokenizers/models/unigram.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <utility>

#include "mica/base/error.h"
#include "mica/tokenizers/models/score_text.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

constexpr double kUnknownPenalty = 10;
constexpr uint32_t kUnreached = std::numeric_limits<uint32_t>::max();

[[noreturn]] void no_unknown() {
  throw Error("unknown character, and the model names no unknown token (unk_id)", "Unigram",
              "name one in model.unk_id of tokenizer.json");
}

}  // namespace

Unigram::Unigram(std::shared_ptr<const Vocabulary> vocabulary, Table<double> scores, Settings settings,
                 ImageReader* image)
    : vocabulary_(std::move(vocabulary)),
      scores_(std::move(scores)),
      settings_(settings),
      trie_(image != nullptr ? PieceTrie(*image) : PieceTrie(*vocabulary_)) {
  double lowest = std::numeric_limits<double>::infinity();
  for (const double score : scores_) lowest = std::min(lowest, score);
  unk_score_ = lowest - kUnknownPenalty;
  // Two unknown characters cost more than any piece of both, so that no run of them is one, but for the unknown token's
  // own text.
  const auto finite = [](double score) { return std::isfinite(score); };
  run_may_be_piece_ = lowest > kUnknownPenalty || !std::all_of(scores_.begin(), scores_.end(), finite);
  for (int byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", byte);
    byte_ids_[static_cast<size_t>(byte)] = vocabulary_->find(name).value_or(-1);
  }
}

bool Unigram::write(ImageWriter& image) const {
  image.add(scores_);
  trie_.write(image);
  return true;
}

void Unigram::tokenize(std::string_view word, std::vector<ModelToken>& out) const {
  BlockVector<Step> steps;
  tokenize(word, steps, out);
}

void Unigram::tokenize(std::string_view word, BlockVector<Step>& steps, std::vector<ModelToken>& out) const {
  const auto size = static_cast<uint32_t>(word.size());
  steps.assign(word.size() + 1, {0, kUnreached, 0});
  for (uint32_t at = 0; at < size;) {
    const auto length = static_cast<uint32_t>(utf8::length(static_cast<unsigned char>(word[at])));
    const double here = steps[at].score;
    bool covered = false;
    trie_.prefixes(word.substr(at), [&](int32_t id, uint32_t piece) {
      covered = covered || piece == length;
      Step& step = steps[at + piece];
      // Of equal ones the first that was found stays, as in the reference.
      const double score = scores_[static_cast<size_t>(id)] + here;
      if (step.begin == kUnreached || score > step.score) step = {score, at, id};
    });
    if (!covered) {
      Step& step = steps[at + length];
      const double score = unk_score_ + here;
      if (step.begin == kUnreached || score > step.score) {
        if (!settings_.unk_id) no_unknown();
        step = {score, at, *settings_.unk_id};
      }
    }
    at += length;
  }
  const size_t first = out.size();
  const auto unknown = [&](const Step& step) { return settings_.unk_id && step.id == *settings_.unk_id; };
  for (uint32_t end = size; end > 0;) {
    uint32_t begin = steps[end].begin;
    if (!unknown(steps[end])) {
      out.push_back({steps[end].id, begin, end});
    } else {
      while (begin > 0 && unknown(steps[begin])) begin = steps[begin].begin;
      const size_t run = out.size();
      push_unknown(word, begin, end, out);
      std::reverse(out.begin() + static_cast<std::ptrdiff_t>(run), out.end());
    }
    end = begin;
  }
  std::reverse(out.begin() + static_cast<std::ptrdiff_t>(first), out.end());
}

void Unigram::push_unknown(std::string_view word, uint32_t begin, uint32_t end, std::vector<ModelToken>& out) const {
  const std::string_view run = word.substr(begin, end - begin);
  if (run_may_be_piece_ || run == vocabulary_->token(*settings_.unk_id)) {
    if (const auto id = vocabulary_->find(run)) {
      out.push_back({*id, begin, end});
      return;
    }
  }
  const auto has_byte = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)] >= 0; };
  if (settings_.byte_fallback && std::all_of(run.begin(), run.end(), has_byte)) {
    for (const char c : run) out.push_back({byte_ids_[static_cast<unsigned char>(c)], begin, end});
    return;
  }
  out.push_back({*settings_.unk_id, begin, end});
}

Json Unigram::to_json() const {
  Json vocab = Json::array();
  for (size_t i = 0; i < scores_.size(); ++i) {
    vocab.push_back(
        Json::array({std::string(vocabulary_->token(static_cast<int32_t>(i))), writable_score(scores_[i])}));
  }
  Json unk = nullptr;
  if (settings_.unk_id) unk = *settings_.unk_id;
  return {
      {"type", "Unigram"}, {"unk_id", unk}, {"byte_fallback", settings_.byte_fallback}, {"vocab", std::move(vocab)}};
}

}  // namespace mica
