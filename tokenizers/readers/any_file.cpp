#include "mica/tokenizers/readers/any_file.h"

#include <utility>

#include "mica/base/file.h"
#include "mica/tokenizers/readers/byte_ranks.h"
#include "mica/tokenizers/readers/sentencepiece_model.h"
#include "mica/tokenizers/readers/tokenizer_json.h"

namespace mica {
namespace {

bool is_named_model(const std::string& path) {
  return path.ends_with(".model") || path.ends_with(".spm");
}

}  // namespace

LoadedTokenizer load_tokenizer_file(const std::string& path) {
  const std::string text = read_file(path);
  LoadedTokenizer loaded;
  if (is_tekken(text) || is_tiktoken(text)) {
    loaded.engine = is_tekken(text) ? read_tekken(text, path) : read_tiktoken(text, path);
    loaded.settings.special = special_tokens_of_ranks(*loaded.engine);
  } else if (is_named_model(path)) {
    auto model = std::make_shared<SentencePieceModel>(read_sentencepiece_model(text, path));
    loaded.engine = make_sentencepiece_engine(std::move(model));
  } else {
    loaded.engine = read_tokenizer_json(text, path);
    loaded.settings = settings_without_config(*loaded.engine);
  }
  loaded.engine->prepare();
  return loaded;
}

}  // namespace mica
