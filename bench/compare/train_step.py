"""One step of training, mica beside PyTorch: rounds of one process each, by turns.

  train_step.py BENCH [--rounds 3] [--workloads minilm,bert,ragged,gpt2,lora] [--dtypes float32,bfloat16] [--json FILE]

BENCH is the built train_step_bench. Run with the Python of setup.sh's environment. PyTorch runs as transformers' eager
model with scaled dot product attention, clipping and fused AdamW, freed pages kept, oneDNN's and MKL's best settings,
in bfloat16 under autocast. With --one WORKLOAD DTYPE it is the PyTorch side of one round, as a process of its own.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

from client import KEEP_PAGES, is_amd, mkl_vendor_library

SHAPES = {  # batch, tokens
    "minilm": (16, 64),
    "bert": (8, 128),
    "ragged": (32, 128),
    "gpt2": (4, 256),
    "lora": (4, 256),
}
LENGTHS = [8 + i * 13 % 32 * 120 // 31 for i in range(32)]  # of the ragged batch


def build(workload: str):
    import transformers

    common = {"vocab_size": 30522, "num_labels": 2}
    if workload == "lora":
        import peft

        decoder = transformers.LlamaConfig(vocab_size=32000, hidden_size=1024, intermediate_size=2816, num_hidden_layers=20,
                                           num_attention_heads=16, num_key_value_heads=16, rms_norm_eps=1e-5,
                                           tie_word_embeddings=True, use_cache=False)
        adapter = peft.LoraConfig(r=8, lora_alpha=16, lora_dropout=0.1, target_modules=["q_proj", "v_proj"])
        return peft.get_peft_model(transformers.LlamaForCausalLM(decoder), adapter)
    if workload == "gpt2":
        return transformers.GPT2LMHeadModel(transformers.GPT2Config())
    if workload == "minilm":
        common |= {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    return transformers.BertForSequenceClassification(transformers.BertConfig(**common))


def torch_step(workload: str, dtype: str, steps: int) -> dict:
    import torch

    torch.set_num_threads(2)
    torch.manual_seed(1)
    model = build(workload)
    model.train()
    batch, tokens = SHAPES[workload]
    ids = torch.randint(1, model.config.vocab_size, (batch, tokens))
    inputs = {"input_ids": ids, "labels": ids if workload in ("gpt2", "lora") else torch.arange(batch) % 2}
    if workload == "ragged":
        inputs["attention_mask"] = (torch.arange(tokens)[None] < torch.tensor(LENGTHS)[:, None]).long()
    adam = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5, fused=True)
    times = []
    for step in range(steps + 2):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            loss = model(**inputs).loss
        mid = time.perf_counter()
        loss.backward()
        after = time.perf_counter()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        adam.step()
        model.zero_grad(set_to_none=True)
        end = time.perf_counter()
        if step >= 2:
            times.append((mid - start, after - mid, end - after, end - start))
    forward, backward, update, whole = (1e3 * statistics.median(column) for column in zip(*times))
    return {
        "workload": workload,
        "dtype": dtype,
        "forward_ms": forward,
        "backward_ms": backward,
        "optimizer_ms": update,
        "step_ms": whole,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "loss": loss.item(),
    }


def environment() -> dict[str, str]:
    result = {**os.environ, **KEEP_PAGES, "OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    if is_amd() and mkl_vendor_library().exists():
        result["LD_PRELOAD"] = str(mkl_vendor_library())
    return result


def last_line(command: list[str], env=None) -> dict:
    output = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(output.stdout.decode().strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench", nargs="?")
    parser.add_argument("--one", nargs=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--workloads", default="minilm,bert,ragged,gpt2,lora")
    parser.add_argument("--dtypes", default="float32,bfloat16")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(torch_step(*arguments.one, arguments.steps)))
        return
    rows = []
    for workload in arguments.workloads.split(","):
        for dtype in arguments.dtypes.split(","):
            runs = {"mica": [], "torch": []}
            for _ in range(arguments.rounds):
                runs["mica"].append(last_line([arguments.bench, workload, dtype, str(arguments.steps)]))
                command = [sys.executable, __file__, "--one", workload, dtype, "--steps", str(arguments.steps)]
                runs["torch"].append(last_line(command, environment()))
            best = {side: min(each, key=lambda run: run["step_ms"]) for side, each in runs.items()}
            mica, torch = best["mica"], best["torch"]
            print(
                f"{workload:8} {dtype:8} mica {mica['step_ms']:7.0f} ms ({mica['forward_ms']:.0f} + "
                f"{mica['backward_ms']:.0f} + {mica['optimizer_ms']:.0f}), {mica['peak_rss_mb']:5.0f} MB   torch {torch['step_ms']:7.0f} ms "
                f"({torch['forward_ms']:.0f} + {torch['backward_ms']:.0f} + {torch['optimizer_ms']:.0f}), "
                f"{torch['peak_rss_mb']:5.0f} MB   {torch['step_ms'] / mica['step_ms']:.2f} x, "
                f"memory {mica['peak_rss_mb'] / torch['peak_rss_mb']:.2f}",
                flush=True,
            )
            rows.append({"workload": workload, "dtype": dtype, "mica": runs["mica"], "torch": runs["torch"]})
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
