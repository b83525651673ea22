#pragma once
// SentencePiece's .model file: a protocol buffer (ModelProto of sentencepiece_model.proto), read by hand, field by
// field.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mica/tokenizers/engine.h"
#include "mica/tokenizers/models/vocabulary.h"

namespace mica {

struct SentencePieceModel {
  enum class Kind { unigram = 1, bpe = 2, word = 3, character = 4 };
  enum class PieceType : uint8_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

  std::string file;  ///< names it in errors
  Kind kind = Kind::unigram;
  std::shared_ptr<const Vocabulary> vocabulary;
  std::vector<float> scores;     ///< by id
  std::vector<PieceType> types;  ///< by id
  int32_t unk_id = 0;            ///< the piece of type unknown

  bool byte_fallback = false;
  bool treat_whitespace_as_suffix = false;
  std::string unk_surface = " \u2047 ";  ///< what the unknown piece decodes to
  std::string bos_piece = "<s>", eos_piece = "</s>", pad_piece = "<pad>";

  std::string normalizer_name;
  std::string charsmap;      ///< bytes of a CharsMap; empty: characters stay as they are
  std::string denormalizer;  ///< the same, for decoded text
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;

  PieceType type(int32_t id) const { return types[static_cast<size_t>(id)]; }
  std::string_view piece(int32_t id) const { return vocabulary->token(id); }
  int32_t size() const { return static_cast<int32_t>(types.size()); }
  /// The id of a control piece, or -1.
  int32_t control_id(std::string_view piece) const;
};

/// Reads the bytes of a .model; `file` names it in errors. Everything is checked before it is kept: piece texts (UTF-8,
/// not empty, not twice), types, that there is one unknown piece and, with byte fallback, each of the 256 byte pieces.
SentencePieceModel read_sentencepiece_model(std::string_view bytes, const std::string& file);

/// What SentencePiece itself does with the model, without any special token; still needs Engine::prepare().
std::shared_ptr<Engine> make_sentencepiece_engine(std::shared_ptr<const SentencePieceModel> model);

}  // namespace mica
