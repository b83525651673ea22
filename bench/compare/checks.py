"""Outputs are compared before anything is timed: a fast wrong answer is worth nothing."""

from dataclasses import asdict, dataclass
from pathlib import Path

import ml_dtypes  # noqa: F401 - teaches NumPy bfloat16, in which a worker may write
import numpy as np
from safetensors.numpy import load_file

from client import Worker
from workloads import Workload

# The worst token's cosine against PyTorch in float32. A worker below it is shown, but neither counts as the best peer
# nor, if it is mica, lets the run succeed. The peers' bfloat16 gets more room: none is left out for its rounding.
LEAST_COSINE = {"float32": 0.99999, "bfloat16": 0.999}
LEAST_COSINE_OF_MICA = {"float32": 0.99999, "bfloat16": 0.9999}


@dataclass
class Agreement:
    largest_difference: float
    worst_cosine: float

    def as_dict(self) -> dict:
        return asdict(self)


def output_of(worker: Worker, workload: Workload, folder: Path) -> np.ndarray:
    path = folder / f"{worker.name}-{workload.name}.safetensors"
    worker.ask({**workload.request, "runs": 1, "output": str(path)})
    name = "last_hidden_state" if workload.operation == "forward" else "embeddings"
    array = load_file(path)[name].astype(np.float32)
    path.unlink()
    return array


def agreement(reference: np.ndarray, array: np.ndarray) -> Agreement:
    """The vectors along the last axis are tokens, or whole sentences for embeddings."""
    if array.shape != reference.shape:
        raise SystemExit(f"compare: an output has shape {array.shape}, the reference {reference.shape}")
    a = reference.reshape(-1, reference.shape[-1]).astype(np.float64)
    b = array.reshape(-1, array.shape[-1]).astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines = np.divide((a * b).sum(axis=1), norms, out=np.zeros_like(norms), where=norms > 0)
    # NaN compares false with everything, so it must not slip through a maximum.
    if not np.isfinite(b).all():
        return Agreement(float("inf"), -1.0)
    return Agreement(float(np.abs(a - b).max()), float(cosines.min()))


def worst(agreements: list[Agreement]) -> Agreement:
    return Agreement(
        max(a.largest_difference for a in agreements),
        min(a.worst_cosine for a in agreements),
    )


def acceptable(name: str, dtype: str, found: Agreement) -> bool:
    limits = LEAST_COSINE_OF_MICA if name == "mica" else LEAST_COSINE
    return found.worst_cosine >= limits[dtype]
