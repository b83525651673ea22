// mica tokenizer train: a tokenizer from a corpus, from scratch or like one that there is.

#include <memory>
#include <utility>

#include "cli/common.h"
#include "cli/subcommands.h"

#include "mica/base/error.h"
#include "mica/base/parallel.h"
#include "mica/tokenizers/tokenizer.h"
#include "mica/tokenizers/trainers/training.h"

namespace mica::cli {
namespace {

struct TrainCommand {
  std::string type, from, output, json_field;
  std::vector<std::string> files, special_tokens;
  int64_t vocab_size = 30000, threads = 0;
  bool lowercase = false, cased = false, no_bytes = false;
  std::optional<int64_t> min_frequency, limit_alphabet, max_token_length, max_piece_length;
};

[[noreturn]] void misuse(const std::string& problem, const std::string& mend) {
  throw UsageError{problem, "mica tokenizer train", mend};
}

void check(const TrainCommand& command) {
  if (command.files.empty()) misuse("no text files", "name one or more");
  if (command.output.empty()) misuse("no --output", "name the folder to write");
  if (command.type.empty() == command.from.empty()) {
    misuse(command.type.empty() ? "neither --type nor --from" : "both --type and --from", "give one of them");
  }
  if (!command.from.empty() && (command.lowercase || command.cased || command.no_bytes)) {
    misuse("--lowercase, --cased and --no-bytes belong to a tokenizer from scratch", "leave them out with --from");
  }
  if (command.lowercase && command.cased) misuse("both --lowercase and --cased", "give one of them");
  if (command.no_bytes && command.type != "bpe") misuse("--no-bytes belongs to --type bpe", "leave it out");
}

void execute(const TrainCommand& command) {
  check(command);
  if (command.threads > 0) set_num_threads(static_cast<int>(command.threads));
  TextFileOptions file_options;
  file_options.json_field = command.json_field;
  if (auto bar = progress_bar("read")) file_options.progress = std::move(bar);
  TextSource texts = text_files(command.files, std::move(file_options));
  TrainerOptions options;
  options.min_frequency = command.min_frequency;
  options.limit_alphabet = command.limit_alphabet;
  options.max_token_length = command.max_token_length;
  options.max_piece_length = command.max_piece_length;
  if (auto bar = progress_bar("train")) {
    options.progress = [bar = std::move(bar)](const char*, int64_t done, int64_t total) { bar(done, total); };
  }
  const auto train = [&] {
    if (command.from.empty()) {
      TokenizerRecipe recipe;
      recipe.model = command.type;
      recipe.vocab_size = command.vocab_size;
      if (command.lowercase || command.cased) recipe.lowercase = command.lowercase;
      recipe.byte_level = !command.no_bytes;
      recipe.special_tokens = command.special_tokens;
      return train_tokenizer(std::move(texts), recipe, options);
    }
    std::vector<AddedToken> special;
    for (const std::string& content : command.special_tokens) {
      AddedToken token;
      token.content = content;
      token.normalized = false;
      token.special = true;
      special.push_back(std::move(token));
    }
    return Tokenizer::from_pretrained(command.from)
        .train_new_from_iterator(std::move(texts), command.vocab_size, special, {}, options);
  };
  const Tokenizer tokenizer = train();
  tokenizer.save_pretrained(command.output);
  write_line(command.output + ": " + tokenizer.model_type() + " with " + std::to_string(tokenizer.size()) + " tokens");
}

}  // namespace

Action tokenizer_train(Arguments& arguments) {
  auto command = std::make_shared<TrainCommand>();
  arguments.texts("files", command->files, "text files, every line a text");
  arguments.choice("--type", command->type, {"bpe", "wordpiece", "unigram", "wordlevel"},
                   "from scratch: like GPT-2's, BERT's, T5's, or whole words");
  arguments.text("--from", command->from, "like the tokenizer of this model folder or hub id");
  arguments.text("-o,--output", command->output, "the folder to write");
  arguments.integer("--vocab-size", command->vocab_size, 1, 100'000'000,
                    "tokens, special ones included (default: 30000)");
  arguments.text("--json-field", command->json_field, "files hold a JSON object a line; this field is the text");
  arguments.list("--special-tokens", command->special_tokens, "special tokens beyond the usual ones");
  arguments.flag("--lowercase", command->lowercase, "lower case (the default of wordpiece)");
  arguments.flag("--cased", command->cased, "keep the case (the default of the others)");
  arguments.flag("--no-bytes", command->no_bytes, "bpe over characters instead of bytes");
  arguments.integer("--min-frequency", command->min_frequency, 0, int64_t{1} << 60,
                    "how often a pair must occur (wordlevel: a word)");
  arguments.integer("--limit-alphabet", command->limit_alphabet, 0, 0x110000, "characters to keep (bpe, wordpiece)");
  arguments.integer("--max-token-length", command->max_token_length, 1, 1 << 20, "characters of a token (bpe)");
  arguments.integer("--max-piece-length", command->max_piece_length, 1, 1 << 20, "characters of a piece (unigram)");
  arguments.integer("--threads", command->threads, 1, 1024, "threads to use (default: as many as the machine has)");
  return [command] { execute(*command); };
}

}  // namespace mica::cli
