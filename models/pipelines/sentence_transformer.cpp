#include "mica/models/pipelines/sentence_transformer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/hub.h"
#include "mica/base/json.h"
#include "mica/models/auto/lora.h"
#include "mica/models/pipelines/sentence_modules.h"
#include "mica/tokenizers/readers/fields.h"
#include "mica/tokenizers/unicode.h"
#include "mica/tokenizers/utf8.h"

namespace mica {

// Texts are tokenized this many at a time, which bounds memory.
constexpr size_t kTextsAtOnce = 16'384;

struct SentenceTransformer::Impl {
  Model model;
  Tokenizer tokenizer;
  Pooling pooling;
  std::vector<std::unique_ptr<SentenceModule>> modules;
  std::optional<int64_t> max_seq_length;
  bool lower_case = false;
  int64_t size = 0;
  std::map<std::string, std::string> prompts{{"query", ""}, {"document", ""}};
  std::optional<std::string> default_prompt_name;
  std::optional<int64_t> truncate_dim;
  SimilarityFunction similarity = SimilarityFunction::cosine;

  Impl(Model m, Tokenizer t) : model(std::move(m)), tokenizer(std::move(t)) {
    max_seq_length = token_limit(model, tokenizer);
    size = model.hidden_size();
  }

  void read_transformer_config(const std::string& folder);
  void read_prompts(const std::string& folder);
  void add_module(std::unique_ptr<SentenceModule> module);
  // What comes after the transformer: token vectors [rows, hidden] to sentence vectors.
  Tensor pool(const Tensor& hidden, const SequenceOffsets& offsets, int64_t skipped, bool training) const;
  BatchEncoding tokenize(std::span<const std::string_view> texts, const std::string& prompt) const;
  void save_settings(const std::string& folder) const;
  std::string resolve_prompt(const EncodeOptions& options) const;
  int64_t prompt_tokens(const std::string& prompt) const;
  // The first `width` elements of each vector go to `out`.
  void encode(std::span<const std::string_view> texts, const std::string& prompt, const EncodeOptions& options,
              int64_t width, const Progress& progress, float* out) const;
  int64_t width() const { return std::min(size, truncate_dim.value_or(size)); }
};

namespace {

// modules.json's entry: where the module lies and what it is.
struct ModuleEntry {
  std::string kind, folder;
};

// "1_Pooling", or "" for the folder itself. Names with slashes, and "..", could reach outside the folder.
std::string module_folder(const std::string& root, Fields& entry) {
  const std::string path = entry.string("path", "");
  if (path.empty()) return root;
  if (!is_plain_file_name(path)) {
    entry.fail("key path of " + entry.path() + " is \"" + printable(path) + "\"",
               "name a folder beside modules.json, without slashes");
  }
  return join_path(root, path);
}

std::vector<ModuleEntry> read_modules(const std::string& root) {
  const std::string file = join_path(root, "modules.json");
  if (!file_exists(file)) return {};
  const Json json = read_json_file(file);
  if (!json.is_array() || json.empty() || json.size() > 64) {
    throw Error("not a list of 1 to 64 modules", file, "mend the file or fetch it again");
  }
  std::vector<ModuleEntry> modules;
  for (size_t i = 0; i < json.size(); ++i) {
    Fields entry(json[i], file, "modules[" + std::to_string(i) + "]");
    const std::string type = entry.string("type");
    const size_t dot = type.rfind('.');
    if (!type.starts_with("sentence_transformers.") || dot == std::string::npos) {
      entry.fail("key type of " + entry.path() + " is \"" + printable(type) + "\"",
                 "only modules of sentence_transformers itself can be opened");
    }
    modules.push_back({type.substr(dot + 1), module_folder(root, entry)});
  }
  if (modules[0].kind != "Transformer") {
    throw Error("the first module is a " + printable(modules[0].kind), file,
                "mica opens models that start with a Transformer");
  }
  return modules;
}

// The folder of the module behind the pooling, of that number.
std::string module_name(size_t index, const SentenceModule& module) {
  return std::to_string(index + 2) + "_" + std::string(module.kind());
}

// The text in lower case, but for tokens that are matched before any normalisation ("[SEP]").
std::string lowered(std::string_view text, const std::vector<std::string>& kept) {
  std::string result;
  result.reserve(text.size());
  const char* p = text.data();
  const char* end = p + text.size();
  while (p < end) {
    const std::string_view rest(p, static_cast<size_t>(end - p));
    const auto token =
        std::find_if(kept.begin(), kept.end(), [&](const std::string& each) { return rest.starts_with(each); });
    if (token != kept.end()) {
      result += *token;
      p += token->size();
      continue;
    }
    char32_t mapped[2];
    const int count = unicode::to_lower(utf8::next(p), mapped);
    for (int i = 0; i < count; ++i) utf8::append(mapped[i], result);
  }
  return result;
}

}  // namespace

void SentenceTransformer::Impl::read_transformer_config(const std::string& folder) {
  constexpr std::array<const char*, 7> names{"sentence_bert_config.json",       "sentence_roberta_config.json",
                                             "sentence_distilbert_config.json", "sentence_camembert_config.json",
                                             "sentence_albert_config.json",     "sentence_xlm-roberta_config.json",
                                             "sentence_xlnet_config.json"};
  for (const char* name : names) {
    const std::string path = join_path(folder, name);
    if (!file_exists(path)) continue;
    const Json json = read_json_file(path);
    Fields fields(json, path, "transformer");
    const auto limit = fields.optional_integer("max_seq_length", 1, int64_t{1} << 40);
    // More than the model's positions would only fail later.
    if (limit) max_seq_length = std::min(*limit, model.max_tokens() > 0 ? model.max_tokens() : *limit);
    lower_case = fields.boolean("do_lower_case", false);
    return;
  }
}

void SentenceTransformer::Impl::read_prompts(const std::string& folder) {
  const std::string path = join_path(folder, "config_sentence_transformers.json");
  if (!file_exists(path)) return;
  const Json json = read_json_file(path);
  Fields fields(json, path, "config");
  if (auto given = fields.optional_object("prompts")) {
    for (const auto& [key, value] : given->json().items()) {
      if (value.is_null()) continue;
      if (!value.is_string()) fields.fail("key prompts." + printable(key) + " is not a string", "make it one");
      prompts[key] = value.get<std::string>();
    }
  }
  default_prompt_name = fields.optional_string("default_prompt_name");
  if (default_prompt_name && prompts.count(*default_prompt_name) == 0) {
    fields.fail("key default_prompt_name is \"" + printable(*default_prompt_name) + "\"", "name one of its prompts");
  }
  truncate_dim = fields.optional_integer("truncate_dim", 1, int64_t{1} << 40);
  const auto function = fields.optional_string("similarity_fn_name");
  try {
    if (function) similarity = similarity_function_from_name(*function);
  } catch (const Error& error) {
    throw Error("key similarity_fn_name: " + error.problem(), path, error.mend());
  }
}

void SentenceTransformer::Impl::add_module(std::unique_ptr<SentenceModule> module) {
  size = module->output_size(size);
  modules.push_back(std::move(module));
}

SentenceTransformer::SentenceTransformer(const std::string& name_or_folder, const SentenceTransformerOptions& options) {
  const std::string root = resolve_model_folder(name_or_folder);
  const std::vector<ModuleEntry> entries = read_modules(root);
  const std::string transformer = entries.empty() ? root : entries[0].folder;
  LoadOptions load{.dtype = options.dtype, .device = options.device, .add_pooling_layer = false};
  load.config = options.config;
  Model model = Model::from_pretrained(transformer, Task::base, load);
  impl_ = std::make_shared<Impl>(
      std::move(model), Tokenizer::from_pretrained(options.tokenizer.empty() ? transformer : options.tokenizer));
  impl_->read_transformer_config(transformer);
  impl_->read_prompts(root);
  if (entries.empty()) return;
  if (entries.size() < 2 || entries[1].kind != "Pooling") {
    throw Error("the second module is no Pooling", join_path(root, "modules.json"),
                "mica opens models that pool right after the transformer");
  }
  impl_->pooling = Pooling::from_folder(entries[1].folder, impl_->size);
  impl_->size *= static_cast<int64_t>(impl_->pooling.modes().size());
  for (size_t i = 2; i < entries.size(); ++i) {
    impl_->add_module(make_sentence_module(entries[i].kind, entries[i].folder, impl_->model.device()));
  }
}

SentenceTransformer::SentenceTransformer(const Model& model, const Tokenizer& tokenizer, PoolingMode pooling,
                                         bool normalize) {
  if (model.task() != Task::base) {
    throw Error("a model for " + std::string(mica::name(model.task())), "SentenceTransformer",
                "open it for Task::base: its token vectors are pooled");
  }
  impl_ = std::make_shared<Impl>(model, tokenizer);
  impl_->pooling = Pooling({pooling});
  if (normalize) impl_->add_module(make_normalize());
}

std::string SentenceTransformer::Impl::resolve_prompt(const EncodeOptions& options) const {
  if (options.prompt) return *options.prompt;
  const std::optional<std::string>& name = options.prompt_name ? options.prompt_name : default_prompt_name;
  if (!name) return "";
  const auto found = prompts.find(*name);
  if (found != prompts.end()) return found->second;
  std::string known;
  for (const auto& [key, text] : prompts) known += (known.empty() ? "" : ", ") + printable(key);
  throw Error("unknown prompt name \"" + printable(*name) + "\"", "encode",
              known.empty() ? "this model has no prompts" : "use one of " + known);
}

// Tokens that the prompt takes at the start of a text: with the first special token, without the last.
int64_t SentenceTransformer::Impl::prompt_tokens(const std::string& prompt) const {
  if (prompt.empty() || pooling.include_prompt()) return 0;
  const std::vector<int32_t> ids = tokenizer.encode(prompt);
  const std::vector<int32_t> special = tokenizer.all_special_ids();
  const bool ends_special = !ids.empty() && std::find(special.begin(), special.end(), ids.back()) != special.end();
  return static_cast<int64_t>(ids.size()) - (ends_special ? 1 : 0);
}

BatchEncoding SentenceTransformer::Impl::tokenize(std::span<const std::string_view> texts,
                                                  const std::string& prompt) const {
  if (prompt.empty() && !lower_case) return tokenize_rows(tokenizer, texts, {}, max_seq_length);
  check_texts(texts);
  check_texts(std::array<std::string_view, 1>{prompt}, "prompt");
  std::vector<std::string> changed;
  changed.reserve(texts.size());
  std::vector<std::string> kept;
  for (const auto& [token, id] : tokenizer.added_tokens()) {
    if (!token.normalized && !token.content.empty()) kept.push_back(token.content);
  }
  for (const std::string_view each : texts) {
    const std::string text = prompt + std::string(each);
    changed.push_back(lower_case ? lowered(text, kept) : text);
  }
  return tokenize_rows(tokenizer, views_of(changed), {}, max_seq_length);
}

Tensor SentenceTransformer::Impl::pool(const Tensor& hidden, const SequenceOffsets& offsets, int64_t skipped,
                                       bool training) const {
  Tensor x = pooling(hidden, offsets, skipped);
  for (const auto& module : modules) x = (*module)(x, training);
  return x;
}

void SentenceTransformer::Impl::encode(std::span<const std::string_view> texts, const std::string& prompt,
                                       const EncodeOptions& options, int64_t width, const Progress& progress,
                                       float* out) const {
  const BatchEncoding encoding = tokenize(texts, prompt);
  const int64_t skipped = prompt_tokens(prompt);
  run_batches(
      model, encoding, options.batch_size, progress, [&](std::span<const size_t> rows, const ModelOutput& output) {
        std::vector<int64_t> lengths;
        for (const size_t row : rows) {
          lengths.push_back(static_cast<int64_t>(encoding.input_ids[row].size()));
        }
        Tensor x =
            pool(output.last_hidden_state, SequenceOffsets::from_lengths(lengths, model.device()), skipped, false);
        if (width < size) x = x.slice(1, 0, width).contiguous();
        if (options.normalize_embeddings) x = normalize_rows(x);
        x = x.to(Device{}).to(DType::float32).contiguous();
        for (size_t i = 0; i < rows.size(); ++i) {
          std::copy_n(x.data<float>() + static_cast<int64_t>(i) * width, width,
                      out + static_cast<int64_t>(rows[i]) * width);
        }
      });
}

namespace {

// Dropout is no part of an encoding, whatever the model does meanwhile.
class Evaluating {
 public:
  explicit Evaluating(const Model& model) : model_(model), was_training_(model.training()) {
    if (was_training_) model_.eval();
  }
  ~Evaluating() {
    if (was_training_) model_.train();
  }
  Evaluating(const Evaluating&) = delete;
  Evaluating& operator=(const Evaluating&) = delete;

 private:
  const Model& model_;
  bool was_training_;
};

}  // namespace

Tensor SentenceTransformer::encode(std::span<const std::string_view> texts, const EncodeOptions& options) const {
  const NoGrad no_grad;
  const Evaluating evaluating(impl_->model);
  const std::string prompt = impl_->resolve_prompt(options);
  int64_t width = impl_->width();
  if (options.truncate_dim) {
    if (*options.truncate_dim < 1 || *options.truncate_dim > impl_->size) {
      throw Error("truncate_dim " + std::to_string(*options.truncate_dim), "encode",
                  "use 1 to " + std::to_string(impl_->size));
    }
    width = *options.truncate_dim;
  }
  const auto total = static_cast<int64_t>(texts.size());
  const Tensor result = Tensor::empty({total, width});
  for (size_t begin = 0; begin < texts.size(); begin += kTextsAtOnce) {
    const auto part = texts.subspan(begin, std::min(kTextsAtOnce, texts.size() - begin));
    Progress progress;
    if (options.progress) {
      progress = [&](int64_t done, int64_t) { options.progress(static_cast<int64_t>(begin) + done, total); };
    }
    impl_->encode(part, prompt, options, width, progress, result.data<float>() + static_cast<int64_t>(begin) * width);
  }
  return result;
}

Tensor SentenceTransformer::encode(const std::vector<std::string>& texts, const EncodeOptions& options) const {
  const std::vector<std::string_view> views = views_of(texts);
  return encode(std::span<const std::string_view>(views), options);
}

Tensor SentenceTransformer::encode(std::initializer_list<std::string_view> texts, const EncodeOptions& options) const {
  return encode(std::span<const std::string_view>(texts.begin(), texts.size()), options);
}

Tensor SentenceTransformer::encode(std::string_view text, const EncodeOptions& options) const {
  return encode(std::span<const std::string_view>(&text, 1), options).select(0, 0);
}

Tensor SentenceTransformer::encode_query(const std::vector<std::string>& texts, EncodeOptions options) const {
  if (!options.prompt && !options.prompt_name) options.prompt_name = "query";
  return encode(texts, options);
}

Tensor SentenceTransformer::encode_document(const std::vector<std::string>& texts, EncodeOptions options) const {
  if (!options.prompt && !options.prompt_name) options.prompt_name = "document";
  return encode(texts, options);
}

Tensor SentenceTransformer::similarity(const Tensor& a, const Tensor& b) const {
  return mica::similarity(a, b, impl_->similarity);
}
Tensor SentenceTransformer::similarity_pairwise(const Tensor& a, const Tensor& b) const {
  return pairwise_similarity(a, b, impl_->similarity);
}
SimilarityFunction SentenceTransformer::similarity_fn_name() const {
  return impl_->similarity;
}
void SentenceTransformer::set_similarity_fn_name(SimilarityFunction function) {
  impl_->similarity = function;
}
int64_t SentenceTransformer::get_embedding_dimension() const {
  return impl_->width();
}
std::optional<int64_t> SentenceTransformer::max_seq_length() const {
  return impl_->max_seq_length;
}
void SentenceTransformer::set_max_seq_length(int64_t tokens) {
  const int64_t most = impl_->model.max_tokens();
  if (tokens < 1 || (most > 0 && tokens > most)) {
    throw Error("max_seq_length " + std::to_string(tokens), "SentenceTransformer",
                "use 1 to " + std::to_string(most > 0 ? most : int64_t{1} << 40));
  }
  impl_->max_seq_length = tokens;
}
const std::map<std::string, std::string>& SentenceTransformer::prompts() const {
  return impl_->prompts;
}
const std::optional<std::string>& SentenceTransformer::default_prompt_name() const {
  return impl_->default_prompt_name;
}
const Model& SentenceTransformer::model() const {
  return impl_->model;
}
const Tokenizer& SentenceTransformer::tokenizer() const {
  return impl_->tokenizer;
}

// ---- training and saving

BatchEncoding SentenceTransformer::tokenize(std::span<const std::string_view> texts, const std::string& prompt) const {
  return impl_->tokenize(texts, prompt);
}

Tensor SentenceTransformer::embed(const ModelInputs& inputs) const {
  const Model& model = impl_->model;
  ModelInputs sequences = inputs;
  sequences.labels = {};
  if (sequences.attention_mask.defined()) {
    const std::vector<int64_t> mask = sequences.attention_mask.to_vector<int64_t>();
    if (std::find(mask.begin(), mask.end(), 0) != mask.end()) {
      throw Error("a batch with padding", "SentenceTransformer::embed",
                  "make it ragged: PaddingOptions{.ragged = true}");
    }
    sequences.attention_mask = {};
  }
  if (sequences.lengths.empty()) {
    if (!sequences.input_ids.defined() || sequences.input_ids.rank() != 2) {
      throw Error("no rows of input_ids", "SentenceTransformer::embed", "give a ragged batch, or [sentences, tokens]");
    }
    sequences.lengths.assign(static_cast<size_t>(sequences.input_ids.size(0)), sequences.input_ids.size(1));
    for (Tensor* each : {&sequences.input_ids, &sequences.token_type_ids, &sequences.position_ids}) {
      if (each->defined()) *each = each->reshape({each->numel()});
    }
  }
  const Tensor hidden = model(sequences).last_hidden_state;
  return impl_->pool(hidden, SequenceOffsets::from_lengths(sequences.lengths, model.device()), 0, model.training());
}

const SentenceTransformer& SentenceTransformer::to(Device device) const {
  const NoGrad no_grad;
  impl_->model.to(device);
  for (const auto& module : impl_->modules) {
    for (const auto& [name, parameter] : module->parameters()) parameter.set_data(parameter.detach().to(device));
  }
  return *this;
}

void SentenceTransformer::train(bool on) const {
  impl_->model.train(on);
}

NamedTensors SentenceTransformer::parameters() const {
  NamedTensors all = impl_->model.parameters();
  for (size_t i = 0; i < impl_->modules.size(); ++i) {
    const SentenceModule& module = *impl_->modules[i];
    for (const auto& [name, parameter] : module.parameters()) {
      all.emplace_back(module_name(i, module) + "." + name, parameter);
    }
  }
  return all;
}

void SentenceTransformer::save_pretrained(const std::string& folder, const std::string& adapter_base_model) const {
  const Impl& impl = *impl_;
  make_directories(folder);
  if (has_adapters(impl.model)) {
    save_adapter(impl.model, folder, adapter_names(impl.model).front(), adapter_base_model);
    impl.model.config().save_pretrained(folder);
  } else {
    impl.model.save_pretrained(folder);
  }
  impl.tokenizer.save_pretrained(folder);
  Json modules = Json::array();
  const auto add = [&](const std::string& kind, const std::string& path) {
    const auto index = static_cast<int64_t>(modules.size());
    // These addresses are known to every version of the library.
    modules.push_back({{"idx", index},
                       {"name", std::to_string(index)},
                       {"path", path},
                       {"type", "sentence_transformers.models." + kind}});
  };
  add("Transformer", "");
  add("Pooling", "1_Pooling");
  impl.pooling.save(join_path(folder, "1_Pooling"), impl.model.hidden_size());
  for (size_t i = 0; i < impl.modules.size(); ++i) {
    const SentenceModule& module = *impl.modules[i];
    const std::string name = module_name(i, module);
    save(module, join_path(folder, name));
    add(std::string(module.kind()), name);
  }
  impl.save_settings(folder);
  write_file_atomically(join_path(folder, "modules.json"), modules.dump(2) + "\n");
}

void SentenceTransformer::Impl::save_settings(const std::string& folder) const {
  Json transformer = {{"max_seq_length", nullptr}, {"do_lower_case", lower_case}};
  if (max_seq_length) transformer["max_seq_length"] = *max_seq_length;
  write_file_atomically(join_path(folder, "sentence_bert_config.json"), transformer.dump(2) + "\n");
  Json config = {{"model_type", "SentenceTransformer"},
                 {"prompts", Json::object()},
                 {"default_prompt_name", nullptr},
                 {"similarity_fn_name", std::string(mica::name(similarity))}};
  for (const auto& [key, text] : prompts) config["prompts"][key] = text;
  if (default_prompt_name) config["default_prompt_name"] = *default_prompt_name;
  if (truncate_dim) config["truncate_dim"] = *truncate_dim;
  write_file_atomically(join_path(folder, "config_sentence_transformers.json"),
                        config.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::vector<ParaphrasePair> paraphrase_mining(const SentenceTransformer& model, const std::vector<std::string>& texts,
                                              const EncodeOptions& encode_options, const MiningOptions& options) {
  return paraphrase_mining_embeddings(model.encode(texts, encode_options), options);
}

}  // namespace mica
