#pragma once
// The arguments of a tokenizer's calls. Fields are given in the order they are declared here:
// `tokenizer(text, {.padding = Padding::max_length, .truncation = true, .max_length = 128})`.

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mica {

enum class Padding { none, longest, max_length };
enum class Truncation { none, longest_first, only_first, only_second };
enum class Side { right, left };

/// A Padding, or a bool: true pads to the longest row of the batch.
class PaddingChoice {
 public:
  PaddingChoice(Padding padding) : padding_(padding) {}
  template <std::same_as<bool> Flag>
  PaddingChoice(Flag flag) : padding_(flag ? Padding::longest : Padding::none) {}
  operator Padding() const { return padding_; }

 private:
  Padding padding_;
};

/// A Truncation, or a bool: true is longest_first. Left out, a text is cut (longest_first) when max_length is given
/// without padding.
class TruncationChoice {
 public:
  TruncationChoice() = default;
  TruncationChoice(Truncation truncation) : truncation_(truncation) {}
  template <std::same_as<bool> Flag>
  TruncationChoice(Flag flag) : truncation_(flag ? Truncation::longest_first : Truncation::none) {}
  bool given() const { return truncation_.has_value(); }
  Truncation value() const { return truncation_.value_or(Truncation::none); }

 private:
  std::optional<Truncation> truncation_;
};

struct TokenizerOptions {
  PaddingChoice padding = Padding::none;
  TruncationChoice truncation = {};
  std::optional<int64_t> max_length = {};  ///< tokens, special ones included; default: the tokenizer's own limit
  int64_t stride = 0;                      ///< tokens that one overflowing window shares with the one before
  bool return_overflowing_tokens = false;  ///< what truncation cuts off becomes further rows
  std::optional<int64_t> pad_to_multiple_of = {};
  bool add_special_tokens = true;
  std::optional<Side> padding_side = {};  ///< default: the tokenizer's own
  std::optional<Side> truncation_side = {};
  bool is_split_into_words = false;   ///< a vector of strings is one text's words, not a batch
  bool text_target = false;           ///< the texts are targets (for tokenizers that treat them differently)
  bool split_special_tokens = false;  ///< special tokens inside the text are ordinary text
  std::optional<bool> return_token_type_ids = {};  ///< default: as Tokenizer::model_input_names says
  std::optional<bool> return_attention_mask = {};
  int num_threads = 0;  ///< for batches; 0: what mica::num_threads() says
};

struct DecodeOptions {
  bool skip_special_tokens = false;
  std::optional<bool> clean_up_tokenization_spaces = {};  ///< default: as tokenizer_config.json says, else no
};

/// A token that is matched in the text before the model sees it.
struct AddedToken {
  std::string content;
  bool single_word = false;  ///< only where no letter or digit touches it
  bool lstrip = false;       ///< takes the white space before it
  bool rstrip = false;       ///< takes the white space after it
  bool normalized = true;    ///< matched in the normalized text
  bool special = false;      ///< skipped by decode with skip_special_tokens
  friend bool operator==(const AddedToken&, const AddedToken&) = default;
};

/// The named special tokens; empty: the tokenizer has none.
struct SpecialTokens {
  std::optional<std::string> bos_token = {};
  std::optional<std::string> eos_token = {};
  std::optional<std::string> unk_token = {};
  std::optional<std::string> sep_token = {};
  std::optional<std::string> pad_token = {};
  std::optional<std::string> cls_token = {};
  std::optional<std::string> mask_token = {};
  std::vector<std::string> additional_special_tokens = {};
};

}  // namespace mica
