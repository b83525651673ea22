#!/usr/bin/env python3
"""Makes golden cases with the reference, in the format that README.md beside this file describes.

    python generate.py OUT_FOLDER             all variants listed below
    python generate.py OUT_FOLDER bert        those of one model type

Needs torch, transformers, safetensors and numpy. Only whoever adds cases runs it: the tests read what it wrote.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file
from transformers import AutoConfig

SMALL = dict(vocab_size=61, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=30,
             max_position_embeddings=40)
SMALL_DISTILBERT = dict(vocab_size=61, dim=24, n_layers=2, n_heads=3, hidden_dim=30, max_position_embeddings=40)
SMALL_XLNET = dict(vocab_size=61, d_model=24, n_layer=2, n_head=3, d_head=8, d_inner=30)

# model_type, task, name of the variant, what differs in the config, and how labels look.
VARIANTS = [
    ("bert", "sequence_classification", "multi_label", dict(num_labels=4, problem_type="multi_label_classification"), "multi_label"),
    ("bert", "sequence_classification", "regression", dict(num_labels=1), "regression"),
    ("bert", "causal_lm", "decoder", dict(is_decoder=True), "default"),
    ("bert", "masked_lm", "untied", dict(tie_word_embeddings=False, hidden_act="relu"), "default"),
    ("bert", "base", "left_padded", dict(hidden_act="gelu_new"), "left_padded"),
    ("bert", "base", "blind_row", {}, "blind_row"),
    ("roberta", "causal_lm", "decoder", dict(is_decoder=True), "default"),
    ("roberta", "base", "left_padded", {}, "left_padded"),
    ("roberta", "sequence_classification", "three_labels", dict(num_labels=3), "default"),
    ("electra", "masked_lm", "narrow_embeddings", dict(embedding_size=10, hidden_act="silu"), "default"),
    ("electra", "causal_lm", "decoder", dict(embedding_size=10, is_decoder=True), "default"),
    ("albert", "masked_lm", "shared_layers", dict(embedding_size=10, num_hidden_layers=3, num_hidden_groups=1, inner_group_num=2), "default"),
    ("albert", "base", "gelu_new", dict(embedding_size=10, num_hidden_layers=4, num_hidden_groups=2, hidden_act="gelu_new"), "default"),
    ("ernie", "base", "task_types", dict(use_task_id=True, task_type_vocab_size=5), "task_types"),
    ("ernie", "causal_lm", "decoder", dict(is_decoder=True), "default"),
    ("megatron-bert", "causal_lm", "decoder", dict(is_decoder=True), "default"),
    ("bert-generation", "causal_lm", "decoder", dict(is_decoder=True), "default"),
    ("mpnet", "base", "long", dict(max_position_embeddings=160, relative_attention_num_buckets=32), "long"),
    ("distilbert", "sequence_classification", "three_labels", dict(num_labels=3), "default"),
    ("deberta", "base", "relative", dict(relative_attention=True, pos_att_type="c2p|p2c"), "left_padded"),
    ("deberta", "base", "short_span", dict(relative_attention=True, pos_att_type="p2c", max_relative_positions=3,
                                           position_biased_input=False), "default"),
    ("deberta-v2", "base", "shared", dict(relative_attention=True, pos_att_type="p2c|c2p", position_buckets=8,
                                          max_position_embeddings=160, norm_rel_ebd="layer_norm", share_att_key=True,
                                          position_biased_input=False), "long"),
    ("deberta-v2", "masked_lm", "narrow_embeddings", dict(relative_attention=True, pos_att_type=["c2p"], embedding_size=10,
                                                          type_vocab_size=3), "default"),
    ("deberta-v2", "masked_lm", "convolution", dict(relative_attention=True, pos_att_type=["p2c", "c2p"], conv_kernel_size=3,
                                                    conv_act="gelu"), "left_padded"),
    ("deberta-v2", "base", "grouped_convolution", dict(conv_kernel_size=5, conv_groups=2), "default"),
    ("deberta-v2", "base", "depthwise_convolution", dict(conv_kernel_size=5, conv_groups=24, relative_attention=True,
                                                         pos_att_type=["p2c"], conv_act="relu"), "left_padded"),
    ("longformer", "base", "long", dict(attention_window=[8, 16], max_position_embeddings=160, type_vocab_size=2), "long"),
    ("longformer", "base", "local", dict(attention_window=4), "left_padded"),
    ("longformer", "sequence_classification", "first_token", dict(attention_window=4), "default"),
    ("xlnet", "causal_lm", "short_memory", dict(mem_len=5), "plain"),
    ("xlnet", "base", "segments", dict(), "left_padded"),
    ("xlnet", "base", "uni", dict(attn_type="uni", clamp_len=4), "unmasked"),
    ("xlnet", "sequence_classification", "three_labels", dict(num_labels=3), "left_padded"),
    ("deberta-v2", "masked_lm", "new_head", dict(legacy=False), "default"),
    ("mpnet", "base", "spare_buckets", dict(relative_attention_num_buckets=40), "default"),
    ("xlm-roberta", "token_classification", "five_labels", dict(num_labels=5), "default"),
]

# Decoders: the branches of each family's config that its first case does not take.
GROUPED = dict(hidden_size=32, num_attention_heads=4, num_key_value_heads=2)
ROPE = dict(max_position_embeddings=16)
LONG_ROPE = dict(rope_type="longrope", rope_theta=10000.0, original_max_position_embeddings=8,
                 short_factor=[1.0, 1.1, 1.3, 1.5], long_factor=[1.0, 2.0, 3.0, 4.0])
DECODERS = [
    ("llama", "grouped", dict(**GROUPED, attention_bias=True, mlp_bias=True, tie_word_embeddings=True)),
    ("llama", "linear_rope", dict(rope_parameters=dict(rope_type="linear", factor=3.0, rope_theta=5000.0))),
    ("llama", "dynamic_rope", dict(max_position_embeddings=6, rope_parameters=dict(rope_type="dynamic", factor=2.0, rope_theta=10000.0))),
    ("llama", "yarn_rope", dict(**ROPE, rope_parameters=dict(rope_type="yarn", factor=4.0, rope_theta=10000.0, original_max_position_embeddings=4))),
    ("llama", "yarn_mscale", dict(**ROPE, rope_parameters=dict(rope_type="yarn", factor=4.0, rope_theta=10000.0, original_max_position_embeddings=4, beta_fast=16.0, beta_slow=2.0, mscale=1.2, mscale_all_dim=0.8))),
    ("llama", "llama3_rope", dict(**ROPE, rope_parameters=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, rope_theta=500.0, original_max_position_embeddings=8))),
    ("mistral", "window", dict(**GROUPED, sliding_window=4, head_dim=16)),
    ("qwen2", "upper_window", dict(**GROUPED, use_sliding_window=True, sliding_window=3, max_window_layers=1)),
    ("qwen3", "grouped", dict(**GROUPED, head_dim=16, attention_bias=True)),
    ("gemma", "one_key_head", dict(hidden_size=32, num_attention_heads=4, num_key_value_heads=1, head_dim=16)),
    ("gemma2", "window", dict(**GROUPED, head_dim=16, sliding_window=3, query_pre_attn_scalar=20, hidden_activation="gelu_pytorch_tanh")),
    ("gemma3_text", "layers", dict(**GROUPED, head_dim=16, num_hidden_layers=4, sliding_window=3, layer_types=["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"], final_logit_softcapping=5.0)),
    ("phi", "query_key_norm", dict(qk_layernorm=True, rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5))),
    ("phi3", "short_text", dict(original_max_position_embeddings=64, max_position_embeddings=128, rope_parameters=LONG_ROPE)),
    ("phi3", "long_text", dict(original_max_position_embeddings=8, max_position_embeddings=40, sliding_window=5, rope_parameters=LONG_ROPE)),
    ("stablelm", "parallel", dict(qk_layernorm=True, use_parallel_residual=True, use_qkv_bias=True, num_key_value_heads=3)),
    ("starcoder2", "window", dict(**GROUPED, sliding_window=4, use_bias=False)),
    ("cohere", "query_key_norm", dict(**GROUPED, use_qk_norm=True, attention_bias=True)),
    ("smollm3", "four_layers", dict(**GROUPED, num_hidden_layers=5, no_rope_layers=None, no_rope_layer_interval=2)),
    ("granite", "multipliers", dict(embedding_multiplier=3.0, logits_scaling=2.5, residual_multiplier=0.4, attention_multiplier=0.3)),
    ("nemotron", "grouped", dict(**GROUPED, attention_bias=True, mlp_bias=True)),
    ("glm4", "no_bias", dict(**GROUPED, head_dim=16, attention_bias=False)),
    ("gpt2", "scaled_by_layer", dict(scale_attn_by_inverse_layer_idx=True, n_inner=20)),
    ("gpt2", "unscaled", dict(scale_attn_weights=False, activation_function="relu")),
    ("gpt_bigcode", "multi_query", dict(multi_query=True)),
    ("gpt_neo", "windows", dict(attention_types=[[["local", "global"], 1]], window_size=3)),
    ("gpt_neox", "sequential", dict(use_parallel_residual=False, attention_bias=False, rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5))),
    ("gptj", "whole_heads", dict(rotary_dim=8)),
    ("opt", "post_norm", dict(do_layer_norm_before=False, word_embed_proj_dim=16, ffn_dim=20)),
    ("opt", "plain_norms", dict(layer_norm_elementwise_affine=False, ffn_dim=20)),
    ("opt", "no_bias", dict(enable_bias=False, ffn_dim=20)),
    ("bloom", "six_heads", dict(num_attention_heads=6, apply_residual_connection_post_layernorm=True)),
    ("mpt", "six_heads", dict(n_heads=6, attn_config=dict(clip_qkv=0.4, softmax_scale=0.5))),
    ("falcon", "one_key_head", dict(multi_query=True, new_decoder_architecture=False, parallel_attn=True)),
    ("falcon", "one_norm", dict(hidden_size=32, num_attention_heads=4, num_kv_heads=2, new_decoder_architecture=True, num_ln_in_parallel_attn=1)),
    ("falcon", "slopes", dict(multi_query=False, new_decoder_architecture=False, parallel_attn=False, alibi=True, bias=True)),
    ("gpt_bigcode", "by_layer", dict(scale_attn_by_inverse_layer_idx=True)),
    ("gpt_neox", "odd_share", dict(hidden_size=36)),
    ("llama", "whole_heads", dict(rope_parameters=dict(rope_type="default", rope_theta=500.0, partial_rotary_factor=0.5))),
    ("mpt", "other_keys", dict(expansion_ratio=2, attn_config=dict(alibi_bias_max=16))),
    ("falcon", "sequential", dict(multi_query=False, new_decoder_architecture=False, parallel_attn=False)),
]
VARIANTS += [(family, "causal_lm", variant, dict(pad_token_id=0, bos_token_id=1, eos_token_id=2) | overrides, "default")
             for family, variant, overrides in DECODERS]
VARIANTS.append(("llama", "sequence_classification", "end_tokens", dict(pad_token_id=-1, eos_token_id=[2, 3], num_labels=3), "default"))

# The loss of routers, over tokens that are seen and over all.
ROUTERS = dict(intermediate_size=32, num_key_value_heads=1, head_dim=8, num_local_experts=4, num_experts_per_tok=2, sliding_window=4, pad_token_id=0,
               output_router_logits=True, router_aux_loss_coef=0.5)
VARIANTS += [("gpt_oss", "causal_lm", "balanced", ROUTERS, "left_padded"),
             ("gpt_oss", "causal_lm", "balanced_unmasked", ROUTERS, "unmasked")]

# Encoder-decoders.
TWO_STACKS = dict(vocab_size=61, d_model=24, encoder_layers=2, decoder_layers=3, encoder_attention_heads=3,
                  decoder_attention_heads=2, encoder_ffn_dim=30, decoder_ffn_dim=20, max_position_embeddings=40,
                  pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=3)
T5 = dict(vocab_size=61, d_model=24, d_kv=6, d_ff=30, num_layers=2, num_heads=3,
          relative_attention_num_buckets=8, relative_attention_max_distance=10, decoder_start_token_id=0)
VARIANTS += [
    ("t5", "seq2seq_lm", "gated", dict(feed_forward_proj="gated-gelu", tie_word_embeddings=False), "default"),
    ("t5", "seq2seq_lm", "gated_silu", dict(feed_forward_proj="gated-silu"), "default"),
    ("mt5", "seq2seq_lm", "untied", dict(tie_word_embeddings=False), "default"),
    ("bart", "seq2seq_lm", "scaled", dict(scale_embedding=True, activation_function="relu"), "default"),
    ("marian", "seq2seq_lm", "scaled", dict(scale_embedding=True, activation_function="swish"), "default"),
    ("m2m_100", "seq2seq_lm", "scaled", dict(scale_embedding=True), "default"),
    ("blenderbot-small", "seq2seq_lm", "scaled", dict(scale_embedding=True), "default"),
    ("bart", "seq2seq_lm", "untied", dict(tie_word_embeddings=False), "default"),
]

AUTO = {
    "base": "AutoModel", "causal_lm": "AutoModelForCausalLM", "masked_lm": "AutoModelForMaskedLM",
    "sequence_classification": "AutoModelForSequenceClassification",
    "token_classification": "AutoModelForTokenClassification", "seq2seq_lm": "AutoModelForSeq2SeqLM",
}


def uniform(text, count):
    """The hash stream: `count` numbers in [-1, 1) that depend on the text alone."""
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = ((h ^ byte) * 0x100000001B3) & (2**64 - 1)
    with np.errstate(over="ignore"):
        z = np.uint64(h) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return 2 * ((z >> np.uint64(40)).astype(np.float64) * 2.0**-24) - 1


def weight(name, shape):
    v = uniform(name, int(np.prod(shape)))
    if len(shape) >= 2:
        v = v * math.sqrt(3 / np.prod(shape[1:]))
    elif name.endswith("bias"):
        v = 0.1 * v
    else:
        v = 1 + 0.1 * v
    return torch.from_numpy(v.astype(np.float32).reshape(shape))


def saved_parameters(model):
    """Names and tensors as save_pretrained writes them: tied tensors once, under the name that the reference keeps."""
    seen = {}
    skipped = list(getattr(model, "_keys_to_ignore_on_save", None) or [])
    tied = set(getattr(model, "all_tied_weights_keys", None) or [])
    for name, tensor in model.named_parameters(remove_duplicate=False):
        if name not in tied and tensor.data_ptr() not in seen and name not in skipped:
            seen[tensor.data_ptr()] = ("embed_out.weight" if model.config.model_type == "gpt_neox" and name == "lm_head.weight" else name, tensor)
    for name, tensor in model.named_buffers():
        if name == "final_logits_bias":
            seen[tensor.data_ptr()] = (name, tensor)
    return dict(seen.values())


def inputs_of(model_type, config, kind):
    length = 130 if kind == "long" else 9
    rng = np.random.default_rng(7)
    ids = rng.integers(5, config.vocab_size, (2, length))
    mask = np.ones_like(ids)
    padding = max(config.pad_token_id, 0)
    if kind == "left_padded":
        ids[1, :3], mask[1, :3] = padding, 0
    elif kind == "blind_row":
        mask[1, :] = 0  # nothing visible at all: every key then weighs the same
    else:
        ids[1, -3:], mask[1, -3:] = padding, 0
    inputs = {"input_ids": ids, "attention_mask": mask}
    if getattr(config, "type_vocab_size", 0) and model_type in ("bert", "ernie", "albert", "electra", "megatron-bert"):
        inputs["token_type_ids"] = rng.integers(0, config.type_vocab_size, ids.shape)
    if kind in ("unmasked", "plain"):
        del inputs["attention_mask"]
    if model_type == "xlnet" and kind != "plain":
        inputs["token_type_ids"] = rng.integers(0, 2, ids.shape)
    if kind == "task_types":
        inputs["task_type_ids"] = rng.integers(0, config.task_type_vocab_size, ids.shape)
    if model_type == "longformer" and kind == "long":
        inputs["global_attention_mask"] = np.zeros_like(ids)
        inputs["global_attention_mask"][0, [0, 3, 70]] = 1  # the other row has none
    if config.is_encoder_decoder:
        inputs["decoder_input_ids"] = rng.integers(5, config.vocab_size, (2, 6))
    return {k: torch.from_numpy(v.astype(np.int64)) for k, v in inputs.items()}


def labels_of(task, kind, config, inputs):
    rng = np.random.default_rng(11)
    batch, length = inputs["decoder_input_ids" if task == "seq2seq_lm" else "input_ids"].shape
    if kind == "multi_label":
        return torch.from_numpy(rng.integers(0, 2, (batch, config.num_labels)).astype(np.float32))
    if kind == "regression":
        return torch.from_numpy(rng.normal(size=batch).astype(np.float32))
    if task == "sequence_classification":
        return torch.from_numpy(rng.integers(0, config.num_labels, batch))
    if task == "token_classification":
        labels = rng.integers(0, config.num_labels, (batch, length))
    else:
        labels = rng.integers(0, config.vocab_size, (batch, length))
    labels[0, :2] = -100
    return torch.from_numpy(labels)


def tensors_of(output):
    return {k: v for k, v in output.items() if torch.is_tensor(v)}


def run(model, inputs, labels):
    """Outputs without labels, then loss and gradients: by the labels, or by a fixed projection of the outputs."""
    model.zero_grad()
    outputs = {k: v.detach().clone() for k, v in tensors_of(model(**inputs)).items()}
    if labels is not None:
        loss = model(**inputs, labels=labels.to(model.dtype) if labels.is_floating_point() else labels).loss
    else:
        loss = 0
        for name, value in tensors_of(model(**inputs)).items():
            w = torch.from_numpy(uniform(name + "#out", value.numel())).reshape(value.shape)
            loss = loss + (value * w.to(value.dtype)).sum() / value.numel()
    loss.backward()
    gradients = {}
    for name, tensor in saved_parameters(model).items():
        if not tensor.requires_grad:
            continue
        g = torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
        g = g.double().flatten().numpy()
        gradients[name] = (float(np.linalg.norm(g)), float(g @ uniform(name + "#grad", g.size)))
    return outputs, float(loss.detach()), gradients


def known(noise):
    return 0.0 if math.isnan(noise) else noise


def make(model_type, task, variant, overrides, kind, folder):
    small = {"distilbert": SMALL_DISTILBERT, "xlnet": SMALL_XLNET, "t5": T5, "mt5": T5}.get(model_type, TWO_STACKS if task == "seq2seq_lm" else SMALL)
    config = AutoConfig.for_model(model_type, **{**small, **overrides})
    # The reference's eager Falcon adds its slopes twice.
    attention = "sdpa" if getattr(config, "alibi", False) else "eager"
    model = getattr(transformers, AUTO[task]).from_config(config, attn_implementation=attention, experts_implementation="eager").eval()
    parameters = saved_parameters(model)
    with torch.no_grad():
        for name, tensor in parameters.items():
            tensor.copy_(weight(name, tuple(tensor.shape)))
    inputs = inputs_of(model_type, config, kind)
    labels = None if task == "base" else labels_of(task, kind, config, inputs)
    outputs, loss, gradients = run(model, inputs, labels)
    shapes = [[n, list(t.shape)] for n, t in sorted(parameters.items())]
    stored = {"input." + k: v.numpy() for k, v in inputs.items()}
    stored.update({"output." + k: v.numpy() for k, v in outputs.items()})
    if labels is not None:
        stored["label.labels"] = labels.numpy()
    generate = None
    if task in ("causal_lm", "seq2seq_lm"):
        prompt = inputs["input_ids"].clone()
        prompt[prompt == config.pad_token_id] = 4
        more = {k: v for k, v in inputs.items() if k == "token_type_ids"}
        ids = model.generate(input_ids=prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=8, do_sample=False,
                             eos_token_id=None, pad_token_id=0, forced_eos_token_id=None, forced_bos_token_id=None,
                             num_beams=1, **more)
        stored["generate.input_ids"], stored["generate.ids"] = prompt.numpy(), ids.numpy()
        generate = {"new_tokens": 8, "inputs": ["attention_mask", "input_ids", *more]}
    double_outputs, double_loss, double_gradients = run(model.double(), inputs, labels)

    if not np.isfinite(list(double_gradients.values())).all():
        # Masks that fit float32 only: measure what half a unit in the last place of the weights does.
        with torch.no_grad():
            for name, tensor in saved_parameters(model.float()).items():
                change = torch.from_numpy(uniform(name + "#noise", tensor.numel())).reshape(tensor.shape)
                tensor.copy_(weight(name, tuple(tensor.shape)).double() * (1 + change * 2.0**-23))
        double_outputs, double_loss, double_gradients = run(model, inputs, labels)

    def noise(name):
        a, b = outputs[name].double(), double_outputs[name].double()
        # In float64 the reference's mask overflows where a window hides a whole row: no noise is known then.
        return float(torch.nan_to_num((a - b).abs()).max())

    case = {
        "format": 1, "model_type": model_type, "task": task, "architecture": type(model).__name__,
        "transformers_version": transformers.__version__, "config": json.loads(config.to_json_string(use_diff=False)),
        "parameters": shapes,
        "inputs": {k: {"dtype": "I64", "shape": list(v.shape)} for k, v in inputs.items()},
        "outputs": {k: {"shape": list(v.shape), "noise": noise(k), "max_abs": float(v.abs().max())} for k, v in outputs.items()},
        "objective": "projection" if labels is None else "labels",
        "loss": {"value": loss, "noise": known(abs(loss - double_loss))},
        "grads": {n: [g[0], g[1], known(max(abs(g[0] - double_gradients[n][0]), abs(g[1] - double_gradients[n][1])))]
                  for n, g in gradients.items()},
    }
    if labels is None:
        case["projected"] = list(outputs)
    else:
        case["labels"] = {"labels": {"shape": list(labels.shape)}}
    if generate:
        case["generate"] = generate
    target = Path(folder) / model_type
    target.mkdir(parents=True, exist_ok=True)
    stem = f"{task}.{variant}"
    (target / f"{stem}.json").write_text(json.dumps(case) + "\n")
    save_file({k: np.ascontiguousarray(v) for k, v in stored.items()}, target / f"{stem}.safetensors")
    print(model_type, stem)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    for variant in VARIANTS:
        if len(sys.argv) == 2 or variant[0] == sys.argv[2]:
            make(*variant, sys.argv[1])
