#include "mica/tokenizers/readers/any_file.h"

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/tokenizers/readers/byte_ranks.h"
#include "mica/tokenizers/readers/tokenizer_json.h"

namespace mica {

LoadedTokenizer load_tokenizer_file(const std::string& path) {
  const std::string text = read_file(path);
  LoadedTokenizer loaded;
  const bool tekken = is_tekken(text);
  if (!tekken && !is_tiktoken(text)) {
    loaded.engine = read_tokenizer_json(text, path);
    loaded.engine->prepare();
    loaded.settings = settings_without_config(*loaded.engine);
    return loaded;
  }
  loaded.engine = tekken ? read_tekken(text, path) : read_tiktoken(text, path);
  loaded.engine->prepare();
  loaded.settings.special = special_tokens_of_ranks(*loaded.engine);
  return loaded;
}

}  // namespace mica
