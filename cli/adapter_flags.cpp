#include "cli/adapter_flags.h"

#include <stdexcept>

#include "cli/common.h"

#include "mica/base/error.h"
#include "mica/models/auto/lora.h"
#include "mica/models/auto/prompt_tuning.h"

namespace mica::cli {
namespace {

[[noreturn]] void misuse(const std::string& problem, const std::string& mend) {
  throw UsageError{problem, "mica train", mend};
}

std::vector<std::string> names(const std::string& text) {
  std::vector<std::string> list{""};
  for (const char c : text) {
    if (c == '|') {
      list.emplace_back();
    } else {
      list.back() += c;
    }
  }
  return list;
}

bool yes(const std::string& value) {
  if (value == "true" || value == "True" || value == "1") return true;
  if (value == "false" || value == "False" || value == "0") return false;
  throw std::invalid_argument("no flag");
}

int64_t whole(const std::string& value) {
  size_t end = 0;
  const int64_t number = std::stoll(value, &end);
  if (end != value.size()) throw std::invalid_argument("no integer");
  return number;
}

// "a text" with or without its quotes.
std::string unquoted(const std::string& value) {
  const bool quoted = value.size() >= 2 && value.front() == '"' && value.back() == '"';
  return quoted ? value.substr(1, value.size() - 2) : value;
}

// Calls `set(name, value)`, which says whether there is such a field, with each; a value that it cannot read is the
// user's mistake.
template <typename Set>
void each_field(const char* flag, const FlagFields& fields, const char* known, const Set& set) {
  for (const auto& [name, value] : fields) {
    bool there = false;
    try {
      there = set(name, value);
    } catch (const std::logic_error&) {
      misuse(std::string(flag) + " " + printable(name) + "=" + printable(value), "give a value that fits");
    }
    if (!there) misuse(std::string(flag) + " " + printable(name), std::string("it takes ") + known);
  }
}

// "r=8,alpha=16,dropout=0.1,target_modules=query|value".
LoraConfig lora_of(const FlagFields& fields) {
  LoraConfig config;
  bool alpha = false;
  each_field("--lora", fields, "r, alpha, dropout, target_modules, modules_to_save and use_rslora",
             [&](const std::string& name, const std::string& value) {
               if (name == "r") {
                 config.r = whole(value);
               } else if (name == "alpha" || name == "lora_alpha") {
                 config.lora_alpha = std::stod(value);
                 alpha = true;
               } else if (name == "dropout" || name == "lora_dropout") {
                 config.lora_dropout = std::stod(value);
               } else if (name == "target_modules") {
                 config.target_modules = names(value);
               } else if (name == "modules_to_save") {
                 config.modules_to_save = names(value);
               } else if (name == "use_rslora" || name == "rslora") {
                 config.use_rslora = yes(value);
               } else {
                 return false;
               }
               return true;
             });
  if (!alpha) config.lora_alpha = 2 * static_cast<double>(config.r);
  return config;
}

// "num_virtual_tokens=20,prompt_tuning_init=TEXT,prompt_tuning_init_text=Good or bad?".
PromptTuningConfig prompt_of(const FlagFields& fields, const std::string& tokenizer) {
  PromptTuningConfig config;
  config.tokenizer_name_or_path = tokenizer;
  bool text = false;
  each_field("--prompt_tuning", fields,
             "num_virtual_tokens, prompt_tuning_init, prompt_tuning_init_text, tokenizer_name_or_path and "
             "modules_to_save",
             [&](const std::string& name, const std::string& value) {
               if (name == "num_virtual_tokens") {
                 config.num_virtual_tokens = whole(value);
               } else if (name == "prompt_tuning_init") {
                 if (value != "RANDOM" && value != "TEXT" && value != "SAMPLE_VOCAB") {
                   misuse("--prompt_tuning prompt_tuning_init=" + printable(value),
                          "it is RANDOM, TEXT or SAMPLE_VOCAB");
                 }
                 config.prompt_tuning_init = value == "TEXT"     ? PromptTuningInit::text
                                             : value == "RANDOM" ? PromptTuningInit::random
                                                                 : PromptTuningInit::sample_vocab;
               } else if (name == "prompt_tuning_init_text") {
                 config.prompt_tuning_init_text = unquoted(value);
                 text = true;
               } else if (name == "tokenizer_name_or_path") {
                 config.tokenizer_name_or_path = value;
               } else if (name == "modules_to_save") {
                 config.modules_to_save = names(value);
               } else {
                 return false;
               }
               return true;
             });
  if (text != (config.prompt_tuning_init == PromptTuningInit::text)) {
    misuse(text ? "--prompt_tuning with a text that it does not start as" : "--prompt_tuning that starts as no text",
           "give prompt_tuning_init=TEXT and prompt_tuning_init_text together");
  }
  if (!text) config.tokenizer_name_or_path.clear();
  return config;
}

// "num_virtual_tokens=20,prefix_projection=true,encoder_hidden_size=64".
PrefixTuningConfig prefix_of(const FlagFields& fields) {
  PrefixTuningConfig config;
  each_field("--prefix_tuning", fields,
             "num_virtual_tokens, prefix_projection, encoder_hidden_size, init_weights and modules_to_save",
             [&](const std::string& name, const std::string& value) {
               if (name == "num_virtual_tokens") {
                 config.num_virtual_tokens = whole(value);
               } else if (name == "prefix_projection") {
                 config.prefix_projection = yes(value);
               } else if (name == "encoder_hidden_size") {
                 config.encoder_hidden_size = whole(value);
               } else if (name == "init_weights") {
                 if (value != "zero")
                   misuse("--prefix_tuning init_weights=" + printable(value), "it is zero, or left out");
                 config.init_zero = true;
               } else if (name == "modules_to_save") {
                 config.modules_to_save = names(value);
               } else {
                 return false;
               }
               return true;
             });
  if (config.encoder_hidden_size != 0 && !config.prefix_projection) {
    misuse("--prefix_tuning encoder_hidden_size without prefix_projection", "add prefix_projection=true");
  }
  return config;
}

}  // namespace

void add_adapter_of(const Model& model, const AdapterFlags& flags, const std::string& tokenizer,
                    FlagFields (*fields_of)(const char* flag, const std::vector<std::string>& words)) {
  const bool lora = !flags.lora.empty(), prompt = !flags.prompt_tuning.empty(), prefix = !flags.prefix_tuning.empty();
  if (lora + prompt + prefix > 1) misuse("more than one of --lora, --prompt_tuning and --prefix_tuning", "leave one");
  if (lora) add_adapter(model, lora_of(fields_of("--lora", flags.lora)));
  if (prompt) add_prompt_tuning(model, prompt_of(fields_of("--prompt_tuning", flags.prompt_tuning), tokenizer));
  if (prefix) add_prefix_tuning(model, prefix_of(fields_of("--prefix_tuning", flags.prefix_tuning)));
}

}  // namespace mica::cli
