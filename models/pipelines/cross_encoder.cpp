#include "mica/models/pipelines/cross_encoder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/hub.h"
#include "mica/base/json.h"
#include "mica/models/auto/auto_config.h"
#include "mica/models/pipelines/json_writer.h"
#include "mica/tokenizers/readers/fields.h"

namespace mica {
namespace {

constexpr const char* kNames[] = {"torch.nn.modules.linear.Identity", "torch.nn.modules.activation.Sigmoid",
                                  "torch.nn.modules.activation.Tanh", "torch.nn.modules.activation.Softmax"};

// The folder must hold a Transformer and nothing behind it.
void check_modules(const std::string& folder) {
  const std::string file = join_path(folder, "modules.json");
  if (!file_exists(file)) return;
  const Json json = read_json_file(file);
  if (!json.is_array() || json.empty()) throw Error("not a list of modules", file, "mend the file or fetch it again");
  for (size_t i = 0; i < json.size(); ++i) {
    Fields entry(json[i], file, "modules[" + std::to_string(i) + "]");
    const std::string type = entry.string("type");
    if (!type.ends_with(".Transformer") || i > 0 || !entry.string("path", "").empty()) {
      throw Error("module " + std::to_string(i) + " is a " + printable(type), file,
                  "mica opens cross encoders that are one Transformer, in the folder itself");
    }
  }
}

void write(JsonWriter& json, const RankedDocument& document) {
  json.begin_object().key("corpus_id").value(document.corpus_id).key("score").value(document.score);
  json.key("text").value(document.text).end_object();
}

}  // namespace

CrossEncoder::Activation CrossEncoder::activation_from_name(const std::string& name, const std::string& where) {
  for (size_t i = 0; i < std::size(kNames); ++i) {
    const std::string full = kNames[i];
    if (name == full || name == "torch.nn" + full.substr(full.rfind('.'))) return static_cast<Activation>(i);
  }
  throw Error("activation \"" + printable(name) + "\"", where,
              "mica has Identity, Sigmoid, Tanh and Softmax of torch.nn");
}

CrossEncoder::CrossEncoder(const std::string& name_or_folder, const CrossEncoderOptions& options)
    : CrossEncoder(open(resolve_model_folder(name_or_folder), options)) {}

CrossEncoder CrossEncoder::open(const std::string& folder, const CrossEncoderOptions& options) {
  check_modules(folder);
  LoadOptions load{.dtype = options.dtype, .device = options.device};
  load.num_labels = options.num_labels;
  CrossEncoder opened(Model::from_pretrained(folder, Task::sequence_classification, load),
                      Tokenizer::from_pretrained(folder));
  const std::string transformer = join_path(folder, "sentence_bert_config.json");
  std::optional<int64_t> limit = options.max_length;
  if (file_exists(transformer) && !limit) {
    const Json json = read_json_file(transformer);
    limit = Fields(json, transformer, "transformer").optional_integer("max_seq_length", 1, int64_t{1} << 40);
  }
  if (limit && *limit < 1) throw Error("max_length " + std::to_string(*limit), "CrossEncoder", "use 1 or more");
  const int64_t most = opened.model().max_tokens();
  if (limit) opened.max_length_ = most > 0 ? std::min(*limit, most) : *limit;
  const std::string settings = join_path(folder, "config_sentence_transformers.json");
  if (!file_exists(settings)) return opened;
  const Json json = read_json_file(settings);
  Fields fields(json, settings, "config");
  if (fields.optional_string("default_prompt_name")) {
    fields.fail("key default_prompt_name is set", "mica's cross encoders put no prompt before their texts");
  }
  if (const auto name = fields.optional_string("activation_fn")) {
    opened.activation_ = activation_from_name(*name, settings);
  }
  return opened;
}

CrossEncoder::CrossEncoder(Model model, Tokenizer tokenizer) : parts_{std::move(model), std::move(tokenizer)} {
  max_length_ = token_limit(parts_.model, parts_.tokenizer);
  const Config& config = parts_.model.config();
  std::string name = config.text("sbert_ce_default_activation_function", "");
  if (config.has("sentence_transformers")) {
    name = config.object("sentence_transformers").text("activation_fn", name);
  }
  if (!name.empty()) activation_ = activation_from_name(name, config.where());
}

int64_t CrossEncoder::num_labels() const {
  return parts_.model.config().num_labels;
}

CrossEncoder::Activation CrossEncoder::activation_of(ScoreFunction wanted) const {
  switch (wanted) {
    case ScoreFunction::none:
      return Activation::identity;
    case ScoreFunction::sigmoid:
      return Activation::sigmoid;
    case ScoreFunction::softmax:
      return Activation::softmax;
    default:
      return activation_.value_or(num_labels() == 1 ? Activation::sigmoid : Activation::identity);
  }
}

Tensor CrossEncoder::predict(const std::vector<TextPair>& pairs, const PredictOptions& options) const {
  std::vector<std::string_view> first, second;
  for (const TextPair& each : pairs) {
    first.emplace_back(each.text);
    second.emplace_back(each.pair);
  }
  const auto labels = static_cast<size_t>(num_labels());
  const Activation activation = activation_of(options.activation_fn);
  std::vector<float> scores(pairs.size() * labels);
  const BatchEncoding encoding = tokenize_rows(parts_.tokenizer, first, second, max_length_);
  run_batches(parts_.model, encoding, options.batch_size, options.progress,
              [&](std::span<const size_t> rows, const ModelOutput& output) {
                const std::vector<float> logits = output.logits.to_vector<float>();
                for (size_t i = 0; i < rows.size(); ++i) {
                  const std::span<float> of_pair = std::span(scores).subspan(rows[i] * labels, labels);
                  std::copy_n(logits.data() + i * labels, labels, of_pair.begin());
                  if (activation == Activation::sigmoid) sigmoid_in_place(of_pair);
                  if (activation == Activation::softmax && labels > 1) softmax_in_place(of_pair);
                  if (activation == Activation::tanh)
                    std::ranges::transform(of_pair, of_pair.begin(), [](float x) { return std::tanh(x); });
                }
              });
  const auto count = static_cast<int64_t>(pairs.size());
  return Tensor::from(scores, labels == 1 ? Shape{count} : Shape{count, num_labels()});
}

Tensor CrossEncoder::predict(const TextPair& pair, const PredictOptions& options) const {
  return predict(std::vector<TextPair>{pair}, options).select(0, 0);
}

std::vector<RankedDocument> CrossEncoder::rank(std::string_view query, const std::vector<std::string>& documents,
                                               const RankOptions& options) const {
  if (num_labels() != 1) {
    throw Error("a model with " + std::to_string(num_labels()) + " labels", "CrossEncoder::rank",
                "use predict(), or a model with one label");
  }
  if (options.top_k && *options.top_k < 1) {
    throw Error("top_k is " + std::to_string(*options.top_k), "CrossEncoder::rank", "use 1 or more");
  }
  std::vector<TextPair> pairs;
  for (const std::string& document : documents) pairs.push_back({std::string(query), document});
  const std::vector<float> scores =
      predict(pairs,
              {.activation_fn = options.activation_fn, .batch_size = options.batch_size, .progress = options.progress})
          .to_vector<float>();
  std::vector<RankedDocument> ranked;
  for (size_t i = 0; i < documents.size(); ++i) ranked.push_back({static_cast<int64_t>(i), scores[i], documents[i]});
  std::ranges::stable_sort(ranked, [](const auto& a, const auto& b) { return a.score > b.score; });
  if (options.top_k && static_cast<size_t>(*options.top_k) < ranked.size()) {
    ranked.resize(static_cast<size_t>(*options.top_k));
  }
  return ranked;
}

void CrossEncoder::save_pretrained(const std::string& folder) const {
  parts_.model.save_pretrained(folder);
  parts_.tokenizer.save_pretrained(folder);
  if (!activation_) return;
  Config config = AutoConfig::from_pretrained(folder);
  config.remove("sbert_ce_default_activation_function");
  Json settings = Json::object();
  settings["activation_fn"] = kNames[static_cast<size_t>(*activation_)];
  config.set_json("sentence_transformers", settings.dump());
  config.save_pretrained(folder);
}

std::string to_json(const RankedDocument& document) {
  JsonWriter json;
  write(json, document);
  return json.text();
}

std::string to_json(const std::vector<RankedDocument>& documents) {
  JsonWriter json;
  json.begin_array();
  for (const RankedDocument& each : documents) write(json, each);
  return json.end_array().text();
}

}  // namespace mica
