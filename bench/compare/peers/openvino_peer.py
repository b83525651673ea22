"""OpenVINO on the plain exported graph, tuned for latency. Its bfloat16 is a hint: weights and products in bfloat16.

The variant `dynamic` takes any batch and length, as a program that embeds sentences needs it; `static` compiles the
graph again for each shape it meets.
"""

import numpy as np
import openvino as ov

from export_onnx import INPUTS, graph_path
from peers.recipe import Recipe


class Peer:
    def __init__(self, model: str, dtype: str, threads: int, variant: str):
        self.core = ov.Core()
        self.graph = self.core.read_model(str(graph_path(model, "plain")))
        self.static = variant == "static"
        self.options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "bf16" if dtype == "bfloat16" else "f32",
        }
        self.requests = {}
        self.recipe = Recipe(model)
        version = ov.get_version().split("-")[0]
        self.settings = f"openvino {version} ({variant} shapes); {dtype} hint, {threads} threads, latency hint"
        if not self.static:
            self._request(None)

    def _request(self, shape):
        shape = shape if self.static else None
        if shape not in self.requests:
            graph = self.graph.clone()
            if shape is not None:
                graph.reshape({name: list(shape) for name in INPUTS})
            self.requests[shape] = self.core.compile_model(graph, "CPU", self.options).create_infer_request()
        return self.requests[shape]

    def _run(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        # Sharing spares copies in and out; the result is read before the next pass overwrites it.
        return self._request(ids.shape).infer(feed, share_inputs=True, share_outputs=True)[0]

    def forward(self, ids: np.ndarray):
        return self._run(ids, np.ones_like(ids))

    def to_numpy(self, hidden) -> np.ndarray:
        return np.array(hidden)

    def encode(self, sentences: list[str], batch_size: int) -> np.ndarray:
        return self.recipe.encode(sentences, batch_size, self._run)
