"""ONNX Runtime on the graphs that export_onnx.py makes: as exported, or with attention and skip connections fused."""

import numpy as np
import onnxruntime as ort

from export_onnx import graph_path
from peers.recipe import Recipe


class Peer:
    def __init__(self, model: str, dtype: str, threads: int, variant: str):
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Its threads spin for more work between the operators of a pass, as by default, and stop when the pass is over,
        # so that an idle worker leaves the processor to the others.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.session = ort.InferenceSession(
            str(graph_path(model, variant)), options, providers=["CPUExecutionProvider"]
        )
        self.recipe = Recipe(model)
        self.settings = f"onnxruntime {ort.__version__} ({variant} graph); {dtype}, {threads} threads, optimised fully"

    def _run(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return self.session.run(["last_hidden_state"], feed)[0]

    def forward(self, ids: np.ndarray):
        return self._run(ids, np.ones_like(ids))

    def to_numpy(self, hidden) -> np.ndarray:
        return hidden

    def encode(self, sentences: list[str], batch_size: int) -> np.ndarray:
        return self.recipe.encode(sentences, batch_size, self._run)
