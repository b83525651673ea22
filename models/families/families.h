#pragma once
// The families: each turns a config into a spec, mostly by naming a baseline and what differs, and names its heads'
// tensors on disk.

#include "mica/models/architectures/encoder.h"
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

EncoderSpec distilbert(const Config& config);
const ConfigSchema& distilbert_schema();
const HeadStyle& distilbert_heads();

EncoderSpec electra(const Config& config);
const ConfigSchema& electra_schema();
const HeadStyle& electra_heads();

EncoderSpec albert(const Config& config);
const ConfigSchema& albert_schema();
const HeadStyle& albert_heads();

EncoderSpec mpnet(const Config& config);
const ConfigSchema& mpnet_schema();
const HeadStyle& mpnet_heads();

}  // namespace mica::families
