"""Times mica beside PyTorch, ONNX Runtime and OpenVINO on one BERT sentence encoder. README.md says how and why.

    python compare.py MODEL --sentences sentences.txt --mica PATH/TO/mica --output results/
"""

import argparse
import json
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import checks
import plot
import report
from client import Refusal, Worker, WorkerError, busy_seconds, is_amd
from costs import Encoder
from export_onnx import graph_path
from peers import PEERS
from workloads import Workload, make_workloads

HERE = Path(__file__).parent
ROUND_MS = 300  # a worker's turn at one workload lasts about this long, and at least three runs
SETTLE_S = 0.1  # before a turn: the last worker's threads stop spinning
QUIET = 0.25  # cores that others may keep busy in a turn that counts
TRIES = 4  # of a turn that was not quiet


def measure_machine(threads: int) -> dict:
    program = Path(sys.prefix) / "bin" / "mica-floor"
    if not program.exists():
        raise SystemExit(f"compare: {program} is missing; run setup.sh again")
    output = subprocess.run([program, str(threads)], check=True, capture_output=True, text=True).stdout
    return json.loads(output)


def higher_ceilings(before: dict, after: dict) -> dict:
    """The better figure of the two measurements: the floor may only err towards a smaller share for everyone."""
    merged = dict(before)
    for name, rates in before.items():
        if isinstance(rates, dict):
            merged[name] = {key: max(rate, after[name][key]) for key, rate in rates.items()}
    return merged


def warn_if_busy() -> None:
    """Threads that spin at barriers, as most libraries' do, run many times slower when others want the cores."""
    before = busy_seconds()
    time.sleep(1)
    busy = busy_seconds() - before
    if busy > QUIET:
        print(f"compare: warning: other processes keep {busy:.1f} cores busy; wait for them", file=sys.stderr)


def processor_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = found.get("model name", platform.machine())
    return f"{name} (family {found['cpu family']}, model {found['model']})" if "cpu family" in found else name


def open_workers(names: list[str], mica: str | None, model: str, dtype: str, threads: int, logs: Path) -> list[Worker]:
    """One after the other: loading is work too. The first is the reference of the check."""
    workers = []
    for name in names:
        if dtype in PEERS[name].dtypes:
            workers.append(Worker.of_peer(name, model, dtype, threads, logs))
            workers[-1].settings = workers[-1].ask({"op": "info"})["settings"]
    if mica:
        worker = Worker.of_mica(mica, model, dtype, threads, logs)
        try:
            worker.settings = worker.ask({"op": "info"})["settings"]
        except Refusal:  # the request is optional
            worker.settings = f"{dtype}, {threads} threads"
        workers.append(worker)
    return workers


def offers(worker: Worker, workload: Workload) -> bool:
    return worker.name == "mica" or workload.operation in PEERS[worker.name].operations


def warm_up(worker: Worker, workload: Workload) -> int:
    """Says how many runs make a turn. The check has run the workload once before."""
    if workload.operation == "encode":
        worker.ask({**workload.request, "runs": 1})
        return 1  # a second or more, and many passes in itself
    milliseconds = min(worker.ask({**workload.request, "runs": 3})["ms"])
    return max(3, min(200, round(ROUND_MS / milliseconds)))


def take_turn(worker: Worker, workload: Workload, runs: int) -> dict:
    """Tries again while other processes are busy; the quietest try counts."""
    best = None
    for _ in range(TRIES):
        time.sleep(SETTLE_S)
        reply = worker.ask_watched({**workload.request, "runs": runs})
        turn = {"ms": statistics.median(reply.values["ms"]), "runs": runs, "others": round(reply.others, 2)}
        if best is None or turn["others"] < best["others"]:
            best = turn
        if best["others"] <= QUIET:
            break
    return best


def measure_dtype(workers: list[Worker], workloads: list[Workload], rounds: int) -> dict[str, dict[str, list[dict]]]:
    """workload -> worker -> turns. Every round visits every worker, in a new order, so a slow minute hits all alike."""
    runs = {}
    for worker in workers:
        print(f"  warming up {worker.name}", file=sys.stderr)
        runs |= {(worker.name, w.name): warm_up(worker, w) for w in workloads if offers(worker, w)}
    turns = {w.name: {worker.name: [] for worker in workers if offers(worker, w)} for w in workloads}
    order = list(workers)
    shuffle = random.Random(1).shuffle
    for number in range(rounds):
        print(f"  round {number + 1} of {rounds}", file=sys.stderr)
        for workload in workloads:
            shuffle(order)
            for worker in order:
                if offers(worker, workload):
                    turn = take_turn(worker, workload, runs[worker.name, workload.name])
                    turns[workload.name][worker.name].append(turn)
    return turns


def check_outputs(workers: list[Worker], workloads: list[Workload], references: dict) -> dict[str, checks.Agreement]:
    """Fills `references` from the first worker of the first dtype, which is PyTorch in float32."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for worker in workers:
            agreements = []
            for workload in workloads:
                if offers(worker, workload):
                    array = checks.output_of(worker, workload, Path(folder))
                    references.setdefault(workload.name, array)
                    agreements.append(checks.agreement(references[workload.name], array))
            found[worker.name] = checks.worst(agreements)
            print(f"  {worker.name}: {found[worker.name]}", file=sys.stderr)
    return found


def run_dtype(arguments, dtype: str, workloads: list[Workload], references: dict) -> dict:
    print(f"{dtype}: starting workers", file=sys.stderr)
    workers = open_workers(arguments.peers, arguments.mica, arguments.model, dtype, arguments.threads, arguments.output)
    try:
        agreements = check_outputs(workers, workloads, references)
        turns = measure_dtype(workers, workloads, arguments.rounds)
        return {
            "workers": {
                worker.name: {
                    "settings": worker.settings,
                    "agreement": agreements[worker.name].as_dict(),
                    "acceptable": checks.acceptable(worker.name, dtype, agreements[worker.name]),
                    "peak_rss_mb": round(worker.peak_megabytes()),
                    "cores_used_resting": round(worker.used_resting_s / max(worker.rested_s, 1e-9), 3),
                }
                for worker in workers
            },
            "turns": turns,
        }
    finally:
        for worker in workers:
            worker.close()


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="folder of a BERT sentence encoder, such as all-MiniLM-L6-v2")
    parser.add_argument("--sentences", type=Path, required=True, help="one text a line, made by sentences.py")
    parser.add_argument("--mica", help="the mica program; without it only the peers are measured")
    parser.add_argument("--output", type=Path, default=Path("compare-results"), help="folder for the results")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=list(PEERS))
    arguments = parser.parse_args()
    for path in (Path(arguments.model) / "model.safetensors", arguments.sentences):
        if not path.is_file():
            parser.error(f"{path} is not there")
    if arguments.mica and not shutil.which(arguments.mica):
        parser.error(f"{arguments.mica} is no program")
    # PyTorch in float32 is the reference, so it is always there and always first.
    arguments.peers = ["torch", *(name for name in arguments.peers if name != "torch")]
    arguments.dtypes = sorted(set(arguments.dtypes) | {"float32"}, key=["float32", "bfloat16"].index)
    return arguments


def main() -> int:
    arguments = parse_arguments()
    arguments.output.mkdir(parents=True, exist_ok=True)
    if not graph_path(arguments.model, "fused").exists():
        subprocess.run([sys.executable, HERE / "export_onnx.py", arguments.model], check=True)
    workloads = make_workloads(arguments.model, arguments.sentences)
    encoder = Encoder.of(arguments.model)

    warn_if_busy()
    before = measure_machine(arguments.threads)
    references, results = {}, {}
    try:
        for dtype in arguments.dtypes:
            results[dtype] = run_dtype(arguments, dtype, workloads, references)
    except WorkerError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 1
    machine = higher_ceilings(before, measure_machine(arguments.threads))
    for dtype, result in results.items():
        result["floor_ms"] = {w.name: w.floor_ms(encoder, machine, dtype, arguments.threads) for w in workloads}

    document = {
        "processor": processor_name(),
        "mkl_vendor_override": is_amd(),
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "machine": machine,
        "sentences": len(workloads[-1].lengths),
        "sentence_tokens": sum(workloads[-1].lengths),
        "results": results,
    }
    (arguments.output / "compare.json").write_text(json.dumps(document, indent=1) + "\n")
    table = report.markdown(document)
    (arguments.output / "compare.md").write_text(table)
    plot.write(document, arguments.output / "compare.png")
    print(table)
    wrong = [dtype for dtype, r in results.items() if "mica" in r["workers"] and not r["workers"]["mica"]["acceptable"]]
    if wrong:
        print(f"compare: mica's outputs are too far from the reference in {', '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
