"""Writes the small files of torch in tests/tensor/data, as the reference (PyTorch) saves them.

    python tests/tensor/tools/make_torch_files.py tests/tensor/data

Values follow a rule that the tests repeat: element i of a tensor is i, or i % 2 for booleans.
"""

import collections
import json
import os
import sys

import torch


def counted(shape, dtype=torch.float32):
    count = 1
    for size in shape:
        count *= size
    values = torch.arange(count)
    return (values % 2 == 1 if dtype == torch.bool else values.to(dtype)).reshape(shape)


def all_types():
    names = "float32 float16 bfloat16 float64 int64 int32 int16 int8 uint8 bool uint16 uint32 uint64 float8_e4m3fn float8_e5m2"
    tensors = collections.OrderedDict((name, counted((2, 3), getattr(torch, name))) for name in names.split())
    tensors["complex64"] = counted((2,), torch.complex64)
    tensors["scalar"] = torch.tensor(7.0)
    tensors["empty"] = torch.zeros(0, 4)
    return tensors


def views():
    """Strided, shared and repeated elements, and a parameter with attributes of its own."""
    base = counted((4, 6))
    parameter = torch.nn.Parameter(counted((3,)))
    marked = torch.nn.Parameter(counted((2,)), requires_grad=False)
    marked.mark = "a"
    return collections.OrderedDict(
        whole=base, transposed=base.t(), part=base[1:3, 2:4], row=base[2], column=base[:, 1], steps=base[::2, ::3],
        tied=base, one=base[1:2, 3:4], repeated=counted((3,)).expand(2, 3), parameter=parameter, marked=marked,
    )


def modules():
    """A state dict as modules make it, with _metadata and weight norms of the older spelling."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    state = module.state_dict()
    for name, tensor in state.items():
        if tensor.dim() > 0:
            tensor.copy_(counted(tensor.shape))
    return state


def training():
    """What training scripts save around a state dict."""
    return {
        "epoch": 3, "step": 2**40, "loss": torch.tensor(0.5), "rate": 1e-3, "name": "run", "best": None, "tags": {"a", "b"},
        "shape": torch.Size([2, 3]), "device": torch.device("cpu"), "dtype": torch.bfloat16, "done": False,
        "optimizer": {"state": {0: {"step": torch.tensor(1.0), "average": counted((2,))}}, "param_groups": [{"lr": 0.1}]},
        "state_dict": {"weight": counted((2, 2)), "version": 2, "raw": b"bytes"},
    }


def main():
    folder = sys.argv[1]

    def save(name, value, **options):
        torch.save(value, os.path.join(folder, name), **options)

    for form, zipped in (("zip", True), ("legacy", False)):
        save(f"torch_{form}_types.bin", all_types(), _use_new_zipfile_serialization=zipped)
        save(f"torch_{form}_views.bin", views(), _use_new_zipfile_serialization=zipped)
    save("torch_module.bin", modules())
    save("torch_training.bin", training())
    save("torch_protocol4.bin", collections.OrderedDict(a=counted((2, 3)), b=counted((2,))), pickle_protocol=4)

    shards = os.path.join(folder, "torch_sharded")
    os.makedirs(shards, exist_ok=True)
    weight_map = {}
    for number, tensors in enumerate(({"a": counted((2, 2)), "b": counted((3,))}, {"c": counted((2,), torch.bfloat16)}), 1):
        file = f"pytorch_model-{number:05}-of-00002.bin"
        torch.save(tensors, os.path.join(shards, file))
        weight_map.update(dict.fromkeys(tensors, file))
    with open(os.path.join(shards, "pytorch_model.bin.index.json"), "w") as index:
        json.dump({"metadata": {"total_size": 32}, "weight_map": weight_map}, index, indent=2)


main()
