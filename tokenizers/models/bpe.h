#pragma once
// Byte-pair encoding: a word starts as its characters, and the adjacent pair of the lowest rank is joined, the leftmost
// of several first, until no pair has a rank (R. Sennrich et al. 2016, "Neural machine translation of rare words with
// subword units").

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mica/tokenizers/models/model.h"
#include "mica/tokenizers/models/pair_table.h"

namespace mica {

class Bpe : public TokenModel {
 public:
  struct Settings {
    std::optional<double> dropout = {};  ///< the chance, 0 to 1, that a pair is passed over when its turn comes
    std::optional<std::string> unk_token = {};
    std::optional<std::string> continuing_subword_prefix = {};  ///< before every character but a word's first
    std::optional<std::string> end_of_word_suffix = {};         ///< after a word's last character
    bool fuse_unk = false;                                      ///< neighbouring unknown characters are one token
    bool byte_fallback = false;                                 ///< unknown characters become tokens like <0xE4>
    bool ignore_merges = false;                                 ///< a word that is a token stays whole
    bool drops() const { return dropout && *dropout > 0; }
  };
  /// The rank of a pair is its place among the merges; of a pair that is there twice, the last. Throws Error naming
  /// `file` for a merge whose tokens the vocabulary lacks.
  Bpe(std::shared_ptr<const Vocabulary> vocabulary, const Merges& merges, Settings settings, const std::string& file);
  /// One whose merges an image keeps.
  Bpe(std::shared_ptr<const Vocabulary> vocabulary, ImageReader& image, Settings settings);
  bool write(ImageWriter& image) const override;
  /// What tiktoken runs: ids are ranks, and the pair is joined whose text together is the token of the lowest id; a
  /// word that is a token stays whole. Tokens are spelled in characters (byte level: byte_level.h), and one id a
  /// character.
  static std::shared_ptr<const Bpe> from_ranks(std::shared_ptr<const Vocabulary> vocabulary, const std::string& file);

  const char* type() const override { return "BPE"; }
  const Vocabulary& vocabulary() const override { return *vocabulary_; }
  void tokenize(std::string_view word, std::vector<ModelToken>& out) const override;
  Json to_json() const override;

  struct Pair {
    int32_t left, right;
  };
  const Settings& options() const { return settings_; }
  /// Ranks of pairs; made()[rank] is what the pair becomes.
  const PairTable& pairs() const { return pairs_; }
  const Table<int32_t>& made() const { return made_; }
  /// As the file lists them.
  const Table<Pair>& merges() const { return merges_; }
  /// The rank of the i-th merge.
  uint32_t rank(size_t i) const {
    return ranks_are_ids_ ? static_cast<uint32_t>(joined_[i]) : static_cast<uint32_t>(i);
  }

 private:
  struct Symbol {
    int32_t id;
    uint32_t length;  // bytes of the word
  };
  using Symbols = BlockVector<Symbol>;

  Bpe(std::shared_ptr<const Vocabulary> vocabulary, Settings settings);
  void check_size(size_t merges, const std::string& file) const;
  void find_symbols(std::string_view word, Symbols& symbols) const;
  int32_t symbol_id(std::string_view character, bool first, bool last, std::string& spelled) const;
  size_t merge_few(Symbol* symbols, size_t count) const;
  void merge_many(Symbols& symbols) const;

  std::shared_ptr<const Vocabulary> vocabulary_;
  Settings settings_;
  std::optional<int32_t> unk_id_;
  std::vector<int32_t> byte_ids_;   // <0x00> ... <0xFF>, -1 where there is none; empty without byte_fallback
  std::vector<int32_t> small_ids_;  // of the first code points, for models without prefix and suffix
  PairTable pairs_;
  Table<int32_t> made_;
  Table<Pair> merges_;
  bool ranks_are_ids_ = false;
  std::vector<int32_t> joined_;                     // what each of merges_ makes, where ranks are ids
  mutable std::atomic<uint64_t> dropout_words_{0};  // words so far: the seed of the next
};

}  // namespace mica
