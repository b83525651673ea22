"""Writes the two ONNX graphs of a BERT encoder that the peers read, into the model's folder in the cache.

    plain.onnx   the graph as PyTorch exports it, for OpenVINO and for ONNX Runtime
    fused.onnx   the same through ONNX Runtime's transformer optimizer: Attention, SkipLayerNormalization, BiasGelu and
                 EmbedLayerNormalization as single operators

Only the older, tracing exporter with explicit attention gives a graph in which the optimizer recognises attention; the
graph of the newer exporter stays unfused. The script fails if a fusion is missing, so that ONNX Runtime is never
measured below its best by accident.
"""

import argparse
import hashlib
import os
import sys
from pathlib import Path

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "mica" / "bench-onnx"


def graph_path(model: str, variant: str) -> Path:
    """The graphs are kept by the checksum of the weights: another model cannot be taken for this one."""
    with open(Path(model) / "model.safetensors", "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return cache_folder() / digest[:16] / f"{variant}.onnx"


def export_plain(model: str, path: Path) -> None:
    import torch
    from transformers import AutoModel

    bert = AutoModel.from_pretrained(model, attn_implementation="eager", dtype=torch.float32).eval()
    ids = torch.ones((2, 8), dtype=torch.int64)

    class LastHiddenState(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = bert

        def forward(self, input_ids, attention_mask, token_type_ids):
            return self.bert(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            ).last_hidden_state

    axes = {name: {0: "batch", 1: "tokens"} for name in [*INPUTS, "last_hidden_state"]}
    torch.onnx.export(
        LastHiddenState(),
        (ids, torch.ones_like(ids), torch.zeros_like(ids)),
        str(path),
        input_names=list(INPUTS),
        output_names=["last_hidden_state"],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )


def export_fused(model: str, plain: Path, path: Path) -> None:
    from onnxruntime.transformers.optimizer import optimize_model
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(model)
    optimized = optimize_model(
        str(plain), model_type="bert", num_heads=config.num_attention_heads, hidden_size=config.hidden_size
    )
    counts = optimized.get_fused_operator_statistics()
    layers = config.num_hidden_layers
    expected = {"Attention": layers, "SkipLayerNormalization": 2 * layers, "EmbedLayerNormalization": 1}
    missing = {name: counts.get(name, 0) for name, least in expected.items() if counts.get(name, 0) < least}
    if missing:
        raise SystemExit(f"export_onnx: the optimizer did not fuse enough (found {missing}, expected {expected})")
    optimized.save_model_to_file(str(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="folder of a BERT encoder with model.safetensors")
    model = parser.parse_args().model
    plain, fused = graph_path(model, "plain"), graph_path(model, "fused")
    plain.parent.mkdir(parents=True, exist_ok=True)
    # Each graph is written under another name and moved, so a stopped export leaves none that looks complete.
    for path, write in ((plain, lambda p: export_plain(model, p)), (fused, lambda p: export_fused(model, plain, p))):
        if not path.exists():
            part = path.with_suffix(".part.onnx")
            write(part)
            part.rename(path)
        print(path, file=sys.stderr)


if __name__ == "__main__":
    main()
