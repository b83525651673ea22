// The calls of Tokenizer: options checked, texts encoded (batches on several threads), rows put together.

#include <algorithm>
#include <type_traits>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/parallel.h"
#include "mica/base/warnings.h"
#include "mica/tokenizers/tokenizer_impl.h"

namespace mica {
namespace {

constexpr int64_t kMaxLength = int64_t{1} << 40;
// Below this many bytes of text a thread costs more than it helps.
constexpr size_t kBytesPerThread = 32 << 10;

[[noreturn]] void bad_option(const std::string& problem, const std::string& mend) {
  throw Error(problem, "tokenizer options", mend);
}

void check_range(const char* name, int64_t value, int64_t low) {
  if (value < low || value > kMaxLength) {
    bad_option(std::string(name) + " out of range: " + std::to_string(value),
               "use " + std::to_string(low) + " or more");
  }
}

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// One text: a string, or words.
void encode_text(const Engine& engine, bool split_special, std::string_view text, EncodeScratch& scratch,
                 TokenList& out) {
  int32_t word = 0;
  engine.encode(text, split_special, false, word, scratch, out);
}

void encode_text(const Engine& engine, bool split_special, const std::vector<std::string>& words,
                 EncodeScratch& scratch, TokenList& out) {
  int32_t word = 0;
  for (const std::string& text : words) {
    engine.encode(text, split_special, true, word, scratch, out);
    ++word;
  }
}

size_t bytes_of(std::string_view text) {
  return text.size();
}
size_t bytes_of(const std::vector<std::string>& words) {
  size_t bytes = 0;
  for (const std::string& word : words) bytes += word.size();
  return bytes;
}

// Threads to use for these texts: at most one per kBytesPerThread.
template <typename Text>
int64_t shares(std::span<const Text> texts, std::span<const Text> pairs, int asked) {
  int64_t threads = asked > 0 ? asked : num_threads();
  if (threads <= 1 || texts.size() < 2) return 1;
  size_t bytes = 0;
  for (const auto& text : texts) bytes += bytes_of(text);
  for (const auto& text : pairs) bytes += bytes_of(text);
  threads = std::min(threads, static_cast<int64_t>(bytes / kBytesPerThread) + 1);
  return std::min(threads, static_cast<int64_t>(texts.size()));
}

// Where each share of the texts ends, by bytes, so that one long text does not leave the other threads idle.
template <typename Text>
std::vector<size_t> share_ends(std::span<const Text> texts, int64_t count) {
  size_t total = 0;
  for (const auto& text : texts) total += bytes_of(text) + 16;
  std::vector<size_t> ends;
  size_t seen = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    seen += bytes_of(texts[i]) + 16;
    while (static_cast<int64_t>(ends.size()) + 1 < count &&
           seen >= total / static_cast<size_t>(count) * (ends.size() + 1)) {
      ends.push_back(i + 1);
    }
  }
  ends.resize(static_cast<size_t>(count), texts.size());
  return ends;
}

template <typename Text>
BatchEncoding encode_all(const std::shared_ptr<const Engine>& engine, std::span<const Text> texts,
                         std::span<const Text> pairs, const CallPlan& plan, int threads) {
  if (!pairs.empty() && pairs.size() != texts.size()) {
    bad_option("batch of " + std::to_string(texts.size()) + " texts with " + std::to_string(pairs.size()) + " pairs",
               "give each text its pair");
  }
  const int64_t count = shares(texts, pairs, threads);
  const std::vector<size_t> ends = share_ends(texts, count);
  std::vector<BatchBuilder> builders(static_cast<size_t>(count), BatchBuilder(engine, plan));
  parallel_for(count, 1, [&](int64_t first, int64_t last) {
    EncodeScratch scratch;
    TokenList tokens, pair_tokens;
    for (int64_t share = first; share < last; ++share) {
      const auto s = static_cast<size_t>(share);
      const size_t begin = s == 0 ? 0 : ends[s - 1];
      size_t bytes = 0;
      // The first share makes room for all: the others are appended to it.
      const size_t until = s == 0 ? texts.size() : ends[s];
      for (size_t i = begin; i < until; ++i) bytes += bytes_of(texts[i]) + (pairs.empty() ? 0 : bytes_of(pairs[i]));
      builders[s].reserve(until - begin, bytes);
      for (size_t i = begin; i < ends[s]; ++i) {
        const auto sample = static_cast<int64_t>(i);
        const auto encode = [&](const Text& text, TokenList& to) {
          encode_text(*engine, plan.split_special_tokens, text, scratch, to);
        };
        if (pairs.empty()) {
          builders[s].add_text([&](TokenList& to) { encode(texts[i], to); }, tokens, sample);
          continue;
        }
        tokens.clear();
        pair_tokens.clear();
        encode(texts[i], tokens);
        encode(pairs[i], pair_tokens);
        builders[s].add(tokens, &pair_tokens, sample);
      }
    }
  });
  return BatchBuilder::join(builders).finish();
}

template <typename Text>
BatchEncoding encode_one(const std::shared_ptr<const Engine>& engine, const Text& text, const Text* pair,
                         const CallPlan& plan) {
  return encode_all<Text>(engine, std::span(&text, 1), pair == nullptr ? std::span<const Text>() : std::span(pair, 1),
                          plan, 1);
}

std::vector<std::string_view> views(const std::vector<std::string>& texts) {
  return {texts.begin(), texts.end()};
}

void refuse_words(const TokenizerOptions& options) {
  if (options.is_split_into_words) {
    bad_option("is_split_into_words with a text in one piece", "give the words as a vector of strings");
  }
}

}  // namespace

CallPlan Tokenizer::Impl::plan(const TokenizerOptions& options) const {
  CallPlan plan;
  Padding padding = options.padding;
  Truncation truncation = options.truncation.value();
  if (options.max_length) check_range("max_length", *options.max_length, 0);
  check_range("stride", options.stride, 0);
  if (options.pad_to_multiple_of) check_range("pad_to_multiple_of", *options.pad_to_multiple_of, 0);
  if (options.num_threads < 0 || options.num_threads > 1024) {
    bad_option("num_threads out of range: " + std::to_string(options.num_threads), "use 0 to 1024");
  }
  if (options.max_length && padding == Padding::none && !options.truncation.given()) {
    truncation = Truncation::longest_first;
  }
  std::optional<int64_t> max_length = options.max_length;
  if (!max_length) {
    // Without any limit there is nothing to pad or cut to.
    max_length = settings.model_max_length;
    if (!max_length && padding == Padding::max_length) {
      warn("padding to max_length, but neither max_length nor the tokenizer's own limit is given: not padded");
      padding = Padding::none;
    }
    if (!max_length && truncation != Truncation::none) {
      warn("truncation, but neither max_length nor the tokenizer's own limit is given: not truncated");
      truncation = Truncation::none;
    }
  }
  plan.padding = padding;
  plan.pad_multiple = std::max<int64_t>(1, options.pad_to_multiple_of.value_or(1));
  if (padding != Padding::none) {
    const auto pad = special_id(&SpecialTokens::pad_token);
    if (!pad) {
      bad_option("padding, but the tokenizer has no padding token",
                 "name one: tokenizer.add_special_tokens({.pad_token = \"[PAD]\"})");
    }
    plan.pad_id = *pad;
    plan.pad_type_id = settings.pad_token_type_id;
    if (truncation != Truncation::none && *max_length % plan.pad_multiple != 0) {
      bad_option("max_length " + std::to_string(*max_length) + " is no multiple of pad_to_multiple_of " +
                     std::to_string(plan.pad_multiple),
                 "choose a max_length that is");
    }
    if (padding == Padding::max_length) plan.pad_length = *max_length;
  }
  plan.padding_side = options.padding_side.value_or(settings.padding_side);
  plan.truncation.strategy = truncation;
  plan.truncation.max_length = max_length.value_or(0);
  plan.truncation.stride = options.stride;
  if (truncation != Truncation::none && options.stride > 0) {
    const int64_t room = *max_length - engine->post_processor.added(false);
    if (room >= 0 && options.stride > room) {
      bad_option("stride " + std::to_string(options.stride) + " is above the " + std::to_string(room) +
                     " tokens that max_length leaves besides special ones",
                 "lower stride or raise max_length");
    }
  }
  plan.truncation.side = options.truncation_side.value_or(settings.truncation_side);
  plan.overflow = options.return_overflowing_tokens;
  plan.add_special_tokens = options.add_special_tokens;
  plan.split_special_tokens = options.split_special_tokens || settings.split_special_tokens;
  plan.type_ids = options.return_token_type_ids.value_or(contains(settings.model_input_names, "token_type_ids"));
  plan.attention_mask = options.return_attention_mask.value_or(contains(settings.model_input_names, "attention_mask"));
  return plan;
}

BatchEncoding Tokenizer::operator()(std::string_view text, const TokenizerOptions& options) const {
  refuse_words(options);
  return encode_one(impl_->engine_for(options), text, static_cast<const std::string_view*>(nullptr),
                    impl_->plan(options));
}

BatchEncoding Tokenizer::operator()(std::string_view text, std::string_view pair,
                                    const TokenizerOptions& options) const {
  refuse_words(options);
  return encode_one(impl_->engine_for(options), text, &pair, impl_->plan(options));
}

BatchEncoding Tokenizer::operator()(const std::vector<std::string>& texts, const TokenizerOptions& options) const {
  if (options.is_split_into_words) {
    return encode_one(impl_->engine_for(options), texts, static_cast<const std::vector<std::string>*>(nullptr),
                      impl_->plan(options));
  }
  return encode_batch(views(texts), {}, options);
}

BatchEncoding Tokenizer::encode_pairs(const std::vector<std::string>& texts, const std::vector<std::string>& pairs,
                                      const TokenizerOptions& options) const {
  if (options.is_split_into_words) return encode_one(impl_->engine_for(options), texts, &pairs, impl_->plan(options));
  if (pairs.size() != texts.size()) {
    bad_option("batch of " + std::to_string(texts.size()) + " texts with " + std::to_string(pairs.size()) + " pairs",
               "give each text its pair");
  }
  return encode_batch(views(texts), views(pairs), options);
}

BatchEncoding Tokenizer::operator()(const std::vector<std::vector<std::string>>& texts,
                                    const TokenizerOptions& options) const {
  return encode_all<std::vector<std::string>>(impl_->engine_for(options), texts, {}, impl_->plan(options),
                                              options.num_threads);
}

BatchEncoding Tokenizer::encode_pairs(const std::vector<std::vector<std::string>>& texts,
                                      const std::vector<std::vector<std::string>>& pairs,
                                      const TokenizerOptions& options) const {
  if (pairs.size() != texts.size()) {
    bad_option("batch of " + std::to_string(texts.size()) + " texts with " + std::to_string(pairs.size()) + " pairs",
               "give each text its pair");
  }
  return encode_all<std::vector<std::string>>(impl_->engine_for(options), texts, pairs, impl_->plan(options),
                                              options.num_threads);
}

BatchEncoding Tokenizer::operator()(std::initializer_list<std::string_view> texts,
                                    const TokenizerOptions& options) const {
  return (*this)(std::vector<std::string>(texts.begin(), texts.end()), options);
}

BatchEncoding Tokenizer::operator()(std::initializer_list<std::string_view> texts,
                                    std::initializer_list<std::string_view> pairs,
                                    const TokenizerOptions& options) const {
  return encode_pairs(std::vector<std::string>(texts.begin(), texts.end()),
                      std::vector<std::string>(pairs.begin(), pairs.end()), options);
}

BatchEncoding Tokenizer::encode_batch(std::span<const std::string_view> texts, std::span<const std::string_view> pairs,
                                      const TokenizerOptions& options) const {
  refuse_words(options);
  return encode_all(impl_->engine_for(options), texts, pairs, impl_->plan(options), options.num_threads);
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, const TokenizerOptions& options) const {
  const BatchEncoding encoding = (*this)(text, options);
  return {encoding.input_ids.values().begin(), encoding.input_ids.values().end()};
}

std::vector<std::string> Tokenizer::tokenize(std::string_view text, const TokenizerOptions& options) const {
  return (*this)(text, options).tokens();
}

void Tokenizer::pad(BatchEncoding& encoding, const TokenizerOptions& options) const {
  BatchBuilder::pad(encoding, impl_->plan(options));
}

}  // namespace mica
