#!/usr/bin/env python3
"""Twenty steps of training with the reference, in plain torch: learning.json beside this file.

    python generate_learning.py

Needs torch and transformers. Configs are those of tests/golden, dropout off; weights follow its rule. Only whoever adds
cases runs it.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
import transformers

HERE = Path(__file__).parent
GOLDEN = HERE.parent.parent / "golden"
sys.path.insert(0, str(GOLDEN))
from generate import AUTO, saved_parameters, uniform, weight  # noqa: E402

CASES = [("bert", "sequence_classification"), ("roberta", "masked_lm"), ("gpt2", "causal_lm"), ("llama", "causal_lm"),
         ("t5", "seq2seq_lm"), ("bart", "seq2seq_lm")]
BATCH, STEPS, ROWS, WARMUP = 4, 20, 38, 3  # ten steps an epoch, the last of two rows
SETTINGS = dict(learning_rate=2e-3, weight_decay=0.05, adam_epsilon=1e-8, max_grad_norm=1.0)


def rows_of(task, config):
    rng = np.random.default_rng(5)
    rows = []
    for _ in range(ROWS):
        ids = rng.integers(5, config.vocab_size, rng.integers(3, 12)).tolist()
        row = {"input_ids": ids}
        if task == "sequence_classification":
            row["labels"] = int(rng.integers(0, 2))
        elif task == "masked_lm":
            row["labels"] = [t if rng.random() < 0.3 or i == 1 else -100 for i, t in enumerate(ids)]
        elif task == "causal_lm":
            row["labels"] = ids
        else:
            row["labels"] = rng.integers(5, config.vocab_size, rng.integers(2, 7)).tolist()
        rows.append(row)
    return rows


def padded(rows, key, value):
    longest = max(len(r[key]) for r in rows)
    return torch.tensor([r[key] + [value] * (longest - len(r[key])) for r in rows])


def batch_of(rows, config, task):
    pad = config.pad_token_id or 0
    longest = max(len(r["input_ids"]) for r in rows)
    batch = {"input_ids": padded(rows, "input_ids", pad),
             "attention_mask": torch.tensor([[1] * len(r["input_ids"]) + [0] * (longest - len(r["input_ids"])) for r in rows])}
    batch["labels"] = (torch.tensor([r["labels"] for r in rows]) if task == "sequence_classification"
                       else padded(rows, "labels", -100))
    return batch


def make(model_type, task):
    case = json.loads((GOLDEN / model_type / f"{task}.json").read_text())
    config = transformers.AutoConfig.for_model(**case["config"])
    for key in list(config.to_dict()):
        if "dropout" in key or key.endswith("pdrop"):
            setattr(config, key, 0.0)
    model = getattr(transformers, AUTO[task]).from_config(config, attn_implementation="eager").train()
    with torch.no_grad():
        for name, tensor in saved_parameters(model).items():
            tensor.copy_(weight(name, tuple(tensor.shape)))
    decays = set(transformers.Trainer.get_decay_parameter_names(None, model))
    named = list(model.named_parameters())
    optimizer = torch.optim.AdamW(
        [{"params": [p for n, p in named if n in decays], "weight_decay": SETTINGS["weight_decay"]},
         {"params": [p for n, p in named if n not in decays], "weight_decay": 0.0}],
        lr=SETTINGS["learning_rate"], eps=SETTINGS["adam_epsilon"])
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, WARMUP, STEPS)
    rows = rows_of(task, config)
    losses, norms = [], []
    step = 0
    while step < STEPS:
        for begin in range(0, ROWS, BATCH):
            loss = model(**batch_of(rows[begin:begin + BATCH], config, task)).loss
            loss.backward()
            norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), SETTINGS["max_grad_norm"])))
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()))
            step += 1
            if step == STEPS:
                break
    parameters = {}
    for name, tensor in saved_parameters(model).items():
        if tensor.requires_grad:
            v = tensor.detach().double().flatten().numpy()
            parameters[name] = [float(np.linalg.norm(v)), float(v @ uniform(name + "#grad", v.size))]
    print(model_type, task, losses[0], losses[-1])
    return {"model_type": model_type, "task": task, "config": json.loads(config.to_json_string(use_diff=False)),
            "rows": rows, "losses": losses, "grad_norms": norms, "parameters": parameters}


if __name__ == "__main__":
    torch.manual_seed(0)
    cases = [make(*case) for case in CASES]
    text = json.dumps({"settings": SETTINGS, "batch": BATCH, "steps": STEPS, "warmup": WARMUP, "cases": cases},
                      separators=(",", ":"))
    (HERE / "learning.json").write_text(text.replace('{"model_type"', '\n{"model_type"') + "\n")
