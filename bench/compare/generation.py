"""Generation beside transformers, llama.cpp and CTranslate2: interleaved, the same weights, tokens compared.

    python make_models.py MODELS            # random weights of known shapes, and the peers' own formats
    python generation.py MODELS --mica mica --floor floor [--rounds 5] [--output results]

A round visits every library for every task. A prefill is the time to one token, and a step the time to N tokens less
that, over N - 1; figures are medians of the rounds. `floor` is floor.c, compiled: what memory gives at best. The share is
that of the time in which the weights could be read once.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
STEPS = 24  # new tokens of a decoder


class Worker:
    def __init__(self, name: str, command: list[str]):
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)

    def ask(self, ids, new_tokens, beams=1):
        request = {"op": "generate", "ids": ids, "new_tokens": new_tokens, "beams": beams}
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline() or '{"error": "the process ended"}')
        except BrokenPipeError:
            return {"error": "the process ended"}

    def close(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:  # it ended by itself, and ask() said so
            pass
        self.process.wait()


def tasks_of(config: dict) -> list[dict]:
    generator = random.Random(1)
    vocabulary = config["vocab_size"]
    prompt = lambda n: [generator.randrange(10, vocabulary) for _ in range(n)]  # noqa: E731
    if config.get("is_encoder_decoder"):
        return [{"name": f"128 in, 64 out, {beams} beams", "ids": [prompt(128)], "new": 64, "beams": beams}
                for beams in (1, 4)]
    lengths = [8, 24, 40, 56, 72, 88, 104, 128]
    return [{"name": "one prompt of 128", "ids": [prompt(128)], "new": STEPS, "beams": 1, "split": True},
            {"name": "8 prompts of 8 to 128", "ids": [prompt(n) for n in lengths], "new": STEPS, "beams": 1}]


def measure(folder: Path, arguments) -> dict:
    config = json.loads((folder / "config.json").read_text())
    threads = str(arguments.threads)
    workers = [Worker("mica", [arguments.mica, "bench", str(folder), "--worker", "--threads", threads])]
    for name in arguments.peers:
        workers.append(Worker(name, [sys.executable, str(HERE / "generation_worker.py"), name, str(folder), threads]))
    result = {}
    for task in tasks_of(config):
        times = {worker.name: {"first": [], "all": []} for worker in workers}
        first_tokens, refused = {}, {}
        for round_number in range(arguments.rounds + 1):  # the first warms up
            for worker in random.sample(workers, len(workers)):
                if worker.name in refused:
                    continue
                time.sleep(0.3)  # until the last one's threads have stopped spinning
                asked = [("all", task["new"])] + ([("first", 1)] if task.get("split") else [])
                for kind, count in asked:
                    reply = worker.ask(task["ids"], count, task["beams"])
                    if "error" in reply:
                        refused[worker.name] = reply["error"]
                        break
                    if round_number > 0:
                        times[worker.name][kind].append(reply["ms"])
                    first_tokens[worker.name] = reply["tokens"][0][:4]
        figures = {}
        for name, kinds in times.items():
            if name in refused or not kinds["all"]:
                figures[name] = {"refused": refused.get(name, "no answer")}
                continue
            whole = statistics.median(kinds["all"])
            figures[name] = {"ms": whole, "tokens": first_tokens[name]}
            if kinds["first"]:
                first = statistics.median(kinds["first"])
                figures[name] |= {"prefill_ms": first, "tokens_per_second": (task["new"] - 1) * 1e3 / (whole - first)}
        result[task["name"]] = figures
    for worker in workers:
        worker.close()
    return result


def report(name: str, weights: int, result: dict, floor: dict, threads: int) -> list[str]:
    bandwidth = floor["memory_gbs"]
    lines = [f"## {name}", ""]
    for task, figures in result.items():
        split = any("prefill_ms" in each for each in figures.values())
        lines += [f"{task}:", "", "| | " + ("prefill ms | tokens/s | of the read bandwidth |" if split else "ms |"),
                  "| --- |" + (" --- | --- | --- |" if split else " --- |")]
        for peer, each in figures.items():
            if "refused" in each:
                lines.append(f"| {peer} | {each['refused'][:80]} |" + (" | |" if split else ""))
            elif split:
                share = weights * each["tokens_per_second"] / (bandwidth * 1e9)
                lines.append(f"| {peer} | {each['prefill_ms']:.1f} | {each['tokens_per_second']:.1f} | {share:.0%} |")
            else:
                lines.append(f"| {peer} | {each['ms']:.1f} |")
        lines.append("")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--mica", default="mica")
    parser.add_argument("--floor", required=True, help="floor.c, compiled")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="names of folders in MODELS")
    parser.add_argument("--peers", nargs="*", default=["transformers", "llama.cpp", "ctranslate2"])
    parser.add_argument("--output", type=Path, default=Path("results"))
    arguments = parser.parse_args()
    ceilings = json.loads(subprocess.check_output([arguments.floor, str(arguments.threads)], text=True))
    floor = {"memory_gbs": ceilings["memory_read_gbs"][str(arguments.threads)]}
    folders = [each.parent for each in sorted(arguments.models.glob("*/config.json"))
               if not each.parent.name.endswith("-ct2")]
    text = ["# Generation", "", f"Memory is read at {floor['memory_gbs']:.1f} GB/s by {arguments.threads} threads; "
            f"medians of {arguments.rounds} interleaved rounds.", ""]
    raw = {"floor": ceilings}
    for folder in folders:
        if arguments.only and folder.name not in arguments.only:
            continue
        raw[folder.name] = measure(folder, arguments)
        weights = sum(each.stat().st_size for each in folder.glob("*.safetensors"))
        text += report(folder.name, weights, raw[folder.name], floor, arguments.threads)
        print("\n".join(text[-24:]), flush=True)
    arguments.output.mkdir(exist_ok=True)
    (arguments.output / "generation.md").write_text("\n".join(text))
    (arguments.output / "generation.json").write_text(json.dumps(raw, indent=1))


if __name__ == "__main__":
    main()
