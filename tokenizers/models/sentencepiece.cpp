#include "mica/tokenizers/models/sentencepiece.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <queue>
#include <unordered_map>
#include <utility>

#include "mica/base/error.h"
#include "mica/tokenizers/readers/sentencepiece_model.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

using Kind = SentencePieceModel::Kind;
using PieceType = SentencePieceModel::PieceType;

constexpr float kUnknownPenalty = 10;
constexpr std::string_view kSpace = "\u2581";

bool may_be_cut_out(PieceType type) {
  return type == PieceType::normal || type == PieceType::user_defined || type == PieceType::unused;
}

uint32_t character_length(std::string_view text) {
  return static_cast<uint32_t>(utf8::length(static_cast<unsigned char>(text[0])));
}

}  // namespace

SentencePiece::SentencePiece(std::shared_ptr<const SentencePieceModel> model) : model_(std::move(model)) {
  std::vector<PieceTrie::Piece> symbols, pieces;
  lowest_ = std::numeric_limits<float>::max();
  highest_ = std::numeric_limits<float>::lowest();
  for (int32_t id = 0; id < model_->size(); ++id) {
    const PieceType type = model_->type(id);
    if (type == PieceType::user_defined) symbols.push_back({model_->piece(id), id});
    if (may_be_cut_out(type)) pieces.push_back({model_->piece(id), id});
    if (type == PieceType::normal) {
      lowest_ = std::min(lowest_, model_->scores[static_cast<size_t>(id)]);
      highest_ = std::max(highest_, model_->scores[static_cast<size_t>(id)]);
    }
  }
  symbols_ = std::make_shared<PieceTrie>(std::move(symbols));
  pieces_ = std::make_unique<PieceTrie>(std::move(pieces));
  for (int byte = 0; model_->byte_fallback && byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", byte);
    byte_ids_.push_back(model_->vocabulary->find(name).value_or(model_->unk_id));
  }
}

SentencePiece::~SentencePiece() = default;

const Vocabulary& SentencePiece::vocabulary() const {
  return *model_->vocabulary;
}

int32_t SentencePiece::surface_id() const {
  return model_->unk_id;
}

Json SentencePiece::to_json() const {
  throw Error("a tokenizer that follows SentencePiece itself cannot be written as tokenizer.json",
              printable(model_->file, 400),
              "keep the .model file, or name the tokenizer's class in tokenizer_config.json");
}

int32_t SentencePiece::id_of(std::string_view piece) const {
  return model_->vocabulary->find(piece).value_or(model_->unk_id);
}

void SentencePiece::tokenize(std::string_view text, std::vector<ModelToken>& out) const {
  const std::vector<Cut> cuts = model_->kind == Kind::unigram ? unigram(text)
                                : model_->kind == Kind::bpe   ? bpe(text)
                                : model_->kind == Kind::word  ? words(text)
                                                              : characters(text);
  bool after_unknown = false;
  for (const Cut& cut : cuts) {
    const bool unknown = cut.id == model_->unk_id;
    if (unknown && model_->byte_fallback) {
      // The last byte stands for the character, those before it for nothing.
      for (uint32_t at = cut.begin; at < cut.end; ++at) {
        const int32_t id = byte_ids_[static_cast<unsigned char>(text[at])];
        out.push_back({id, cut.begin, at + 1 == cut.end ? cut.end : cut.begin});
      }
    } else if (unknown && after_unknown) {
      out.back().end = cut.end;
    } else {
      out.push_back({cut.id, cut.begin, cut.end});
    }
    after_unknown = unknown;
  }
}

// Viterbi, in single precision as in SentencePiece: ties hang on that.
std::vector<SentencePiece::Cut> SentencePiece::unigram(std::string_view text) const {
  struct Step {
    float score = 0;
    int64_t begin = -1;
    int32_t id = -1;
  };
  std::vector<Step> steps(text.size() + 1);
  const float unk_score = lowest_ - kUnknownPenalty;
  for (uint32_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    const uint32_t length = character_length(rest);
    const float here = steps[at].score;
    const auto offer = [&](uint32_t piece, float score, int32_t id) {
      Step& step = steps[at + piece];
      if (step.begin < 0 || score > step.score) step = {score, at, id};
    };
    bool covered = false;
    pieces_->prefixes(rest, [&](int32_t id, uint32_t piece) {
      const PieceType type = model_->type(id);
      if (type == PieceType::unused) return;
      // A user-defined symbol always wins.
      const float score = type == PieceType::user_defined ? static_cast<float>(piece) * highest_ - 0.1f
                                                          : model_->scores[static_cast<size_t>(id)];
      offer(piece, score + here, id);
      covered = covered || piece == length;
    });
    if (!covered) offer(length, unk_score + here, model_->unk_id);
    at += length;
  }
  std::vector<Cut> cuts;
  for (auto end = static_cast<uint32_t>(text.size()); end > 0; end = cuts.back().begin) {
    cuts.push_back({static_cast<uint32_t>(steps[end].begin), end, steps[end].id});
  }
  std::reverse(cuts.begin(), cuts.end());
  return cuts;
}

uint32_t SentencePiece::symbol_length(std::string_view text, bool& whole) const {
  const PieceTrie::Match match = symbols_->longest(text, false);
  whole = match.length > 0;
  return whole ? match.length : character_length(text);
}

// Joins the pair whose piece has the highest score, of equal ones the leftmost, until no pair makes a piece.
std::vector<SentencePiece::Cut> SentencePiece::bpe(std::string_view text) const {
  struct Symbol {
    uint32_t begin, size;  // size 0: gone into its left neighbour
    int64_t before, after;
    bool whole;
  };
  struct Pair {
    float score;
    uint32_t left, right, size;
    bool operator<(const Pair& other) const {
      return score < other.score || (score == other.score && left > other.left);
    }
  };
  std::vector<Symbol> symbols;
  for (uint32_t at = 0; at < text.size();) {
    bool whole = false;
    const uint32_t size = symbol_length(text.substr(at), whole);
    const auto index = static_cast<int64_t>(symbols.size());
    symbols.push_back({at, size, index - 1, at + size < text.size() ? index + 1 : -1, whole});
    at += size;
  }
  std::priority_queue<Pair> queue;
  std::unordered_map<std::string_view, uint32_t> unused;  // how long the left part was of an unused piece
  const auto offer = [&](int64_t left, int64_t right) {
    if (left < 0 || right < 0) return;
    const Symbol& a = symbols[static_cast<size_t>(left)];
    const Symbol& b = symbols[static_cast<size_t>(right)];
    if (a.whole || b.whole) return;
    const std::string_view piece = text.substr(a.begin, a.size + b.size);
    const auto id = model_->vocabulary->find(piece);
    if (!id || !may_be_cut_out(model_->type(*id))) return;
    queue.push({model_->scores[static_cast<size_t>(*id)], static_cast<uint32_t>(left), static_cast<uint32_t>(right),
                a.size + b.size});
    if (model_->type(*id) == PieceType::unused) unused[piece] = a.size;
  };
  for (size_t i = 1; i < symbols.size(); ++i) offer(static_cast<int64_t>(i) - 1, static_cast<int64_t>(i));
  while (!queue.empty()) {
    const Pair top = queue.top();
    queue.pop();
    Symbol& left = symbols[top.left];
    Symbol& right = symbols[top.right];
    if (left.size == 0 || right.size == 0 || left.size + right.size != top.size) continue;
    left.size = top.size;
    left.after = right.after;
    if (right.after >= 0) symbols[static_cast<size_t>(right.after)].before = top.left;
    right.size = 0;
    offer(left.before, top.left);
    offer(top.left, left.after);
  }
  std::vector<Cut> cuts;
  std::vector<std::pair<uint32_t, uint32_t>> open;  // an unused piece falls apart again
  for (const Symbol& symbol : symbols) {
    if (symbol.size == 0) continue;
    open.assign(1, {symbol.begin, symbol.begin + symbol.size});
    while (!open.empty()) {
      const auto [begin, end] = open.back();
      open.pop_back();
      const std::string_view piece = text.substr(begin, end - begin);
      const int32_t id = id_of(piece);
      const auto parts = model_->type(id) == PieceType::unused ? unused.find(piece) : unused.end();
      if (parts == unused.end()) {
        cuts.push_back({begin, end, id});
      } else {
        open.push_back({begin + parts->second, end});
        open.push_back({begin, begin + parts->second});
      }
    }
  }
  return cuts;
}

// A word begins at every space.
std::vector<SentencePiece::Cut> SentencePiece::words(std::string_view text) const {
  std::vector<Cut> cuts;
  uint32_t begin = 0;
  const auto size = static_cast<uint32_t>(text.size());
  for (uint32_t at = 0; at < size;) {
    const bool space = text.substr(at, kSpace.size()) == kSpace;
    if (space && at > begin) {
      cuts.push_back({begin, at, id_of(text.substr(begin, at - begin))});
      begin = at;
    }
    at += character_length(text.substr(at));
  }
  if (begin < size) cuts.push_back({begin, size, id_of(text.substr(begin))});
  return cuts;
}

std::vector<SentencePiece::Cut> SentencePiece::characters(std::string_view text) const {
  std::vector<Cut> cuts;
  for (uint32_t at = 0; at < text.size();) {
    bool whole = false;
    const uint32_t size = symbol_length(text.substr(at), whole);
    cuts.push_back({at, at + size, id_of(text.substr(at, size))});
    at += size;
  }
  return cuts;
}

}  // namespace mica
