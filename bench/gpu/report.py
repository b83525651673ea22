"""Joins the lines of gpu_kernels and torch_kernels.py into a table.

    python report.py mica.jsonl torch.jsonl --bandwidth GB/s --operations TFLOP/s > results.md

--bandwidth and --operations are the device's peaks (an H200: 4800 and 989 for bfloat16); the share of the floor is the
larger of the times that they ask for, over the time measured. Without them it is left out, and so is PyTorch where its
file has no line for a case.
"""

import argparse
import json
import pathlib


def lines(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines() if line.startswith("{")]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mica")
    parser.add_argument("torch", nargs="?")
    parser.add_argument("--bandwidth", type=float)
    parser.add_argument("--operations", type=float)
    options = parser.parse_args()
    peers = {line["case"]: line for line in lines(options.torch)} if options.torch else {}
    print("| case | mica, ms | PyTorch, ms (its fastest) | ratio | share of the floor |\n| --- | --- | --- | --- | --- |")
    for line in lines(options.mica):
        peer = peers.get(line["case"], {})
        floor = 0
        if options.bandwidth:
            floor = max(floor, line["bytes"] / options.bandwidth / 1e6)
        if options.operations:
            floor = max(floor, line["operations"] / options.operations / 1e9)
        theirs = peer.get("ms")
        cells = [line["case"], f"{line['ms']:.4f}", "", "", ""]
        if theirs:
            cells[2], cells[3] = f"{theirs:.4f} ({peer['best']})", f"{theirs / line['ms']:.2f}"
        if floor:
            cells[4] = f"{100 * floor / line['ms']:.0f} %"
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
