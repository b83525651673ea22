#pragma once
// The families: each turns a config into a spec, mostly by naming a baseline and what differs, and names its heads'
// tensors on disk.

#include "mica/models/architectures/decoder.h"
#include "mica/models/architectures/encoder.h"
#include "mica/models/architectures/encoder_decoder.h"
#include "mica/models/config.h"
#include "mica/models/heads/head.h"

namespace mica::families {

/// BERT: post-norm encoder with absolute positions and token types. Devlin et al. 2018.
EncoderSpec bert(const Config& config);
const ConfigSchema& bert_schema();
const HeadStyle& bert_heads();

EncoderSpec ernie(const Config& config);
const ConfigSchema& ernie_schema();

EncoderSpec megatron_bert(const Config& config);
const ConfigSchema& megatron_bert_schema();

EncoderSpec bert_generation(const Config& config);
const ConfigSchema& bert_generation_schema();
const HeadStyle& bert_generation_heads();

EncoderSpec roberta(const Config& config);
const ConfigSchema& roberta_schema();
const HeadStyle& roberta_heads();

EncoderSpec roberta_prelayernorm(const Config& config);

EncoderSpec deberta(const Config& config);
const ConfigSchema& deberta_schema();
const HeadStyle& deberta_heads();

EncoderSpec deberta_v2(const Config& config);
const ConfigSchema& deberta_v2_schema();

EncoderSpec distilbert(const Config& config);
const ConfigSchema& distilbert_schema();
const HeadStyle& distilbert_heads();

EncoderSpec electra(const Config& config);
const ConfigSchema& electra_schema();
const HeadStyle& electra_heads();

EncoderSpec albert(const Config& config);
const ConfigSchema& albert_schema();
const HeadStyle& albert_heads();

EncoderSpec longformer(const Config& config);
const ConfigSchema& longformer_schema();
const HeadStyle& longformer_heads();
/// How far each layer's windows reach to either side: half of attention_window, a number or a list.
std::vector<int64_t> half_windows(const Config& config, int64_t layers);

EncoderSpec mpnet(const Config& config);
const ConfigSchema& mpnet_schema();
const HeadStyle& mpnet_heads();

/// Encoders that share the parts of decoders.
StackSpec modernbert(const Config& config);
const ConfigSchema& modernbert_schema();
const HeadStyle& modernbert_heads();
StackSpec nomic_bert(const Config& config);
const ConfigSchema& nomic_bert_schema();
const HeadStyle& nomic_bert_heads();
StackSpec eurobert(const Config& config);
const ConfigSchema& eurobert_schema();
const HeadStyle& eurobert_heads();
StackSpec esm(const Config& config);
const ConfigSchema& esm_schema();
const HeadStyle& esm_heads();
EncoderSpec xlnet(const Config& config);
const ConfigSchema& xlnet_schema();
const HeadStyle& xlnet_heads();

// Decoders.

/// Llama: RMS norms, rotary positions, grouped heads, a gated MLP. Touvron et al. 2023.
StackSpec llama(const Config& config);
const ConfigSchema& llama_schema();
StackSpec mistral(const Config& config);
const ConfigSchema& mistral_schema();
StackSpec mixtral(const Config& config);
const ConfigSchema& mixtral_schema();
StackSpec qwen2(const Config& config);
const ConfigSchema& qwen2_schema();
StackSpec qwen2_moe(const Config& config);
const ConfigSchema& qwen2_moe_schema();
StackSpec qwen3(const Config& config);
const ConfigSchema& qwen3_schema();
StackSpec qwen3_moe(const Config& config);
const ConfigSchema& qwen3_moe_schema();
StackSpec gemma(const Config& config);
const ConfigSchema& gemma_schema();
StackSpec gemma2(const Config& config);
const ConfigSchema& gemma2_schema();
StackSpec gemma3_text(const Config& config);
const ConfigSchema& gemma3_text_schema();
StackSpec phi(const Config& config);
const ConfigSchema& phi_schema();
StackSpec phi3(const Config& config);
const ConfigSchema& phi3_schema();
StackSpec stablelm(const Config& config);
const ConfigSchema& stablelm_schema();
StackSpec starcoder2(const Config& config);
const ConfigSchema& starcoder2_schema();
StackSpec cohere(const Config& config);
const ConfigSchema& cohere_schema();
StackSpec olmo2(const Config& config);
const ConfigSchema& olmo2_schema();
StackSpec smollm3(const Config& config);
const ConfigSchema& smollm3_schema();
StackSpec granite(const Config& config);
const ConfigSchema& granite_schema();
StackSpec gpt_oss(const Config& config);
const ConfigSchema& gpt_oss_schema();
StackSpec deepseek_v3(const Config& config);
const ConfigSchema& deepseek_v3_schema();
StackSpec glm4(const Config& config);
const ConfigSchema& glm4_schema();
StackSpec nemotron(const Config& config);
const ConfigSchema& nemotron_schema();
StackSpec gpt2(const Config& config);
const ConfigSchema& gpt2_schema();
StackSpec openai_gpt(const Config& config);
const ConfigSchema& openai_gpt_schema();
StackSpec gpt_neo(const Config& config);
const ConfigSchema& gpt_neo_schema();
StackSpec gptj(const Config& config);
const ConfigSchema& gptj_schema();
StackSpec gpt_neox(const Config& config);
const ConfigSchema& gpt_neox_schema();
StackSpec gpt_bigcode(const Config& config);
const ConfigSchema& gpt_bigcode_schema();
StackSpec opt(const Config& config);
const ConfigSchema& opt_schema();
StackSpec bloom(const Config& config);
const ConfigSchema& bloom_schema();
StackSpec mpt(const Config& config);
const ConfigSchema& mpt_schema();
StackSpec falcon(const Config& config);
const ConfigSchema& falcon_schema();

/// An output layer without bias; the last token is scored; "score" for single tokens too.
const HeadStyle& decoder_heads();
/// The same, and a name of its own before the network of a question answering file.
const HeadStyle& llama_heads();
const HeadStyle& phi_heads();
const HeadStyle& gpt2_heads();
const HeadStyle& gptj_heads();
const HeadStyle& gpt_neox_heads();

// Encoder-decoders.

/// Of two families. Its heads are its decoder's.
PairSpec encoder_decoder(const Config& config);
const ConfigSchema& encoder_decoder_schema();

/// T5: RMS norms, bucketed distances, no biases. Raffel et al. 2020.
EncoderDecoderSpec t5(const Config& config);
const ConfigSchema& t5_schema();
EncoderDecoderSpec mt5(const Config& config);
const ConfigSchema& mt5_schema();
EncoderDecoderSpec umt5(const Config& config);
EncoderDecoderSpec bart(const Config& config);
const ConfigSchema& bart_schema();
EncoderDecoderSpec led(const Config& config);
const ConfigSchema& led_schema();
EncoderDecoderSpec plbart(const Config& config);
const ConfigSchema& plbart_schema();
EncoderDecoderSpec mbart(const Config& config);
const ConfigSchema& mbart_schema();
EncoderDecoderSpec pegasus(const Config& config);
const ConfigSchema& pegasus_schema();
EncoderDecoderSpec marian(const Config& config);
const ConfigSchema& marian_schema();
EncoderDecoderSpec m2m_100(const Config& config);
const ConfigSchema& m2m_100_schema();
EncoderDecoderSpec blenderbot(const Config& config);
const ConfigSchema& blenderbot_schema();
EncoderDecoderSpec blenderbot_small(const Config& config);
const ConfigSchema& blenderbot_small_schema();
const HeadStyle& t5_heads();
const HeadStyle& bart_heads();
const HeadStyle& marian_heads();
const HeadStyle& m2m_100_heads();

}  // namespace mica::families
