#include "mica/tokenizers/trainers/word_counter.h"

#include <algorithm>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/parallel.h"
#include "mica/tokenizers/unicode.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

// Texts are gathered up to this many bytes before the threads set to work on them.
constexpr size_t kBatchBytes = 4 << 20;
constexpr size_t kBatchTexts = 1 << 16;
// Longer stretches between spaces hardly come again: they are not kept, but worked on at once.
constexpr size_t kLongestChunk = 48;
// A share's stretches are worked off when they take this much; this bounds memory for texts that never repeat.
constexpr size_t kMaxChunkBytes = 32 << 20;
constexpr size_t kMaxChunks = 1 << 20;

bool visible_ascii(char c) {
  return c > ' ' && c < 0x7f;
}

// Letters, digits and the like, but no marks, which normalizers take away, nor what they put spaces around.
bool letter(char32_t c) {
  const uint16_t bits = unicode::properties()[c];
  constexpr uint16_t kOthers = unicode::kNonspacingMark | unicode::kCombiningMark | unicode::kChinese;
  return (bits & unicode::kWord) != 0 && (bits & kOthers) == 0;
}
bool letter_before(std::string_view text, size_t at) {
  const char* p = text.data() + utf8::last_start(text, at);
  return letter(utf8::next(p));
}
bool letter_at(std::string_view text, size_t at) {
  const char* p = text.data() + at;
  return letter(utf8::next(p));
}

}  // namespace

WordCounter::WordCounter(NormalizerPtr normalizer, PreTokenizerPtr pre_tokenizer)
    : normalizer_(std::move(normalizer)),
      pre_tokenizer_(std::move(pre_tokenizer)),
      cuts_(space_cuts(normalizer_ ? normalizer_->to_json() : Json(),
                       pre_tokenizer_ ? pre_tokenizer_->to_json() : Json())) {}

void WordCounter::count_words(std::string_view text, uint64_t count, Share& share) const {
  if (!normalizer_ && !pre_tokenizer_) {
    if (!text.empty()) share.words.add(text, count);
    return;
  }
  share.text.assign(text, 0);
  if (normalizer_) normalizer_->normalize(share.text);
  share.pieces.clear();
  if (!share.text.empty()) share.pieces.push_back(share.text.all());
  if (pre_tokenizer_) pre_tokenizer_->split(share.text, share.pieces);
  for (const ByteRange piece : share.pieces) share.words.add(share.text.view(piece), count);
}

void WordCounter::count_text(std::string_view text, Share& share) const {
  if (cuts_ == SpaceCuts::none) {
    count_words(text, 1, share);
    return;
  }
  const auto count = [&](std::string_view chunk) {
    if (chunk.size() <= kLongestChunk) {
      share.chunks.add(chunk, 1);
    } else {
      count_words(chunk, 1, share);
    }
  };
  size_t begin = 0;
  for (size_t space = text.find(' ', 1); space < text.size(); space = text.find(' ', space + 1)) {
    if (space + 1 == text.size()) break;
    const bool ascii_before = visible_ascii(text[space - 1]), ascii_after = visible_ascii(text[space + 1]);
    if (cuts_ == SpaceCuts::ascii) {
      if (!ascii_before || !ascii_after) continue;
    } else if (!(ascii_before || letter_before(text, space)) || !(ascii_after || letter_at(text, space + 1))) {
      continue;
    }
    count(text.substr(begin, space - begin));
    begin = space;
  }
  count(text.substr(begin));
}

void WordCounter::flush(Share& share) const {
  for (const WordCount& chunk : share.chunks.words()) count_words(chunk.text, chunk.count, share);
  share.chunks.clear();
}

void WordCounter::add(std::span<const std::string> texts) {
  size_t bytes = 0;
  for (const std::string& text : texts) bytes += text.size() + 16;
  const int64_t count = std::clamp<int64_t>(static_cast<int64_t>(bytes >> 14), 1, num_threads());
  if (shares_.size() < static_cast<size_t>(count)) shares_.resize(static_cast<size_t>(count));
  // Every share takes stretches of the texts with about the same number of bytes.
  std::vector<size_t> ends(static_cast<size_t>(count), texts.size());
  size_t seen = 0, done = 0;
  for (size_t i = 0; i < texts.size() && done + 1 < ends.size(); ++i) {
    seen += texts[i].size() + 16;
    while (done + 1 < ends.size() && seen >= bytes / ends.size() * (done + 1)) ends[done++] = i + 1;
  }
  parallel_for(count, 1, [&](int64_t first, int64_t last) {
    for (auto s = static_cast<size_t>(first); s < static_cast<size_t>(last); ++s) {
      Share& share = shares_[s];
      for (size_t i = s == 0 ? 0 : ends[s - 1]; i < ends[s]; ++i) {
        if (texts[i].size() > size_t{1} << 30) {
          throw Error("text " + std::to_string(texts_ + static_cast<int64_t>(i) + 1) + " is too long", "training",
                      "split it: at most 1 GB");
        }
        if (!utf8::is_valid(texts[i])) {
          throw Error("text " + std::to_string(texts_ + static_cast<int64_t>(i) + 1) + " is not valid UTF-8: \"" +
                          printable(texts[i], 60) + "\"",
                      "training", "convert the text to UTF-8");
        }
        count_text(texts[i], share);
        if (share.chunks.text_bytes() > kMaxChunkBytes || share.chunks.size() > kMaxChunks) flush(share);
      }
    }
  });
  texts_ += static_cast<int64_t>(texts.size());
}

void WordCounter::add(TextSource& source) {
  std::vector<std::string> batch;
  size_t bytes = 0, used = 0;
  const auto work_off = [&] {
    add(std::span(batch).first(used));
    bytes = used = 0;
  };
  while (true) {
    if (used == batch.size()) batch.emplace_back();
    std::string& text = batch[used];
    if (!source.next(text)) break;
    bytes += text.size();
    ++used;
    if (bytes >= kBatchBytes || used == kBatchTexts) work_off();
  }
  work_off();
}

WordCounts WordCounter::finish() {
  parallel_for(static_cast<int64_t>(shares_.size()), 1, [&](int64_t first, int64_t last) {
    for (int64_t s = first; s < last; ++s) flush(shares_[static_cast<size_t>(s)]);
  });
  WordCounts counts;
  for (Share& share : shares_) {
    if (counts.table.size() == 0) {
      counts.table = std::move(share.words);
    } else {
      counts.table.add(share.words);
    }
    share = Share();
  }
  shares_.clear();
  texts_ = 0;
  counts.words = counts.table.words();
  std::sort(counts.words.begin(), counts.words.end(),
            [](const WordCount& a, const WordCount& b) { return a.text < b.text; });
  return counts;
}

}  // namespace mica
