#include "mica/tokenizers/batch_builder.h"

#include <algorithm>
#include <iterator>
#include <span>

#include "mica/base/error.h"
#include "mica/base/parallel.h"
#include "mica/tokenizers/unicode.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

// Rows of overlapping windows over a pair multiply: this bounds what a small max_length can ask for.
constexpr int64_t kMaxTokens = int64_t{1} << 30;

bool is_space_in_token(char32_t c) {
  return c == 0x120 || unicode::has(c, unicode::kWhitespace);  // U+0120 is how byte-level vocabularies spell a space
}

}  // namespace

BatchBuilder::BatchBuilder(std::shared_ptr<const Engine> engine, const CallPlan& plan)
    : engine_(std::move(engine)), plan_(plan) {
  out_.texts_ = engine_;
}

// `first`: the token is the first of its window.
CharSpan BatchBuilder::trimmed(const TokenList& tokens, size_t i, CharSpan place, bool first,
                               bool add_prefix_space) const {
  std::string_view text = engine_->text(tokens.ids[i]);
  const auto odd = std::ranges::lower_bound(tokens.odd, static_cast<int32_t>(i), {}, [](auto& o) { return o.first; });
  if (odd != tokens.odd.end() && odd->first == static_cast<int32_t>(i)) text = odd->second;
  int32_t leading = 0, trailing = 0;
  bool only_spaces = true;
  for (const char *p = text.data(), *end = p + text.size(); p < end;) {
    const bool space = is_space_in_token(utf8::next(p));
    only_spaces = only_spaces && space;
    leading += only_spaces ? 1 : 0;
    trailing = space ? trailing + 1 : 0;
  }
  if (leading > 0) {
    // One space alone may have been put in front of the text, and is then not there to be removed.
    if ((first || place.begin == 0) && add_prefix_space && leading == 1) leading = 0;
    place.begin = std::min(place.begin + leading, place.end);
  }
  if (trailing > 0 && place.end >= trailing) place.end = std::max(place.end - trailing, place.begin);
  return place;
}

void BatchBuilder::trim_offsets(TokenList& tokens, std::vector<Part>& parts) const {
  for (Part& part : parts) {
    if (part.window.begin < part.window.end) part.first = tokens.offsets[static_cast<size_t>(part.window.begin)];
  }
  for (const bool add_prefix_space : engine_->post_processor.trims()) {
    for (size_t i = 0; i < tokens.size(); ++i) {
      tokens.offsets[i] = trimmed(tokens, i, tokens.offsets[i], i == 0, add_prefix_space);
    }
    for (Part& part : parts) {
      if (part.window.begin == part.window.end) continue;
      part.first = trimmed(tokens, static_cast<size_t>(part.window.begin), part.first, true, add_prefix_space);
    }
  }
}

void BatchBuilder::append_row(const std::vector<TemplatePiece>& pieces, TokenList* const (&texts)[2],
                              const Part* const (&parts)[2]) {
  auto& ids = out_.input_ids.values();
  auto& types = out_.token_type_ids.values();
  auto& offsets = out_.offsets_.values();
  auto& words = out_.word_ids_.values();
  auto& sequences = out_.sequence_ids_.values();
  const size_t row_begin = ids.size();
  row_odd_.clear();
  const auto in_row = [&] { return static_cast<int32_t>(ids.size() - row_begin); };
  for (const TemplatePiece& piece : pieces) {
    if (piece.sequence < 0) {
      append_special(piece, row_begin);
      continue;
    }
    const TokenList& tokens = *texts[piece.sequence];
    const Part& part = *parts[piece.sequence];
    const Window window = part.window;
    for (const auto& [index, text] : tokens.odd) {
      if (index >= window.begin && index < window.end) {
        row_odd_.push_back({in_row() + index - static_cast<int32_t>(window.begin), text});
      }
    }
    const auto copy = [&](const auto& from, auto& to) {
      to.insert(to.end(), from.begin() + window.begin, from.begin() + window.end);
    };
    const auto n = static_cast<size_t>(window.end - window.begin);
    copy(tokens.ids, ids);
    copy(tokens.offsets, offsets);
    if (n > 0) offsets[offsets.size() - n] = part.first;
    copy(tokens.words, words);
    sequences.insert(sequences.end(), n, static_cast<int8_t>(piece.sequence));
    if (plan_.type_ids) {
      const bool own = part.later && engine_->post_processor.overflow_keeps_sequence_type();
      types.insert(types.end(), n, own ? piece.sequence : piece.type_id);
    }
  }
  end_row();
}

void BatchBuilder::append_special(const TemplatePiece& piece, size_t row_begin) {
  if (!plan_.add_special_tokens) return;
  for (size_t i = 0; i < piece.ids.size(); ++i) {
    auto& ids = out_.input_ids.values();
    if (engine_->text(piece.ids[i]) != piece.tokens[i]) {
      row_odd_.push_back({static_cast<int32_t>(ids.size() - row_begin), piece.tokens[i]});
    }
    ids.push_back(piece.ids[i]);
    out_.offsets_.values().push_back({0, 0});
    out_.word_ids_.values().push_back(-1);
    out_.sequence_ids_.values().push_back(-1);
    if (plan_.type_ids) out_.token_type_ids.values().push_back(piece.type_id);
  }
}

void BatchBuilder::end_row() {
  const auto& ids = out_.input_ids.values();
  if (ids.size() > static_cast<size_t>(kMaxTokens)) {
    throw Error("more than " + std::to_string(kMaxTokens) + " tokens in one batch", "tokenizer",
                "raise max_length, lower stride, or encode fewer texts at once");
  }
  out_.input_ids.end_row();
  if (plan_.type_ids) out_.token_type_ids.end_row();
  if (plan_.attention_mask) {
    out_.attention_mask.values().resize(ids.size(), 1);
    out_.attention_mask.end_row();
  }
  out_.offsets_.end_row();
  out_.word_ids_.end_row();
  out_.sequence_ids_.end_row();
  out_.odd_tokens_.push_back(std::exchange(row_odd_, {}));
}

void BatchBuilder::reserve(size_t texts, size_t bytes) {
  // Words and their spaces come to some four bytes a token; reserving costs nothing until it is written to.
  const size_t tokens = bytes / 3 + 8 * texts;
  out_.input_ids.values().reserve(tokens);
  if (plan_.type_ids) out_.token_type_ids.values().reserve(tokens);
  if (plan_.attention_mask) out_.attention_mask.values().reserve(tokens);
  out_.offsets_.values().reserve(tokens);
  out_.word_ids_.values().reserve(tokens);
  out_.sequence_ids_.values().reserve(tokens);
}

// A text without a pair, whose template names it once, is encoded straight into the result: nothing is copied.
bool BatchBuilder::encodes_in_place() const {
  const PostProcessor& post = engine_->post_processor;
  int texts = 0;
  for (const TemplatePiece& piece : post.pieces(false)) texts += piece.sequence == 0 ? 1 : 0;
  return texts == 1 && !post.trims_offsets();
}

void BatchBuilder::begin_in_place(TokenList& tokens) {
  row_odd_.clear();
  row_begin_ = out_.input_ids.values().size();
  for (const TemplatePiece& piece : engine_->post_processor.pieces(false)) {
    if (piece.sequence == 0) break;
    append_special(piece, row_begin_);
  }
  text_begin_ = out_.input_ids.values().size();
  tokens.ids.swap(out_.input_ids.values());
  tokens.offsets.swap(out_.offsets_.values());
  tokens.words.swap(out_.word_ids_.values());
}

// Ends the row, or, where it is too long for the truncation, takes it back and leaves its text in `tokens`.
bool BatchBuilder::end_in_place(TokenList& tokens, int64_t sample) {
  tokens.ids.swap(out_.input_ids.values());
  tokens.offsets.swap(out_.offsets_.values());
  tokens.words.swap(out_.word_ids_.values());
  auto& ids = out_.input_ids.values();
  auto& offsets = out_.offsets_.values();
  auto& words = out_.word_ids_.values();
  const PostProcessor& post = engine_->post_processor;
  const size_t n = ids.size() - text_begin_;
  for (auto& [index, text] : tokens.odd) index -= static_cast<int32_t>(text_begin_);
  const int64_t added = plan_.add_special_tokens ? post.added(false) : 0;
  if (plan_.truncation.strategy != Truncation::none && static_cast<int64_t>(n) + added > plan_.truncation.max_length) {
    const auto take_back = [&](auto& from, auto& to) {
      to.assign(from.begin() + static_cast<std::ptrdiff_t>(text_begin_), from.end());
      from.resize(row_begin_);
    };
    take_back(ids, tokens.ids);
    take_back(offsets, tokens.offsets);
    take_back(words, tokens.words);
    out_.sequence_ids_.values().resize(row_begin_);
    if (plan_.type_ids) out_.token_type_ids.values().resize(row_begin_);
    return false;
  }
  for (auto& [index, text] : tokens.odd) {
    row_odd_.push_back({index + static_cast<int32_t>(text_begin_ - row_begin_), std::move(text)});
  }
  bool before = true;
  for (const TemplatePiece& piece : post.pieces(false)) {
    if (piece.sequence == 0) {
      before = false;
      out_.sequence_ids_.values().resize(ids.size(), 0);
      if (plan_.type_ids) out_.token_type_ids.values().resize(ids.size(), piece.type_id);
    } else if (!before) {
      append_special(piece, row_begin_);
    }
  }
  end_row();
  if (plan_.overflow) out_.overflow_to_sample_mapping.push_back(static_cast<int32_t>(sample));
  return true;
}

void BatchBuilder::add(TokenList& text, TokenList* pair, int64_t sample) {
  const PostProcessor& post = engine_->post_processor;
  const auto& pieces = post.pieces(pair != nullptr);
  TokenList* const texts[2] = {&text, pair};
  int64_t lengths[2] = {static_cast<int64_t>(text.size()), pair != nullptr ? static_cast<int64_t>(pair->size()) : -1};
  std::vector<Part> windows[2];
  TruncationPlan plan = plan_.truncation;
  if (plan.strategy != Truncation::none && plan_.add_special_tokens) {
    const int64_t added = post.added(pair != nullptr);
    if (plan.max_length < added) {
      throw Error("max_length " + std::to_string(plan.max_length) + " leaves no room for the " + std::to_string(added) +
                      " special tokens",
                  "truncation", "raise max_length or leave special tokens out");
    }
    plan.max_length -= added;
  }
  const Lengths keep = truncated_lengths(lengths[0], lengths[1], plan);
  const auto cut = [&](TokenList& tokens, int64_t length, int64_t kept) {
    std::vector<Part> parts;
    for (const Window window : make_windows(length, kept, plan.stride, plan.side)) {
      parts.push_back({window, !parts.empty(), {}});
    }
    trim_offsets(tokens, parts);
    return parts;
  };
  windows[0] = cut(text, lengths[0], keep.first);
  windows[1].resize(1);
  if (pair != nullptr) windows[1] = cut(*pair, lengths[1], keep.second);

  append_row(pieces, texts, {&windows[0][0], &windows[1][0]});
  if (plan_.overflow) {
    // The order in which the reference merges windows while it walks the template: every window so far with every
    // window of the next text, those of the first window last.
    std::vector<std::pair<size_t, size_t>> rows;  // which window of the text and of the pair
    for (const TemplatePiece& piece : pieces) {
      if (piece.sequence < 0) continue;
      std::vector<std::pair<size_t, size_t>> merged;
      const size_t n = windows[piece.sequence].size();
      const auto with = [&](std::pair<size_t, size_t> row, size_t window) {
        (piece.sequence == 0 ? row.first : row.second) = window;
        return row;
      };
      if ((rows.size() + 1) * n > static_cast<size_t>(kMaxTokens) / 16) {
        throw Error("too many overflowing windows", "tokenizer", "raise max_length or lower stride");
      }
      for (const auto& row : rows) {
        for (size_t i = 0; i < n; ++i) merged.push_back(with(row, i));
      }
      for (size_t i = 1; i < n; ++i) merged.push_back(with({0, 0}, i));
      rows = std::move(merged);
    }
    for (const auto& [first, second] : rows) {
      append_row(pieces, texts, {&windows[0][first], &windows[1][second]});
    }
    out_.overflow_to_sample_mapping.insert(out_.overflow_to_sample_mapping.end(), rows.size() + 1,
                                           static_cast<int32_t>(sample));
  }
}

BatchBuilder BatchBuilder::join(std::vector<BatchBuilder>& parts) {
  BatchBuilder all = std::move(parts[0]);
  const auto rest = std::span(parts).subspan(1);
  if (rest.empty()) return all;
  const auto append = [&](auto rows) {
    size_t values = (all.out_.*rows).values().size();
    for (const BatchBuilder& part : rest) values += (part.out_.*rows).values().size();
    (all.out_.*rows).values().reserve(values);
    for (const BatchBuilder& part : rest) (all.out_.*rows).append(part.out_.*rows);
  };
  // Shares of about the same number of bytes where two threads take three each.
  parallel_for(6, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      switch (i) {
        case 0:
          append(&BatchEncoding::input_ids);
          break;
        case 1:
          append(&BatchEncoding::token_type_ids);
          break;
        case 2:
          append(&BatchEncoding::attention_mask);
          break;
        case 3:
          append(&BatchEncoding::offsets_);
          break;
        case 4:
          append(&BatchEncoding::word_ids_);
          break;
        default:
          append(&BatchEncoding::sequence_ids_);
          break;
      }
    }
  });
  for (BatchBuilder& part : rest) {
    BatchEncoding& from = part.out_;
    std::move(from.odd_tokens_.begin(), from.odd_tokens_.end(), std::back_inserter(all.out_.odd_tokens_));
    all.out_.overflow_to_sample_mapping.insert(all.out_.overflow_to_sample_mapping.end(),
                                               from.overflow_to_sample_mapping.begin(),
                                               from.overflow_to_sample_mapping.end());
  }
  return all;
}

BatchEncoding BatchBuilder::finish() && {
  pad(out_, plan_);
  return std::move(out_);
}

void BatchBuilder::pad(BatchEncoding& encoding, const CallPlan& plan) {
  if (plan.padding == Padding::none) return;
  int64_t length = plan.pad_length;
  if (plan.padding == Padding::longest) {
    // Of the windows of a text the first counts: a further one is longer only where nothing of the text could stay.
    const auto& samples = encoding.overflow_to_sample_mapping;
    length = 0;
    for (size_t i = 0; i < encoding.size(); ++i) {
      if (i > 0 && i < samples.size() && samples[i] == samples[i - 1]) continue;
      length = std::max(length, static_cast<int64_t>(encoding.input_ids[i].size()));
    }
  }
  if (plan.pad_multiple > 1) length = (length + plan.pad_multiple - 1) / plan.pad_multiple * plan.pad_multiple;
  if (length > kMaxTokens || (encoding.size() > 0 && length > kMaxTokens / static_cast<int64_t>(encoding.size()))) {
    throw Error("padding to " + std::to_string(length) + " tokens is too much", "padding", "lower max_length");
  }
  const auto to = static_cast<size_t>(length);
  const bool left = plan.padding_side == Side::left;
  const auto pad_rows = [&]<typename T>(Ragged<T>& rows, T value) {
    Ragged<T> padded;
    padded.values().reserve(rows.size() * to);
    for (const std::span<const T> row : rows) {
      auto& values = padded.values();
      const size_t missing = row.size() < to ? to - row.size() : 0;
      if (left) values.insert(values.end(), missing, value);
      values.insert(values.end(), row.begin(), row.end());
      if (!left) values.insert(values.end(), missing, value);
      padded.end_row();
    }
    rows = std::move(padded);
  };
  if (left) {
    for (size_t i = 0; i < encoding.odd_tokens_.size(); ++i) {
      const size_t n = encoding.input_ids[i].size();
      for (auto& odd : encoding.odd_tokens_[i]) odd.index += static_cast<int32_t>(n < to ? to - n : 0);
    }
  }
  pad_rows(encoding.input_ids, plan.pad_id);
  pad_rows(encoding.token_type_ids, plan.pad_type_id);
  pad_rows(encoding.attention_mask, int32_t{0});
  pad_rows(encoding.offsets_, CharSpan{});
  pad_rows(encoding.word_ids_, int32_t{-1});
  pad_rows(encoding.sequence_ids_, int8_t{-1});
}

}  // namespace mica
