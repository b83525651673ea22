#pragma once
// Post-processors put special tokens around the texts and say which type each token has.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mica/base/json.h"
#include "mica/tokenizers/readers/fields.h"

namespace mica {

/// One place of a template: a text, or special tokens.
struct TemplatePiece {
  int sequence = -1;  ///< 0: the text, 1: the pair, -1: special tokens
  int32_t type_id = 0;
  std::vector<int32_t> ids = {};
  std::vector<std::string> tokens = {};  ///< as long as ids
};

/// All kinds of post-processors come down to two templates and two questions.
class PostProcessor {
 public:
  /// Without a "post_processor": nothing is added, the pair has type 1.
  PostProcessor();
  /// Reads {"type": ..., ...}. Throws Error that names an unknown type.
  explicit PostProcessor(Fields fields);

  const std::vector<TemplatePiece>& pieces(bool pair) const { return pair ? pair_ : single_; }
  /// How many special tokens the template adds.
  int64_t added(bool pair) const;
  /// A text's windows after its first keep the type 0 (text) or 1 (pair) whatever the template says, as the reference
  /// has it; false where it gives them the template's.
  bool overflow_keeps_sequence_type() const { return overflow_keeps_sequence_type_; }
  /// White space at the ends of a token is no part of its offsets.
  bool trims_offsets() const { return !trims_.empty(); }
  /// One entry for each time that offsets are trimmed: whether a space was put in front of the text.
  const std::vector<bool>& trims() const { return trims_; }

  /// Null when the file had none.
  const Json& to_json() const { return json_; }

 private:
  void read(Fields& fields);
  void read_trim(Fields& fields);
  void read_template(Fields& fields);
  void read_fixed(Fields& fields, bool roberta);

  std::vector<TemplatePiece> single_, pair_;
  bool has_template_ = false;
  bool overflow_keeps_sequence_type_ = true;
  std::vector<bool> trims_;
  Json json_;
};

}  // namespace mica
