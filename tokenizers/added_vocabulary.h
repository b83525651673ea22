#pragma once
// Added tokens: found in the text before anything else happens to it, all of them in one pass.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "mica/tokenizers/models/vocabulary.h"
#include "mica/tokenizers/normalized_text.h"
#include "mica/tokenizers/normalizers.h"
#include "mica/tokenizers/options.h"

namespace mica {

/// Finds the leftmost of several patterns, and of those that start there the longest (A. Aho and M. Corasick 1975),
/// in one pass over the text.
class PatternMatcher {
 public:
  struct Match {
    size_t begin, end;
    size_t pattern;
  };
  PatternMatcher() = default;
  explicit PatternMatcher(const std::vector<std::string>& patterns);
  bool empty() const { return nodes_.empty(); }
  /// The first match that starts at `from` or later.
  std::optional<Match> find(std::string_view text, size_t from) const;

 private:
  struct Node {
    std::vector<std::pair<unsigned char, uint32_t>> children;  // by byte
    uint32_t suffix = 0;                                       // the longest proper suffix that is a node
    int32_t pattern = -1;                                      // ends here
    int32_t longest = -1;  // the longest pattern that ends here or is a suffix of what leads here
    uint32_t depth = 0;
  };
  uint32_t child(uint32_t node, unsigned char byte) const;

  std::vector<Node> nodes_;
  std::vector<size_t> lengths_;
  bool starts_[256] = {};  // bytes that begin a pattern: everything else is skipped
  int single_start_ = -1;  // the byte, when all patterns begin with the same one
};

class AddedVocabulary {
 public:
  /// A piece of text: an added token, or (id -1) what lies between.
  struct Piece {
    ByteRange range;
    int32_t id;
  };

  /// Adds tokens as the reference does: one the model knows keeps the model's id, a new one gets the next free id.
  /// Returns how many were new. Call build() afterwards.
  int64_t add(const std::vector<AddedToken>& tokens, const Vocabulary& vocabulary);
  /// Makes the matchers; `normalizer` may be null.
  void build(const Normalizer* normalizer);

  bool any_raw() const { return !raw_.empty(); }
  bool any_normalized() const { return !normalized_.empty(); }
  /// Cuts the text at added tokens that are matched before (`raw`) or after normalization. Returns false, leaving
  /// `pieces` empty, when there is none in it. With `skip_special`, special ones are ordinary text.
  bool split(std::string_view text, bool raw, bool skip_special, std::vector<Piece>& pieces) const;

  std::optional<int32_t> find(std::string_view token) const;
  /// The added token with this id, or null.
  const AddedToken* token(int32_t id) const;
  /// What an added id decodes to: for one that is matched in the normalized text, its normalized form, as the
  /// reference has it.
  std::string_view text(int32_t id) const { return texts_.at(id); }
  bool is_added(int32_t id) const {
    return static_cast<uint32_t>(id) < flags_.size() && flags_[static_cast<size_t>(id)] != 0;
  }
  bool is_special_id(int32_t id) const { return is_added(id) && (flags_[static_cast<size_t>(id)] & kSpecial) != 0; }
  bool is_special(std::string_view token) const { return special_.count(std::string(token)) != 0; }
  const std::map<int32_t, AddedToken>& by_id() const { return by_id_; }

 private:
  std::unordered_map<std::string, int32_t> ids_;
  std::map<int32_t, AddedToken> by_id_;
  std::unordered_map<int32_t, std::string> texts_;
  std::vector<int32_t> order_;  // ids as they came: of equal patterns the first wins, special ones before others
  std::unordered_set<std::string> special_;
  static constexpr uint8_t kAdded = 1, kSpecial = 2;
  std::vector<uint8_t> flags_;  // by id, up to the highest added one
  PatternMatcher raw_, normalized_;
  std::vector<int32_t> raw_ids_, normalized_ids_;
};

}  // namespace mica
