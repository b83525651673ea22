"""A long-lived process that holds one peer and answers one JSON line for each JSON line it reads.

The protocol is in README.md; mica answers the same one as `mica bench MODEL --worker`. Between requests the worker
sleeps in a read, so that several of them can wait while one works.
"""

import argparse
import json
import os
import sys
import time
import traceback

import numpy as np
from safetensors.numpy import save_file

from peers import PEERS, open_peer


def timed(runs: int, work):
    """Milliseconds of each run, and the last result."""
    milliseconds, result = [], None
    for _ in range(runs):
        start = time.perf_counter()
        result = work()
        milliseconds.append(1e3 * (time.perf_counter() - start))
    return milliseconds, result


def answer(peer, request: dict) -> dict:
    operation, runs = request["op"], request.get("runs", 1)
    if operation == "info":
        return {"settings": peer.settings}
    if operation == "forward":
        ids = np.array(request["ids"], dtype=np.int64)
        if ids.shape != (request["batch"], request["tokens"]):
            raise ValueError(f"ids have shape {ids.shape}, not batch x tokens")
        milliseconds, hidden = timed(runs, lambda: peer.forward(ids))
        reply = {"ms": milliseconds}
        if path := request.get("output"):
            save_file({"last_hidden_state": np.ascontiguousarray(peer.to_numpy(hidden))}, path)
            reply["last_hidden_state_file"] = path
        return reply
    if operation == "encode":
        milliseconds, embeddings = timed(runs, lambda: peer.encode(request["sentences"], request["batch_size"]))
        reply = {"ms": milliseconds}
        if path := request.get("output"):
            save_file({"embeddings": np.ascontiguousarray(embeddings)}, path)
            reply["embeddings_file"] = path
        return reply
    raise ValueError(f"unknown op {operation!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("model")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    # Libraries like to print to standard output, where only replies may go: keep it for the replies, and let everything
    # else that is written there end on standard error.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    peer = open_peer(arguments.peer, arguments.model, arguments.dtype, arguments.threads)
    for line in sys.stdin:
        try:
            reply = answer(peer, json.loads(line))
        except Exception as error:  # the runner decides what a failure means
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
