#include "mica/tokenizers/readers/any_file.h"

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/tokenizers/readers/byte_ranks.h"
#include "mica/tokenizers/readers/sentencepiece_model.h"
#include "mica/tokenizers/readers/tokenizer_json.h"

namespace mica {

namespace {

// A protobuf message whose first field is a piece; a JSON text has a brace before anything but white space.
bool is_sentencepiece(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  return !text.empty() && text[0] == '\n' && (first == text.npos || text[first] != '{');
}

}  // namespace

LoadedTokenizer load_tokenizer_file(const std::string& path) {
  const std::string text = read_file(path);
  LoadedTokenizer loaded;
  if (is_sentencepiece(text)) {
    loaded.engine =
        make_sentencepiece_engine(std::make_shared<SentencePieceModel>(read_sentencepiece_model(text, path)));
    loaded.engine->prepare();
    return loaded;
  }
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
