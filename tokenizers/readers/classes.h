#pragma once
// The tokenizer classes that tokenizer_config.json names, and what each makes of a folder's files.
//
// Where there is a tokenizer.json, it says nearly everything, and the class only adds its defaults. Where there is
// none, the class decides what the older files mean.

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mica/tokenizers/engine.h"
#include "mica/tokenizers/readers/settings.h"

namespace mica {

/// Defaults of the special tokens; null: the class has none.
struct DefaultTokens {
  const char* bos = nullptr;
  const char* eos = nullptr;
  const char* unk = nullptr;
  const char* sep = nullptr;
  const char* pad = nullptr;
  const char* cls = nullptr;
  const char* mask = nullptr;
};

class TokenizerClass {
 public:
  TokenizerClass(const char* class_name, DefaultTokens defaults) : name(class_name), tokens(defaults) {}
  virtual ~TokenizerClass() = default;

  std::string_view name;  ///< without "Fast"
  DefaultTokens tokens;
  bool type_ids = false;       ///< the model takes token_type_ids
  bool attention_mask = true;  ///< the model takes one
  bool lstrip_mask = false;    ///< the mask token takes the space before it
  /// Where padding goes when no file says.
  Side padding_side = Side::right;
  /// A target whose language nobody names goes without one; otherwise the source's stands in.
  bool plain_targets = false;

  /// The files that it reads where there is no tokenizer.json, any one of these sets: "vocab.json merges.txt".
  virtual std::vector<std::string> files() const = 0;
  /// The Engine that the class makes of its own files in `folder`, one of whose sets is complete. The class's default
  /// tokens have been filled in to `settings.special`. Still needs Engine::prepare(). Throws Error naming the file.
  virtual std::shared_ptr<Engine> read(const std::string& folder, TokenizerSettings& settings) const = 0;
  /// Applies what tokenizer_config.json says over the components of a tokenizer.json (do_lower_case, ...). `file` names
  /// tokenizer_config.json.
  virtual void adjust(Engine& engine, const TokenizerSettings& settings, const std::string& file) const {
    static_cast<void>(engine), static_cast<void>(settings), static_cast<void>(file);
  }

  /// Whether the token of a text's language goes around the text.
  virtual bool marks_languages() const { return false; }
  /// The language of sources when nobody names one, where that is not the same as a text without one.
  virtual std::optional<std::string> usual_source(const TokenizerSettings& settings, const std::string& file) const {
    static_cast<void>(settings), static_cast<void>(file);
    return std::nullopt;
  }
  /// What goes around a text of `language`, spelled as callers do ("de", "de_DE"); nothing: what the class does when
  /// nobody names one. Throws Error for a language that it has no token for. Only for classes that mark languages.
  virtual PostProcessor around(const Engine& engine, const TokenizerSettings& settings,
                               const std::optional<std::string>& language, const std::string& file) const {
    static_cast<void>(engine), static_cast<void>(settings), static_cast<void>(language), static_cast<void>(file);
    return {};
  }
  /// The same for targets, and their language when nobody names one.
  virtual PostProcessor around_target(const Engine& engine, const TokenizerSettings& settings,
                                      const std::optional<std::string>& language, const std::string& file) const {
    return around(engine, settings, language, file);
  }
  virtual std::optional<std::string> usual_target() const { return std::nullopt; }
};

using TokenizerClasses = std::span<const TokenizerClass* const>;

/// BERT's relatives: vocab.txt with a WordPiece token a line.
TokenizerClasses wordpiece_classes();
/// Those made of a SentencePiece .model.
TokenizerClasses sentencepiece_classes();

/// Without a vocabulary file: ByT5 and Perceiver (bytes), CANINE (code points).
TokenizerClasses byte_classes();
/// GPT-2's and RoBERTa's relatives: vocab.json and merges.txt.
TokenizerClasses byte_pair_classes();

/// Those of many languages with pieces and numbers of their own: NLLB, M2M100 and PLBart.
TokenizerClasses translation_classes();
/// Those whose tokens end in @@ inside a word: Blenderbot's small models, CTRL, PhoBERT and BERTweet.
TokenizerClasses marked_byte_pair_classes();
/// Those that cut words as the Moses scripts do: XLM, FlauBERT, BioGPT and FSMT.
TokenizerClasses moses_classes();
/// Those with SentencePiece's own cutting and numbers of their own: BARTpho, mLUKE, XLM-ProphetNet and CPM.
TokenizerClasses piece_classes();
/// Those that the reference keeps in Python: BertGeneration, GPT-SW3, ESM.
TokenizerClasses python_classes();
/// Marian: source.spm, target.spm and vocab.json.
TokenizerClasses marian_classes();

/// Null for a class that nobody knows. `name` is without "Fast".
const TokenizerClass* find_tokenizer_class(std::string_view name);
/// The class of a folder that names none: by the model_type of config.json where that tells it (`model_type` may be
/// empty), else by the files that are there. Null when nothing tells it.
const TokenizerClass* guess_tokenizer_class(const std::string& folder, std::string_view model_type);
/// The complete set of files that the class reads from this folder; empty when there is none.
std::vector<std::string> files_of_class(const TokenizerClass& tokenizer_class, const std::string& folder);

/// LUKE's tokens around entities, behind those that the files name. Throws Error for a task, which needs the entities'
/// spans.
void add_entity_tokens(Fields& config, SpecialTokens& special);
void fill_defaults(const DefaultTokens& tokens, SpecialTokens& special);

}  // namespace mica
