"""Writes optimizers.json and schedules.json: what torch's and transformers' optimizers and schedules make of fixed
numbers, in float64. Parameters and gradients follow the rule of value(), which the tests repeat.

    python tests/training/generate_optimizers.py tests/training/data
"""

import json
import sys
from pathlib import Path

import torch
from transformers.optimization import Adafactor, get_scheduler

SHAPES = [(5, 7), (6,), (2, 3, 4)]
STEPS = 20
LR = 0.01


def value(seed, i):
    return ((i * 37 + seed * 101 + 11) % 97) / 48.5 - 1


def fill(seed, shape):
    n = int(torch.tensor(shape).prod())
    return torch.tensor([value(seed, i) for i in range(n)], dtype=torch.float64).reshape(shape)


class Lion(torch.optim.Optimizer):
    """The paper's program 1."""

    def __init__(self, params, lr, betas, weight_decay):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                update = (beta1 * m + (1 - beta1) * p.grad).sign()
                p.sub_(group["lr"] * (update + group["weight_decay"] * p))
                m.copy_(beta2 * m + (1 - beta2) * p.grad)


CASES = {
    "adamw": lambda g: torch.optim.AdamW(g, lr=LR),
    "adamw_betas": lambda g: torch.optim.AdamW(g, lr=LR, betas=(0.8, 0.95), eps=1e-3),
    "sgd": lambda g: torch.optim.SGD(g, lr=LR),
    "sgd_momentum": lambda g: torch.optim.SGD(g, lr=LR, momentum=0.9, dampening=0.3),
    "sgd_nesterov": lambda g: torch.optim.SGD(g, lr=LR, momentum=0.8, nesterov=True),
    "lion": lambda g: Lion(g, LR, (0.9, 0.99), 0.1),
    "adafactor": lambda g: Adafactor(g),
    "adafactor_warmup": lambda g: Adafactor(g, warmup_init=True, clip_threshold=0.5),
    "adafactor_lr": lambda g: Adafactor(g, lr=LR, scale_parameter=False, relative_step=False),
    "adafactor_beta1": lambda g: Adafactor(g, lr=LR, beta1=0.9, scale_parameter=True, relative_step=False),
}


def run(make):
    """The first tensor decays by 0.1, the others do not and learn at half the rate."""
    parameters = [torch.nn.Parameter(fill(k, shape)) for k, shape in enumerate(SHAPES)]
    optimizer = make([{"params": parameters[:1], "weight_decay": 0.1}, {"params": parameters[1:], "weight_decay": 0.0}])
    for group in optimizer.param_groups[1:]:
        if group["lr"] is not None:
            group["lr"] *= 0.5
    for step in range(STEPS):
        for k, p in enumerate(parameters):
            p.grad = fill(10 + 7 * step + k, p.shape)
        optimizer.step()
    return [p.detach().flatten().tolist() for p in parameters]


SCHEDULES = [
    ("linear", {}),
    ("cosine", {}),
    ("cosine", {"num_cycles": 1.25}),
    ("cosine_with_restarts", {"num_cycles": 3}),
    ("polynomial", {"power": 2.0, "lr_end": 1e-4}),
    ("constant", {}),
    ("constant_with_warmup", {}),
    ("inverse_sqrt", {}),
    ("inverse_sqrt", {"timescale": 7}),
    ("cosine_with_min_lr", {"min_lr": 1e-3}),
    ("cosine_with_min_lr", {"min_lr_rate": 0.2, "num_cycles": 0.7}),
    ("cosine_warmup_with_min_lr", {"min_lr": 1e-3}),
    ("cosine_warmup_with_min_lr", {"min_lr_rate": 0.2, "warmup_lr_rate": 0.3}),
    ("warmup_stable_decay", {"num_decay_steps": 8}),
    ("warmup_stable_decay", {"num_decay_steps": 8, "num_stable_steps": 3, "warmup_type": "cosine",
                             "decay_type": "1-sqrt", "min_lr_ratio": 0.1}),
    ("warmup_stable_decay", {"num_decay_steps": 6, "warmup_type": "1-sqrt", "decay_type": "linear"}),
]


def rates(name, kwargs, warmup):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler = get_scheduler(name, optimizer, warmup, 25, kwargs)
    result = []
    for _ in range(30):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return result


METRICS = [3, 2.5, 2.5, 2.6, 2.4999, 2.4, 2.4, 2.4, 2.4, 2.4, 2.3, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5]


def plateau(kwargs):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **kwargs)
    result = []
    for metric in METRICS:
        scheduler.step(metric)
        result.append(optimizer.param_groups[0]["lr"])
    return result


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.15g}")
    return [rounded(v) for v in value]


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    (folder / "optimizers.json").write_text(
        json.dumps({name: rounded(run(make)) for name, make in CASES.items()}, separators=(",", ":")) + "\n")
    schedules = [{"name": name, "settings": kwargs, "warmup": warmup, "rates": rounded(rates(name, kwargs, warmup))}
                 for name, kwargs in SCHEDULES for warmup in (0, 5)]
    plateaus = [{"settings": kwargs, "rates": rounded(plateau(kwargs))}
                for kwargs in ({"patience": 2}, {"mode": "max", "patience": 1, "cooldown": 2, "factor": 0.5},
                               {"patience": 0, "threshold": 0.05, "threshold_mode": "abs", "min_lr": 1e-3})]
    (folder / "schedules.json").write_text(json.dumps(
        {"learning_rate": LR, "steps": 25, "schedules": schedules, "metrics": METRICS, "plateaus": plateaus},
        separators=(",", ":")) + "\n")


main()
