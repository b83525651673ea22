// Mistral's tekken.json: tokens in base64 by rank, the split pattern, and special tokens whose ids come before theirs.

#include <unordered_set>

#include "mica/base/error.h"
#include "mica/tokenizers/readers/base64.h"
#include "mica/tokenizers/readers/byte_ranks.h"

namespace mica {
namespace {

// Files of the first versions name no special tokens.
constexpr const char* kFirstSpecial[] = {"<unk>",
                                         "<s>",
                                         "</s>",
                                         "[INST]",
                                         "[/INST]",
                                         "[AVAILABLE_TOOLS]",
                                         "[/AVAILABLE_TOOLS]",
                                         "[TOOL_RESULTS]",
                                         "[/TOOL_RESULTS]",
                                         "[TOOL_CALLS]",
                                         "[IMG]",
                                         "<pad>",
                                         "[IMG_BREAK]",
                                         "[IMG_END]",
                                         "[PREFIX]",
                                         "[MIDDLE]",
                                         "[SUFFIX]",
                                         "[SYSTEM_PROMPT]",
                                         "[/SYSTEM_PROMPT]",
                                         "[TOOL_CONTENT]"};

std::vector<std::string> read_special(Fields& root, int64_t count) {
  std::vector<std::string> special(static_cast<size_t>(count));
  std::unordered_set<std::string> seen;
  if (root.has("special_tokens")) {
    for (Fields& fields : root.objects("special_tokens")) {
      const auto rank = static_cast<size_t>(fields.integer("rank", 0, count - 1));
      std::string token = fields.string("token_str");
      fields.boolean("is_control", true);
      fields.finish();
      if (token.empty() || !special[rank].empty() || !seen.insert(token).second) {
        fields.fail(fields.path() + ": the rank or the token \"" + printable(token, 60) + "\" is empty or occurs twice",
                    "give each special token its own rank");
      }
      special[rank] = std::move(token);
    }
  } else {
    root.ignore("special_tokens");
    for (size_t i = 0; i < std::min(std::size(kFirstSpecial), special.size()); ++i) special[i] = kFirstSpecial[i];
  }
  for (size_t i = 0; i < special.size(); ++i) {
    if (special[i].empty()) special[i] = "<SPECIAL_" + std::to_string(i) + ">";
  }
  return special;
}

}  // namespace

std::shared_ptr<Engine> read_tekken(std::string_view text, const std::string& path) {
  const Json json = parse_json(text, path);
  Fields root(json, path, "tekken");
  // What images and sound are made of does not concern text.
  for (const char* key : {"version", "type", "image", "audio", "multimodal", "model_settings_builder"})
    root.ignore(key);
  Fields config = root.object("config");
  for (const char* key : {"version", "num_vocab_tokens"}) config.ignore(key);
  RankEncoding encoding{config.string("pattern")};
  const int64_t special = config.integer("default_num_special_tokens", 0, 1'000'000);
  const int64_t size = config.integer("default_vocab_size", special, Vocabulary::kMaxId);
  config.finish();
  const std::vector<std::string> names = read_special(root, special);
  for (size_t i = 0; i < names.size(); ++i) encoding.special_tokens.emplace_back(names[i], static_cast<int64_t>(i));

  std::vector<std::pair<std::string, int64_t>> tokens;
  for (Fields& fields : root.objects("vocab")) {
    const int64_t rank = fields.integer("rank", 0, Vocabulary::kMaxId);
    const auto bytes = decode_base64(fields.string("token_bytes"));
    fields.ignore("token_str");
    fields.finish();
    if (!bytes) fields.fail(fields.path() + ".token_bytes is no base64", "fetch the file again");
    // The file holds more tokens than the model knows.
    if (rank < size - special) tokens.emplace_back(*bytes, rank + special);
  }
  root.finish();
  return engine_from_ranks(tokens, encoding, path);
}

}  // namespace mica
