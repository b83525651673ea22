#include "mica/tokenizers/readers/byte_ranks.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/tokenizers/byte_level.h"
#include "mica/tokenizers/models/bpe.h"
#include "mica/tokenizers/oniguruma.h"

namespace mica {
namespace {

// A token's parts are looked up at each place where it can be cut.
constexpr size_t kMaxToken = 1024;  // bytes
constexpr size_t kLookedAt = 4096;  // of a file, to tell its kind

// How tokenizer.json files spell the patterns that tiktoken has sped up; they cut any text at the same places.
constexpr std::string_view kCl100k =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)";
constexpr std::string_view kCl100kInJson =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

Json byte_level_json(bool cuts) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", false}, {"use_regex", cuts}};
}

Json pre_tokenizer_json(const std::string& pattern, const std::string& file) {
  if (pattern == kGpt2RankPattern || pattern == byte_level::kPattern) return byte_level_json(true);
  const std::string spelled =
      pattern == kCl100k ? std::string(kCl100kInJson) : oniguruma_from_rust(pattern, printable(file, 400));
  const Json split = {
      {"type", "Split"}, {"pattern", {{"Regex", spelled}}}, {"behavior", "Isolated"}, {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", Json::array({split, byte_level_json(false)})}};
}

}  // namespace

std::shared_ptr<Engine> engine_from_ranks(const std::vector<std::pair<std::string, int64_t>>& tokens,
                                          const RankEncoding& encoding, const std::string& file) {
  auto vocabulary = std::make_shared<Vocabulary>();
  std::string spelled;
  std::array<bool, 256> seen{};
  int64_t highest = -1;
  for (const auto& [bytes, id] : tokens) {
    if (bytes.empty() || bytes.size() > kMaxToken) {
      throw Error("token " + std::to_string(id) + " has " + std::to_string(bytes.size()) + " bytes",
                  printable(file, 400), "tokens have 1 to " + std::to_string(kMaxToken));
    }
    if (bytes.size() == 1) seen[static_cast<unsigned char>(bytes[0])] = true;
    spelled.clear();
    byte_level::spell(bytes, spelled);
    vocabulary->add(spelled, id, file);
    highest = std::max(highest, id);
  }
  for (size_t i = 0; i < seen.size(); ++i) {
    if (!seen[i]) {
      throw Error("no token for the byte " + std::to_string(i), printable(file, 400),
                  "fetch the file again: every byte alone must be a token");
    }
  }
  // Added tokens follow the vocabulary without holes; ids elsewhere must be the vocabulary's own.
  bool follow = true;
  for (const auto& [token, id] : encoding.special_tokens) follow = follow && id == ++highest;
  std::vector<AddedToken> special;
  for (const auto& [token, id] : encoding.special_tokens) {
    if (token.empty()) throw Error("an empty special token", printable(file, 400), "remove it");
    if (!follow) vocabulary->add(token, id, file);
    AddedToken added;
    added.content = token;
    added.normalized = false;
    added.special = true;
    special.push_back(std::move(added));
  }
  vocabulary->finish(file);
  auto engine = std::make_shared<Engine>();
  engine->model = Bpe::from_ranks(vocabulary, file);
  if (encoding.nfc) engine->normalizer = make_normalizer(Fields(Json{{"type", "NFC"}}, file, "normalizer"));
  const Json cut = pre_tokenizer_json(encoding.pattern, file);
  engine->pre_tokenizer = make_pre_tokenizer(Fields(cut, file, "pre_tokenizer"));
  const Json post = byte_level_json(true);
  engine->post_processor = PostProcessor(Fields(post, file, "post_processor"));
  engine->decoder = make_byte_level_decoder();
  engine->added.add(special, engine->model->vocabulary());
  return engine;
}

std::optional<std::string> find_rank_file(const std::string& folder) {
  const std::string tekken = join_path(folder, "tekken.json");
  if (file_exists(tekken)) return tekken;
  std::vector<std::string> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".tiktoken") found.push_back(entry.path().string());
  }
  if (found.size() == 1) return found[0];
  if (found.size() > 1) {
    throw Error("several rank files in one folder", printable(folder, 400), "name the one to open");
  }
  for (const char* name : {"tokenizer.model", "tiktoken.model"}) {
    const std::string path = join_path(folder, name);
    if (file_exists(path) && is_tiktoken(read_file(path))) return path;
  }
  return std::nullopt;
}

bool is_tekken(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == text.npos || text[first] != '{') return false;
  const std::string_view head = text.substr(0, kLookedAt);
  return head.find("\"token_bytes\"") != head.npos || head.find("\"default_num_special_tokens\"") != head.npos;
}

SpecialTokens special_tokens_of_ranks(const Engine& engine) {
  SpecialTokens special;
  const auto name = [&](std::optional<std::string>& to, std::initializer_list<const char*> names) {
    for (const char* token : names) {
      if (!to && engine.added.find(token)) to = token;
    }
  };
  name(special.bos_token, {"<s>", "<|begin_of_text|>"});
  name(special.eos_token, {"</s>", "<|end_of_text|>", "<|endoftext|>"});
  name(special.unk_token, {"<unk>"});
  name(special.pad_token, {"<pad>"});
  return special;
}

}  // namespace mica
