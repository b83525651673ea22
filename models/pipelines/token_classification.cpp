#include "mica/models/pipelines/token_classification.h"

#include <algorithm>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/warnings.h"
#include "mica/models/pipelines/json_writer.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

struct Piece {
  std::string word;
  std::span<const float> scores;
  int64_t start = 0, end = 0, index = 0;
  bool is_subword = false;
};

size_t best_of(std::span<const float> scores) {
  return static_cast<size_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
}

// One text with the place of each of its characters, so that spans of code points can be cut out.
class Characters {
 public:
  explicit Characters(std::string_view text) : text_(text) {
    for (const char* p = text.data(); p < text.data() + text.size(); utf8::next(p)) {
      starts_.push_back(static_cast<size_t>(p - text.data()));
    }
    starts_.push_back(text.size());
  }
  std::string_view operator()(int64_t begin, int64_t end) const {
    const auto last = static_cast<int64_t>(starts_.size()) - 1;
    const auto from = static_cast<size_t>(std::clamp<int64_t>(begin, 0, last));
    const auto to = static_cast<size_t>(std::clamp<int64_t>(end, static_cast<int64_t>(from), last));
    return text_.substr(starts_[from], starts_[to] - starts_[from]);
  }

 private:
  std::string_view text_;
  std::vector<size_t> starts_;
};

// Turns the scores of one row of tokens into entities.
class Tagger {
 public:
  Tagger(const Tokenizer& tokenizer, std::vector<std::string> labels, const TokenClassificationOptions& options)
      : tokenizer_(tokenizer),
        labels_(std::move(labels)),
        options_(options),
        marks_subwords_(tokenizer.model_type() == "WordPiece") {}

  std::vector<Entity> operator()(const BatchEncoding& encoding, size_t row, std::span<const float> scores,
                                 const Characters& text) const {
    const std::vector<Piece> pieces = gather(encoding, row, scores, text);
    std::vector<Entity> entities;
    if (options_.aggregation_strategy == Aggregation::none || options_.aggregation_strategy == Aggregation::simple) {
      for (const Piece& piece : pieces) {
        const size_t best = best_of(piece.scores);
        entities.push_back({labels_.at(best), piece.scores[best], piece.word, piece.start, piece.end, piece.index});
      }
    } else {
      entities = words(pieces);
    }
    if (options_.aggregation_strategy != Aggregation::none) entities = group(entities);
    const auto ignored = [&](const Entity& entity) {
      return std::find(options_.ignore_labels.begin(), options_.ignore_labels.end(), entity.label) !=
             options_.ignore_labels.end();
    };
    entities.erase(std::remove_if(entities.begin(), entities.end(), ignored), entities.end());
    return entities;
  }

 private:
  std::vector<Piece> gather(const BatchEncoding& encoding, size_t row, std::span<const float> scores,
                            const Characters& text) const {
    const auto ids = encoding.input_ids[row];
    const auto offsets = encoding.offsets(row);
    const std::vector<int32_t> special = encoding.special_tokens_mask(row);
    const std::optional<int32_t> unknown = tokenizer_.unk_token_id();
    std::vector<Piece> pieces;
    for (size_t i = 0; i < ids.size(); ++i) {
      if (special[i] != 0) continue;
      Piece piece{.word = tokenizer_.convert_ids_to_tokens(ids[i]),
                  .scores = scores.subspan(i * labels_.size(), labels_.size()),
                  .start = offsets[i].begin,
                  .end = offsets[i].end,
                  .index = static_cast<int64_t>(i)};
      const std::string_view source = text(piece.start, piece.end);
      if (marks_subwords_) {
        // "##ing" is longer than the "ing" it stands for.
        piece.is_subword = utf8::count(piece.word) != utf8::count(source);
      } else {
        piece.is_subword =
            piece.start > 0 && text(piece.start - 1, piece.start + 1).find(' ') == std::string_view::npos;
      }
      if (unknown && ids[i] == *unknown) {
        piece.word = source;
        piece.is_subword = false;
      }
      pieces.push_back(std::move(piece));
    }
    return pieces;
  }

  std::vector<Entity> words(const std::vector<Piece>& pieces) const {
    std::vector<Entity> result;
    for (size_t begin = 0; begin < pieces.size();) {
      size_t end = begin + 1;
      while (end < pieces.size() && pieces[end].is_subword) ++end;
      result.push_back(word(std::span(pieces).subspan(begin, end - begin)));
      begin = end;
    }
    return result;
  }

  Entity word(std::span<const Piece> pieces) const {
    std::vector<std::string> tokens;
    for (const Piece& piece : pieces) tokens.push_back(piece.word);
    std::vector<float> average;
    std::span<const float> scores = pieces[0].scores;
    if (options_.aggregation_strategy == Aggregation::max) {
      for (const Piece& piece : pieces) {
        if (piece.scores[best_of(piece.scores)] > scores[best_of(scores)]) scores = piece.scores;
      }
    } else if (options_.aggregation_strategy == Aggregation::average) {
      for (size_t label = 0; label < labels_.size(); ++label) {
        double sum = 0;
        for (const Piece& piece : pieces) sum += static_cast<double>(piece.scores[label]);
        average.push_back(static_cast<float>(sum / static_cast<double>(pieces.size())));
      }
      scores = average;
    }
    const size_t best = best_of(scores);
    return {labels_.at(best),     scores[best],      tokenizer_.convert_tokens_to_string(tokens),
            pieces.front().start, pieces.back().end, -1};
  }

  // "B-PER" is the beginning of a "PER"; a label without a prefix continues.
  static std::pair<bool, std::string_view> tag(std::string_view label) {
    if (label.starts_with("B-")) return {true, label.substr(2)};
    if (label.starts_with("I-")) return {false, label.substr(2)};
    return {false, label};
  }

  std::vector<Entity> group(const std::vector<Entity>& entities) const {
    std::vector<Entity> result;
    for (size_t begin = 0; begin < entities.size();) {
      size_t end = begin + 1;
      for (; end < entities.size(); ++end) {
        const auto [begins, kind] = tag(entities[end].label);
        if (begins || kind != tag(entities[end - 1].label).second) break;
      }
      const auto part = std::span(entities).subspan(begin, end - begin);
      std::vector<std::string> tokens;
      double sum = 0;
      for (const Entity& each : part) {
        tokens.push_back(each.word);
        sum += static_cast<double>(each.score);
      }
      const std::string& label = part[0].label;
      const size_t dash = label.find('-');
      result.push_back({dash == std::string::npos ? label : label.substr(dash + 1),
                        static_cast<float>(sum / static_cast<double>(part.size())),
                        tokenizer_.convert_tokens_to_string(tokens), part.front().start, part.back().end, -1});
      begin = end;
    }
    return result;
  }

  const Tokenizer& tokenizer_;
  std::vector<std::string> labels_;
  const TokenClassificationOptions& options_;
  bool marks_subwords_;
};

// Entities of overlapping windows: of those that overlap, the longer one stays, or the more certain one.
std::vector<Entity> without_overlaps(std::vector<Entity> entities) {
  std::stable_sort(entities.begin(), entities.end(),
                   [](const Entity& a, const Entity& b) { return a.start < b.start; });
  std::vector<Entity> result;
  for (Entity& entity : entities) {
    if (result.empty() || entity.start < result.back().start || entity.start >= result.back().end) {
      result.push_back(std::move(entity));
      continue;
    }
    Entity& last = result.back();
    const int64_t length = entity.end - entity.start;
    const int64_t previous = last.end - last.start;
    if (length > previous || (length == previous && entity.score > last.score)) last = std::move(entity);
  }
  return result;
}

void check(const TokenClassificationOptions& options, std::optional<int64_t> limit) {
  if (!options.stride) return;
  if (options.aggregation_strategy == Aggregation::none) {
    throw Error("stride without an aggregation", "token classification", "choose simple, first, average or max");
  }
  if (!limit || *options.stride < 0 || *options.stride >= *limit) {
    throw Error("stride " + std::to_string(*options.stride), "token classification",
                limit ? "use 0 to " + std::to_string(*limit - 1) : "this model has no limit: leave it out");
  }
}

void write(JsonWriter& json, const Entity& entity) {
  json.begin_object().key(entity.index < 0 ? "entity_group" : "entity").value(entity.label);
  json.key("score").value(entity.score);
  if (entity.index >= 0) json.key("index").value(entity.index);
  json.key("word").value(entity.word).key("start").value(entity.start).key("end").value(entity.end).end_object();
}

}  // namespace

Aggregation aggregation_from_name(std::string_view name) {
  constexpr std::pair<std::string_view, Aggregation> known[] = {{"none", Aggregation::none},
                                                                {"simple", Aggregation::simple},
                                                                {"first", Aggregation::first},
                                                                {"average", Aggregation::average},
                                                                {"max", Aggregation::max}};
  for (const auto& [text, value] : known) {
    if (text == name) return value;
  }
  throw Error("unknown aggregation \"" + printable(name) + "\"", "token classification",
              "use none, simple, first, average or max");
}

TokenClassificationPipeline::TokenClassificationPipeline(const std::string& name_or_folder,
                                                         const PipelineOptions& options)
    : parts_(PipelineParts::open(name_or_folder, Task::token_classification, options)) {}

TokenClassificationPipeline::TokenClassificationPipeline(Model model, Tokenizer tokenizer)
    : parts_{std::move(model), std::move(tokenizer)} {}

std::vector<Entity> TokenClassificationPipeline::operator()(std::string_view text,
                                                            const TokenClassificationOptions& options) const {
  return (*this)(std::vector<std::string>{std::string(text)}, options)[0];
}

std::vector<std::vector<Entity>> TokenClassificationPipeline::operator()(
    const std::vector<std::string>& texts, const TokenClassificationOptions& options) const {
  const auto& [model, tokenizer] = parts_;
  const std::optional<int64_t> limit = token_limit(model, tokenizer);
  check(options, limit);
  const std::vector<std::string_view> views = views_of(texts);
  BatchEncoding encoding;
  if (options.stride) {
    check_texts(views);
    encoding = tokenizer.encode_batch(views, {},
                                      {.truncation = Truncation::longest_first,
                                       .max_length = limit,
                                       .stride = *options.stride,
                                       .return_overflowing_tokens = true,
                                       .return_attention_mask = false});
  } else {
    encoding = tokenize_rows(tokenizer, views, {}, limit);
  }
  if (tokenizer.model_type() != "WordPiece" && options.aggregation_strategy > Aggregation::simple) {
    warn("this tokenizer does not mark the pieces of words: words are taken to end at spaces");
  }
  const Tagger tagger(tokenizer, model.config().labels(), options);
  std::vector<std::vector<Entity>> by_row(encoding.size());
  run_batches(model, encoding, options.batch_size, options.progress,
              [&](std::span<const size_t> rows, const ModelOutput& output) {
                std::vector<float> logits = output.logits.to_vector<float>();
                const auto classes = static_cast<size_t>(output.logits.size(-1));
                for (size_t i = 0; i < logits.size(); i += classes) {
                  softmax_in_place(std::span(logits).subspan(i, classes));
                }
                size_t begin = 0;
                for (const size_t row : rows) {
                  const size_t count = encoding.input_ids[row].size() * classes;
                  const size_t text =
                      options.stride ? static_cast<size_t>(encoding.overflow_to_sample_mapping[row]) : row;
                  by_row[row] = tagger(encoding, row, std::span(logits).subspan(begin, count), Characters(views[text]));
                  begin += count;
                }
              });
  if (!options.stride) return by_row;
  std::vector<std::vector<Entity>> results(texts.size());
  std::vector<int> windows(texts.size());
  for (size_t row = 0; row < by_row.size(); ++row) {
    const auto text = static_cast<size_t>(encoding.overflow_to_sample_mapping[row]);
    ++windows[text];
    for (Entity& entity : by_row[row]) results[text].push_back(std::move(entity));
  }
  for (size_t text = 0; text < results.size(); ++text) {
    if (windows[text] > 1) results[text] = without_overlaps(std::move(results[text]));
  }
  return results;
}

std::string to_json(const Entity& entity) {
  JsonWriter json;
  write(json, entity);
  return json.text();
}

std::string to_json(const std::vector<Entity>& entities) {
  JsonWriter json;
  json.begin_array();
  for (const Entity& each : entities) write(json, each);
  return json.end_array().text();
}

}  // namespace mica
