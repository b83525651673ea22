// tiktoken's rank files: a token in base64 and its rank a line.

#include <charconv>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/tokenizers/readers/base64.h"
#include "mica/tokenizers/readers/byte_ranks.h"

namespace mica {
namespace {

constexpr int64_t kMaxJson = 16 << 20;  // bytes

constexpr std::string_view kCl100k =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kO200k =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// The line that begins at `at`, which moves to the next one.
std::string_view next_line(std::string_view text, size_t& at) {
  const size_t end = std::min(text.find('\n', at), text.size());
  std::string_view line = text.substr(at, end - at);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  at = end + 1;
  return line;
}

std::optional<std::pair<std::string, int64_t>> read_line(std::string_view line) {
  const size_t space = line.find(' ');
  if (space == line.npos) return std::nullopt;
  auto bytes = decode_base64(line.substr(0, space));
  int64_t rank = -1;
  const char* const end = line.data() + line.size();
  const auto [after, error] = std::from_chars(line.data() + space + 1, end, rank);
  if (!bytes || error != std::errc() || after != end || rank < 0) return std::nullopt;
  return std::pair(std::move(*bytes), rank);
}

RankEncoding llama3(int64_t ranks) {
  RankEncoding encoding{std::string(kCl100k)};
  int64_t reserved = 0;
  const auto add = [&](std::string token) { encoding.special_tokens.emplace_back(std::move(token), ranks++); };
  const auto reserve = [&] { add("<|reserved_special_token_" + std::to_string(reserved++) + "|>"); };
  add("<|begin_of_text|>");
  add("<|end_of_text|>");
  for (int i = 0; i < 4; ++i) reserve();
  add("<|start_header_id|>");
  add("<|end_header_id|>");
  reserve();
  add("<|eot_id|>");
  while (encoding.special_tokens.size() < 256) reserve();
  return encoding;
}

RankEncoding qwen(int64_t ranks) {
  RankEncoding encoding{std::string(kQwen), {}, true};
  for (const char* token : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) {
    encoding.special_tokens.emplace_back(token, ranks++);
  }
  for (int i = 0; i < 205; ++i) encoding.special_tokens.emplace_back("<|extra_" + std::to_string(i) + "|>", ranks++);
  return encoding;
}

RankEncoding harmony() {
  RankEncoding encoding{std::string(kO200k), {{"<|startoftext|>", 199998}, {"<|endoftext|>", 199999}}};
  const std::pair<int64_t, const char*> named[] = {{200002, "return"}, {200003, "constrain"}, {200005, "channel"},
                                                   {200006, "start"},  {200007, "end"},       {200008, "message"},
                                                   {200012, "call"}};
  for (int64_t id = 200000; id < 201088; ++id) {
    std::string name = id == 200018 ? "endofprompt" : "reserved_" + std::to_string(id);
    for (const auto& [own, special] : named) {
      if (own == id) name = special;
    }
    encoding.special_tokens.emplace_back("<|" + name + "|>", id);
  }
  return encoding;
}

std::optional<RankEncoding> known_encoding(const std::string& name, int64_t ranks) {
  if (name == "gpt2" || name == "r50k_base" || name == "p50k_base") {
    return RankEncoding{kGpt2RankPattern, {{"<|endoftext|>", 50256}}};
  }
  if (name == "p50k_edit") {
    return RankEncoding{
        kGpt2RankPattern,
        {{"<|endoftext|>", 50256}, {"<|fim_prefix|>", 50281}, {"<|fim_middle|>", 50282}, {"<|fim_suffix|>", 50283}}};
  }
  if (name == "cl100k_base") {
    return RankEncoding{std::string(kCl100k),
                        {{"<|endoftext|>", 100257},
                         {"<|fim_prefix|>", 100258},
                         {"<|fim_middle|>", 100259},
                         {"<|fim_suffix|>", 100260},
                         {"<|endofprompt|>", 100276}}};
  }
  if (name == "o200k_base") {
    return RankEncoding{std::string(kO200k), {{"<|endoftext|>", 199999}, {"<|endofprompt|>", 200018}}};
  }
  if (name == "o200k_harmony") return harmony();
  if (name == "qwen") return qwen(ranks);
  if (ranks == 128000) return llama3(ranks);
  return std::nullopt;
}

RankEncoding read_encoding(const std::string& path) {
  const Json json = parse_json(read_file(path, kMaxJson), path);
  Fields fields(json, path, "encoding");
  fields.ignore("name");
  fields.ignore("ranks");
  RankEncoding encoding{fields.string("pattern")};
  if (fields.has("special_tokens")) {
    Fields special = fields.object("special_tokens");
    for (const auto& [token, id] : special.json().items()) {
      encoding.special_tokens.emplace_back(token, special.integer(token.c_str(), 0, Vocabulary::kMaxId));
    }
  } else {
    fields.ignore("special_tokens");
  }
  fields.finish();
  return encoding;
}

}  // namespace

bool is_tiktoken(std::string_view text) {
  size_t at = 0;
  const size_t end = std::min(text.find('\n'), text.size());
  return end < 4096 && read_line(next_line(text, at)).has_value();
}

std::shared_ptr<Engine> read_tiktoken(std::string_view text, const std::string& path) {
  std::vector<std::pair<std::string, int64_t>> tokens;
  size_t number = 0;
  for (size_t at = 0; at < text.size();) {
    const std::string_view line = next_line(text, at);
    ++number;
    if (line.empty()) continue;
    auto token = read_line(line);
    if (!token) {
      throw Error(
          "line " + std::to_string(number) + " is no token in base64 and its rank: \"" + printable(line, 60) + "\"",
          printable(path, 400), "fetch the file again");
    }
    tokens.push_back(std::move(*token));
  }
  const size_t slash = path.rfind('/');
  const std::string folder = slash == path.npos ? "." : path.substr(0, slash);
  const std::string beside = join_path(folder, "encoding.json");
  std::string name = slash == path.npos ? path : path.substr(slash + 1);
  if (const size_t dot = name.find('.'); dot != name.npos) name.resize(dot);
  std::optional<RankEncoding> encoding;
  if (file_exists(beside)) encoding = read_encoding(beside);
  if (!encoding) encoding = known_encoding(name, static_cast<int64_t>(tokens.size()));
  if (!encoding) {
    throw Error(
        "a rank file whose split pattern and special tokens are not known", printable(path, 400),
        "put an encoding.json beside it: {\"pattern\": \"...\", \"special_tokens\": {\"<|endoftext|>\": 50256}}");
  }
  return engine_from_ranks(tokens, *encoding, path);
}

}  // namespace mica
