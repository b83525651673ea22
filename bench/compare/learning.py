#!/usr/bin/env python3
"""The reference's held-out score of a fine-tuned classifier, to be held against `mica train`.

    python learning.py MODEL TRAIN.jsonl[.gz] TEST.jsonl SEED...

One epoch of AdamW over sequence_classification data, as `mica train` with the same flags:
    mica train --task sequence_classification --model MODEL --train TRAIN --test TEST --output out --max_length 64
        --per_device_train_batch_size 32 --num_train_epochs 1 --learning_rate 5e-5 --warmup_ratio 0.1 --seed SEED
"""

import gzip
import json
import sys
import time

import torch
import transformers


def rows(path):
    with (gzip.open if path.endswith(".gz") else open)(path, "rt") as file:
        return [json.loads(line) for line in file]


def main(name, train, test, seeds):
    torch.set_num_threads(2)
    tokenizer = transformers.AutoTokenizer.from_pretrained(name)
    train, test = rows(train), rows(test)

    def batch(part):
        encoded = tokenizer([r["text"] for r in part], truncation=True, max_length=64, padding=True, return_tensors="pt")
        return {**encoded, "labels": torch.tensor([r["label"] for r in part])}

    for seed in seeds:
        torch.manual_seed(seed)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(name, num_labels=2).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.0)
        steps = (len(train) + 31) // 32
        schedule = transformers.get_linear_schedule_with_warmup(optimizer, -(-steps // 10), steps)
        order = torch.randperm(len(train)).tolist()
        begin, total = time.time(), 0.0
        for step in range(steps):
            loss = model(**batch([train[i] for i in order[32 * step:32 * step + 32]])).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            total += float(loss.detach())
        model.eval()
        right = 0
        with torch.no_grad():
            for first in range(0, len(test), 64):
                part = batch(test[first:first + 64])
                right += int((model(**part).logits.argmax(-1) == part["labels"]).sum())
        print(json.dumps({"seed": seed, "train_loss": total / steps, "test_accuracy": right / len(test),
                          "seconds": round(time.time() - begin, 1)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], [int(s) for s in sys.argv[4:]])
