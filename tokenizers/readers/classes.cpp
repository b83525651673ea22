#include "mica/tokenizers/readers/classes.h"

#include <algorithm>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/file.h"

namespace mica {
namespace {

// Folders of the first years name no class; the model's type tells it.
constexpr std::pair<std::string_view, std::string_view> kClassOfModel[] = {
    {"albert", "AlbertTokenizer"},
    {"bart", "BartTokenizer"},
    {"bert", "BertTokenizer"},
    {"bert-generation", "BertGenerationTokenizer"},
    {"biogpt", "BioGptTokenizer"},
    {"blenderbot", "BlenderbotTokenizer"},
    {"blenderbot-small", "BlenderbotSmallTokenizer"},
    {"camembert", "CamembertTokenizer"},
    {"clip", "CLIPTokenizer"},
    {"codegen", "CodeGenTokenizer"},
    {"convbert", "ConvBertTokenizer"},
    {"ctrl", "CTRLTokenizer"},
    {"data2vec-text", "RobertaTokenizer"},
    {"deberta", "DebertaTokenizer"},
    {"distilbert", "DistilBertTokenizer"},
    {"electra", "ElectraTokenizer"},
    {"esm", "EsmTokenizer"},
    {"flaubert", "FlaubertTokenizer"},
    {"fnet", "FNetTokenizer"},
    {"fsmt", "FSMTTokenizer"},
    {"funnel", "FunnelTokenizer"},
    {"gpt2", "GPT2Tokenizer"},
    {"gpt_neo", "GPT2Tokenizer"},
    {"gpt_neox", "GPTNeoXTokenizer"},
    {"gptj", "GPT2Tokenizer"},
    {"herbert", "HerbertTokenizer"},
    {"layoutlm", "LayoutLMTokenizer"},
    {"led", "LEDTokenizer"},
    {"longformer", "LongformerTokenizer"},
    {"luke", "LukeTokenizer"},
    {"lxmert", "LxmertTokenizer"},
    {"m2m_100", "M2M100Tokenizer"},
    {"marian", "MarianTokenizer"},
    {"mbart", "MBartTokenizer"},
    {"megatron-bert", "BertTokenizer"},
    {"mluke", "MLukeTokenizer"},
    {"mobilebert", "MobileBertTokenizer"},
    {"mpnet", "MPNetTokenizer"},
    {"mt5", "T5Tokenizer"},
    {"mvp", "MvpTokenizer"},
    {"nllb-moe", "NllbTokenizer"},
    {"openai-gpt", "OpenAIGPTTokenizer"},
    {"opt", "GPT2Tokenizer"},
    {"pegasus", "PegasusTokenizer"},
    {"phi", "CodeGenTokenizer"},
    {"plbart", "PLBartTokenizer"},
    {"prophetnet", "ProphetNetTokenizer"},
    {"qwen2", "Qwen2Tokenizer"},
    {"qwen2_moe", "Qwen2Tokenizer"},
    {"qwen3", "Qwen2Tokenizer"},
    {"roberta", "RobertaTokenizer"},
    {"roberta-prelayernorm", "RobertaTokenizer"},
    {"seamless_m4t", "SeamlessM4TTokenizer"},
    {"seamless_m4t_v2", "SeamlessM4TTokenizer"},
    {"splinter", "SplinterTokenizer"},
    {"squeezebert", "SqueezeBertTokenizer"},
    {"t5", "T5Tokenizer"},
    {"umt5", "T5Tokenizer"},
    {"whisper", "WhisperTokenizer"},
    {"xglm", "XGLMTokenizer"},
    {"xlm", "XLMTokenizer"},
    {"xlm-prophetnet", "XLMProphetNetTokenizer"},
    {"xlm-roberta", "XLMRobertaTokenizer"},
    {"xlnet", "XLNetTokenizer"},
};

// Where neither names a class, the files do: the first whose set is complete.
constexpr std::string_view kClassesByFiles[] = {"BertTokenizer", "GPT2Tokenizer"};

}  // namespace

const TokenizerClass* find_tokenizer_class(std::string_view name) {
  for (const TokenizerClasses classes :
       {wordpiece_classes(), byte_pair_classes(), marked_byte_pair_classes(), sentencepiece_classes(),
        translation_classes(), moses_classes(), piece_classes(), python_classes(), marian_classes(), byte_classes()}) {
    for (const TokenizerClass* one : classes) {
      if (one->name == name) return one;
    }
  }
  return nullptr;
}

const TokenizerClass* guess_tokenizer_class(const std::string& folder, std::string_view model_type) {
  for (const auto& [model, name] : kClassOfModel) {
    if (model == model_type) return find_tokenizer_class(name);
  }
  // A tokenizer.json needs no class to be read, and its settings are better taken from itself.
  if (file_exists(join_path(folder, "tokenizer.json"))) return nullptr;
  for (const std::string_view name : kClassesByFiles) {
    const TokenizerClass* one = find_tokenizer_class(name);
    if (!files_of_class(*one, folder).empty()) return one;
  }
  return nullptr;
}

std::vector<std::string> files_of_class(const TokenizerClass& tokenizer_class, const std::string& folder) {
  for (const std::string& set : tokenizer_class.files()) {
    std::vector<std::string> files;
    bool complete = true;
    for (size_t at = 0; at <= set.size();) {
      const size_t end = std::min(set.find(' ', at), set.size());
      files.push_back(set.substr(at, end - at));
      complete = complete && file_exists(join_path(folder, files.back()));
      at = end + 1;
    }
    if (complete) return files;
  }
  return {};
}

void add_entity_tokens(Fields& config, SpecialTokens& special) {
  if (config.has("task")) {
    config.fail("task \"" + printable(config.string("task"), 60) + "\" needs entities, which are not supported",
                "remove the task to read texts alone");
  }
  std::vector<std::string>& tokens = special.additional_special_tokens;
  for (const auto& [key, fallback] : {std::pair("entity_token_1", "<ent>"), std::pair("entity_token_2", "<ent2>")}) {
    const std::string token = config.string(key, fallback);
    if (std::find(tokens.begin(), tokens.end(), token) == tokens.end()) tokens.push_back(token);
  }
}

void fill_defaults(const DefaultTokens& tokens, SpecialTokens& special) {
  const auto fill = [](std::optional<std::string>& token, const char* fallback) {
    if (!token && fallback != nullptr) token = fallback;
  };
  fill(special.bos_token, tokens.bos);
  fill(special.eos_token, tokens.eos);
  fill(special.unk_token, tokens.unk);
  fill(special.sep_token, tokens.sep);
  fill(special.pad_token, tokens.pad);
  fill(special.cls_token, tokens.cls);
  fill(special.mask_token, tokens.mask);
}

}  // namespace mica
