"""Times a fresh process from its start to its first embedding, and its peak memory: mica beside its peers.

    python startup.py MODEL --mica PATH/TO/mica --output results/

Every process is a new one and the file cache is warm. The rounds are interleaved; figures are medians, the best in
brackets. This program imports only light modules: Linux never reports a child's peak memory below what its parent had
when it started it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from export_onnx import graph_path

HERE = Path(__file__).parent
TEXT = "The quick brown fox jumps over the lazy dog."  # 12 tokens
LEAST_COSINE = 0.9999


def commands(arguments) -> dict[str, list[str]]:
    once = [sys.executable, str(HERE / "startup_once.py")]
    tail = [arguments.model, TEXT, "--threads", str(arguments.threads)]
    fused, plain = (str(graph_path(arguments.model, variant)) for variant in ("fused", "plain"))
    found = {
        "sentence-transformers": [*once, "sentence-transformers", *tail],
        "onnxruntime": [*once, "onnxruntime", *tail, "--graph", fused],
        "openvino": [*once, "openvino", *tail, "--graph", plain],
        # The first process compiled the graph and left it in a file, as a program that starts often would have it.
        "openvino, cached": [*once, "openvino", *tail, "--graph", plain, "--cache", f"{plain}.cache"],
    }
    if arguments.mica:
        found["mica"] = [arguments.mica, "embed", arguments.model, TEXT, "--json"]
    return found


def run_once(name: str, command: list[str], environment: dict[str, str]) -> tuple[float, float, list[float]]:
    """Milliseconds from start to end of the process, its peak memory in MB, and the embedding that it printed."""
    with tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=environment)
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        milliseconds = 1e3 * (time.perf_counter() - start)
        process.stdout.close()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            errors.seek(0)
            message = errors.read().decode(errors="replace")
            raise SystemExit(f"startup: {name} failed with status {process.returncode}:\n{message}")
    return milliseconds, usage.ru_maxrss / 1024, json.loads(output.splitlines()[-1])["embedding"]


def cosine(a: list[float], b: list[float]) -> float:
    product = sum(x * y for x, y in zip(a, b, strict=True))
    return product / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5


def markdown(results: dict) -> str:
    text = "# A fresh process to its first embedding\n\n| | wall, ms (best) | peak RSS, MB |"
    text += " mica starts faster by |\n| --- | --- | --- | --- |\n" if "mica" in results else "\n| --- | --- | --- |\n"
    for name, result in results.items():
        text += f"| {name} | {result['median_ms']:.0f} ({result['best_ms']:.0f}) | {result['peak_rss_mb']:.0f} |"
        text += f" {result['median_ms'] / results['mica']['median_ms']:.1f} x |\n" if "mica" in results else "\n"
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="folder of a BERT sentence encoder, such as all-MiniLM-L6-v2")
    parser.add_argument("--mica", help="the mica program; without it only the peers are measured")
    parser.add_argument("--output", type=Path, default=Path("compare-results"), help="folder for the results")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    if not graph_path(arguments.model, "fused").exists():
        subprocess.run([sys.executable, HERE / "export_onnx.py", arguments.model], check=True)

    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": str(arguments.threads),
    }
    contenders = commands(arguments)
    # This round warms the file cache and is not timed.
    embeddings = {name: run_once(name, command, environment)[2] for name, command in contenders.items()}
    reference = embeddings["sentence-transformers"]
    for name, embedding in embeddings.items():
        if cosine(reference, embedding) < LEAST_COSINE:
            raise SystemExit(f"startup: {name} gives another embedding (cosine {cosine(reference, embedding):.6f})")

    turns = {name: [] for name in contenders}
    for _ in range(arguments.rounds):
        for name, command in contenders.items():
            turns[name].append(run_once(name, command, environment)[:2])
    results = {
        name: {
            "median_ms": statistics.median(ms for ms, _ in pairs),
            "best_ms": min(ms for ms, _ in pairs),
            "peak_rss_mb": statistics.median(mb for _, mb in pairs),
        }
        for name, pairs in turns.items()
    }
    (arguments.output / "startup.json").write_text(json.dumps(results, indent=1) + "\n")
    table = markdown(results)
    (arguments.output / "startup.md").write_text(table)
    print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
