#include "mica/tokenizers/readers/sentencepiece_model.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "mica/base/error.h"
#include "mica/tokenizers/models/sentencepiece.h"
#include "mica/tokenizers/sentencepiece_text.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

using PieceType = SentencePieceModel::PieceType;

[[noreturn]] void broken(const std::string& problem, const std::string& file) {
  throw Error("not a SentencePiece model: " + problem, printable(file, 400), "fetch the file again");
}

// One message of the protocol buffer: its fields, one after another.
class Message {
 public:
  Message(std::string_view bytes, const std::string& file) : rest_(bytes), file_(&file) {}

  /// Moves to the next field; false at the end.
  bool next() {
    if (rest_.empty()) return false;
    const uint64_t key = varint();
    number_ = static_cast<uint32_t>(key >> 3);
    wire_ = static_cast<int>(key & 7);
    if (key >> 32 != 0 || number_ == 0) fail("a field of number " + std::to_string(key >> 3));
    switch (wire_) {
      case 0:
        value_ = varint();
        return true;
      case 1:
        bytes_ = take(8);
        return true;
      case 2:
        bytes_ = take(varint());
        return true;
      case 5:
        bytes_ = take(4);
        return true;
      default:
        fail("wire type " + std::to_string(wire_));
    }
  }
  uint32_t number() const { return number_; }

  std::string_view bytes() const {
    expect(2);
    return bytes_;
  }
  std::string text() const {
    if (!utf8::is_valid(bytes())) fail("a text that is not UTF-8");
    return std::string(bytes());
  }
  Message message() const { return {bytes(), *file_}; }
  int64_t integer() const {
    expect(0);
    return static_cast<int64_t>(value_);
  }
  bool boolean() const { return integer() != 0; }
  float real() const {
    expect(5);
    uint32_t bits = 0;
    for (size_t i = 4; i-- > 0;) bits = bits << 8 | static_cast<unsigned char>(bytes_[i]);
    return std::bit_cast<float>(bits);
  }
  [[noreturn]] void fail(const std::string& problem) const { broken(problem, *file_); }

 private:
  void expect(int wire) const {
    if (wire_ != wire) fail("field " + std::to_string(number_) + " has wire type " + std::to_string(wire_));
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      if (rest_.empty()) fail("it ends in a number");
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      if (shift == 63 && byte > 1) break;
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    fail("a number beyond 64 bits");
  }
  std::string_view take(uint64_t n) {
    if (n > rest_.size())
      fail("it is cut: a field of " + std::to_string(n) + " bytes, " + std::to_string(rest_.size()) + " left");
    const std::string_view taken = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return taken;
  }

  std::string_view rest_;
  const std::string* file_;
  uint32_t number_ = 0;
  int wire_ = 0;
  uint64_t value_ = 0;
  std::string_view bytes_;
};

// "<0x0A>" to 10; -1 for anything else.
int byte_of_piece(std::string_view piece) {
  if (piece.size() != 6 || piece.substr(0, 3) != "<0x" || piece[5] != '>') return -1;
  int value = 0;
  for (const char c : piece.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

class Reader {
 public:
  explicit Reader(const std::string& file) : file_(file) { model_.file = file; }

  SentencePieceModel read(std::string_view bytes) {
    for (Message root(bytes, file_); root.next();) {
      switch (root.number()) {
        case 1:
          read_piece(root.message());
          break;
        case 2:
          read_trainer(root.message());
          break;
        case 3:
          read_normalizer(root.message());
          break;
        case 5:
          for (Message spec = root.message(); spec.next();) {
            if (spec.number() == 2) model_.denormalizer = spec.bytes();
          }
          break;
        default:
          break;
      }
    }
    finish();
    return std::move(model_);
  }

 private:
  void read_piece(Message piece) {
    std::string_view text;
    float score = 0;
    int64_t type = 1;
    while (piece.next()) {
      if (piece.number() == 1) text = piece.bytes();
      if (piece.number() == 2) score = piece.real();
      if (piece.number() == 3) type = piece.integer();
    }
    const std::string which = "piece " + std::to_string(model_.types.size());
    if (text.empty() || !utf8::is_valid(text)) broken(which + " is empty or not UTF-8", file_);
    if (type < 1 || type > 6) broken(which + " has type " + std::to_string(type), file_);
    if (!std::isfinite(score)) broken(which + " has no finite score", file_);
    vocabulary_->add(text, static_cast<int64_t>(model_.types.size()), file_);
    model_.scores.push_back(score);
    model_.types.push_back(static_cast<PieceType>(type));
  }

  void read_trainer(Message spec) {
    while (spec.next()) {
      switch (spec.number()) {
        case 3: {
          const int64_t kind = spec.integer();
          if (kind < 1 || kind > 4) broken("model type " + std::to_string(kind), file_);
          model_.kind = static_cast<SentencePieceModel::Kind>(kind);
          break;
        }
        case 24:
          model_.treat_whitespace_as_suffix = spec.boolean();
          break;
        case 35:
          model_.byte_fallback = spec.boolean();
          break;
        case 44:
          model_.unk_surface = spec.text();
          break;
        case 46:
          model_.bos_piece = spec.text();
          break;
        case 47:
          model_.eos_piece = spec.text();
          break;
        case 48:
          model_.pad_piece = spec.text();
          break;
        default:
          break;
      }
    }
  }

  void read_normalizer(Message spec) {
    while (spec.next()) {
      switch (spec.number()) {
        case 1:
          model_.normalizer_name = spec.text();
          break;
        case 2:
          model_.charsmap = spec.bytes();
          break;
        case 3:
          model_.add_dummy_prefix = spec.boolean();
          break;
        case 4:
          model_.remove_extra_whitespaces = spec.boolean();
          break;
        case 5:
          model_.escape_whitespaces = spec.boolean();
          break;
        default:
          break;
      }
    }
  }

  void finish() {
    if (model_.types.empty()) broken("it has no pieces", file_);
    vocabulary_->finish(file_);
    int unknown = 0;
    std::array<bool, 256> has_byte{};
    for (int32_t id = 0; id < model_.size(); ++id) {
      if (model_.type(id) == PieceType::unknown) {
        ++unknown;
        model_.unk_id = id;
      } else if (model_.type(id) == PieceType::byte) {
        const int byte = byte_of_piece(vocabulary_->token(id));
        if (byte < 0) broken("piece " + std::to_string(id) + " is no byte", file_);
        has_byte[static_cast<size_t>(byte)] = true;
      }
    }
    if (unknown != 1) broken(std::to_string(unknown) + " unknown pieces", file_);
    for (size_t byte = 0; byte < 256 && model_.byte_fallback; ++byte) {
      if (!has_byte[byte]) broken("byte fallback, but no piece for byte " + std::to_string(byte), file_);
    }
    model_.vocabulary = vocabulary_;
  }

  const std::string& file_;
  SentencePieceModel model_;
  std::shared_ptr<Vocabulary> vocabulary_ = std::make_shared<Vocabulary>();
};

}  // namespace

int32_t SentencePieceModel::control_id(std::string_view text) const {
  const auto id = vocabulary->find(text);
  return id && type(*id) == PieceType::control ? *id : -1;
}

SentencePieceModel read_sentencepiece_model(std::string_view bytes, const std::string& file) {
  return Reader(file).read(bytes);
}

std::shared_ptr<Engine> make_sentencepiece_engine(std::shared_ptr<const SentencePieceModel> model) {
  auto engine = std::make_shared<Engine>();
  auto pieces = std::make_shared<SentencePiece>(model);
  engine->normalizer = std::make_shared<SentencePieceNormalizer>(model, pieces->symbols());
  engine->decoder = make_sentencepiece_decoder(model);
  engine->model = std::move(pieces);
  return engine;
}

}  // namespace mica
