#!/usr/bin/env python3
"""Held-out scores of fine-tuned models: `mica train` beside a loop in PyTorch, several seeds each.

    learning.py MICA MODEL DATA [--tasks polarity,wnut17,ud_ewt,xquad] [--seeds 1,2,3] [--threads 2] [--json FILE]

MICA is the built program, MODEL a folder (all-MiniLM-L6-v2), DATA the folder of the data sets: sentence_polarity,
WNUT-17, UD EWT's tags (trained on dev) and XQuAD-en (the last quarter of its articles held out). Both sides: AdamW, linear
schedule with a warm-up of a tenth, clipping at 1, weight decay 0, the model's own dropout; orders and dropout are each
side's own. mica's score should lie within the spread that seeds give the reference. learning_reference.py is the reference.
"""

import argparse
import gzip
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

TASKS = {  # name: the task, its score, epochs, batch, rate, tokens, more flags for mica
    "polarity": ("sequence_classification", "test_accuracy", 1, 32, 5e-5, 64, []),
    "wnut17": ("token_classification", "test_f1", 3, 16, 1e-4, 128, []),
    "ud_ewt": ("token_classification", "test_accuracy", 3, 16, 1e-4, 128,
               ["--label_column", "upos", "--label_scheme", "none"]),
    "xquad": ("question_answering", "test_f1", 4, 16, 2e-4, 256, ["--doc_stride", "64"]),
}


def split_articles(path: pathlib.Path, folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Three quarters of the articles to train on, the rest held out."""
    articles = json.load(gzip.open(path))["data"]
    cut = len(articles) * 3 // 4
    parts = folder / "xquad.train.json", folder / "xquad.test.json"
    for part, rows in zip(parts, (articles[:cut], articles[cut:])):
        part.write_text(json.dumps({"version": "1.1", "data": rows}))
    return parts


def files(name: str, data: pathlib.Path, folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    match name:
        case "polarity":
            part = data / "classification"
            return part / "sentence_polarity.train.jsonl.gz", part / "sentence_polarity.test.jsonl"
        case "wnut17":
            return data / "tagging/wnut17.train.jsonl.gz", data / "tagging/wnut17.test.jsonl.gz"
        case "ud_ewt":
            return data / "tagging/ud_ewt.dev.jsonl.gz", data / "tagging/ud_ewt.test.jsonl.gz"
        case _:
            return split_articles(data / "qa/xquad.en.json.gz", folder)


def last_json(command: list[str]) -> dict:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "false"}
    output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(output.stdout.decode().strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mica")
    parser.add_argument("model")
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--threads", default="2")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    results = []
    for name in arguments.tasks.split(","):
        task, score, epochs, batch, rate, tokens, flags = TASKS[name]
        scores: dict[str, list[float]] = {"mica": [], "reference": []}
        with tempfile.TemporaryDirectory() as folder:
            train, test = files(name, arguments.data, pathlib.Path(folder))
            for seed in arguments.seeds.split(","):
                common = ["--learning_rate", str(rate), "--per_device_train_batch_size", str(batch), "--max_length",
                          str(tokens), "--num_train_epochs", str(epochs), "--seed", seed, "--threads", arguments.threads]
                mica = last_json([arguments.mica, "train", "--task", task, "--model", arguments.model, "--train", train,
                                  "--test", test, "--output", f"{folder}/{seed}", "--warmup_ratio", "0.1",
                                  "--save_strategy", "no", "--report_to", "none", "--json", *common, *flags])
                script = pathlib.Path(__file__).with_name("learning_reference.py")
                torch = last_json([sys.executable, script, name, arguments.model, train, test, *common])
                scores["mica"].append(mica[score])
                scores["reference"].append(torch[score])
                print(f"{name:9} seed {seed}  {score[5:]:9} mica {mica[score]:.4f}  reference {torch[score]:.4f}   loss "
                      f"{mica['train_loss']:.4f} {torch['train_loss']:.4f}   seconds {mica['train_runtime']:.0f} "
                      f"{torch['train_runtime']:.0f}", flush=True)
                results.append({"task": name, "seed": seed, "mica": mica, "reference": torch})
        means = {side: statistics.mean(each) for side, each in scores.items()}
        print(f"{name:9} mean    {score[5:]:9} mica {means['mica']:.4f}  reference {means['reference']:.4f}, of "
              f"{min(scores['reference']):.4f} to {max(scores['reference']):.4f}", flush=True)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
