#pragma once
// Unigram (T. Kudo 2018, arXiv:1804.10959): of all ways to cut a word into pieces of the vocabulary, the one whose
// scores (log probabilities) have the highest sum, found by Viterbi's algorithm.
//
// A character that no piece covers alone is unknown, at a score 10 below the lowest of the vocabulary. Unknown
// characters in a row are one token, or its bytes ("<0x0A>") where byte fallback is on and the vocabulary has them all.

#include <array>

#include "mica/base/pages.h"
#include "mica/tokenizers/models/model.h"
#include "mica/tokenizers/models/piece_trie.h"

namespace mica {

class Unigram : public TokenModel {
 public:
  struct Settings {
    std::optional<int32_t> unk_id = {};
    bool byte_fallback = false;
  };
  /// The best way to the end of a character: its score, and the piece that ends there.
  struct Step {
    double score;
    uint32_t begin;
    int32_t id;
  };

  /// `scores` by id, one for every token.
  Unigram(std::shared_ptr<const Vocabulary> vocabulary, Table<double> scores, Settings settings,
          ImageReader* image = nullptr);

  const char* type() const override { return "Unigram"; }
  const Vocabulary& vocabulary() const override { return *vocabulary_; }
  void tokenize(std::string_view word, std::vector<ModelToken>& out) const override;
  int32_t surface_id() const override { return settings_.unk_id.value_or(-1); }
  Json to_json() const override;
  bool write(ImageWriter& image) const override;

  /// The same, with memory that the caller reuses.
  void tokenize(std::string_view word, BlockVector<Step>& steps, std::vector<ModelToken>& out) const;

  const Settings& options() const { return settings_; }
  const Table<double>& scores() const { return scores_; }
  const PieceTrie& trie() const { return trie_; }
  double unk_score() const { return unk_score_; }
  /// Appends what becomes of a run of unknown characters.
  void push_unknown(std::string_view word, uint32_t begin, uint32_t end, std::vector<ModelToken>& out) const;

 private:
  std::shared_ptr<const Vocabulary> vocabulary_;
  Table<double> scores_;
  Settings settings_;
  double unk_score_ = 0;
  bool run_may_be_piece_ = false;  // of unknown characters
  PieceTrie trie_;
  std::array<int32_t, 256> byte_ids_{};  // -1: the vocabulary lacks it
};

}  // namespace mica
