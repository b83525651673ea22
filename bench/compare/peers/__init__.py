"""The peers that mica is held against.

A peer is a class made with (model folder, dtype, threads) that offers

    forward(ids)                  ids: int64 [batch, tokens]; a pass over full rows, returns the last hidden state in
                                  the peer's own form, ready to be read
    to_numpy(hidden)              that result as float32 [batch, tokens, hidden]; not timed
    encode(sentences, batch_size) float32 [sentences, hidden]: tokenizing, forward, mean pooling, normalising
    settings                      one line for the report

Each peer runs in a process of its own (worker.py), so no two libraries share threads or memory. `PEERS` maps the name
that the runner uses to what it takes to start one.
"""

import importlib
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Entry:
    """Where a peer's class is and what its process needs."""

    module: str
    variant: str
    dtypes: tuple[str, ...]
    operations: tuple[str, ...] = ("forward", "encode")
    needs_mkl: bool = False  # preload mkl_vendor.c's library on AMD
    environment: dict[str, str] = field(default_factory=dict)


# NumPy's own thread pool has nothing to do beside ONNX Runtime and OpenVINO: pooling is small, and its spinning is not.
_QUIET_NUMPY = {"OPENBLAS_NUM_THREADS": "1"}

PEERS = {
    "torch": Entry("torch_peer", "eager", ("float32", "bfloat16"), needs_mkl=True),
    "torch-compile": Entry("torch_peer", "compile", ("float32", "bfloat16"), needs_mkl=True),
    "onnxruntime": Entry("onnxruntime_peer", "plain", ("float32",), environment=_QUIET_NUMPY),
    "onnxruntime-fused": Entry("onnxruntime_peer", "fused", ("float32",), environment=_QUIET_NUMPY),
    "openvino": Entry("openvino_peer", "dynamic", ("float32", "bfloat16"), environment=_QUIET_NUMPY),
    # A graph compiled for one shape alone: a little faster, and of no use where lengths vary, so it encodes nothing.
    "openvino-static": Entry(
        "openvino_peer", "static", ("float32", "bfloat16"), operations=("forward",), environment=_QUIET_NUMPY
    ),
}


def open_peer(name: str, model: str, dtype: str, threads: int):
    """Imports the peer's library, and no other peer's, and loads the model."""
    entry = PEERS[name]
    if dtype not in entry.dtypes:
        raise ValueError(f"{name} has no {dtype} on the CPU")
    module = importlib.import_module(f"peers.{entry.module}")
    return module.Peer(model, dtype, threads, entry.variant)
