"""PyTorch on the cases of kernels.cpp: eager, compiled, and each of its attention backends; the fastest counts.

    python torch_kernels.py [--device cuda] [--quick] > torch.jsonl

Prints a line of JSON a case: its name, milliseconds, and which way was the fastest.
"""

import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F

DTYPES = {"bf16": torch.bfloat16, "f32": torch.float32}


class Bench:
    def __init__(self, device, quick):
        self.device, self.quick = device, quick

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def time(self, body):
        def group(runs):
            self.wait()
            start = time.perf_counter()
            for _ in range(runs):
                body()
            self.wait()
            return (time.perf_counter() - start) * 1e3 / runs

        milliseconds = group(3)
        if self.quick:
            return milliseconds
        runs = int(min(1000, max(5, 20 / milliseconds)))
        return statistics.median(group(runs) for _ in range(7))

    def report(self, name, ways):
        """ways: {name: function without arguments}. One that PyTorch refuses is left out."""
        found = {}
        for way, body in ways.items():
            try:
                found[way] = self.time(body)
            except Exception as error:  # pylint: disable=broad-except
                found.setdefault("refused", {})[way] = str(error).splitlines()[0][:200]
        self.print(name, found, found.pop("refused", {}))

    def print(self, name, found, refused=None):
        """found: {way: milliseconds}."""
        best = min(found, key=found.get) if found else None
        print(json.dumps({"case": name, "ms": found.get(best), "best": best, "all": found, "refused": refused or {}}),
              flush=True)

    def random(self, *shape, dtype):
        return (torch.rand(shape, device=self.device) * 2 - 1).to(dtype)


def compiled(function):
    return torch.compile(function, dynamic=False)


def norms(bench):
    rows = 8 if bench.quick else 16384
    for short in ("bf16", "f32"):
        dtype = DTYPES[short]
        for size in [768] if bench.quick else [768, 1024, 4096, 8192]:
            x, residual = (bench.random(rows, size, dtype=dtype) for _ in range(2))
            weight, bias = (bench.random(size, dtype=dtype) for _ in range(2))
            suffix = f"/{rows}x{size}/{short}"
            y = torch.empty_like(x)
            bench.report("copy" + suffix, {"eager": lambda: y.copy_(x)})

            def layer_norm(x, residual, weight, bias):
                s = x + residual
                return F.layer_norm(s, (s.shape[-1],), weight, bias, 1e-5), s

            def rms_norm(x, weight):
                return F.rms_norm(x, (x.shape[-1],), weight, 1e-5)

            fast_layer, fast_rms = compiled(layer_norm), compiled(rms_norm)
            bench.report("layer_norm_residual" + suffix, {
                "eager": lambda: layer_norm(x, residual, weight, bias),
                "compiled": lambda: fast_layer(x, residual, weight, bias)})
            bench.report("rms_norm" + suffix, {"eager": lambda: rms_norm(x, weight),
                                               "compiled": lambda: fast_rms(x, weight)})
            leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
            plain = lambda x, weight, bias: F.layer_norm(x, (x.shape[-1],), weight, bias, 1e-5)
            ways = {}
            for way, function in (("eager", plain), ("compiled", compiled(plain))):
                ways["layer " + way] = backward_of(function, leaves, residual)
            bench.report("layer_norm_backward" + suffix, ways)
            ways = {}
            for way, function in (("eager", rms_norm), ("compiled", compiled(rms_norm))):
                ways["rms " + way] = backward_of(function, leaves[:2], residual)
            bench.report("rms_norm_backward" + suffix, ways)


def backward_of(function, leaves, gradient):
    output = function(*leaves)

    def run():
        torch.autograd.grad(output, leaves, gradient, retain_graph=True)

    return run


def recurrences(bench):
    texts, length, taps = (2, 20, 4) if bench.quick else (16, 1024, 4)
    for short in ("bf16", "f32"):
        dtype = DTYPES[short]
        for channels in [70] if bench.quick else [1024, 4096]:
            x, gradient = (bench.random(texts, channels, length, dtype=dtype) for _ in range(2))
            weight, bias = bench.random(channels, 1, taps, dtype=dtype), bench.random(channels, dtype=dtype)

            def depthwise(x, weight, bias):
                return F.conv1d(x, weight, bias, padding=taps - 1, groups=channels)[..., :length]

            suffix = f"/{texts}x{channels}x{length}x{taps}/{short}"
            ways, back = {}, {}
            for way, function in (("eager", depthwise), ("compiled", compiled(depthwise))):
                ways[way] = lambda f=function: f(x, weight, bias)
                leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
                back[way] = backward_of(function, leaves, gradient)
            with torch.no_grad():
                bench.report("depthwise" + suffix, ways)
            bench.report("depthwise_backward" + suffix, back)
            scans(bench, x.transpose(1, 2).contiguous(), gradient.transpose(1, 2).contiguous(),
                  f"/{texts}x{channels}x{length}/{short}")


def scans(bench, a, b, suffix):
    """PyTorch's associative scan: on GPUs alone, and forward alone."""
    try:
        from torch._higher_order_ops.associative_scan import associative_scan
    except ImportError:
        return

    def combine(earlier, later):
        return earlier[0] * later[0], later[0] * earlier[1] + later[1]

    fast = compiled(lambda a, b: associative_scan(combine, (a, b), dim=1)[1])
    with torch.no_grad():
        bench.report("linear_recurrence" + suffix, {"compiled scan": lambda: fast(a, b)})


def losses(bench):
    rows, classes = (4, 500) if bench.quick else (8192, 50304)
    for short in ("bf16", "f32"):
        logits = bench.random(rows, classes, dtype=DTYPES[short]).requires_grad_()
        labels = torch.tensor([i * 7919 % classes for i in range(rows)], device=bench.device)

        def both(function):
            def run():
                torch.autograd.grad(function(logits, labels), logits)
            return run

        bench.report(f"cross_entropy/{rows}x{classes}/{short}",
                     {"eager": both(F.cross_entropy), "compiled": both(compiled(F.cross_entropy))})


def optimizers(bench):
    size, count = (5000, 3) if bench.quick else (7077888, 16)
    ways = {}
    for way in ("foreach", "fused"):
        parameters = [torch.zeros(size, device=bench.device, requires_grad=True) for _ in range(count)]
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
        try:
            ways[way] = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.01, **{way: True}).step
        except RuntimeError:
            continue
    bench.report(f"adamw/{count}x{size}/f32", ways)


def products(bench):
    cases = [(40, 96, 64, True)] if bench.quick else [
        (8192, 3072, 768, True), (8192, 768, 3072, False), (8192, 2304, 768, False), (8192, 50304, 768, False),
        (8192, 8192, 8192, False), (1, 4096, 4096, False), (8, 4096, 4096, False)]
    for short in ("bf16", "f32"):
        for rows, out, depth, gelu in cases:
            x, weight = bench.random(rows, depth, dtype=DTYPES[short]), bench.random(out, depth, dtype=DTYPES[short])
            bias = bench.random(out, dtype=DTYPES[short])
            function = (lambda x, w, b: F.gelu(F.linear(x, w, b))) if gelu else F.linear
            fast = compiled(function)
            with torch.no_grad():
                bench.report(f"linear{'_gelu' if gelu else ''}/{rows}x{out}x{depth}/{short}", {
                    "eager": lambda: function(x, weight, bias), "compiled": lambda: fast(x, weight, bias)})


def attention_backends():
    from torch.nn.attention import SDPBackend
    return {"flash": SDPBackend.FLASH_ATTENTION, "efficient": SDPBackend.EFFICIENT_ATTENTION,
            "cudnn": SDPBackend.CUDNN_ATTENTION, "math": SDPBackend.MATH}


def attention_case(bench, suffix, q, k, v, mask, causal):
    from torch.nn.attention import sdpa_kernel
    forward, backward = {}, {}
    gradient = torch.ones_like(q)
    for way, kind in attention_backends().items():
        if way == "math" and q.shape[2] > 2048:
            continue

        def run(kind=kind):
            with torch.no_grad(), sdpa_kernel([kind]):
                F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)

        forward[way] = run
        try:
            with sdpa_kernel([kind]):
                leaves = [t.clone().requires_grad_() for t in (q, k, v)]
                output = F.scaled_dot_product_attention(*leaves, attn_mask=mask, is_causal=causal)
            backward[way] = lambda o=output, l=leaves: torch.autograd.grad(o, l, gradient, retain_graph=True)
        except RuntimeError:
            continue
    bench.report("attention_forward" + suffix, forward)
    bench.report("attention_backward" + suffix, backward)


def attention(bench):
    short = "bf16"
    for size in (64, 128):
        for length in [128] if bench.quick else [128, 256, 512, 1024, 2048, 4096, 8192, 16384]:
            tokens, heads = (256, 1) if bench.quick else (16384, 2048 // size)
            batch = tokens // length
            q, k, v = (bench.random(batch, heads, length, size, dtype=DTYPES[short]) for _ in range(3))
            for causal in (False, True):
                kind = "_causal" if causal else ""
                attention_case(bench, f"{kind}/{batch}x{heads}x{length}x{size}/{short}", q, k, v, None, causal)
    lengths = [8 + i * 13 % 32 * 120 // 31 for i in range(4 if bench.quick else 256)]
    q, k, v = (bench.random(len(lengths), 12, 128, 64, dtype=DTYPES[short]) for _ in range(3))
    mask = (torch.arange(128)[None, :] < torch.tensor(lengths)[:, None])[:, None, None, :].to(bench.device)
    attention_case(bench, f"_ragged/{len(lengths)}x12x128x64/{short}", q, k, v, mask, False)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    bench = Bench(torch.device(options.device), options.quick)
    for part in (norms, recurrences, losses, optimizers, products, attention):
        part(bench)


if __name__ == "__main__":
    main()
