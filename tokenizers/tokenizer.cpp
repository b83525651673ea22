#include "mica/tokenizers/tokenizer.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/hub.h"
#include "mica/base/warnings.h"
#include "mica/tokenizers/readers/any_file.h"
#include "mica/tokenizers/readers/classes.h"
#include "mica/tokenizers/readers/tokenizer_json.h"
#include "mica/tokenizers/tokenizer_impl.h"

namespace mica {

Tokenizer::Tokenizer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(const Tokenizer&) = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(const Tokenizer&) = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::from_pretrained(const std::string& name_or_folder) {
  if (file_exists(name_or_folder)) return from_file(name_or_folder);
  LoadedTokenizer loaded = load_tokenizer_folder(resolve_model_folder(name_or_folder));
  return Tokenizer(std::make_shared<Impl>(Impl{std::move(loaded.engine), std::move(loaded.settings)}));
}

Tokenizer Tokenizer::from_json(std::string_view text, const std::string& where) {
  auto engine = read_tokenizer_json(text, where);
  engine->prepare();
  TokenizerSettings settings = settings_without_config(*engine);
  return Tokenizer(std::make_shared<Impl>(Impl{std::move(engine), std::move(settings)}));
}

Tokenizer Tokenizer::from_file(const std::string& path) {
  LoadedTokenizer loaded = load_tokenizer_file(path);
  return Tokenizer(std::make_shared<Impl>(Impl{std::move(loaded.engine), std::move(loaded.settings)}));
}

Tokenizer::Impl& Tokenizer::mutable_impl() {
  auto own = std::make_shared<Impl>(*impl_);
  Impl& result = *own;
  impl_ = std::move(own);
  return result;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, const DecodeOptions& options) const {
  std::string text = impl_->engine->decode(ids, options.skip_special_tokens);
  if (options.clean_up_tokenization_spaces.value_or(impl_->settings.clean_up_tokenization_spaces)) {
    text = clean_up_spaces(std::move(text));
  }
  return text;
}

std::string Tokenizer::decode(std::span<const int64_t> ids, const DecodeOptions& options) const {
  std::vector<int32_t> narrow;
  narrow.reserve(ids.size());
  for (const int64_t id : ids) {
    // -100, which losses ignore, and whatever else is no id, has no text.
    narrow.push_back(id < 0 || id > std::numeric_limits<int32_t>::max() ? -1 : static_cast<int32_t>(id));
  }
  return decode(narrow, options);
}

std::string Tokenizer::decode(std::initializer_list<int64_t> ids, const DecodeOptions& options) const {
  return decode(std::span<const int64_t>(ids.begin(), ids.size()), options);
}

std::vector<std::string> Tokenizer::batch_decode(const std::vector<std::vector<int64_t>>& ids,
                                                 const DecodeOptions& options) const {
  std::vector<std::string> texts;
  texts.reserve(ids.size());
  for (const auto& row : ids) texts.push_back(decode(row, options));
  return texts;
}

std::vector<std::string> Tokenizer::batch_decode(const Ragged<int32_t>& ids, const DecodeOptions& options) const {
  std::vector<std::string> texts;
  texts.reserve(ids.size());
  for (const auto row : ids) texts.push_back(decode(row, options));
  return texts;
}

DecodeStream Tokenizer::decode_stream(const DecodeOptions& options) const {
  DecodeOptions filled = options;
  filled.clean_up_tokenization_spaces =
      options.clean_up_tokenization_spaces.value_or(impl_->settings.clean_up_tokenization_spaces);
  return {impl_->engine, filled};
}

std::optional<int32_t> Tokenizer::token_to_id(std::string_view token) const {
  return impl_->engine->find(token);
}

int32_t Tokenizer::convert_tokens_to_ids(std::string_view token) const {
  if (const auto id = token_to_id(token)) return *id;
  return unk_token_id().value_or(-1);
}

std::vector<int32_t> Tokenizer::convert_tokens_to_ids(const std::vector<std::string>& tokens) const {
  std::vector<int32_t> ids;
  ids.reserve(tokens.size());
  for (const std::string& token : tokens) ids.push_back(convert_tokens_to_ids(token));
  return ids;
}

std::string Tokenizer::convert_ids_to_tokens(int64_t id) const {
  if (!impl_->engine->knows(id)) {
    throw Error("id " + std::to_string(id) + " is not in the vocabulary", "tokenizer",
                "ids go from 0 to " + std::to_string(impl_->engine->id_bound() - 1));
  }
  return std::string(impl_->engine->text(static_cast<int32_t>(id)));
}

std::vector<std::string> Tokenizer::convert_ids_to_tokens(std::span<const int32_t> ids, bool skip_special) const {
  std::vector<std::string> tokens;
  const std::vector<int32_t> special = skip_special ? all_special_ids() : std::vector<int32_t>();
  for (const int32_t id : ids) {
    if (std::find(special.begin(), special.end(), id) == special.end()) tokens.push_back(convert_ids_to_tokens(id));
  }
  return tokens;
}

std::string Tokenizer::convert_tokens_to_string(const std::vector<std::string>& tokens) const {
  return impl_->engine->join(tokens);
}

int64_t Tokenizer::vocab_size() const {
  return impl_->engine->model->vocabulary().size();
}

int64_t Tokenizer::size() const {
  return impl_->engine->size();
}

std::vector<std::pair<std::string, int32_t>> Tokenizer::get_vocab() const {
  std::vector<std::pair<std::string, int32_t>> all;
  for (int64_t i = 0; i < impl_->engine->id_bound(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const Vocabulary& vocabulary = impl_->engine->model->vocabulary();
    const AddedToken* added = impl_->engine->added.token(id);
    if (added == nullptr && !vocabulary.contains(id)) continue;
    all.emplace_back(added != nullptr ? added->content : std::string(vocabulary.token(id)), id);
  }
  return all;
}

std::vector<std::pair<AddedToken, int32_t>> Tokenizer::added_tokens() const {
  std::vector<std::pair<AddedToken, int32_t>> all;
  for (const auto& [id, token] : impl_->engine->added.by_id()) all.emplace_back(token, id);
  return all;
}

std::optional<int32_t> Tokenizer::Impl::special_id(std::optional<std::string> SpecialTokens::*name) const {
  const auto& token = settings.special.*name;
  return token ? engine->find(*token) : std::nullopt;
}

SpecialTokens Tokenizer::special_tokens() const {
  return impl_->settings.special;
}
std::optional<int32_t> Tokenizer::bos_token_id() const {
  return impl_->special_id(&SpecialTokens::bos_token);
}
std::optional<int32_t> Tokenizer::eos_token_id() const {
  return impl_->special_id(&SpecialTokens::eos_token);
}
std::optional<int32_t> Tokenizer::unk_token_id() const {
  return impl_->special_id(&SpecialTokens::unk_token);
}
std::optional<int32_t> Tokenizer::sep_token_id() const {
  return impl_->special_id(&SpecialTokens::sep_token);
}
std::optional<int32_t> Tokenizer::pad_token_id() const {
  return impl_->special_id(&SpecialTokens::pad_token);
}
std::optional<int32_t> Tokenizer::cls_token_id() const {
  return impl_->special_id(&SpecialTokens::cls_token);
}
std::optional<int32_t> Tokenizer::mask_token_id() const {
  return impl_->special_id(&SpecialTokens::mask_token);
}
std::optional<std::string> Tokenizer::pad_token() const {
  return impl_->settings.special.pad_token;
}
std::optional<std::string> Tokenizer::mask_token() const {
  return impl_->settings.special.mask_token;
}

std::vector<std::string> Tokenizer::all_special_tokens() const {
  std::vector<std::string> all;
  const auto add = [&](const std::string& token) {
    if (std::find(all.begin(), all.end(), token) == all.end()) all.push_back(token);
  };
  for (const NamedToken& named : named_special_tokens()) {
    if (const auto& token = impl_->settings.special.*named.value) add(*token);
  }
  for (const std::string& token : impl_->settings.special.additional_special_tokens) add(token);
  return all;
}

std::vector<int32_t> Tokenizer::all_special_ids() const {
  return convert_tokens_to_ids(all_special_tokens());
}

int32_t Tokenizer::pad_token_type_id() const {
  return impl_->settings.pad_token_type_id;
}
int64_t Tokenizer::num_special_tokens_to_add(bool pair) const {
  return impl_->engine->post_processor.added(pair);
}
std::optional<int64_t> Tokenizer::model_max_length() const {
  return impl_->settings.model_max_length;
}
void Tokenizer::set_model_max_length(std::optional<int64_t> length) {
  if (length && *length < 1) {
    throw Error("model_max_length out of range: " + std::to_string(*length), "tokenizer", "use 1 or more");
  }
  mutable_impl().settings.model_max_length = length;
}
Side Tokenizer::padding_side() const {
  return impl_->settings.padding_side;
}
void Tokenizer::set_padding_side(Side side) {
  mutable_impl().settings.padding_side = side;
}
Side Tokenizer::truncation_side() const {
  return impl_->settings.truncation_side;
}
void Tokenizer::set_truncation_side(Side side) {
  mutable_impl().settings.truncation_side = side;
}
const std::vector<std::string>& Tokenizer::model_input_names() const {
  return impl_->settings.model_input_names;
}

bool Tokenizer::marks_languages() const {
  const TokenizerClass* tokenizer_class = find_tokenizer_class(impl_->settings.tokenizer_class);
  return tokenizer_class != nullptr && tokenizer_class->marks_languages();
}

void Tokenizer::set_language(const std::string& language, bool target) {
  const char* key = target ? "tgt_lang" : "src_lang";
  if (!marks_languages()) {
    throw Error("the tokenizer has no languages", key,
                "leave it out, or open a folder of NLLB, M2M100, MBart, PLBart or SeamlessM4T whose "
                "tokenizer_config.json says so");
  }
  TokenizerSettings settings = impl_->settings;
  auto engine = std::make_shared<Engine>(target && settings.target ? *settings.target : *impl_->engine);
  const TokenizerClass& known = *find_tokenizer_class(settings.tokenizer_class);
  engine->post_processor =
      target ? known.around_target(*engine, settings, language, key) : known.around(*engine, settings, language, key);
  settings.config[key] = language;
  Impl& impl = mutable_impl();
  impl.settings = std::move(settings);
  (target ? impl.settings.target : impl.engine) = std::move(engine);
}

void Tokenizer::set_src_lang(const std::string& language) {
  set_language(language, false);
}
void Tokenizer::set_tgt_lang(const std::string& language) {
  set_language(language, true);
}

const std::string& Tokenizer::tokenizer_class() const {
  return impl_->settings.tokenizer_class;
}
std::string Tokenizer::model_type() const {
  return impl_->engine->model->type();
}

int64_t Tokenizer::add_tokens(const std::vector<AddedToken>& tokens) {
  return mutable_impl().change([&](Engine& engine) { return engine.added.add(tokens, engine.model->vocabulary()); });
}

int64_t Tokenizer::add_tokens(const std::vector<std::string>& tokens, bool special) {
  std::vector<AddedToken> all;
  for (const std::string& token : tokens) {
    AddedToken added;
    added.content = token;
    added.special = special;
    added.normalized = !special;
    all.push_back(std::move(added));
  }
  return add_tokens(all);
}

int64_t Tokenizer::add_tokens(std::initializer_list<std::string_view> tokens, bool special) {
  return add_tokens(std::vector<std::string>(tokens.begin(), tokens.end()), special);
}

int64_t Tokenizer::add_special_tokens(const SpecialTokens& tokens) {
  Impl& impl = mutable_impl();
  const int64_t added = impl.change([&](Engine& engine) { return mica::add_special_tokens(engine, tokens); });
  for (const NamedToken& named : named_special_tokens()) {
    if (const auto& value = tokens.*named.value) impl.settings.special.*named.value = value;
  }
  if (!tokens.additional_special_tokens.empty()) {
    impl.settings.special.additional_special_tokens = tokens.additional_special_tokens;
  }
  return added;
}

std::string Tokenizer::to_json() const {
  return write_tokenizer_json(*impl_->engine);
}

}  // namespace mica
