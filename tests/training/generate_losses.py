"""Writes losses.json: sentence-transformers' losses of fixed embeddings, and their gradients, in float64. Embeddings
follow the rule of value(), which the tests repeat.

    python tests/training/generate_losses.py tests/training/data
"""

import json
import sys
from pathlib import Path

import torch
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.sentence_transformer.losses.matryoshka import shrink
from sentence_transformers.sentence_transformer.losses.contrastive import SiameseDistanceMetric
from sentence_transformers.sentence_transformer.losses.triplet import TripletDistanceMetric

SHAPE = (6, 4)
BINARY = [1, 0, 0, 1, 1, 0]
GRADED = [0.25, 1.0, 0.25, 0.5, 0.75, 0.0]


def embedding(seed):
    values = [((i * 37 + seed * 101 + 11) % 97) / 48.5 - 1 for i in range(SHAPE[0] * SHAPE[1])]
    return torch.tensor(values, dtype=torch.float64).reshape(SHAPE).requires_grad_()


class Model(torch.nn.Module):
    device = "cpu"


def matryoshka(inner, dims, weights):
    def loss(embeddings, labels):
        return sum(w * inner([shrink(e, d) for e in embeddings], labels) for d, w in zip(dims, weights))
    return loss


def softmax():
    loss = losses.SoftmaxLoss(Model(), SHAPE[1], 3)
    classifier = torch.nn.Linear(12, 3).double()
    with torch.no_grad():
        classifier.weight.copy_(torch.tensor([((i * 37 + 9 * 101 + 11) % 97) / 48.5 - 1 for i in range(36)],
                                             dtype=torch.float64).reshape(3, 12))
        classifier.bias.copy_(torch.tensor([0.5, -0.25, 0.125]))

    def run(embeddings, labels):
        a, b = embeddings
        return loss.loss_fct(classifier(torch.cat([a, b, (a - b).abs()], 1)), labels)
    return run


def main():
    model = Model()
    binary, graded = torch.tensor(BINARY), torch.tensor(GRADED, dtype=torch.float64)
    ranking = losses.MultipleNegativesRankingLoss(model).compute_loss_from_embeddings
    cosent = losses.CoSENTLoss(model).compute_loss_from_embeddings
    cases = {
        "ranking": (ranking, 2, None),
        "ranking_hard": (losses.MultipleNegativesRankingLoss(model, scale=5.0).compute_loss_from_embeddings, 4, None),
        "cosine": (losses.CosineSimilarityLoss(model).compute_loss_from_embeddings, 2, graded),
        "cosent": (cosent, 2, graded),
        "triplet": (losses.TripletLoss(model).compute_loss_from_embeddings, 3, None),
        "triplet_cosine": (losses.TripletLoss(model, TripletDistanceMetric.COSINE, 0.5).compute_loss_from_embeddings, 3, None),
        "contrastive": (losses.ContrastiveLoss(model).compute_loss_from_embeddings, 2, binary),
        "contrastive_euclidean": (losses.ContrastiveLoss(model, SiameseDistanceMetric.EUCLIDEAN, 2.0)
                                  .compute_loss_from_embeddings, 2, binary),
        "online": (losses.OnlineContrastiveLoss(model, margin=1.25).compute_loss_from_embeddings, 2, binary),
        "online_alike": (losses.OnlineContrastiveLoss(model).compute_loss_from_embeddings, 2, torch.ones(6)),
        "online_unlike": (losses.OnlineContrastiveLoss(model, margin=1.25).compute_loss_from_embeddings, 2, torch.zeros(6)),
        "softmax": (softmax(), 2, torch.tensor([0, 2, 1, 1, 0, 2])),
        "matryoshka": (matryoshka(ranking, [4, 2, 1], [1.0, 0.5, 0.25]), 2, None),
        "matryoshka_cosent": (matryoshka(cosent, [4, 3], [1, 1]), 2, graded),
    }
    result = {}
    for name, (loss, columns, labels) in cases.items():
        embeddings = [embedding(k) for k in range(columns)]
        value = loss(embeddings, labels)
        value.backward()
        result[name] = {"loss": value.item(),
                        "gradients": [[float(f"{g:.15g}") for g in e.grad.flatten().tolist()] for e in embeddings]}
    (Path(sys.argv[1]) / "losses.json").write_text(json.dumps(result, separators=(",", ":")) + "\n")


main()
