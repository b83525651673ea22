// XLNet: sines of distances and segments that are the same or not meet the content in attention; the last token stands
// for the sequence. Of its two streams the second one is built for the place of a next token only. Yang et al. 2019.
#include "mica/base/error.h"
#include "mica/models/architectures/limits.h"
#include "mica/models/families/families.h"

namespace mica::families {

EncoderSpec xlnet(const Config& config) {
  const auto need = [&](const char* key, const std::string& found, const char* wanted) {
    if (found == wanted) return;
    throw Error(std::string(key) + " " + found + " is not supported for this family", config.where(),
                "only " + std::string(wanted) + " is");
  };
  need("bi_data", config.json("bi_data"), "false");
  need("same_length", config.json("same_length"), "false");
  need("summary_type", config.json("summary_type"), "\"last\"");
  need("summary_use_proj", config.json("summary_use_proj"), "true");
  const std::string kind = config.text("attn_type");
  if (kind != "uni") need("attn_type", "\"" + kind + "\"", "\"bi\"");
  EncoderSpec spec = encoder_spec(config);
  const int64_t furthest = config.integer_in("clamp_len", -1, kMaxVocabulary);
  spec.padding_idx = -1;
  if (config.has("mem_len")) spec.memory = config.integer_in("mem_len", 0, kMaxVocabulary);
  if (config.has("reuse_len")) spec.kept_states = config.integer_in("reuse_len", 0, kMaxVocabulary);
  spec.causal = kind == "uni";
  spec.inner_dropout = spec.final_dropout = spec.hidden_dropout;
  spec.attention = RelativeAttentionSpec{.num_heads = spec.num_attention_heads,
                                         .head_size = config.integer_in("d_head", 1, kMaxSize),
                                         .furthest = furthest > 0 ? furthest : 0,
                                         .causal = spec.causal,
                                         .dropout = spec.attention_dropout};
  spec.names = {.word_embeddings = "word_embedding",
                .position_embeddings = "",
                .embeddings_norm = "",
                .attention_output = "",
                .attention_norm = "rel_attn.layer_norm",
                .intermediate = "ff.layer_1",
                .output = "ff.layer_2",
                .output_norm = "ff.layer_norm",
                .pooler = "",
                .mask_embedding = "mask_emb"};
  for (size_t i = 0; i < spec.layer_names.size(); ++i) spec.layer_names[i] = "layer." + std::to_string(i);
  return spec;
}

const ConfigSchema& xlnet_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 32000, "d_model": 1024, "n_layer": 24, "n_head": 16, "d_inner": 4096, "d_head": 64,
    "ff_activation": "gelu", "attn_type": "bi", "initializer_range": 0.02, "layer_norm_eps": 1e-12, "dropout": 0.1,
    "mem_len": 512, "reuse_len": null, "use_mems_eval": true, "use_mems_train": false, "bi_data": false,
    "clamp_len": -1, "same_length": false, "summary_type": "last", "summary_use_proj": true,
    "summary_activation": "tanh", "summary_last_dropout": 0.1, "start_n_top": 5, "end_n_top": 5, "pad_token_id": 5,
    "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": true})",
                                   {{"hidden_size", "d_model"},
                                    {"num_hidden_layers", "n_layer"},
                                    {"num_attention_heads", "n_head"},
                                    {"intermediate_size", "d_inner"},
                                    {"hidden_act", "ff_activation"},
                                    {"hidden_dropout_prob", "dropout"},
                                    {"attention_probs_dropout_prob", "dropout"}}};
  return schema;
}

const HeadStyle& xlnet_heads() {
  static const SentenceStyle sentence{.pooling = SentencePooling::last_row,
                                      .dense = "sequence_summary.summary",
                                      .activation_key = "summary_activation",
                                      .dropout_key = "summary_last_dropout",
                                      .classifier = "logits_proj"};
  static const HeadStyle style{
      .language = {.decoder = "lm_loss", .bias = "lm_loss.bias"},
      .sequence = sentence,
      .choice = sentence,
      .shifts_labels = false,
      .causal_pretraining = true,
  };
  return style;
}

}  // namespace mica::families
