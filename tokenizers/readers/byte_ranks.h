#pragma once
// Vocabularies of raw bytes whose ids are the ranks of BPE: tiktoken's rank files (one "base64 rank" a line) and
// Mistral's tekken.json.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mica/tokenizers/engine.h"

namespace mica {

/// GPT-2's pattern as tiktoken has sped it up.
inline constexpr const char* kGpt2RankPattern =
    R"('(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s)";

/// What a rank file does not say itself.
struct RankEncoding {
  std::string pattern;  ///< where words end, in the dialect of tiktoken (Rust's fancy-regex)
  std::vector<std::pair<std::string, int64_t>> special_tokens = {};
  bool nfc = false;  ///< the text is composed (NFC) first
};

/// The engine of such a vocabulary: `tokens` are bytes and ids, no two alike. The special tokens' ids may leave holes.
/// Throws Error naming `file` for tokens or ids that are there twice, out of range, longer than any sensible one, and
/// where one of the 256 bytes is missing. Still needs Engine::prepare().
std::shared_ptr<Engine> engine_from_ranks(const std::vector<std::pair<std::string, int64_t>>& tokens,
                                          const RankEncoding& encoding, const std::string& file);

/// Whether a file's text begins as a rank file does.
bool is_tiktoken(std::string_view text);
/// Reads the text of a rank file. Its pattern and special tokens are those of an encoding.json beside it ({"pattern":
/// ..., "special_tokens": {"<|endoftext|>": 100257}}), or known by its name (gpt2, r50k_base, p50k_base, p50k_edit,
/// cl100k_base, o200k_base, o200k_harmony, qwen) or by its size (Llama 3). Throws Error naming `path` where neither is
/// there, and for lines that are none.
std::shared_ptr<Engine> read_tiktoken(std::string_view text, const std::string& path);

/// Whether a file's text is a tekken.json.
bool is_tekken(std::string_view text);
/// Reads the text of a tekken.json. Special tokens come first, then the vocabulary by rank.
std::shared_ptr<Engine> read_tekken(std::string_view text, const std::string& path);

/// The rank file or tekken.json of a folder, if it has one.
std::optional<std::string> find_rank_file(const std::string& folder);
/// The special tokens by which these vocabularies name beginning, end, padding and unknown, where the engine has them.
SpecialTokens special_tokens_of_ranks(const Engine& engine);

}  // namespace mica
