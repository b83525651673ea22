#include "mica/tokenizers/readers/bulk_scanner.h"

#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <memory>
#include <utility>

#include "mica/base/error.h"
#include "mica/tokenizers/models/score_text.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

constexpr uint64_t repeat(unsigned char byte) {
  return 0x0101010101010101u * byte;
}

// 0x80 in the lowest byte that is a quote, a backslash or a control character; bytes above it may be marked wrongly.
uint64_t ends_of_run(uint64_t block) {
  const auto zeros = [](uint64_t x) { return (x - repeat(1)) & ~x & repeat(0x80); };
  return zeros(block ^ repeat('"')) | zeros(block ^ repeat('\\')) | zeros(block & repeat(0xe0));
}

// Walks through the text; every call returns false where the text is not what the call reads.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : p_(text.data()), end_(p_ + text.size()) {}

  const char* place() const { return p_; }
  bool at_end() {
    skip_space();
    return p_ == end_;
  }

  /// The next character that is no white space; NUL at the end.
  char peek() {
    skip_space();
    return p_ < end_ ? *p_ : '\0';
  }
  bool take(char c) {
    if (peek() != c) return false;
    ++p_;
    return true;
  }

  /// A string; `text` is a view into the file, or into `storage` where it had escapes.
  bool string(std::string_view& text, std::string& storage) {
    if (!take('"')) return false;
    const char* const begin = p_;
    if (!run()) return false;
    text = {begin, static_cast<size_t>(p_ - begin)};
    if (*p_ == '"') {
      ++p_;
      return true;
    }
    storage.assign(text);
    while (*p_ == '\\') {
      if (!escape(storage)) return false;
      const char* const more = p_;
      if (!run()) return false;
      storage.append(more, p_);
    }
    ++p_;
    text = storage;
    return true;
  }

  /// A whole number of up to nine digits.
  bool id(int64_t& value) {
    skip_space();
    const char* const begin = p_;
    value = 0;
    for (; p_ < end_ && *p_ >= '0' && *p_ <= '9' && p_ - begin < 10; ++p_) value = value * 10 + (*p_ - '0');
    const auto digits = p_ - begin;
    return digits > 0 && digits < 10 && (digits == 1 || *begin != '0') && p_ < end_ && *p_ != '.' && *p_ != 'e' &&
           *p_ != 'E';
  }

  bool number(double& value) {
    skip_space();
    const char* at = p_;
    if (at < end_ && *at == '-') ++at;
    const char* const whole = at;
    if (!digits(at) || (at - whole > 1 && *whole == '0')) return false;
    if (at < end_ && *at == '.' && !digits(++at)) return false;
    if (at < end_ && (*at == 'e' || *at == 'E')) {
      ++at;
      if (at < end_ && (*at == '+' || *at == '-')) ++at;
      if (!digits(at)) return false;
    }
    value = parse_score({p_, static_cast<size_t>(at - p_)});
    if (!std::isfinite(value)) return false;
    p_ = at;
    return true;
  }

  /// Any value, whose inside is only looked at as far as its end must be found.
  bool skip() {
    std::string_view text;
    std::string storage;
    if (peek() == '"') return string(text, storage);
    int64_t depth = 0;
    do {
      switch (peek()) {
        case '\0':
          return false;
        case '"':
          if (!string(text, storage)) return false;
          break;
        case '{':
        case '[':
          ++depth;
          ++p_;
          break;
        case '}':
        case ']':
          if (--depth < 0) return false;
          ++p_;
          break;
        case ',':
        case ':':
          if (depth == 0) return false;
          ++p_;
          break;
        default:
          while (p_ < end_ && std::strchr(" \t\r\n,:]}\"{[", *p_) == nullptr) ++p_;
      }
    } while (depth > 0);
    return true;
  }

 private:
  void skip_space() {
    while (p_ < end_ && (*p_ == ' ' || *p_ == '\n' || *p_ == '\r' || *p_ == '\t')) ++p_;
  }

  bool digits(const char*& at) const {
    const char* const begin = at;
    while (at < end_ && *at >= '0' && *at <= '9') ++at;
    return at > begin;
  }

  // To the quote that ends a string, or to a backslash.
  bool run() {
    if constexpr (std::endian::native == std::endian::little) {
      for (; end_ - p_ >= 8; p_ += 8) {
        uint64_t block = 0;
        std::memcpy(&block, p_, 8);
        const uint64_t ends = ends_of_run(block);
        if (ends == 0) continue;
        p_ += std::countr_zero(ends) / 8;
        return *p_ == '"' || *p_ == '\\';
      }
    }
    while (p_ < end_ && static_cast<unsigned char>(*p_) >= 0x20 && *p_ != '"' && *p_ != '\\') ++p_;
    return p_ < end_ && (*p_ == '"' || *p_ == '\\');
  }

  bool hex(uint32_t& unit) {
    if (end_ - p_ < 4) return false;
    const auto [rest, error] = std::from_chars(p_, p_ + 4, unit, 16);
    if (error != std::errc() || rest != p_ + 4) return false;
    p_ += 4;
    return true;
  }

  bool escape(std::string& to) {
    if (end_ - p_ < 2) return false;
    const char kind = p_[1];
    p_ += 2;
    constexpr std::string_view kinds = "\"\\/bfnrt", characters = "\"\\/\b\f\n\r\t";
    if (const size_t at = kinds.find(kind); at != kinds.npos) {
      to += characters[at];
      return true;
    }
    uint32_t unit = 0;
    if (kind != 'u' || !hex(unit)) return false;
    if (unit >= 0xd800 && unit < 0xe000) {
      uint32_t low = 0;
      if (unit >= 0xdc00 || end_ - p_ < 2 || p_[0] != '\\' || p_[1] != 'u') return false;
      p_ += 2;
      if (!hex(low) || low < 0xdc00 || low >= 0xe000) return false;
      unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    }
    utf8::append(unit, to);
    return true;
  }

  const char* p_;
  const char* const end_;
};

class BulkScanner {
 public:
  BulkScanner(std::string_view text, const std::string& file, ScannedFile& out)
      : text_(text), file_(file), scanner_(text), out_(out), copied_(text.data()) {}

  bool scan() {
    bool model = false;
    const auto member = [&](std::string_view key) {
      if (key != "model" || scanner_.peek() != '{') return scanner_.skip();
      return !std::exchange(model, true) && object([&](std::string_view name) { return model_member(name); });
    };
    if (!object(member) || !scanner_.at_end()) return false;
    out_.rest.append(copied_, text_.data() + text_.size());
    return out_.vocabulary || out_.merges;
  }

 private:
  // {"key": value, ...}; `member` reads a value.
  template <typename Member>
  bool object(const Member& member) {
    if (!scanner_.take('{')) return false;
    if (scanner_.take('}')) return true;
    std::string storage;
    do {
      std::string_view key;
      if (!scanner_.string(key, storage) || !scanner_.take(':') || !member(key)) return false;
    } while (scanner_.take(','));
    return scanner_.take('}');
  }

  template <typename Element>
  bool array(const Element& element) {
    if (!scanner_.take('[')) return false;
    if (scanner_.take(']')) return true;
    do {
      if (!element()) return false;
    } while (scanner_.take(','));
    return scanner_.take(']');
  }

  bool model_member(std::string_view name) {
    const bool vocabulary = name == "vocab", merges = name == "merges";
    const char kind = scanner_.peek();
    if ((!vocabulary && !merges) || (kind != '[' && (kind != '{' || merges))) return scanner_.skip();
    const char* const begin = scanner_.place();
    if (std::exchange(vocabulary ? out_.vocabulary : out_.merges, true)) return false;
    if (!(merges ? read_merges() : kind == '{' ? read_ids() : read_scores())) return false;
    out_.rest.append(copied_, begin).append("null");
    copied_ = scanner_.place();
    return true;
  }

  bool read_ids() {
    out_.data.vocabulary = std::make_shared<Vocabulary>();
    Vocabulary& vocabulary = *out_.data.vocabulary;
    return object([&](std::string_view token) {
      int64_t id = 0;
      if (!scanner_.id(id)) return false;
      vocabulary.add(token, id, file_);
      return true;
    });
  }

  bool read_scores() {
    out_.data.vocabulary = std::make_shared<Vocabulary>();
    out_.data.scored = true;
    Vocabulary& vocabulary = *out_.data.vocabulary;
    std::vector<double>& scores = out_.data.scores;
    std::string storage;
    return array([&] {
      std::string_view token;
      double score = 0;
      if (!scanner_.take('[') || !scanner_.string(token, storage) || !scanner_.take(',') || !scanner_.number(score) ||
          !scanner_.take(']')) {
        return false;
      }
      vocabulary.add(token, static_cast<int64_t>(scores.size()), file_);
      scores.push_back(score);
      return true;
    });
  }

  bool read_merges() {
    out_.data.has_merges = true;
    std::string storage, right_storage;
    return array([&] {
      std::string_view left, right;
      if (scanner_.peek() == '[') {
        if (!scanner_.take('[') || !scanner_.string(left, storage) || !scanner_.take(',') ||
            !scanner_.string(right, right_storage) || !scanner_.take(']')) {
          return false;
        }
      } else {
        if (!scanner_.string(left, storage)) return false;
        if (left.substr(0, 8) == "#version") return true;  // see the general reader
        const size_t space = left.find(' ');
        if (space == left.npos || left.find(' ', space + 1) != left.npos) return false;
        right = left.substr(space + 1);
        left = left.substr(0, space);
      }
      out_.data.merges.add(left, right);
      return true;
    });
  }

  const std::string_view text_;
  const std::string& file_;
  Scanner scanner_;
  ScannedFile& out_;
  const char* copied_;  // up to here the file is in rest, or was read
};

}  // namespace

bool scan_bulk(std::string_view text, const std::string& file, ScannedFile& out) {
  return utf8::is_valid(text) && BulkScanner(text, file, out).scan();
}

}  // namespace mica
