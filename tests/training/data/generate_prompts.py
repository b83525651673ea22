"""Writes prompts.json: what PEFT's prompt and prefix tuning make of tiny golden models. Weights and virtual tokens
follow the rule of tests/golden/README.md; the file holds logits, losses of ten AdamW steps, what was learned, greedy
tokens, and the folder that PEFT writes.

    python tests/training/data/generate_prompts.py tests/training/data

Needs torch, transformers and peft.
"""

import json
import sys
import tempfile
import types
from pathlib import Path

import torch
from peft import PrefixTuningConfig, PromptTuningConfig, get_peft_model
from safetensors import safe_open
from transformers import AutoConfig

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
sys.path.insert(0, str(GOLDEN))
from generate import AUTO, uniform  # noqa: E402

import transformers  # noqa: E402

TASK_TYPES = {"causal_lm": "CAUSAL_LM", "seq2seq_lm": "SEQ_2_SEQ_LM", "sequence_classification": "SEQ_CLS",
              "token_classification": "TOKEN_CLS"}
VIRTUAL = 5
CASES = [("gpt2", "causal_lm", "prompt", {}), ("gpt2", "causal_lm", "prefix", {}),
         ("gpt2", "causal_lm", "prefix", {"prefix_projection": True, "encoder_hidden_size": 7}),
         ("llama", "causal_lm.grouped", "prompt", {}), ("llama", "causal_lm.grouped", "prefix", {}),
         ("t5", "seq2seq_lm", "prompt", {}), ("t5", "seq2seq_lm", "prefix", {}),
         ("bart", "seq2seq_lm.scaled", "prompt", {}),
         ("bert", "sequence_classification", "prompt", {}), ("bert", "sequence_classification", "prefix", {}),
         ("bert", "token_classification", "prompt", {}), ("bert", "token_classification", "prefix", {}),
         ("gpt2", "sequence_classification", "prompt", {})]


def by_rule(name, shape, scale):
    count = 1
    for size in shape:
        count *= size
    return torch.tensor(uniform(name, count) * scale).float().reshape(shape)


def golden_value(name, tensor):
    """As golden cases are filled: see tests/golden/README.md."""
    values = torch.tensor(uniform(name, tensor.numel())).reshape(tensor.shape)
    if tensor.dim() >= 2:
        fan_in = tensor.numel() // tensor.shape[0]
        return values * (3 / fan_in) ** 0.5
    if name.endswith("bias"):
        return values * 0.1
    return 1 + 0.1 * values


def inputs_of(task, config):
    ids = torch.tensor([[7, 9, 30, 4, 11, 2], [5, 17, 3, 8, 0, 0]])
    batch = {"input_ids": ids, "attention_mask": torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])}
    if task == "sequence_classification":
        batch["labels"] = torch.tensor([0, 1])
    elif task == "token_classification":
        batch["labels"] = torch.tensor([[0, 1, 1, 0, 1, 0], [1, -100, 0, 1, -100, -100]])
    elif task == "causal_lm":
        batch["labels"] = torch.where(batch["attention_mask"] == 1, ids, -100)
    else:
        batch["labels"] = torch.tensor([[9, 4, 31, 2], [6, 12, -100, -100]])
    return batch


def encoder_with_prefix(model, batch):
    """PEFT's _prefix_tuning_forward of an encoder, whose argument `past_key_values` transformers 5.24 calls `cache`; the
    mask then has to be given with its columns for the prefix."""
    base = model.get_base_model()
    rows, tokens = batch["input_ids"].shape
    shown = torch.cat((torch.ones(rows, VIRTUAL), batch["attention_mask"]), dim=1)
    mask = ((1 - shown) * torch.finfo(torch.float32).min)[:, None, None, :].expand(rows, 1, tokens, VIRTUAL + tokens)
    outputs = base.bert(input_ids=batch["input_ids"], attention_mask=mask, cache=model.get_prompt(rows))
    whole = base.bert.pooler is not None
    logits = base.classifier(base.dropout(outputs.pooler_output if whole else outputs.last_hidden_state))
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, -2), batch["labels"].flatten())
    return types.SimpleNamespace(logits=logits, loss=loss)


def greedy(model, config, ids, task):
    """Eight tokens, never the end's, each by a whole forward call: generate() of PEFT 0.21 hands a prefix to transformers
    5.24 under a name that is no longer read, and counts the positions behind a cached prompt differently."""
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    whole = task == "causal_lm"
    text = ids if whole else torch.tensor([[config.decoder_start_token_id]])
    with torch.no_grad():
        for _ in range(8):
            given = {"input_ids": text} if whole else {"input_ids": ids, "decoder_input_ids": text}
            logits = model(**given, attention_mask=torch.ones_like(given["input_ids"])).logits[0, -1].clone()
            logits[ends] = -torch.inf
            text = torch.cat((text, logits.argmax()[None, None]), dim=1)
    return text[0, -8:].tolist()


def rounded(tensor):
    return [float(f"{each:.7g}") for each in tensor.detach().double().flatten().tolist()]


def run(model_type, golden, kind, options):
    task = golden.split(".")[0]
    case = json.loads((GOLDEN / model_type / f"{golden}.json").read_text())
    settings = dict(case["config"])
    for key in list(settings):
        if "drop" in key and isinstance(settings[key], float):
            settings[key] = 0.0
    for key in ("architectures", "transformers_version", "dtype"):
        settings.pop(key, None)
    config = AutoConfig.for_model(**settings)
    torch.manual_seed(0)
    base = getattr(transformers, AUTO[task]).from_config(config, attn_implementation="eager")
    names = {name for name, _ in case["parameters"]}
    with torch.no_grad():
        for name, tensor in base.state_dict(keep_vars=True).items():
            if name in names and tensor.is_floating_point():
                tensor.copy_(golden_value(name, tensor))
    config_class = PromptTuningConfig if kind == "prompt" else PrefixTuningConfig
    model = get_peft_model(base, config_class(task_type=TASK_TYPES[task], num_virtual_tokens=VIRTUAL, **options))
    encoder = model.prompt_encoder["default"]
    with torch.no_grad():
        for name, tensor in encoder.named_parameters():
            tensor.copy_(by_rule("prompt_encoder." + name, tensor.shape, 0.5))
    model.train()
    batch = inputs_of(task, config)
    result = {"model_type": model_type, "golden": golden, "kind": kind, "options": options, "config": settings}
    if kind == "prompt" and task == "token_classification":  # PEFT 0.21 leaves these labels as they are, and then fails
        batch["labels"] = torch.nn.functional.pad(batch["labels"], (VIRTUAL, 0), value=-100)
    encodes = kind == "prefix" and model_type == "bert"
    forward = (lambda: encoder_with_prefix(model, batch)) if encodes else (lambda: model(**batch))
    logits = forward().logits
    if kind == "prompt" and task in ("causal_lm", "token_classification"):
        logits = logits[:, VIRTUAL:]
    result["logits"] = {"shape": list(logits.shape), "values": rounded(logits if task != "seq2seq_lm" else logits[:, -1])}
    if task == "causal_lm":
        result["logits"]["values"] = rounded(logits[:, 3])
    if task in ("causal_lm", "seq2seq_lm"):
        result["generated"] = greedy(model, config, batch["input_ids"][:1], task)
    trained = [(name, tensor) for name, tensor in model.named_parameters() if tensor.requires_grad]
    result["trained"] = [[name, list(tensor.shape)] for name, tensor in trained]
    optimizer = torch.optim.AdamW([tensor for _, tensor in trained], lr=0.02, weight_decay=0.01)
    result["losses"] = []
    for _ in range(10):
        loss = forward().loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        result["losses"].append(float(f"{loss.item():.8g}"))
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        result["adapter_config"] = json.loads((Path(folder) / "adapter_config.json").read_text())
        with safe_open(Path(folder) / "adapter_model.safetensors", "pt") as tensors:
            result["saved"] = {}
            for name in sorted(tensors.keys()):
                value = tensors.get_tensor(name).double()
                dot = (value.flatten() * torch.tensor(uniform(name, value.numel()))).sum().item()
                result["saved"][name] = {"shape": list(value.shape), "norm": value.norm().item(), "dot": dot}
    return result


def main():
    results = [run(*case) for case in CASES]
    (Path(sys.argv[1]) / "prompts.json").write_text("[\n" + ",\n".join(json.dumps(each) for each in results) + "\n]\n")


if __name__ == "__main__":
    main()
