#include "mica/models/auto/table.h"

#include <algorithm>

#include "mica/base/error.h"
#include "mica/models/architectures/encoder_stack.h"
#include "mica/models/families/families.h"

namespace mica {
namespace {

using namespace families;

constexpr Task M = Task::base;
constexpr Task PT = Task::pretraining;
constexpr Task CLM = Task::causal_lm;
constexpr Task MLM = Task::masked_lm;
constexpr Task SC = Task::sequence_classification;
constexpr Task TC = Task::token_classification;
constexpr Task QA = Task::question_answering;
constexpr Task MC = Task::multiple_choice;
constexpr Task NSP = Task::next_sentence_prediction;
constexpr Task TE = Task::text_encoding;
constexpr Task S2S = Task::seq2seq_lm;

}  // namespace

const std::vector<Family>& families_table() {
  // clang-format off
  static const std::vector<Family> table{
      // model_type, prefix, class stem, network, config, heads' names, heads
      {"albert", "albert", "Albert", albert, albert_schema, albert_heads,
       {M, PT, MLM, SC, TC, QA, MC, TE}, {}},
      {"bart", "model", "Bart", bart, bart_schema, bart_heads,
       {M, PT, CLM, MLM, S2S, SC, QA},
       {{PT, "BartForConditionalGeneration"}, {MLM, "BartForConditionalGeneration"}, {S2S, "BartForConditionalGeneration"}}},
      {"bert", "bert", "Bert", bert, bert_schema, bert_heads,
       {M, PT, CLM, MLM, SC, TC, QA, MC, NSP, TE}, {{CLM, "BertLMHeadModel"}}},
      {"bert-generation", "bert", "BertGeneration", bert_generation, bert_generation_schema, bert_generation_heads,
       {M, CLM}, {{M, "BertGenerationEncoder"}, {CLM, "BertGenerationDecoder"}}},
      {"blenderbot", "model", "Blenderbot", blenderbot, blenderbot_schema, bart_heads,
       {M, CLM, S2S},
       {{S2S, "BlenderbotForConditionalGeneration"}}},
      {"blenderbot-small", "model", "BlenderbotSmall", blenderbot_small, blenderbot_small_schema, bart_heads,
       {M, CLM, S2S},
       {{S2S, "BlenderbotSmallForConditionalGeneration"}}},
      {"bloom", "transformer", "Bloom", bloom, bloom_schema, gpt2_heads,
       {M, PT, CLM, SC, TC, QA}, {}},
      {"camembert", "roberta", "Camembert", roberta, roberta_schema, roberta_heads,
       {M, PT, CLM, MLM, SC, TC, QA, MC}, {}},
      {"cohere", "model", "Cohere", cohere, cohere_schema, decoder_heads,
       {M, CLM}, {}},
      {"data2vec-text", "data2vec_text", "Data2VecText", roberta, roberta_schema, roberta_heads,
       {M, PT, CLM, MLM, SC, TC, QA, MC, TE}, {}},
      {"deberta", "deberta", "Deberta", deberta, deberta_schema, deberta_heads,
       {M, PT, MLM, SC, TC, QA, TE}, {}},
      {"deberta-v2", "deberta", "DebertaV2", deberta_v2, deberta_v2_schema, deberta_heads,
       {M, PT, MLM, SC, TC, QA, MC, TE}, {}},
      {"deepseek_v3", "model", "DeepseekV3", deepseek_v3, deepseek_v3_schema, decoder_heads,
       {M, CLM, SC, TC}, {}},
      {"distilbert", "distilbert", "DistilBert", distilbert, distilbert_schema, distilbert_heads,
       {M, PT, MLM, SC, TC, QA, MC, TE}, {}},
      {"electra", "electra", "Electra", electra, electra_schema, electra_heads,
       {M, PT, CLM, MLM, SC, TC, QA, MC, TE}, {}},
      {"encoder-decoder", "", "EncoderDecoder", encoder_decoder, encoder_decoder_schema, bert_heads,
       {S2S}, {{S2S, "EncoderDecoderModel"}}},
      {"ernie", "ernie", "Ernie", ernie, ernie_schema, bert_heads,
       {M, PT, CLM, MLM, SC, TC, QA, MC, NSP}, {}},
      {"esm", "esm", "Esm", esm, esm_schema, esm_heads,
       {M, MLM, SC, TC}, {}},
      {"eurobert", "model", "EuroBert", eurobert, eurobert_schema, eurobert_heads,
       {M, MLM, SC, TC}, {}},
      {"falcon", "transformer", "Falcon", falcon, falcon_schema, gpt2_heads,
       {M, CLM, SC, TC, QA}, {}},
      {"gemma", "model", "Gemma", gemma, gemma_schema, decoder_heads,
       {M, CLM, SC, TC}, {}},
      {"gemma2", "model", "Gemma2", gemma2, gemma2_schema, decoder_heads,
       {M, CLM, SC, TC}, {}},
      {"gemma3_text", "model", "Gemma3Text", gemma3_text, gemma3_text_schema, decoder_heads,
       {M, CLM, SC}, {{CLM, "Gemma3ForCausalLM"}}},
      {"glm4", "model", "Glm4", glm4, glm4_schema, decoder_heads,
       {M, CLM, SC, TC}, {}},
      {"gpt2", "transformer", "GPT2", gpt2, gpt2_schema, gpt2_heads,
       {M, PT, CLM, SC, TC, QA}, {{CLM, "GPT2LMHeadModel"}, {PT, "GPT2LMHeadModel"}}},
      {"gpt_bigcode", "transformer", "GPTBigCode", gpt_bigcode, gpt_bigcode_schema, gpt2_heads,
       {M, PT, CLM, SC, TC}, {}},
      {"gpt_neo", "transformer", "GPTNeo", gpt_neo, gpt_neo_schema, gpt2_heads,
       {M, CLM, SC, TC, QA}, {}},
      {"gpt_neox", "gpt_neox", "GPTNeoX", gpt_neox, gpt_neox_schema, gpt_neox_heads,
       {M, CLM, SC, TC, QA}, {}},
      {"gpt_oss", "model", "GptOss", gpt_oss, gpt_oss_schema, decoder_heads,
       {M, CLM, SC, TC}, {}},
      {"gptj", "transformer", "GPTJ", gptj, gptj_schema, gptj_heads,
       {M, CLM, SC, QA}, {}},
      {"granite", "model", "Granite", granite, granite_schema, decoder_heads,
       {M, CLM}, {}},
      {"led", "led", "LED", led, led_schema, bart_heads,
       {M, S2S, QA},
       {{S2S, "LEDForConditionalGeneration"}}},
      {"llama", "model", "Llama", llama, llama_schema, llama_heads,
       {M, CLM, SC, TC, QA}, {}},
      {"longformer", "longformer", "Longformer", longformer, longformer_schema, longformer_heads,
       {M, PT, MLM, SC, TC, QA, MC, TE}, {}},
      {"m2m_100", "model", "M2M100", m2m_100, m2m_100_schema, m2m_100_heads,
       {M, S2S},
       {{S2S, "M2M100ForConditionalGeneration"}}},
      {"marian", "model", "Marian", marian, marian_schema, marian_heads,
       {M, CLM, S2S},
       {{S2S, "MarianMTModel"}}},
      {"mbart", "model", "MBart", mbart, mbart_schema, bart_heads,
       {M, CLM, MLM, S2S, SC, QA},
       {{MLM, "MBartForConditionalGeneration"}, {S2S, "MBartForConditionalGeneration"}}},
      {"megatron-bert", "bert", "MegatronBert", megatron_bert, megatron_bert_schema, bert_heads,
       {M, PT, CLM, MLM, SC, TC, QA, MC, NSP}, {}},
      {"mistral", "model", "Mistral", mistral, mistral_schema, decoder_heads,
       {M, CLM, SC, TC, QA}, {}},
      {"mixtral", "model", "Mixtral", mixtral, mixtral_schema, decoder_heads,
       {M, CLM, SC, TC, QA}, {}},
      {"modernbert", "model", "ModernBert", modernbert, modernbert_schema, modernbert_heads,
       {M, MLM, SC, TC, QA, MC}, {}},
      {"mpnet", "mpnet", "MPNet", mpnet, mpnet_schema, mpnet_heads,
       {M, PT, MLM, SC, TC, QA, MC}, {}},
      {"mpt", "transformer", "Mpt", mpt, mpt_schema, gpt2_heads,
       {M, PT, CLM, SC, TC, QA}, {}},
      {"mt5", "transformer", "MT5", mt5, mt5_schema, t5_heads,
       {M, S2S, SC, TC, QA, TE},
       {{S2S, "MT5ForConditionalGeneration"}, {TE, "MT5EncoderModel"}}},
      {"nemotron", "model", "Nemotron", nemotron, nemotron_schema, llama_heads,
       {M, CLM, SC, TC, QA}, {}},
      {"nomic_bert", "nomic_bert", "NomicBert", nomic_bert, nomic_bert_schema, nomic_bert_heads,
       {M, MLM, SC, TC}, {}},
      {"olmo2", "model", "Olmo2", olmo2, olmo2_schema, decoder_heads,
       {M, CLM, SC}, {}},
      {"openai-gpt", "transformer", "OpenAIGPT", openai_gpt, openai_gpt_schema, gpt2_heads,
       {M, PT, CLM, SC}, {{CLM, "OpenAIGPTLMHeadModel"}, {PT, "OpenAIGPTLMHeadModel"}}},
      {"opt", "model", "OPT", opt, opt_schema, decoder_heads,
       {M, CLM, SC, QA}, {}},
      {"pegasus", "model", "Pegasus", pegasus, pegasus_schema, bart_heads,
       {M, CLM, S2S},
       {{S2S, "PegasusForConditionalGeneration"}}},
      {"phi", "model", "Phi", phi, phi_schema, phi_heads,
       {M, CLM, SC, TC}, {}},
      {"phi3", "model", "Phi3", phi3, phi3_schema, decoder_heads,
       {M, CLM, SC, TC}, {}},
      {"plbart", "model", "PLBart", plbart, plbart_schema, bart_heads,
       {M, CLM, S2S, SC},
       {{S2S, "PLBartForConditionalGeneration"}}},
      {"qwen2", "model", "Qwen2", qwen2, qwen2_schema, llama_heads,
       {M, CLM, SC, TC, QA}, {}},
      {"qwen2_moe", "model", "Qwen2Moe", qwen2_moe, qwen2_moe_schema, decoder_heads,
       {M, CLM, SC, TC, QA}, {}},
      {"qwen3", "model", "Qwen3", qwen3, qwen3_schema, llama_heads,
       {M, CLM, SC, TC, QA}, {}},
      {"qwen3_moe", "model", "Qwen3Moe", qwen3_moe, qwen3_moe_schema, llama_heads,
       {M, CLM, SC, TC, QA}, {}},
      {"roberta", "roberta", "Roberta", roberta, roberta_schema, roberta_heads,
       {M, PT, CLM, MLM, SC, TC, QA, MC, TE}, {}},
      {"roberta-prelayernorm", "roberta_prelayernorm", "RobertaPreLayerNorm", roberta_prelayernorm, roberta_schema,
       roberta_heads, {M, PT, CLM, MLM, SC, TC, QA, MC, TE}, {}},
      {"smollm3", "model", "SmolLM3", smollm3, smollm3_schema, llama_heads,
       {M, CLM, SC, TC, QA}, {}},
      {"stablelm", "model", "StableLm", stablelm, stablelm_schema, decoder_heads,
       {M, CLM, SC, TC}, {}},
      {"starcoder2", "model", "Starcoder2", starcoder2, starcoder2_schema, decoder_heads,
       {M, CLM, SC, TC}, {}},
      {"t5", "transformer", "T5", t5, t5_schema, t5_heads,
       {M, PT, S2S, SC, TC, QA, TE},
       {{PT, "T5ForConditionalGeneration"}, {S2S, "T5ForConditionalGeneration"}, {TE, "T5EncoderModel"}}},
      {"umt5", "transformer", "UMT5", umt5, mt5_schema, t5_heads,
       {M, S2S, SC, TC, QA, TE},
       {{S2S, "UMT5ForConditionalGeneration"}, {TE, "UMT5EncoderModel"}}},
      {"xlm-roberta", "roberta", "XLMRoberta", roberta, roberta_schema, roberta_heads,
       {M, PT, CLM, MLM, SC, TC, QA, MC, TE}, {}},
      {"xlnet", "transformer", "XLNet", xlnet, xlnet_schema, xlnet_heads,
       {M, PT, CLM, SC, TC, QA, MC},
       {{PT, "XLNetLMHeadModel"}, {CLM, "XLNetLMHeadModel"}, {QA, "XLNetForQuestionAnsweringSimple"}}},
  };
  // clang-format on
  return table;
}

namespace {

struct Request {
  NetworkPart part;
  bool with_pooler, ignore_pooler, computes_positions;
  GlobalTokens global_tokens = GlobalTokens::none;
};

void ignore_pooler(const std::string& pooler, const Scope& scope, const Request& request) {
  if (!request.ignore_pooler || pooler.empty()) return;
  for (const char* name : {"weight", "bias"}) (scope / pooler).ignore(name);
}

// The module of the word table that a language head is tied to; empty: none of one name.
std::string words_of(const EncoderSpec& spec) {
  return spec.names.word_embeddings;
}
std::string words_of(const StackSpec& spec) {
  return spec.names.word_embeddings;
}
std::string words_of(const EncoderDecoderSpec& spec) {
  return spec.shared;
}
std::string words_of(const PairSpec&) {
  return "";
}

std::unique_ptr<Network> build(EncoderSpec spec, const Scope& scope, const Request& request) {
  ignore_pooler(spec.names.pooler, scope, request);
  if (spec.causal && (has_stack(spec) || spec.cross_attention)) {
    return std::make_unique<StackNetwork>(scope, stack_of(spec), request.with_pooler);
  }
  if (auto* attention = std::get_if<LocalGlobalSpec>(&spec.attention)) attention->global_tokens = request.global_tokens;
  return std::make_unique<Encoder>(scope, std::move(spec), request.with_pooler);
}

std::unique_ptr<Network> build(StackSpec spec, const Scope& scope, const Request& request) {
  ignore_pooler(spec.names.pooler, scope, request);
  return std::make_unique<StackNetwork>(scope, std::move(spec), request.with_pooler);
}

std::unique_ptr<Network> build(EncoderDecoderSpec spec, const Scope& scope, const Request& request) {
  if (request.computes_positions) {
    for (StackSpec* stack : {&spec.encoder, &spec.decoder}) stack->positions = PositionTable::sinusoidal;
  }
  switch (request.part) {
    case NetworkPart::encoder:
      return encoder_half(scope, std::move(spec));
    case NetworkPart::decoder:
      return decoder_half(scope, std::move(spec));
    case NetworkPart::whole:
      break;
  }
  return std::make_unique<EncoderDecoder>(scope, std::move(spec));
}

// The part of a nested config, with its family's defaults.
Config attached(Config config) {
  config.attach(family_of(config.model_type.value()).schema());
  return config;
}

// `inner`: where the stack lies within its causal language model.
StackSpec stack_with_cross_attention(const Family& family, const Config& config, std::string_view* inner) {
  StackSpec spec;
  const auto* of_encoder = std::get_if<EncoderSpec (*)(const Config&)>(&family.spec);
  const auto* of_stack = std::get_if<StackSpec (*)(const Config&)>(&family.spec);
  const auto* of_halves = std::get_if<EncoderDecoderSpec (*)(const Config&)>(&family.spec);
  if (!family.has(Task::causal_lm)) of_halves = nullptr;
  if (of_encoder != nullptr) spec = stack_of((*of_encoder)(config));
  if (of_stack != nullptr) spec = (*of_stack)(config);
  if (of_halves != nullptr) spec = (*of_halves)(config).decoder;
  *inner = of_halves != nullptr ? "decoder" : "";
  bool fits = of_encoder != nullptr || of_stack != nullptr || of_halves != nullptr;
  for (const LayerSpec& layer : spec.layers) fits = fits && layer.cross && layer.attention.causal;
  if (fits) return spec;
  throw Error("a decoder without cross-attention: " + std::string(family.model_type), config.where(),
              "set is_decoder and add_cross_attention to true; not every family has it");
}

std::unique_ptr<Network> build(const PairSpec& spec, const Scope& scope, const Request&) {
  const Config of_encoder = attached(spec.encoder);
  const Config of_decoder = attached(spec.decoder);
  const Family& encoder_family = family_of(of_encoder.model_type.value());
  const Family& decoder_family = family_of(of_decoder.model_type.value());
  std::string_view inner;
  StackSpec writer = stack_with_cross_attention(decoder_family, of_decoder, &inner);
  std::unique_ptr<Network> encoder = encoder_family.network(of_encoder, scope / "encoder", Task::base,
                                                            needs_pooler(Task::base, encoder_family.heads()), false);
  const int64_t from = encoder->shape().hidden_size;
  Linear bridge = from == writer.hidden_size ? Linear() : Linear(scope / spec.bridge, from, writer.hidden_size);
  Stack decoder(scope / "decoder" / decoder_family.prefix(Task::causal_lm) / inner, std::move(writer));
  return std::make_unique<EncoderDecoder>(std::move(encoder), std::move(bridge), std::move(decoder), spec.shift);
}

}  // namespace

Family::HeadPlace Family::head_place(const Config& config) const {
  const auto* pair = std::get_if<PairSpec (*)(const Config&)>(&spec);
  if (pair == nullptr) return {&heads(), config, ""};
  const Config decoder = attached((*pair)(config).decoder);
  return {&family_of(decoder.model_type.value()).heads(), decoder, "decoder"};
}

std::unique_ptr<Network> Family::network(const Config& config, const Scope& scope, Task task, bool with_pooler,
                                         bool ignore_pooler) const {
  const std::vector<Task>& computed = heads().computes_positions;
  Request request{NetworkPart::whole, with_pooler, ignore_pooler,
                  std::find(computed.begin(), computed.end(), task) != computed.end()};
  for (const auto& [of, part] : heads().parts) {
    if (of == task) request.part = part;
  }
  for (const auto& [of, tokens] : heads().global_tokens) {
    if (of == task) request.global_tokens = tokens;
  }
  const std::string& head = heads().language.decoder;
  const bool ties = !head.empty() && config.flag("tie_word_embeddings", true);
  return std::visit(
      [&](const auto make_spec) {
        auto made = make_spec(config);
        // Some files have a tied table under the head's name alone.
        const std::string words = words_of(made);
        if (ties && !words.empty()) scope.spell(words + ".weight", head + ".weight");
        return build(std::move(made), scope, request);
      },
      spec);
}

std::string_view Family::prefix(Task task) const {
  for (const auto& [of, own] : heads().prefixes) {
    if (of == task) return own;
  }
  return task == Task::base || task == Task::text_encoding ? std::string_view() : base_prefix;
}

bool Family::has(Task task) const {
  return std::find(tasks.begin(), tasks.end(), task) != tasks.end();
}

std::string Family::architecture(Task task) const {
  for (const auto& [odd, name] : odd_classes) {
    if (odd == task) return std::string(name);
  }
  if (task == Task::base || task == Task::text_encoding) return std::string(class_stem) + "Model";
  if (task == Task::pretraining && heads().order_classifier.empty() && heads().replaced_dense.empty()) {
    task = heads().causal_pretraining ? Task::causal_lm : Task::masked_lm;
  }
  return std::string(class_stem) + std::string(auto_class(task).substr(std::string_view("AutoModel").size()));
}

const Family& family_of(std::string_view model_type) {
  std::string known;
  for (const Family& family : families_table()) {
    if (family.model_type == model_type) return family;
    known += (known.empty() ? "" : ", ") + std::string(family.model_type);
  }
  throw Error("unknown model_type \"" + printable(model_type) + "\"", "config", "mica knows " + known);
}

std::string families_markdown() {
  std::string text = "| model_type |";
  std::string rule = "| --- |";
  for (const Task task : all_tasks()) {
    text += " " + std::string(name(task)) + " |";
    rule += " :-: |";
  }
  text += "\n" + rule + "\n";
  for (const Family& family : families_table()) {
    text += "| " + std::string(family.model_type) + " |";
    for (const Task task : all_tasks()) text += family.has(task) ? " ✓ |" : "  |";
    text += "\n";
  }
  return text;
}

}  // namespace mica
