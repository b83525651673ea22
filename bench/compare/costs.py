"""The physical floor of a pass through a BERT encoder: what no program on this machine can beat at this precision.

The formulas are explained in README.md. Sizes come from the model's config.json, rates from floor.c.
"""

import json
from dataclasses import dataclass
from pathlib import Path

BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True)
class Encoder:
    layers: int
    hidden: int  # H
    intermediate: int  # F

    @staticmethod
    def of(model: str) -> "Encoder":
        config = json.loads((Path(model) / "config.json").read_text())
        return Encoder(config["num_hidden_layers"], config["hidden_size"], config["intermediate_size"])

    def flops(self, lengths: list[int]) -> float:
        """Rows of these lengths, no padding: matrix products only."""
        h, f = self.hidden, self.intermediate
        projections = 8 * h * h  # a token: query, key, value and output, two operations a weight
        feed_forward = 4 * h * f  # a token: two matrices
        attention = 4 * h  # a pair of tokens: query x key and probability x value
        return self.layers * float(sum(t * (projections + feed_forward) + t * t * attention for t in lengths))

    def weight_bytes(self, dtype: str) -> float:
        """The matrices of the layers. Biases, norms and the few embedding rows in use are below one in a hundred."""
        return float(self.layers * (4 * self.hidden**2 + 2 * self.hidden * self.intermediate) * BYTES[dtype])


def floor_seconds(
    encoder: Encoder, machine: dict, dtype: str, threads: int, lengths: list[int], passes: int = 1
) -> float:
    """The larger of arithmetic and reading; every pass reads the weights once."""
    key = str(threads)
    # A CPU without bfloat16 products computes them in float32 and gains only bytes.
    peak = (machine[f"{dtype}_gflops"] or machine["float32_gflops"])[key]
    arithmetic = encoder.flops(lengths) / (peak * 1e9)
    size = encoder.weight_bytes(dtype)
    beyond_cache = max(0.0, size - machine["last_level_cache_bytes"])
    from_cache = size / (machine["cache_read_gbs"][key] * 1e9)
    from_memory = beyond_cache / (machine["memory_read_gbs"][key] * 1e9)
    return max(arithmetic, passes * from_cache, passes * from_memory)
