#pragma once
// A model turns one word into tokens.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mica/base/image.h"
#include "mica/base/json.h"
#include "mica/tokenizers/models/vocabulary.h"
#include "mica/tokenizers/readers/fields.h"

namespace mica {

struct ModelToken {
  int32_t id;
  uint32_t begin, end;  ///< bytes of the word
};

class TokenModel {
 public:
  virtual ~TokenModel() = default;
  virtual const char* type() const = 0;
  virtual const Vocabulary& vocabulary() const = 0;
  /// What ids stand for where they become text again, if that is another language's vocabulary (FSMT).
  virtual const Vocabulary& decoded_vocabulary() const { return vocabulary(); }
  /// Appends the tokens of a word (valid UTF-8, not empty). Throws Error when the word is unknown and the model has no
  /// unknown token.
  virtual void tokenize(std::string_view word, std::vector<ModelToken>& out) const = 0;
  /// The token that stands for any text: its text, where a call asks for it, is what it stands for. -1: none does.
  virtual int32_t surface_id() const { return -1; }
  /// The "model" object of tokenizer.json, vocabulary included.
  virtual Json to_json() const = 0;
  /// Adds what takes long to make, beyond the vocabulary, to an image, from which make_model() takes it. Returns false
  /// for a model that is not kept in images.
  virtual bool write(ImageWriter& image) const {
    static_cast<void>(image);
    return false;
  }
};

/// Pairs of tokens that BPE joins, as the file gives them.
class Merges {
 public:
  void add(std::string_view left, std::string_view right) {
    text_.append(left).append(right);
    pairs_.push_back({static_cast<uint32_t>(left.size()), static_cast<uint32_t>(right.size()), text_.size()});
  }
  size_t size() const { return pairs_.size(); }
  std::string_view left(size_t i) const { return at(i).substr(0, pairs_[i].left); }
  std::string_view right(size_t i) const { return at(i).substr(pairs_[i].left); }
  /// Both, as the token that they make.
  std::string_view at(size_t i) const {
    const Pair& pair = pairs_[i];
    const size_t length = size_t{pair.left} + pair.right;
    return std::string_view(text_).substr(pair.end - length, length);
  }

 private:
  struct Pair {
    uint32_t left, right;  // bytes
    size_t end;            // in text_
  };
  std::string text_;
  std::vector<Pair> pairs_;
};

using TokenModelPtr = std::shared_ptr<const TokenModel>;

/// What a "model" object holds in bulk. The reader streams it out of the file; what stays are a few settings.
struct ModelData {
  std::shared_ptr<Vocabulary> vocabulary;  ///< finished; null without a "vocab"
  bool scored = false;                     ///< "vocab" was a list of [token, score] (Unigram), not an object of ids
  std::vector<double> scores;              ///< by id, of a scored vocabulary
  bool has_merges = false;                 ///< there are "merges", perhaps none in them
  Merges merges;                           ///< in order of rank
  /// Not null: what TokenModel::write() put there comes next, in place of scores and merges.
  ImageReader* image = nullptr;
};

/// Reads the "model" object, whose bulk is in `data`.
TokenModelPtr make_model(Fields fields, ModelData data);
/// A vocabulary as an object of ids, in their order.
Json vocabulary_json(const Vocabulary& vocabulary);

}  // namespace mica
