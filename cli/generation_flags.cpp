#include "cli/generation_flags.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "cli/common.h"

#include "mica/base/error.h"
#include "mica/base/json.h"

namespace mica::cli {
namespace {

struct Setting {
  const char* flag;
  const char* key;
  const char* type;
  const char* help;
};

constexpr Setting kSettings[] = {
    {"--max-new-tokens", "max_new_tokens", "N", "new tokens of a text at most (default: the model's, else 256)"},
    {"--min-new-tokens", "min_new_tokens", "N", "new tokens of a text at least"},
    {"--max-length", "max_length", "N", "tokens of prompt and text at most"},
    {"--min-length", "min_length", "N", "tokens of prompt and text at least"},
    {"--max-time", "max_time", "SECONDS", "ends texts after this time"},
    {"--temperature", "temperature", "X", "below 1: likelier tokens; above: more variety (turns sampling on)"},
    {"--top-k", "top_k", "N", "only the N likeliest tokens (turns sampling on)"},
    {"--top-p", "top_p", "P", "only the likeliest tokens that make up this probability (turns sampling on)"},
    {"--min-p", "min_p", "P", "only tokens of this share of the best one's probability (turns sampling on)"},
    {"--typical-p", "typical_p", "P", "only the most typical tokens that make up this probability (turns sampling on)"},
    {"--seed", "seed", "N", "the same seed, prompt and settings give the same text"},
    {"--num-beams", "num_beams", "N", "beam search with so many beams"},
    {"--length-penalty", "length_penalty", "X", "of beams: above 0 longer texts, below shorter ones"},
    {"--early-stopping", "early_stopping", "WHEN", "of beams: true, false or never"},
    {"--num-return-sequences", "num_return_sequences", "N", "texts for each prompt"},
    {"--repetition-penalty", "repetition_penalty", "X", "above 1: fewer repeated tokens"},
    {"--no-repeat-ngram-size", "no_repeat_ngram_size", "N", "no N tokens come twice"},
    {"--cache-implementation,--cache_implementation", "cache_implementation", "KIND",
     "dynamic, or quantized: older keys and values in 8 bits"},
    {"--cache-config,--cache_config", "cache_config", "JSON",
     "of a quantized cache, as {\"residual_length\": 64, \"q_group_size\": 32}"},
    {"--prompt-lookup", "prompt_lookup_num_tokens", "N", "drafts up to N tokens by looking the text up in the prompt"},
};

[[noreturn]] void refuse(const Error& error, const std::string& where) {
  throw UsageError{error.problem(), where, error.mend().empty() ? "see --help" : error.mend()};
}

// "5" and "0.7" are numbers, "true" is one, "[1, 2]" a list; anything else is text.
Json value_from(const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool integral = text.find_first_not_of("-0123456789") == std::string::npos;
  if (error == std::errc() && end == text.data() + text.size() && !integral) return number;  // ".9" as well
  try {
    return parse_json(text, "value");
  } catch (const Error&) {
    return text;
  }
}

GenerationConfig one_setting(const std::string& key, const Json& value, const std::string& where) {
  try {
    GenerationConfig config = GenerationConfig::from_json(dump_json(Json{{key, value}}), where);
    // Whoever asks for one of these wants draws.
    if (config.temperature || config.top_k || config.top_p || config.min_p || config.typical_p) config.do_sample = true;
    if (parse_json(config.other_keys, where).empty()) return config;
  } catch (const Error& error) {
    refuse(error, where);
  }
  throw UsageError{"unknown setting \"" + printable(key) + "\"", where, "use a field of generation_config.json"};
}

}  // namespace

GenerationConfig setting_from_text(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw UsageError{"no setting: \"" + printable(text) + "\"", "set", "write key=value, as in top_k=5"};
  }
  std::string key = text.substr(0, equals);
  std::replace(key.begin(), key.end(), '-', '_');
  return one_setting(key, value_from(text.substr(equals + 1)), "set");
}

void GenerationFlags::declare(Arguments& arguments) {
  for (const Setting& setting : kSettings) {
    arguments.text(setting.flag, values_.emplace_back(), setting.help, setting.type);
  }
  arguments.flag("--do-sample", do_sample_, "draw tokens by their probabilities");
  arguments.repeated("--stop", stops_, "ends a text after this string; may be given again");
  arguments.flag("--truncate-prompt", truncate_prompt_, "a prompt beyond the model's context loses its oldest tokens");
  arguments.repeated("--set", sets_, "any other setting as key=json, as in --set eos_token_id=[1,2]");
}

GenerationConfig GenerationFlags::config() const {
  GenerationConfig config;
  for (size_t i = 0; i < values_.size(); ++i) {
    if (!values_[i]) continue;
    const std::string flag = kSettings[i].flag;
    config = config.with(one_setting(kSettings[i].key, value_from(*values_[i]), flag.substr(0, flag.find(','))));
  }
  if (do_sample_) config.do_sample = true;
  if (!stops_.empty()) config.stop_strings = stops_;
  if (truncate_prompt_) config.truncate_prompt = true;
  for (const std::string& each : sets_) config = config.with(setting_from_text(each));
  return config;
}

namespace {

extern "C" void on_interrupt(int) {
  Interrupt::flag().store(true, std::memory_order_relaxed);
}

void handle(Interrupt::Signals signals, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;  // what is being written is written; poll() ends all the same
  sigaction(SIGINT, &action, nullptr);
  if (signals == Interrupt::also_terminate) sigaction(SIGTERM, &action, nullptr);
}

}  // namespace

std::atomic<bool>& Interrupt::flag() {
  static std::atomic<bool> interrupted{false};
  return interrupted;
}
Interrupt::Interrupt(Signals signals) : signals_(signals) {
  flag() = false;
  handle(signals_, on_interrupt);
}
Interrupt::~Interrupt() {
  handle(signals_, SIG_DFL);
}

void write_now(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) {
    throw Error(std::string("cannot write: ") + std::strerror(errno), "standard output",
                "free space, or mend the pipe");
  }
  flush_output();
}

}  // namespace mica::cli
