#!/usr/bin/env python3
"""A small GPT-2 from scratch on one text: `mica train` beside a loop in PyTorch, from the same weights, in the same order.

    pretraining.py MICA TEXT [--steps 300] [--threads 2]

MICA is the built program, TEXT a file such as tinyshakespeare. A tokenizer of 1,000 tokens is trained by mica; the last tenth
of the lines is held out. Dropout is off, blocks of 128 tokens are read as they come, 8 a step, so that both sides take the same
steps and the losses after them can be compared.
"""

import argparse
import json
import math
import os
import pathlib
import subprocess
import tempfile

BLOCK, BATCH, RATE = 128, 8, 1e-3


def reference(folder: pathlib.Path, steps: int, threads: int) -> tuple[float, float]:
    import torch
    import transformers

    torch.set_num_threads(threads)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    def blocks(part: str) -> torch.Tensor:
        lines = (folder / part).read_text().splitlines()
        ids = [i for each in tokenizer(lines)["input_ids"] for i in each]
        return torch.tensor(ids[: len(ids) // BLOCK * BLOCK]).view(-1, BLOCK)

    train, held_out = blocks("train.txt"), blocks("val.txt")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).train()
    norms_and_biases = [p for p in model.parameters() if p.dim() < 2]
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    optimizer = torch.optim.AdamW([{"params": matrices}, {"params": norms_and_biases}], lr=RATE, weight_decay=0.0)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, math.ceil(0.1 * steps), steps)
    first = 0.0
    for step in range(steps):
        # The order starts again with each epoch; an epoch's last batch may be short.
        batches = -(-len(train) // BATCH)
        at = step % batches * BATCH
        ids = train[at : at + BATCH]
        loss = model(ids, labels=ids).loss
        first = first or loss.item()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    model.eval()
    total = count = 0
    with torch.no_grad():
        for at in range(0, len(held_out), BATCH):
            ids = held_out[at : at + BATCH]
            total += model(ids, labels=ids).loss.item() * len(ids)
            count += len(ids)
    return first, total / count


def main() -> None:
    import torch
    import transformers

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mica")
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name) / "model"
        folder.mkdir()
        lines = arguments.text.read_text().splitlines()
        cut = len(lines) * 9 // 10
        for part, kept in (("train.txt", lines[:cut]), ("val.txt", lines[cut:])):
            (folder / part).write_text("\n".join(kept) + "\n")
        subprocess.run([arguments.mica, "tokenizer", "train", "--type", "bpe", "--vocab-size", "1000", "-o", folder,
                        folder / "train.txt"], check=True, stdout=subprocess.DEVNULL)
        torch.manual_seed(1)
        config = transformers.GPT2Config(vocab_size=1000, n_embd=128, n_layer=4, n_head=4, n_positions=BLOCK, resid_pdrop=0,
                                         embd_pdrop=0, attn_pdrop=0, bos_token_id=0, eos_token_id=0)
        transformers.GPT2LMHeadModel(config).save_pretrained(folder)
        command = [arguments.mica, "train", "--task", "causal_lm", "--model", folder, "--train", folder / "train.txt", "--test",
                   folder / "val.txt", "--output", f"{name}/out", "--block_size", BLOCK, "--per_device_train_batch_size", BATCH,
                   "--max_steps", arguments.steps, "--learning_rate", RATE, "--warmup_ratio", 0.1, "--weight_decay", 0,
                   "--train_sampling_strategy", "sequential", "--logging_steps", 1, "--save_strategy", "no", "--threads",
                   arguments.threads, "--json"]
        output = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        mica = json.loads(output.stdout.decode().strip().splitlines()[-1])
        history = json.loads(pathlib.Path(f"{name}/out/trainer_state.json").read_text())["log_history"]
        first, held_out = reference(folder, arguments.steps, arguments.threads)
        print(f"{arguments.steps} steps: first loss mica {history[0]['loss']:.5f}, reference {first:.5f}; held-out loss mica "
              f"{mica['test_loss']:.4f}, reference {held_out:.4f}, difference {mica['test_loss'] - held_out:+.5f}")


if __name__ == "__main__":
    os.environ |= {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "false"}
    main()
