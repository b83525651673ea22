#include "mica/tokenizers/readers/tokenizer_json.h"

#include <cmath>
#include <unordered_set>
#include <utility>
#include <vector>

#include "mica/base/error.h"
#include "mica/base/json.h"
#include "mica/base/warnings.h"

namespace mica {
namespace {

constexpr size_t kMaxDepth = 64;
constexpr int64_t kMaxValues = 5'000'000;  // outside the vocabulary

// Receives the file's events: what stands under model.vocab goes straight into a Vocabulary, everything else (a few
// hundred values) becomes a Json.
class Handler {
 public:
  explicit Handler(const std::string& file) : file_(file), vocabulary_(std::make_shared<Vocabulary>()) {}

  bool null() { return value(Json(nullptr)); }
  bool boolean(bool v) { return value(Json(v)); }
  bool number_integer(Json::number_integer_t v) {
    if (in_vocabulary_) fail("id out of range: \"" + printable(token_, 60) + "\" has " + std::to_string(v));
    return value(Json(v));
  }
  bool number_unsigned(Json::number_unsigned_t v) {
    if (in_vocabulary_) {
      vocabulary_->add(token_, static_cast<int64_t>(std::min<uint64_t>(v, INT64_MAX)), file_);
      return true;
    }
    return value(Json(v));
  }
  bool number_float(Json::number_float_t v, const std::string& text) {
    if (!std::isfinite(v)) fail("number out of range: " + printable(text));
    return value(Json(v));
  }
  bool string(std::string& v) { return value(Json(std::move(v))); }
  bool binary(Json::binary_t&) { return false; }

  bool start_object(size_t) {
    if (in_vocabulary_) vocabulary_value("an object");
    if (levels_.size() == 2 && levels_[0].key == "model" && levels_[1].key == "vocab") {
      if (has_vocabulary_) fail("key occurs twice: \"vocab\"");
      in_vocabulary_ = has_vocabulary_ = true;
      return true;
    }
    return open(Json::object());
  }
  bool key(std::string& name) {
    if (in_vocabulary_) {
      token_.swap(name);
      return true;
    }
    Level& level = levels_.back();
    if (!level.keys.insert(name).second) fail("key occurs twice: \"" + printable(name) + "\"");
    level.key = std::move(name);
    return true;
  }
  bool end_object() {
    if (in_vocabulary_) {
      in_vocabulary_ = false;
      return true;
    }
    return close();
  }
  bool start_array(size_t) {
    if (in_vocabulary_) vocabulary_value("an array");
    return open(Json::array());
  }
  bool end_array() { return close(); }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) {
    std::string message = error.what();
    if (const size_t end = message.find("] "); end != message.npos) message = message.substr(end + 2);
    fail("invalid JSON at byte " + std::to_string(position) + ": " + printable(message, 200));
  }

  Json take() { return std::move(root_); }
  std::shared_ptr<Vocabulary> vocabulary() const { return vocabulary_; }
  bool has_vocabulary() const { return has_vocabulary_; }

 private:
  struct Level {
    Json value;
    std::string key;
    std::unordered_set<std::string> keys;
  };

  [[noreturn]] void fail(const std::string& problem) const {
    throw Error(problem, printable(file_, 400), "mend the file or fetch it again");
  }
  [[noreturn]] void vocabulary_value(const char* kind) const {
    fail("model.vocab: \"" + printable(token_, 60) + "\" has " + kind + " where an id should be");
  }

  bool value(Json v) {
    if (in_vocabulary_) vocabulary_value(v.type_name());
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
  std::shared_ptr<Vocabulary> vocabulary_;
  std::string token_;
  bool in_vocabulary_ = false;
  bool has_vocabulary_ = false;
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

std::shared_ptr<Engine> read_tokenizer_json(std::string_view text, const std::string& file) {
  Handler handler(file);
  Json::sax_parse(text.data(), text.data() + text.size(), &handler);
  const Json json = handler.take();

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
  const std::shared_ptr<Vocabulary> vocabulary = handler.vocabulary();
  vocabulary->finish(file);
  engine->model = make_model(model, handler.has_vocabulary() ? vocabulary : nullptr);
  read_added_tokens(root, *engine);
  root.finish();
  return engine;
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
  Json model = engine.model->settings();
  Json vocab = Json::object();
  auto& entries = vocab.get_ref<Json::object_t&>();
  const Vocabulary& vocabulary = engine.model->vocabulary();
  for (int64_t id = 0; id < vocabulary.id_bound(); ++id) {
    const auto i = static_cast<int32_t>(id);
    // Straight into the list: the map's own insertion would look for the key among all those before.
    if (vocabulary.contains(i)) entries.emplace_back(std::string(vocabulary.token(i)), i);
  }
  model["vocab"] = std::move(vocab);
  json["model"] = std::move(model);
  return dump_json(json);
}

}  // namespace mica
