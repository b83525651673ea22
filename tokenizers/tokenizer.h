#pragma once
// Text to ids and back, as a published model folder says: tokenizer.json, or the older vocabulary files.

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mica/tokenizers/batch_encoding.h"
#include "mica/tokenizers/chat/chat_template.h"
#include "mica/tokenizers/decode_stream.h"
#include "mica/tokenizers/options.h"
#include "mica/tokenizers/trainers/text_source.h"

namespace mica {

struct TokenizerRecipe;
struct TrainerOptions;

/// A value: copies are cheap and independent (a copy that gets tokens added leaves the others alone). Const methods may
/// be called from several threads at once.
///
/// Texts are UTF-8; what is not valid UTF-8 is read as U+FFFD. A method throws mica::Error for arguments that cannot
/// be met (padding without a padding token, a stride not below the window, ...).
class Tokenizer {
 public:
  /// Opens a directory, a hub id found in the local Hugging Face cache, or one file, as from_file() does. Throws Error
  /// naming the file and key that is missing, malformed or unknown.
  static Tokenizer from_pretrained(const std::string& name_or_folder);
  /// Opens one file: a tokenizer.json without the files beside it, a tiktoken rank file (with the encoding.json beside
  /// it where its name is not known), a tekken.json, or a SentencePiece model, whose pieces are then SentencePiece's
  /// own, without special tokens. Its content tells which.
  static Tokenizer from_file(const std::string& path);
  /// Reads the text of a tokenizer.json; `where` names it in errors.
  static Tokenizer from_json(std::string_view text, const std::string& where = "tokenizer.json");

  Tokenizer(const Tokenizer&);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(const Tokenizer&);
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// One text; a text and its pair; a batch; a batch of pairs. With is_split_into_words a vector of strings is the
  /// words of one text, and a vector of vectors a batch of such.
  BatchEncoding operator()(std::string_view text, const TokenizerOptions& options = {}) const;
  BatchEncoding operator()(std::string_view text, std::string_view pair, const TokenizerOptions& options = {}) const;
  BatchEncoding operator()(const std::vector<std::string>& texts, const TokenizerOptions& options = {}) const;
  BatchEncoding operator()(const std::vector<std::vector<std::string>>& texts,
                           const TokenizerOptions& options = {}) const;
  // Templates, so that options in braces are not taken for a vector of pairs.
  template <std::same_as<std::string> String>
  BatchEncoding operator()(const std::vector<std::string>& texts, const std::vector<String>& pairs,
                           const TokenizerOptions& options = {}) const {
    return encode_pairs(texts, pairs, options);
  }
  template <std::same_as<std::vector<std::string>> Words>
  BatchEncoding operator()(const std::vector<std::vector<std::string>>& texts, const std::vector<Words>& pairs,
                           const TokenizerOptions& options = {}) const {
    return encode_pairs(texts, pairs, options);
  }
  BatchEncoding operator()(std::initializer_list<std::string_view> texts, const TokenizerOptions& options = {}) const;
  BatchEncoding operator()(std::initializer_list<std::string_view> texts, std::initializer_list<std::string_view> pairs,
                           const TokenizerOptions& options = {}) const;
  /// Without copying the texts. `pairs` is empty or as long as `texts`.
  BatchEncoding encode_batch(std::span<const std::string_view> texts, std::span<const std::string_view> pairs,
                             const TokenizerOptions& options = {}) const;

  /// Only the ids, or only the tokens, of one text.
  std::vector<int32_t> encode(std::string_view text, const TokenizerOptions& options = {}) const;
  std::vector<std::string> tokenize(std::string_view text,
                                    const TokenizerOptions& options = {.add_special_tokens = false}) const;

  /// Ids back to text; ids that the vocabulary lacks are left out, as the reference does.
  std::string decode(std::span<const int32_t> ids, const DecodeOptions& options = {}) const;
  std::string decode(std::span<const int64_t> ids, const DecodeOptions& options = {}) const;
  std::string decode(std::initializer_list<int64_t> ids, const DecodeOptions& options = {}) const;
  std::vector<std::string> batch_decode(const std::vector<std::vector<int64_t>>& ids,
                                        const DecodeOptions& options = {}) const;
  std::vector<std::string> batch_decode(const Ragged<int32_t>& ids, const DecodeOptions& options = {}) const;

  /// The bytes that each id, up to the highest, adds to a text when it stands among others: whole
  /// characters or parts of some, with the space that a word begins with. Empty for special tokens and for ids that are
  /// none.
  std::vector<std::string> token_bytes() const;

  /// Decodes ids one by one, as a model gives them.
  DecodeStream decode_stream(const DecodeOptions& options = {}) const;

  /// The id of a token; for one that the vocabulary lacks the unknown token's id, or -1 where there is none.
  int32_t convert_tokens_to_ids(std::string_view token) const;
  std::vector<int32_t> convert_tokens_to_ids(const std::vector<std::string>& tokens) const;
  /// The id of exactly this token, if the vocabulary or the added tokens have it.
  std::optional<int32_t> token_to_id(std::string_view token) const;
  /// Throws Error for an id out of range.
  std::string convert_ids_to_tokens(int64_t id) const;
  std::vector<std::string> convert_ids_to_tokens(std::span<const int32_t> ids, bool skip_special_tokens = false) const;
  std::string convert_tokens_to_string(const std::vector<std::string>& tokens) const;

  /// The text that the model's chat template makes of a conversation (apply_chat_template(..., tokenize=False) of
  /// transformers):
  /// `tokenizer.apply_chat_template({{"user", "Hello"}}, {.add_generation_prompt = true})`. Throws Error when there is
  /// no such template, when it is malformed, or when it fails; the error names the template and the line.
  std::string apply_chat_template(const Conversation& conversation, const ChatTemplateOptions& options = {}) const;
  /// That text's ids, without further special tokens, and which of them the assistant wrote.
  ChatEncoding encode_chat(const Conversation& conversation, const ChatTemplateOptions& options = {},
                           const TokenizerOptions& tokenizer_options = {}) const;
  ChatEncoding encode_chats(const std::vector<Conversation>& conversations, const ChatTemplateOptions& options = {},
                            const TokenizerOptions& tokenizer_options = {}) const;
  /// The text of a template; nothing when the tokenizer has none of that name.
  std::optional<std::string> chat_template(std::string_view name = "default") const;
  std::vector<std::string> chat_template_names() const;
  void set_chat_template(std::string text, const std::string& name = "default");

  int64_t vocab_size() const;  ///< without added tokens
  int64_t size() const;        ///< with added tokens: the smallest embedding that suits is the highest id plus one
  std::vector<std::pair<std::string, int32_t>> get_vocab() const;    ///< with added tokens, by id
  std::vector<std::pair<AddedToken, int32_t>> added_tokens() const;  ///< by id

  SpecialTokens special_tokens() const;
  std::optional<int32_t> bos_token_id() const;
  std::optional<int32_t> eos_token_id() const;
  std::optional<int32_t> unk_token_id() const;
  std::optional<int32_t> sep_token_id() const;
  std::optional<int32_t> pad_token_id() const;
  std::optional<int32_t> cls_token_id() const;
  std::optional<int32_t> mask_token_id() const;
  std::optional<std::string> pad_token() const;
  std::optional<std::string> mask_token() const;
  std::vector<int32_t> all_special_ids() const;
  std::vector<std::string> all_special_tokens() const;
  int32_t pad_token_type_id() const;
  int64_t num_special_tokens_to_add(bool pair = false) const;

  /// The longest input in tokens that the model takes; nothing when the files give no limit.
  std::optional<int64_t> model_max_length() const;
  void set_model_max_length(std::optional<int64_t> length);
  Side padding_side() const;
  void set_padding_side(Side side);
  Side truncation_side() const;
  void set_truncation_side(Side side);
  /// input_ids, attention_mask and, for models that take them, token_type_ids.
  const std::vector<std::string>& model_input_names() const;
  /// The language of texts and of targets (TokenizerOptions::text_target), for classes that put its token around a
  /// text: NLLB, M2M100, MBart, PLBart. Spelled as the model does ("eng_Latn", "en_XX") or, for tokens like __en__,
  /// "en". Throws Error for a class that has no languages and for a language that the vocabulary lacks.
  bool marks_languages() const;
  void set_src_lang(const std::string& language);
  void set_tgt_lang(const std::string& language);
  /// The class that tokenizer_config.json names, such as BertTokenizer; empty when it names none.
  const std::string& tokenizer_class() const;
  /// The tokenizer's algorithm: WordPiece, WordLevel, ...
  std::string model_type() const;

  /// Adds tokens that the vocabulary lacks, with the next free ids; returns how many were new. The model's embedding
  /// must be resized to size() by the caller.
  int64_t add_tokens(const std::vector<AddedToken>& tokens);
  int64_t add_tokens(const std::vector<std::string>& tokens, bool special = false);
  int64_t add_tokens(std::initializer_list<std::string_view> tokens, bool special = false);
  /// Names special tokens, and adds those that the vocabulary lacks; returns how many were new.
  int64_t add_special_tokens(const SpecialTokens& tokens);

  /// Pads the rows of an encoding in place, as the call with the same options would have.
  void pad(BatchEncoding& encoding, const TokenizerOptions& options) const;

  /// A tokenizer of the same components, settings and special tokens, with a vocabulary of this size trained on the
  /// texts. `new_special_tokens` come after those there are; `special_tokens_map` renames some. The trainer is the one
  /// of the model: BPE, WordPiece, Unigram or WordLevel. Throws Error for a corpus without words, for text that is not
  /// UTF-8, for sizes out of range and for options that the trainer does not have.
  Tokenizer train_new_from_iterator(TextSource texts, int64_t vocab_size,
                                    const std::vector<AddedToken>& new_special_tokens = {},
                                    const std::map<std::string, std::string>& special_tokens_map = {}) const;
  /// With settings of the trainer (trainers/training.h).
  Tokenizer train_new_from_iterator(TextSource texts, int64_t vocab_size,
                                    const std::vector<AddedToken>& new_special_tokens,
                                    const std::map<std::string, std::string>& special_tokens_map,
                                    const TrainerOptions& options) const;

  /// Writes tokenizer.json, tokenizer_config.json, special_tokens_map.json, the chat templates and, for WordPiece,
  /// vocab.txt; the folder is made if need be. Returns the paths written.
  std::vector<std::string> save_pretrained(const std::string& folder) const;
  /// The text of tokenizer.json.
  std::string to_json() const;

 private:
  friend Tokenizer train_tokenizer(TextSource texts, const TokenizerRecipe& recipe, const TrainerOptions& options);
  struct Impl;
  explicit Tokenizer(std::shared_ptr<const Impl> impl);
  BatchEncoding encode_pairs(const std::vector<std::string>& texts, const std::vector<std::string>& pairs,
                             const TokenizerOptions& options) const;
  BatchEncoding encode_pairs(const std::vector<std::vector<std::string>>& texts,
                             const std::vector<std::vector<std::string>>& pairs, const TokenizerOptions& options) const;
  Impl& mutable_impl();
  void set_language(const std::string& language, bool target);
  std::shared_ptr<const Impl> impl_;
};

/// The name the guide knows: `auto tokenizer = AutoTokenizer::from_pretrained("bert-base-uncased");`
struct AutoTokenizer {
  static Tokenizer from_pretrained(const std::string& name_or_folder) {
    return Tokenizer::from_pretrained(name_or_folder);
  }
};

}  // namespace mica
