// mica tokenize and mica decode: text to ids, and back.

#include <algorithm>
#include <memory>

#include "cli/common.h"
#include "cli/subcommands.h"

#include "mica/base/error.h"
#include "mica/models/pipelines/json_writer.h"
#include "mica/tokenizers/tokenizer.h"
#include "mica/tokenizers/utf8.h"

namespace mica::cli {
namespace {

struct TokenizeOptions : CommonOptions {
  std::vector<std::string> texts;
  std::optional<std::string> pair;
  std::optional<int64_t> max_length, stride;
  std::string truncation, padding;
  bool no_special = false;
};

TokenizerOptions tokenizer_options(const TokenizeOptions& options) {
  TokenizerOptions result;
  result.add_special_tokens = !options.no_special;
  result.max_length = options.max_length;
  if (options.truncation == "longest_first") result.truncation = Truncation::longest_first;
  if (options.truncation == "only_first") result.truncation = Truncation::only_first;
  if (options.truncation == "only_second") result.truncation = Truncation::only_second;
  if (options.padding == "max_length") result.padding = Padding::max_length;
  if (options.stride) {
    if (!result.truncation.given()) result.truncation = Truncation::longest_first;
    result.stride = *options.stride;
    result.return_overflowing_tokens = true;
  }
  result.return_token_type_ids = true;
  result.return_attention_mask = true;
  return result;
}

void write(JsonWriter& json, const char* key, std::span<const int32_t> values) {
  json.key(key).begin_array();
  for (const int32_t value : values) json.value(static_cast<int64_t>(value));
  json.end_array();
}

// The keys of one row; the object stays open.
void write_row(JsonWriter& json, const BatchEncoding& encoding, size_t row) {
  json.begin_object();
  write(json, "ids", encoding.input_ids[row]);
  json.key("tokens").begin_array();
  for (const std::string& token : encoding.tokens(row)) json.value(token);
  json.end_array().key("offsets").begin_array();
  for (const CharSpan& span : encoding.offsets(row)) {
    json.begin_array().value(int64_t{span.begin}).value(int64_t{span.end}).end_array();
  }
  json.end_array();
  write(json, "type_ids", encoding.token_type_ids[row]);
  write(json, "attention_mask", encoding.attention_mask[row]);
  write(json, "special_tokens_mask", encoding.special_tokens_mask(row));
}

// The first row; the windows that follow it stand under "overflowing".
std::string to_json(const BatchEncoding& encoding, bool windows) {
  JsonWriter json;
  write_row(json, encoding, 0);
  if (windows) {
    json.key("overflowing").begin_array();
    for (size_t row = 1; row < encoding.size(); ++row) {
      write_row(json, encoding, row);
      json.end_object();
    }
    json.end_array();
  }
  return json.end_object().text();
}

void print_row(const BatchEncoding& encoding, size_t row) {
  const std::vector<std::string> tokens = encoding.tokens(row);
  for (size_t i = 0; i < tokens.size(); ++i) {
    const CharSpan span = encoding.offsets(row)[i];
    write_line("  " + fit(std::to_string(encoding.input_ids[row][i]), 8) +
               fit(std::to_string(span.begin) + "-" + std::to_string(span.end), 10) + tokens[i]);
  }
}

void execute(const TokenizeOptions& options) {
  options.load_options();
  const std::vector<TextInput> inputs = read_inputs(options.texts, options.jsonl, {"text", "pair"});
  const Tokenizer tokenizer = Tokenizer::from_pretrained(options.model);
  const TokenizerOptions call = tokenizer_options(options);
  if (options.pair && !utf8::is_valid(*options.pair)) {
    throw Error("not valid UTF-8: \"" + printable(*options.pair, 60) + "\"", "--pair", "convert the text to UTF-8");
  }
  for (const TextInput& input : inputs) {
    const std::optional<std::string>& pair = input.pair ? input.pair : options.pair;
    const BatchEncoding encoding = pair ? tokenizer(std::string_view(input.text), std::string_view(*pair), call)
                                        : tokenizer(std::string_view(input.text), call);
    if (options.json) {
      write_line(to_json(encoding, options.stride.has_value()));
      continue;
    }
    write_line(pair ? input.text + " | " + *pair : input.text);
    for (size_t row = 0; row < encoding.size(); ++row) {
      if (encoding.size() > 1) write_line("  window " + std::to_string(row + 1));
      print_row(encoding, row);
    }
  }
}

struct DecodeCommand : CommonOptions {
  std::vector<std::string> ids;
  bool skip_special = false, no_cleanup = false;
};

std::vector<int64_t> ids_of(const std::string& line, const std::string& where) {
  std::vector<int64_t> ids;
  std::string word;
  const auto finish = [&] {
    if (word.empty()) return;
    if (word.size() > 18 || word.find_first_not_of("0123456789") != std::string::npos) {
      throw Error("\"" + printable(word, 40) + "\" is no token id", where, "give numbers from 0 up");
    }
    ids.push_back(std::stoll(word));
    word.clear();
  };
  for (const char c : line) {
    // "[1, 2, 3]" is understood too.
    if (c == ' ' || c == ',' || c == '\t' || c == '[' || c == ']') {
      finish();
    } else {
      word += c;
    }
  }
  finish();
  return ids;
}

void execute(const DecodeCommand& options) {
  options.load_options();
  const Tokenizer tokenizer = Tokenizer::from_pretrained(options.model);
  std::vector<std::vector<int64_t>> rows;
  if (options.ids.size() == 1 && options.ids[0] == "-") {
    int64_t number = 0;
    for (const TextInput& line : read_inputs(options.ids, false, {"text"})) {
      rows.push_back(ids_of(line.text, "standard input, line " + std::to_string(++number)));
    }
  } else {
    if (options.ids.empty()) throw UsageError{"no ids", "mica decode", "give token ids, or - for standard input"};
    std::vector<int64_t>& row = rows.emplace_back();
    for (const std::string& word : options.ids) {
      const std::vector<int64_t> ids = ids_of(word, "arguments");
      row.insert(row.end(), ids.begin(), ids.end());
    }
  }
  DecodeOptions decode{.skip_special_tokens = options.skip_special};
  if (options.no_cleanup) decode.clean_up_tokenization_spaces = false;
  for (const std::vector<int64_t>& ids : rows) {
    for (const int64_t id : ids) tokenizer.convert_ids_to_tokens(id);  // Error for one outside the vocabulary
    const std::string text = tokenizer.decode(std::span<const int64_t>(ids), decode);
    if (options.json) {
      JsonWriter json;
      write_line(json.value(text).text());
    } else {
      write_line(text);
    }
  }
}

}  // namespace

Action tokenize(Arguments& arguments) {
  auto options = std::make_shared<TokenizeOptions>();
  options->declare(arguments);
  arguments.texts("text", options->texts, "texts, or - for one a line from standard input");
  arguments.flag("--jsonl", options->jsonl,
                 "standard input holds a JSON value a line: a string or {\"text\", \"pair\"}");
  arguments.text("--pair", options->pair, "a second text that goes with each text");
  arguments.flag("--no-special", options->no_special, "without special tokens such as [CLS]");
  arguments.integer("--max-length", options->max_length, 0, int64_t{1} << 40, "tokens of the longest row");
  arguments.choice("--truncation", options->truncation, {"longest_first", "only_first", "only_second"},
                   "which text is cut where a row is too long");
  arguments.integer("--stride", options->stride, 0, int64_t{1} << 40,
                    "tokens that windows share; what is cut off becomes further windows");
  arguments.choice("--padding", options->padding, {"max_length"}, "fill rows up to --max-length");
  return [options] { execute(*options); };
}

Action decode(Arguments& arguments) {
  auto options = std::make_shared<DecodeCommand>();
  options->declare(arguments);
  arguments.texts("ids", options->ids, "token ids, or - for one list a line from standard input");
  arguments.flag("--skip-special", options->skip_special, "leave out special tokens");
  arguments.flag("--no-cleanup", options->no_cleanup, "keep the spaces before punctuation");
  return [options] { execute(*options); };
}

}  // namespace mica::cli
