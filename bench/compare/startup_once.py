"""One fresh process that embeds one text with one peer, as short as its library allows; prints {"embedding": [...]}.

startup.py times it from outside. Imports stand inside the branches, because importing is most of what is measured.
"""

import argparse
import json


def sentence_transformers_embedding(model: str, text: str):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(model, device="cpu").encode([text], show_progress_bar=False)[0]


def tokenized(model: str, text: str) -> dict:
    import numpy as np
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(f"{model}/tokenizer.json")
    tokenizer.no_padding()
    ids = np.array([tokenizer.encode(text).ids], dtype=np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def pooled(hidden):
    """[1, tokens, hidden] -> a normalised [hidden]."""
    mean = hidden[0].mean(axis=0)
    return mean / (mean @ mean) ** 0.5


def onnxruntime_embedding(model: str, text: str, graph: str, threads: int):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    # The graph was fused when it was exported. Optimising it again costs more than one pass gains.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return pooled(session.run(["last_hidden_state"], tokenized(model, text))[0])


def openvino_embedding(model: str, text: str, graph: str, threads: int, cache: str | None):
    import openvino as ov

    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    if cache:
        options["CACHE_DIR"] = cache
    compiled = ov.Core().compile_model(graph, "CPU", options)
    return pooled(compiled(tokenized(model, text))[0])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=["sentence-transformers", "onnxruntime", "openvino"])
    parser.add_argument("model")
    parser.add_argument("text")
    parser.add_argument("--graph", help="ONNX file")
    parser.add_argument("--cache", help="folder in which OpenVINO keeps the compiled graph")
    parser.add_argument("--threads", type=int, default=2)
    a = parser.parse_args()
    if a.peer == "sentence-transformers":
        embedding = sentence_transformers_embedding(a.model, a.text)
    elif a.peer == "onnxruntime":
        embedding = onnxruntime_embedding(a.model, a.text, a.graph, a.threads)
    else:
        embedding = openvino_embedding(a.model, a.text, a.graph, a.threads, a.cache)
    print(json.dumps({"embedding": [float(x) for x in embedding]}))


if __name__ == "__main__":
    main()
