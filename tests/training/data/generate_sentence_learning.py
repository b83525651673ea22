#!/usr/bin/env python3
"""Ten steps of training sentence embeddings with the reference, and what its evaluators say then:
sentence_learning.json beside this file.

    python generate_sentence_learning.py

Needs torch and sentence-transformers. The model is "dense" of tests/pipelines/data/sentence_transformer.json: a bert,
mean pooling, a dense layer and a layer norm; dropout is off. Only whoever adds cases runs it.
"""

import json
import random
import sys
import tempfile
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import evaluation, losses

HERE = Path(__file__).parent
TESTS = HERE.parent.parent
sys.path.insert(0, str(TESTS / "golden"))
from generate import uniform, weight  # noqa: E402

BATCH, STEPS, ROWS, WARMUP = 4, 10, 14, 2  # four steps an epoch, the last of two rows
SETTINGS = dict(learning_rate=2e-3, weight_decay=0.05, adam_epsilon=1e-8, max_grad_norm=1.0)
WORDS = "the of in is to and love hate machine learn city turin ada lives river who where learning learned a b".split()
rng = random.Random(3)


def text():
    return " ".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 9)))


def ranked(rows):
    anchors = [text() for _ in range(rows)]
    positives = [text() for _ in range(rows)]
    anchors[3] = anchors[1]  # a query with two answers
    positives[4] = positives[2]  # and an answer to two queries
    return {"anchor": anchors, "positive": positives, "negative": [text() for _ in range(rows)]}


def scored(rows):
    return {"sentence1": [text() for _ in range(rows)], "sentence2": [text() for _ in range(rows)],
            "score": [rng.randrange(5) / 4 for _ in range(rows)]}


def labelled(rows):
    return {"sentence1": [text() for _ in range(rows)], "sentence2": [text() for _ in range(rows)],
            "label": [rng.randrange(2) for _ in range(rows)]}


def folder(path):
    """As tests/support/tiny_model.cpp writes it."""
    data = json.loads((TESTS / "pipelines/data/sentence_transformer.json").read_text())
    spec = next(m["model"] for m in data["models"] if m["name"] == "dense")
    config = transformers.BertConfig(**dict(spec["config"], hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))
    model = transformers.BertModel(config, add_pooling_layer=False)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            tensor.copy_(weight(name, tuple(tensor.shape)))
    model.save_pretrained(path)
    (path / "vocab.txt").write_text("".join(token + "\n" for token in data["vocab"]))
    (path / "tokenizer_config.json").write_text(json.dumps(data["tokenizer"]))
    for name, content in spec["files"].items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text(json.dumps(content))
    for file, tensors in spec["weights"].items():
        named = {}
        for name, shape in tensors.items():
            v = uniform(file + "#" + name, int(np.prod(shape)))
            v = v * np.sqrt(3 / np.prod(shape[1:])) if len(shape) >= 2 else 0.1 * v
            if len(shape) < 2 and not name.endswith("bias"):
                v = 1 + v
            named[name] = torch.from_numpy(v.astype(np.float32).reshape(shape))
        safetensors.torch.save_file(named, path / file)


def saved_name(model, name):
    """The module's number and the rest, as mica names them: "2_Dense.linear.weight"."""
    number, rest = name.split(".", 1)
    if number == "0":
        return rest.split(".", 1)[1]
    return f"{number}_{type(model[int(number)]).__name__}.{rest}"


def run(name, options, data, evaluations):
    with tempfile.TemporaryDirectory() as where:
        folder(Path(where))
        model = SentenceTransformer(where, device="cpu")
    model.train()
    loss_function = {"multiple_negatives_ranking": losses.MultipleNegativesRankingLoss,
                     "cosine_similarity": losses.CosineSimilarityLoss,
                     "online_contrastive": losses.OnlineContrastiveLoss}[name](model)
    if "matryoshka_dims" in options:
        loss_function = losses.MatryoshkaLoss(model, loss_function, options["matryoshka_dims"])
    named = list(model.named_parameters())
    keeps = [n for n, _ in named if n.endswith("bias") or "norm" in n.lower()]
    optimizer = torch.optim.AdamW(
        [{"params": [p for n, p in named if n not in keeps], "weight_decay": SETTINGS["weight_decay"]},
         {"params": [p for n, p in named if n in keeps], "weight_decay": 0.0}],
        lr=SETTINGS["learning_rate"], eps=SETTINGS["adam_epsilon"])
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, WARMUP, STEPS)
    texts = [column for column in data if column not in ("score", "label")]
    label = next((column for column in data if column not in texts), None)
    values, norms = [], []
    while len(values) < STEPS:
        for begin in range(0, ROWS, BATCH):
            features = [model.preprocess(data[column][begin:begin + BATCH]) for column in texts]
            labels = torch.tensor(data[label][begin:begin + BATCH]) if label else None
            loss = loss_function(features, labels.float() if label == "score" else labels)
            loss.backward()
            norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), SETTINGS["max_grad_norm"])))
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            values.append(float(loss.detach()))
            if len(values) == STEPS:
                break
    model.eval()
    parameters = {}
    for n, tensor in model.named_parameters():
        if "pooler" in n:
            continue
        v = tensor.detach().double().flatten().numpy()
        n = saved_name(model, n)
        parameters[n] = [float(np.linalg.norm(v)), float(v @ uniform(n + "#grad", v.size))]
    measured = []
    for rows in evaluations:
        if "anchor" in rows:
            queries, documents = list(dict.fromkeys(rows["anchor"])), []
            for i in range(len(rows["anchor"])):
                documents += [rows["positive"][i], rows["negative"][i]]
            documents = list(dict.fromkeys(documents))
            relevant = {q: {rows["positive"][i] for i in range(len(rows["anchor"])) if rows["anchor"][i] == q}
                        for q in queries}
            found = evaluation.TripletEvaluator(rows["anchor"], rows["positive"], rows["negative"])(model)
            found |= evaluation.InformationRetrievalEvaluator(
                dict(zip(queries, queries)), dict(zip(documents, documents)), relevant, map_at_k=[100])(model)
        elif "score" in rows:
            found = evaluation.EmbeddingSimilarityEvaluator(
                rows["sentence1"], rows["sentence2"], rows["score"],
                similarity_fn_names=["cosine", "dot", "euclidean", "manhattan"])(model)
        else:
            found = evaluation.BinaryClassificationEvaluator(rows["sentence1"], rows["sentence2"], rows["label"])(model)
        measured.append({"rows": rows, "metrics": {k: float(v) for k, v in found.items() if not k.endswith("_max")}})
    print(name, options, values[0], values[-1])
    return {"loss": name, "options": options, "rows": data, "losses": values, "grad_norms": norms,
            "parameters": parameters, "evaluations": measured}


if __name__ == "__main__":
    torch.manual_seed(0)
    cases = [run("multiple_negatives_ranking", {}, ranked(ROWS), [ranked(12), scored(12), labelled(12)]),
             run("multiple_negatives_ranking", {"matryoshka_dims": [12, 4]}, ranked(ROWS), []),
             run("cosine_similarity", {}, scored(ROWS), [scored(12)]),
             run("online_contrastive", {}, labelled(ROWS), [labelled(12)])]
    out = json.dumps({"settings": SETTINGS, "batch": BATCH, "steps": STEPS, "warmup": WARMUP, "cases": cases},
                     separators=(",", ":"))
    (HERE / "sentence_learning.json").write_text(out.replace('{"loss"', '\n{"loss"') + "\n")
