#!/usr/bin/env python3
"""Makes golden cases of encoders that share the parts of decoders, and of pairs of an encoder and a decoder.

    python generate_encoders.py OUT_FOLDER

Like generate.py beside it, whose needs and format it shares; but the reference itself writes and reads the weights, so
that names are those on disk where the reference renames them.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import load_file, save_file
from transformers import AutoConfig, EncoderDecoderConfig

from generate import SMALL, tensors_of, uniform, weight

FILE = "/model.safetensors"


def small(model_type, **different):
    return AutoConfig.for_model(model_type, **{**SMALL, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, **different})


def pair(encoder, decoder):
    decoder.is_decoder = decoder.add_cross_attention = True
    return EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder, decoder_start_token_id=3, pad_token_id=0)


def left_padded(inputs):
    for tensor in inputs.values():
        tensor[1] = np.roll(tensor[1], 3)


def some_masked(inputs):
    inputs["input_ids"][[0, 0, 1], [2, 5, 1]] = 7


def typed(inputs):
    inputs["token_type_ids"] = np.arange(18).reshape(2, 9) % 3 % 2


# task, name of the variant, config, and what differs in the inputs. A window that hides all visible tokens from a padded
# one gives no numbers in float64.
VARIANTS = [
    ("masked_lm", "windows", small("modernbert", num_hidden_layers=4, local_attention=8, attention_bias=True, mlp_bias=True,
                                   norm_bias=True, classifier_bias=True, decoder_bias=False, hidden_activation="silu"), None),
    ("sequence_classification", "mean", small("modernbert", classifier_pooling="mean", num_labels=3), None),
    ("multiple_choice", "left_padded", small("modernbert"), left_padded),
    ("masked_lm", "untied", small("modernbert", tie_word_embeddings=False), None),
    ("sequence_classification", "mean", small("eurobert", classifier_pooling="mean", hidden_size=32, num_attention_heads=4,
                                              num_key_value_heads=2, attention_bias=True), None),
    ("sequence_classification", "bos", small("eurobert", classifier_pooling="bos"), None),
    ("masked_lm", "tied", small("eurobert", mlp_bias=True, tie_word_embeddings=True), None),
    ("base", "types", small("nomic_bert"), typed),
    ("masked_lm", "token_dropout", small("esm", token_dropout=True, mask_token_id=7, emb_layer_norm_before=True,
                                         position_embedding_type="absolute", pad_token_id=1), some_masked),
    ("masked_lm", "untied", small("esm", tie_word_embeddings=False, mask_token_id=7, pad_token_id=1), None),
    ("base", "token_dropout", small("esm", token_dropout=True, mask_token_id=7, position_embedding_type="rotary",
                                    pad_token_id=1), some_masked),
    ("seq2seq_lm", "roberta_gpt2", pair(small("roberta"), small("gpt2", vocab_size=53, hidden_size=32, num_attention_heads=4)), None),
    ("seq2seq_lm", "bert_roberta", pair(small("bert"), small("roberta", pad_token_id=1)), None),
    ("seq2seq_lm", "modernbert_generation", pair(small("modernbert"), small("bert-generation", vocab_size=53)), None),
    ("seq2seq_lm", "distilbert_electra", pair(small("distilbert"), small("electra", embedding_size=10)), None),
    ("seq2seq_lm", "bert_mbart", pair(small("bert"), small("mbart", vocab_size=53, d_model=16, decoder_layers=2, decoder_ffn_dim=20,
                                                           decoder_attention_heads=4, scale_embedding=True)), None),
    ("seq2seq_lm", "nomic_prelayernorm", pair(small("nomic_bert"), small("roberta-prelayernorm")), None),
]

AUTO = {
    "base": "AutoModel", "masked_lm": "AutoModelForMaskedLM", "multiple_choice": "AutoModelForMultipleChoice",
    "sequence_classification": "AutoModelForSequenceClassification", "seq2seq_lm": "AutoModelForSeq2SeqLM",
}


def on_disk(model):
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return load_file(folder + FILE)


def with_rule_weights(model):
    """The model again, its weights made from their names, and the shapes by name."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        shapes = {name: values.shape for name, values in load_file(folder + FILE).items()}
        save_file({n: weight(n, s).numpy() for n, s in shapes.items()}, folder + FILE, metadata={"format": "pt"})
        return type(model).from_pretrained(folder, attn_implementation="eager").eval(), shapes


def gradients_on_disk(model):
    kept = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.zeros_like(parameter) if parameter.grad is None else parameter.grad)
        gradients = on_disk(model)
        for name, parameter in model.named_parameters():
            parameter.copy_(kept[name])
    return {name: values for name, values in gradients.items() if "inv_freq" not in name}


def make_inputs(task, config, change):
    rng = np.random.default_rng(7)
    source = config.encoder if task == "seq2seq_lm" else config
    ids = rng.integers(5, source.vocab_size, (2, 9))
    mask = np.ones_like(ids)
    ids[1, -3:], mask[1, -3:] = source.pad_token_id, 0
    inputs = {"input_ids": ids, "attention_mask": mask}
    if change is not None:
        change(inputs)
    if task == "seq2seq_lm":
        inputs["decoder_input_ids"] = rng.integers(5, config.decoder.vocab_size, (2, 6))
    inputs = {name: torch.from_numpy(values.astype(np.int64)) for name, values in inputs.items()}
    if task == "multiple_choice":
        inputs = {name: torch.stack([tensor, tensor.flip(0)], 1) for name, tensor in inputs.items()}
    return inputs


def make_labels(task, config, shape):
    rng = np.random.default_rng(11)
    if task == "base":
        return None
    if task in ("sequence_classification", "multiple_choice"):
        return torch.from_numpy(rng.integers(0, config.num_labels if task == "sequence_classification" else 2, 2))
    labels = rng.integers(5, (config.decoder if task == "seq2seq_lm" else config).vocab_size, shape)
    labels[1, -2:] = -100
    return torch.from_numpy(labels)


def run(model, inputs, labels):
    model.zero_grad()
    outputs = {name: value.detach().clone() for name, value in tensors_of(model(**inputs)).items()}
    if labels is not None:
        loss = model(**{name: tensor for name, tensor in inputs.items() if name != "decoder_input_ids"}, labels=labels).loss
    else:
        loss = 0
        for name, value in tensors_of(model(**inputs)).items():
            weights = torch.from_numpy(uniform(name + "#out", value.numel())).reshape(value.shape)
            loss = loss + (value * weights.to(value.dtype)).sum() / value.numel()
    loss.backward()
    gradients = {}
    for name, values in gradients_on_disk(model).items():
        flat = values.astype(np.float64).flatten()
        gradients[name] = (float(np.linalg.norm(flat)), float(flat @ uniform(name + "#grad", flat.size)))
    return outputs, float(loss.detach()), gradients


def make(task, variant, config, change, folder):
    model = getattr(transformers, AUTO[task]).from_config(config, attn_implementation="eager")
    model, shapes = with_rule_weights(model)
    inputs = make_inputs(task, config, change)
    labels = make_labels(task, config, inputs.get("decoder_input_ids", inputs["input_ids"]).shape)
    outputs, loss, gradients = run(model, inputs, labels)
    outputs = {name: value for name, value in outputs.items() if task != "seq2seq_lm" or name in ("logits", "encoder_last_hidden_state")}
    stored = {"input." + name: tensor.numpy() for name, tensor in inputs.items()}
    stored.update({"output." + name: tensor.numpy() for name, tensor in outputs.items()})
    case = {
        "format": 1, "model_type": config.model_type, "task": task, "architecture": type(model).__name__,
        "transformers_version": transformers.__version__, "config": json.loads(config.to_json_string(use_diff=False)),
        "parameters": [[name, list(shape)] for name, shape in sorted(shapes.items())],
        "inputs": {name: {"dtype": "I64", "shape": list(tensor.shape)} for name, tensor in inputs.items()},
    }
    if labels is not None:
        stored["label.labels"] = labels.numpy()
        case.update(objective="labels", labels={"labels": {"shape": list(labels.shape)}})
    else:
        case.update(objective="projection", projected=list(outputs))
    if task == "seq2seq_lm":
        prompt = inputs["input_ids"].clone()
        prompt[prompt == config.encoder.pad_token_id] = 4
        stored["generate.input_ids"] = prompt.numpy()
        model.generation_config.forced_eos_token_id = None
        stored["generate.ids"] = model.generate(
            input_ids=prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=8, do_sample=False, num_beams=1,
            eos_token_id=None, pad_token_id=0, decoder_start_token_id=3).numpy()
        case.update(labels_without=["decoder_input_ids"], generate={"new_tokens": 8, "inputs": ["attention_mask", "input_ids"]})
    exact_outputs, exact_loss, exact_gradients = run(model.double(), inputs, labels)
    case["outputs"] = {name: {"shape": list(value.shape), "max_abs": float(value.abs().max()),
                              "noise": float((value.double() - exact_outputs[name]).abs().max())}
                       for name, value in outputs.items()}
    case["loss"] = {"value": loss, "noise": abs(loss - exact_loss)}
    case["grads"] = {name: [*pair, max(abs(a - b) for a, b in zip(pair, exact_gradients[name]))]
                     for name, pair in gradients.items()}
    target = Path(folder) / config.model_type
    target.mkdir(parents=True, exist_ok=True)
    (target / f"{task}.{variant}.json").write_text(json.dumps(case) + "\n")
    save_file({name: np.ascontiguousarray(values) for name, values in stored.items()}, target / f"{task}.{variant}.safetensors")
    print(config.model_type, task, variant)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for each in VARIANTS:
        make(*each, sys.argv[1])
