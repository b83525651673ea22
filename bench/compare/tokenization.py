"""Times mica's tokenizers beside tokenizers, tiktoken and sentencepiece, after comparing their ids and offsets.

    python tokenization.py FOLDER --mica PATH/TO/mica --english FILE... --chinese FILE... --code DIR --output results/

FOLDER holds a folder with a tokenizer.json for each name of tokenizer_peers.PEERS_OF that is to be measured. The rounds are
interleaved, everything single-threaded runs on one core, and figures are medians of the rounds.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import texts as corpora
from client import Worker
from compare import processor_name, warn_if_busy
from tokenizer_peers import PEERS_OF, milliseconds

TURN_MS = 200  # a turn repeats its texts for about this long


class Mica:
    """The program's worker, with the texts that it was last given."""

    name = "mica"

    def __init__(self, program: str, folder: Path, logs: Path):
        command = [program, "bench", str(folder), "--tokenizer", "--worker"]
        self.worker = Worker("mica", "", 1, command, dict(os.environ), logs / f"mica-{folder.name}.log")

    def give(self, path: Path) -> None:
        self.worker.ask({"op": "texts", "path": str(path)})

    def time(self, operation: str, runs: int = 1, **more) -> list[float]:
        return self.worker.ask({"op": operation, "runs": runs, **more})["ms"]

    def saved(self, path: Path) -> list[dict]:
        self.worker.ask({"op": "save", "path": str(path)})
        return [json.loads(line) for line in path.read_text().splitlines()]


def pin(cores: set[int], worker: Worker) -> None:
    for process in (0, worker._process.pid):
        for task in Path(f"/proc/{process or 'self'}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores)


def differences(mica: Mica, peers: list, texts: list[str], folder: Path) -> dict[str, int]:
    """Texts whose ids or offsets differ, by peer."""
    rows = mica.saved(folder / "saved.jsonl")
    found = {}
    for peer in peers:
        if not getattr(peer, "same_ids", True):
            continue
        wrong = [text for text, row in zip(texts, rows, strict=True) if list(peer.ids(text)) != row["ids"]]
        if hasattr(peer, "offsets"):
            wrong += [t for t, r in zip(texts, rows, strict=True) if peer.offsets(t) != [tuple(o) for o in r["offsets"]]]
        found[peer.name] = len(wrong)
    return found


def rates(mica: Mica, peers: list, calls: dict, amount: float, rounds: int) -> dict[str, float]:
    """calls[name](runs) gives the time of each run in ms; the result is `amount` a second, by name."""
    turns = {name: [] for name in calls}
    runs = {name: max(1, min(50, round(TURN_MS / min(call(2))))) for name, call in calls.items()}
    for _ in range(rounds):
        for name, call in calls.items():
            turns[name].append(statistics.median(call(runs[name])))
    return {name: 1e3 * amount / statistics.median(times) for name, times in turns.items()}


def encode_calls(mica: Mica, peers: list, texts: list[str], batch: bool = False, threads: int = 1) -> dict:
    def of(peer):
        if batch:
            return lambda runs: [milliseconds(lambda: peer.encode_batch(texts)) for _ in range(runs)]
        return lambda runs: [milliseconds(lambda: [peer.encode(text) for text in texts]) for _ in range(runs)]

    calls = {"mica": lambda runs: mica.time("encode", runs, batch=batch, threads=threads)}
    return calls | {peer.name: of(peer) for peer in peers}


def decode_calls(mica: Mica, peers: list, texts: list[str]) -> tuple[dict, float]:
    ids = [list(peers[0].ids(text)) for text in texts]

    def of(peer):
        return lambda runs: [milliseconds(lambda: [peer.decode(row) for row in ids]) for _ in range(runs)]

    calls = {"mica": lambda runs: mica.time("decode", runs)} | {peer.name: of(peer) for peer in peers}
    return calls, sum(map(len, ids)) / 1e6


def measure(name: str, arguments, corpus: dict[str, list[str]], scratch: Path) -> dict:
    folder = arguments.folder / name
    peers = [make(folder) for make in PEERS_OF[name]]
    mica = Mica(arguments.mica, folder, arguments.output)
    pin({0}, mica.worker)
    result = {"differences": {}, "encode": {}, "one_text": {}, "decode": {}, "hostile": {}}

    def megabytes(texts: list[str]) -> float:
        return sum(len(text.encode()) for text in texts) / 1e6

    def give(texts: list[str]) -> None:
        mica.give(corpora.write(texts, scratch / "texts.jsonl"))

    for kind, texts in corpus.items():
        print(f"{name}: {kind}", file=sys.stderr)
        give(texts)
        result["differences"][kind] = differences(mica, peers, texts, scratch)
        result["encode"][kind] = rates(mica, peers, encode_calls(mica, peers, texts), megabytes(texts), arguments.rounds)
        calls, tokens = decode_calls(mica, peers, texts)
        result["decode"][kind] = rates(mica, peers, calls, tokens, arguments.rounds)
    english = corpus["English"]

    print(f"{name}: new words, one text, hostile text, load", file=sys.stderr)
    turns = []
    for seed in range(arguments.rounds):
        give(corpora.new_words(english, seed))
        turns += mica.time("encode")
    result["new_words"] = 1e3 * megabytes(english) / statistics.median(turns)
    one = ["".join(english)[: 1 << 20]]
    give(one)
    result["one_text"] = rates(mica, peers, encode_calls(mica, peers, one), megabytes(one), 3)
    for kind in corpora.HOSTILE:
        times = []
        for size in (1 << 19, 1 << 20):
            give([corpora.hostile(kind, size)])
            times.append(min(mica.time("encode", 5)))
        result["hostile"][kind] = {"ms_of_1mb": times[1], "twice_the_text": times[1] / times[0]}
    result["load_ms"] = {"mica": statistics.median(mica.time("load", 7))}
    for peer in peers:
        result["load_ms"][peer.name] = statistics.median(milliseconds(peer.load) for _ in range(3))

    pin(set(range(os.cpu_count())), mica.worker)
    give(english)
    batch = {f"mica, {t} threads": lambda runs, t=t: mica.time("encode", runs, batch=True, threads=t) for t in (1, 2)}
    result["batch"] = rates(mica, peers, batch, megabytes(english), arguments.rounds)
    mica.worker.close()
    return result


def markdown(document: dict) -> str:
    lines = ["# Tokenizers", "", f"{document['processor']}; {document['versions']}; {document['rounds']} rounds.", ""]
    lines += ["MB/s of UTF-8 on one core, with offsets where the library has them; a call per text of 10 kB.", ""]
    lines += ["| tokenizer | text | mica | tokenizers | others | texts that differ |", "| --- | --- | --- | --- | --- | --- |"]

    def cell(rates_of: dict, name: str) -> str:
        return f"{rates_of[name]:.1f} ({rates_of['mica'] / rates_of[name]:.1f} x)" if name in rates_of else ""

    def row(name: str, kind: str, rates_of: dict, wrong: str) -> str:
        others = ", ".join(f"{o} {cell(rates_of, o)}" for o in rates_of if o not in ("mica", "tokenizers"))
        return f"| {name} | {kind} | {rates_of['mica']:.1f} | {cell(rates_of, 'tokenizers')} | {others} | {wrong} |"

    for name, result in document["results"].items():
        for kind, found in result["encode"].items():
            wrong = ", ".join(f"{peer} {count}" for peer, count in result["differences"][kind].items())
            lines.append(row(name, kind, found, wrong))
        lines.append(row(name, "one text of 1 MB", result["one_text"], ""))
        lines.append(f"| {name} | every word new | {result['new_words']:.1f} | | | |")
    lines += ["", "Decoding, million tokens a second.", "", "| tokenizer | text | mica | tokenizers | others | |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for name, result in document["results"].items():
        lines += [row(name, kind, found, "") for kind, found in result["decode"].items()]
    lines += ["", "Loading, hostile text, and two threads.", ""]
    lines.append("| tokenizer | load, ms: mica | tokenizers | others | 2 threads over 1 | 1 MB: ms (over half of it) |")
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for name, result in document["results"].items():
        load, batch = result["load_ms"], result["batch"]
        others = ", ".join(f"{peer} {ms:.0f}" for peer, ms in load.items() if peer not in ("mica", "tokenizers"))
        slow = ", ".join(f"{k} {v['ms_of_1mb']:.1f} ({v['twice_the_text']:.2f} x)" for k, v in result["hostile"].items())
        lines.append(
            f"| {name} | {load['mica']:.1f} | {load['tokenizers']:.0f} ({load['tokenizers'] / load['mica']:.1f} x) | {others} "
            f"| {batch['mica, 2 threads'] / batch['mica, 1 threads']:.2f} x | {slow} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds a folder for each tokenizer")
    parser.add_argument("--mica", required=True)
    parser.add_argument("--english", type=Path, nargs="+", required=True)
    parser.add_argument("--chinese", type=Path, nargs="+", required=True)
    parser.add_argument("--code", type=Path, nargs="+", required=True, help="files, or folders of .py files")
    parser.add_argument("--output", type=Path, default=Path("compare-results"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokenizers", nargs="+", default=list(PEERS_OF), choices=list(PEERS_OF))
    arguments = parser.parse_args()
    if not shutil.which(arguments.mica):
        parser.error(f"{arguments.mica} is no program")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    arguments.output.mkdir(parents=True, exist_ok=True)
    corpus = {
        "English": corpora.cut(arguments.english, 100),
        "Chinese": corpora.cut(arguments.chinese, 100),
        "code": corpora.cut(arguments.code, 100),
    }
    warn_if_busy()
    pip = subprocess.run([sys.executable, "-m", "pip", "list", "--format=json"], capture_output=True, text=True, check=True)
    versions = {entry["name"]: entry["version"] for entry in json.loads(pip.stdout)}
    document = {
        "processor": processor_name(),
        "versions": ", ".join(f"{n} {versions[n]}" for n in ("tokenizers", "tiktoken", "sentencepiece") if n in versions),
        "rounds": arguments.rounds,
        "results": {},
    }
    with tempfile.TemporaryDirectory() as scratch:
        for name in arguments.tokenizers:
            document["results"][name] = measure(name, arguments, corpus, Path(scratch))
    (arguments.output / "tokenization.json").write_text(json.dumps(document, indent=1) + "\n")
    table = markdown(document)
    (arguments.output / "tokenization.md").write_text(table)
    print(table)
    wrong = [n for n, r in document["results"].items() if any(any(d.values()) for d in r["differences"].values())]
    if wrong:
        print(f"tokenization: outputs differ for {', '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
