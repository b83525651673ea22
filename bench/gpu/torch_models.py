"""PyTorch on the cases of models.cpp, by transformers' models: eager and compiled; the fastest counts.

    python torch_models.py [--device cuda] [--quick] > models.jsonl

Training runs under autocast with fused AdamW and clipping, as users run it; ragged batches are padded. Inference is in
bfloat16, compiled with graphs ("reduce-overhead"). Decoding is generate() with a static cache, which transformers compiles.
"""

import argparse

import torch
import transformers

from torch_kernels import Bench

SMALL = dict(hidden=32, layers=2, heads=2, inner=64, vocabulary=100)
BASE = dict(hidden=768, layers=12, heads=12, inner=3072, vocabulary=30522)
MINILM = dict(hidden=384, layers=6, heads=12, inner=1536, vocabulary=30522)
GPT2 = dict(hidden=768, layers=12, heads=12, inner=3072, vocabulary=50257)
LLAMA = dict(hidden=2048, layers=16, heads=32, inner=8192, vocabulary=128256)


def bert(sizes):
    return transformers.BertConfig(vocab_size=sizes["vocabulary"], hidden_size=sizes["hidden"],
                                   num_hidden_layers=sizes["layers"], num_attention_heads=sizes["heads"],
                                   intermediate_size=sizes["inner"], num_labels=2)


def gpt2(sizes):
    return transformers.GPT2Config(vocab_size=sizes["vocabulary"], n_embd=sizes["hidden"], n_layer=sizes["layers"],
                                   n_head=sizes["heads"], n_positions=1024)


def llama(sizes):
    return transformers.LlamaConfig(vocab_size=sizes["vocabulary"], hidden_size=sizes["hidden"],
                                    num_hidden_layers=sizes["layers"], num_attention_heads=sizes["heads"],
                                    num_key_value_heads=sizes["heads"] // (4 if sizes["heads"] > 4 else 1),
                                    intermediate_size=sizes["inner"], tie_word_embeddings=True,
                                    max_position_embeddings=4096)


def step(bench, name, model, lengths):
    longest = max(lengths)
    model = model.to(bench.device).train()
    ids = torch.arange(len(lengths) * longest).reshape(len(lengths), longest) * 7919 % (model.config.vocab_size - 1) + 1
    inputs = {"input_ids": ids.to(bench.device)}
    causal = isinstance(model, transformers.GPT2LMHeadModel)
    inputs["labels"] = inputs["input_ids"] if causal else (torch.arange(len(lengths)) % 2).to(bench.device)
    if min(lengths) < longest:
        inputs["attention_mask"] = (torch.arange(longest)[None] < torch.tensor(lengths)[:, None]).long().to(bench.device)
    adam = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def run(function):
        with torch.autocast(bench.device.type, torch.bfloat16):
            loss = function(**inputs).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        adam.step()
        adam.zero_grad(set_to_none=True)

    fast = torch.compile(model, dynamic=False)
    bench.report(name, {"eager": lambda: run(model), "compiled": lambda: run(fast)})


def forward(bench, name, sizes, batch, length):
    model = transformers.BertModel(bert(sizes)).to(bench.device, torch.bfloat16).eval()
    ids = (torch.arange(batch * length).reshape(batch, length) * 7919 % (sizes["vocabulary"] - 1) + 1).to(bench.device)
    fast = torch.compile(model, dynamic=False, mode="reduce-overhead")
    with torch.no_grad():
        bench.report(name, {"eager": lambda: model(input_ids=ids), "graphs": lambda: fast(input_ids=ids)})


def decode(bench, name, model, sizes):
    model = model.to(bench.device, torch.bfloat16).eval()
    ids = (torch.arange(16)[None] * 7919 % (sizes["vocabulary"] - 1) + 1).to(bench.device)
    few, many = (1, 3) if bench.quick else (8, 136)

    def text(tokens, cache):
        model.generate(ids, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, cache_implementation=cache,
                       pad_token_id=0)

    found = {}
    for way, cache in (("dynamic", None), ("static", "static")):
        try:
            found[way] = (bench.time(lambda: text(many, cache)) - bench.time(lambda: text(few, cache))) / (many - few)
        except Exception:  # pylint: disable=broad-except
            continue
    bench.print(name, found)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    bench = Bench(torch.device(options.device), options.quick)
    torch.manual_seed(1)
    quick = options.quick
    base, minilm, decoder = (SMALL, SMALL, SMALL) if quick else (BASE, MINILM, GPT2)
    ragged = [8 + i * 13 % 32 * 120 // 31 for i in range(4 if quick else 256)]
    classifier = lambda: transformers.BertForSequenceClassification(bert(base))
    step(bench, "bert_step/32x128/bf16", classifier(), [8] * 2 if quick else [128] * 32)
    step(bench, "bert_step_ragged/256x128/bf16", classifier(), ragged)
    step(bench, "gpt2_step/8x1024/bf16", transformers.GPT2LMHeadModel(gpt2(decoder)), [8] * 2 if quick else [1024] * 8)
    for kind, sizes in (("minilm", minilm), ("bert", base)):
        forward(bench, f"{kind}_forward/1x128/bf16", sizes, 1, 8 if quick else 128)
        forward(bench, f"{kind}_forward/64x128/bf16", sizes, 2 if quick else 64, 8 if quick else 128)
    decode(bench, "gpt2_decode/bf16", transformers.GPT2LMHeadModel(gpt2(decoder)), decoder)
    billion = SMALL if quick else LLAMA
    decode(bench, "llama_1b_decode/bf16", transformers.LlamaForCausalLM(llama(billion)), billion)


if __name__ == "__main__":
    main()
