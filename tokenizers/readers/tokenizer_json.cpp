#include "mica/tokenizers/readers/tokenizer_json.h"

#include <cmath>
#include <optional>
#include <unordered_set>
#include <utility>
#include <vector>

#include "mica/base/error.h"
#include "mica/base/json.h"
#include "mica/base/warnings.h"
#include "mica/tokenizers/models/score_text.h"
#include "mica/tokenizers/readers/bulk_scanner.h"

namespace mica {
namespace {

constexpr size_t kMaxDepth = 64;
constexpr int64_t kMaxValues = 5'000'000;  // outside the vocabulary

// Receives the file's events: what stands under model.vocab and model.merges goes straight into a ModelData, everything
// else (a few hundred values) becomes a Json.
class Handler {
 public:
  explicit Handler(const std::string& file) : file_(file) {}

  bool null() { return value(Json(nullptr)); }
  bool boolean(bool v) { return value(Json(v)); }
  bool number_integer(Json::number_integer_t v) {
    if (place_ == Place::ids) fail("id out of range: \"" + printable(token_, 60) + "\" has " + std::to_string(v));
    if (place_ == Place::scored_token) return score(static_cast<double>(v));
    return value(Json(v));
  }
  bool number_unsigned(Json::number_unsigned_t v) {
    if (place_ == Place::ids) {
      data_.vocabulary->add(token_, static_cast<int64_t>(std::min<uint64_t>(v, INT64_MAX)), file_);
      return true;
    }
    if (place_ == Place::scored_token) return score(static_cast<double>(v));
    return value(Json(v));
  }
  bool number_float(Json::number_float_t v, const std::string& text) {
    if (!std::isfinite(v)) fail("number out of range: " + printable(text));
    if (place_ == Place::scored_token) return score(parse_score(text));
    return value(Json(v));
  }
  bool string(std::string& v) {
    switch (place_) {
      case Place::scored_token:
        if (parts_++ != 0) misplaced("a text where a score should be");
        token_.swap(v);
        return true;
      case Place::merges:
        return merge(v);
      case Place::merge:
        if (parts_ == 2) misplaced("more than two tokens");
        (parts_++ == 0 ? token_ : right_).swap(v);
        return true;
      case Place::settings:
      case Place::ids:
      case Place::scored:
        break;
    }
    return value(Json(std::move(v)));
  }
  bool binary(Json::binary_t&) { return false; }

  bool start_object(size_t) {
    if (place_ != Place::settings) misplaced("an object");
    if (!at_model("vocab")) return open(Json::object());
    begin_vocabulary(Place::ids);
    return true;
  }
  bool key(std::string& name) {
    if (place_ == Place::ids) {
      token_.swap(name);
      return true;
    }
    Level& level = levels_.back();
    if (!level.keys.insert(name).second) fail("key occurs twice: \"" + printable(name) + "\"");
    level.key = std::move(name);
    return true;
  }
  bool end_object() {
    if (place_ == Place::ids) {
      place_ = Place::settings;
      return true;
    }
    return close();
  }
  bool start_array(size_t) {
    switch (place_) {
      case Place::scored:
        place_ = Place::scored_token;
        break;
      case Place::merges:
        place_ = Place::merge;
        break;
      case Place::ids:
      case Place::scored_token:
      case Place::merge:
        misplaced("an array");
      case Place::settings:
        if (at_model("vocab")) {
          begin_vocabulary(Place::scored);
          data_.scored = true;
        } else if (at_model("merges")) {
          place_ = Place::merges;
          data_.has_merges = true;
        } else {
          return open(Json::array());
        }
        return true;
    }
    parts_ = 0;
    return true;
  }
  bool end_array() {
    switch (place_) {
      case Place::settings:
        return close();
      case Place::scored:
      case Place::merges:
        place_ = Place::settings;
        break;
      case Place::scored_token:
        if (parts_ != 2) misplaced("less than a token and its score");
        place_ = Place::scored;
        break;
      case Place::merge:
        if (parts_ != 2) misplaced("less than two tokens");
        data_.merges.add(token_, right_);
        place_ = Place::merges;
        break;
      case Place::ids:
        break;
    }
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) {
    std::string message = error.what();
    if (const size_t end = message.find("] "); end != message.npos) message = message.substr(end + 2);
    fail("invalid JSON at byte " + std::to_string(position) + ": " + printable(message, 200));
  }

  Json take() { return std::move(root_); }
  ModelData take_data() {
    if (data_.vocabulary && data_.scored) data_.vocabulary->finish_with_duplicates(file_);
    if (data_.vocabulary && !data_.scored) data_.vocabulary->finish(file_);
    return std::move(data_);
  }

 private:
  // Where the next value stands: in the settings, in an object of ids, in a list of [token, score], in one of these, in
  // the list of merges ("left right" or ["left", "right"]), in one of those.
  enum class Place { settings, ids, scored, scored_token, merges, merge };
  struct Level {
    Json value;
    std::string key;
    std::unordered_set<std::string> keys;
  };

  [[noreturn]] void fail(const std::string& problem) const {
    throw Error(problem, printable(file_, 400), "mend the file or fetch it again");
  }
  [[noreturn]] void misplaced(const std::string& what) const {
    switch (place_) {
      case Place::ids:
        fail("model.vocab: \"" + printable(token_, 60) + "\" has " + what + " where an id should be");
      case Place::scored:
      case Place::scored_token:
        fail("model.vocab[" + std::to_string(data_.scores.size()) + "] is no [token, score]: it has " + what);
      default:
        fail("model.merges[" + std::to_string(data_.merges.size()) + "] is no pair of tokens: it has " + what);
    }
  }

  bool at_model(std::string_view name) const {
    return levels_.size() == 2 && levels_[0].key == "model" && levels_[1].key == name;
  }
  void begin_vocabulary(Place place) {
    data_.vocabulary = std::make_shared<Vocabulary>();
    place_ = place;
  }
  bool score(double v) {
    if (parts_ != 1) misplaced(parts_ == 0 ? "a number where a token should be" : "more than a token and its score");
    parts_ = 2;
    if (!std::isfinite(v)) fail("score out of range: \"" + printable(token_, 60) + "\"");
    data_.vocabulary->add(token_, static_cast<int64_t>(data_.scores.size()), file_);
    data_.scores.push_back(v);
    return true;
  }
  bool merge(std::string_view both) {
    if (both.substr(0, 8) == "#version") return true;  // the first line of a merges.txt, kept by old converters
    const size_t space = both.find(' ');
    if (space == both.npos || both.find(' ', space + 1) != both.npos) misplaced("not one space");
    data_.merges.add(both.substr(0, space), both.substr(space + 1));
    return true;
  }

  bool value(Json v) {
    if (place_ != Place::settings) misplaced(std::string("a ") + v.type_name());
    if (++count_ > kMaxValues) fail("more than " + std::to_string(kMaxValues) + " values");
    if (levels_.empty()) {
      root_ = std::move(v);
    } else if (Level& level = levels_.back(); level.value.is_object()) {
      level.value.get_ref<Json::object_t&>().emplace_back(std::move(level.key), std::move(v));
      level.key.clear();
    } else {
      level.value.push_back(std::move(v));
    }
    return true;
  }
  bool open(Json v) {
    if (levels_.size() >= kMaxDepth) fail("nested deeper than " + std::to_string(kMaxDepth));
    levels_.push_back({std::move(v), {}, {}});
    return true;
  }
  bool close() {
    Json v = std::move(levels_.back().value);
    levels_.pop_back();
    return value(std::move(v));
  }

  const std::string& file_;
  std::vector<Level> levels_;
  Json root_;
  ModelData data_;
  std::string token_, right_;  // of the entry that is being read
  int parts_ = 0;              // of it seen
  Place place_ = Place::settings;
  int64_t count_ = 0;
};

// Lengths in a file: far beyond any model, and small enough for every sum of a few of them.
constexpr int64_t kMaxLength = 1'000'000'000'000'000;

Side read_direction(Fields& fields) {
  return fields.choice("direction", {"Right", "Left"}, 0) == 0 ? Side::right : Side::left;
}

FileTruncation read_truncation(Fields fields) {
  FileTruncation truncation;
  truncation.direction = read_direction(fields);
  truncation.max_length = fields.integer("max_length", 0, kMaxLength);
  truncation.stride = fields.integer("stride", 0, kMaxLength);
  const size_t strategy = fields.choice("strategy", {"LongestFirst", "OnlyFirst", "OnlySecond"});
  truncation.strategy = strategy == 0   ? Truncation::longest_first
                        : strategy == 1 ? Truncation::only_first
                                        : Truncation::only_second;
  fields.finish();
  return truncation;
}

FilePadding read_padding(Fields fields) {
  FilePadding padding;
  const Json& strategy = fields.raw("strategy");
  if (strategy.is_object()) {
    Fields fixed = fields.object("strategy");
    padding.fixed_length = fixed.integer("Fixed", 0, kMaxLength);
    fixed.finish();
  } else {
    fields.choice("strategy", {"BatchLongest"});
  }
  padding.direction = read_direction(fields);
  padding.pad_to_multiple_of = fields.optional_integer("pad_to_multiple_of", 0, kMaxLength);
  padding.pad_id = static_cast<int32_t>(fields.integer("pad_id", 0, Vocabulary::kMaxId));
  padding.pad_type_id = static_cast<int32_t>(fields.integer("pad_type_id", 0, 1'000'000));
  padding.pad_token = fields.string("pad_token");
  fields.finish();
  return padding;
}

void read_added_tokens(Fields& root, Engine& engine) {
  if (!root.has("added_tokens")) {
    root.ignore("added_tokens");
    return;
  }
  std::vector<AddedToken> tokens;
  std::vector<int64_t> ids;
  std::unordered_set<std::string> seen;
  for (Fields& fields : root.objects("added_tokens")) {
    AddedToken token;
    ids.push_back(fields.integer("id", 0, Vocabulary::kMaxId));
    token.content = fields.string("content");
    token.single_word = fields.boolean("single_word");
    token.lstrip = fields.boolean("lstrip");
    token.rstrip = fields.boolean("rstrip");
    token.normalized = fields.boolean("normalized");
    token.special = fields.boolean("special");
    fields.finish();
    if (!seen.insert(token.content).second) {
      fields.fail(fields.path() + ": added token occurs twice: \"" + printable(token.content, 60) + "\"",
                  "remove one of the two");
    }
    tokens.push_back(std::move(token));
  }
  engine.added.add(tokens, engine.model->vocabulary());
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto id = engine.added.find(tokens[i].content);
    if (id && *id != ids[i]) {
      warn("added token \"" + printable(tokens[i].content, 60) + "\" is " + std::to_string(*id) + ", not " +
           std::to_string(ids[i]) + " as " + printable(root.file(), 200) +
           " says: ids of added tokens follow the vocabulary without holes");
    }
  }
}

Json truncation_json(const FileTruncation& truncation) {
  constexpr const char* strategies[] = {"LongestFirst", "LongestFirst", "OnlyFirst", "OnlySecond"};
  return {{"direction", truncation.direction == Side::right ? "Right" : "Left"},
          {"max_length", truncation.max_length},
          {"strategy", strategies[static_cast<size_t>(truncation.strategy)]},
          {"stride", truncation.stride}};
}

Json padding_json(const FilePadding& padding) {
  Json strategy = "BatchLongest";
  if (padding.fixed_length) strategy = {{"Fixed", *padding.fixed_length}};
  Json multiple = nullptr;
  if (padding.pad_to_multiple_of) multiple = *padding.pad_to_multiple_of;
  return {{"strategy", strategy},
          {"direction", padding.direction == Side::right ? "Right" : "Left"},
          {"pad_to_multiple_of", multiple},
          {"pad_id", padding.pad_id},
          {"pad_type_id", padding.pad_type_id},
          {"pad_token", padding.pad_token}};
}

}  // namespace

namespace {

struct ReadFile {
  Json json;  // without the bulk
  ModelData data;
  std::string rest = {};  // what `json` was read from, if that was not the whole file
};

// The rest of a file, of whose model nothing is left but settings.
Json read_rest(std::string_view rest, const std::string& file) {
  Handler handler(file);
  Json::sax_parse(rest.data(), rest.data() + rest.size(), &handler);
  Json json = handler.take();
  Json& model = json.at("model");
  for (const char* bulk : {"vocab", "merges"}) {
    if (model.contains(bulk) && model[bulk].is_null()) model.erase(bulk);
  }
  return json;
}

ReadFile read_all(std::string_view text, const std::string& file) {
  Handler handler(file);
  Json::sax_parse(text.data(), text.data() + text.size(), &handler);
  return {handler.take(), handler.take_data()};
}

// The bulk by a scanner of its own, the rest by the general reader.
std::optional<ReadFile> read_quickly(std::string_view text, const std::string& file) {
  ScannedFile scanned;
  try {
    if (!scan_bulk(text, file, scanned)) return std::nullopt;
    if (scanned.data.vocabulary == nullptr) return std::nullopt;
    ReadFile read{read_rest(scanned.rest, file), std::move(scanned.data), std::move(scanned.rest)};
    read.data.vocabulary->finish(file);
    return read;
  } catch (const Error&) {
    return std::nullopt;  // the general reader says where
  }
}

std::shared_ptr<Engine> make_engine(const Json& json, const std::string& file, ModelData data) {
  Fields root(json, file, "tokenizer");
  const std::string version = root.string("version", "1.0");
  if (version != "1.0") root.fail("unknown version \"" + printable(version, 20) + "\"", "known is 1.0");
  auto engine = std::make_shared<Engine>();
  if (auto fields = root.optional_object("truncation")) engine->truncation = read_truncation(*fields);
  if (auto fields = root.optional_object("padding")) engine->padding = read_padding(*fields);
  if (auto fields = root.optional_object("normalizer")) engine->normalizer = make_normalizer(*fields);
  if (auto fields = root.optional_object("pre_tokenizer")) engine->pre_tokenizer = make_pre_tokenizer(*fields);
  if (auto fields = root.optional_object("post_processor")) engine->post_processor = PostProcessor(*fields);
  if (auto fields = root.optional_object("decoder")) engine->decoder = make_decoder(*fields);
  Fields model = root.object("model");
  engine->model = make_model(model, std::move(data));
  read_added_tokens(root, *engine);
  root.finish();
  return engine;
}

}  // namespace

std::shared_ptr<Engine> read_tokenizer_json(std::string_view text, const std::string& file, bool quickly) {
  std::optional<ReadFile> quick = quickly ? read_quickly(text, file) : std::nullopt;
  ReadFile read = quick ? std::move(*quick) : read_all(text, file);
  return make_engine(read.json, file, std::move(read.data));
}

std::shared_ptr<Engine> read_tokenizer_json(std::string_view text, const std::string& file, std::string& rest) {
  std::optional<ReadFile> quick = read_quickly(text, file);
  ReadFile read = quick ? std::move(*quick) : read_all(text, file);
  rest = std::move(read.rest);
  return make_engine(read.json, file, std::move(read.data));
}

std::shared_ptr<Engine> read_tokenizer_rest(std::string_view rest, const std::string& file, ModelData data) {
  return make_engine(read_rest(rest, file), file, std::move(data));
}

std::string write_tokenizer_json(const Engine& engine) {
  Json json = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
  if (engine.truncation) json["truncation"] = truncation_json(*engine.truncation);
  if (engine.padding) json["padding"] = padding_json(*engine.padding);
  Json& added = json["added_tokens"] = Json::array();
  for (const auto& [id, token] : engine.added.by_id()) {
    added.push_back({{"id", id},
                     {"content", token.content},
                     {"single_word", token.single_word},
                     {"lstrip", token.lstrip},
                     {"rstrip", token.rstrip},
                     {"normalized", token.normalized},
                     {"special", token.special}});
  }
  json["normalizer"] = engine.normalizer ? engine.normalizer->to_json() : Json(nullptr);
  json["pre_tokenizer"] = engine.pre_tokenizer ? engine.pre_tokenizer->to_json() : Json(nullptr);
  json["post_processor"] = engine.post_processor.to_json();
  json["decoder"] = engine.decoder ? engine.decoder->to_json() : Json(nullptr);
  json["model"] = engine.model->to_json();
  return dump_json(json);
}

}  // namespace mica
