#!/usr/bin/env python3
"""Cuts a byte-pair tokenizer.json down to what the texts of an expected.jsonl.gz need, with the same ids for them.

Joins that none of the texts needs are never made, so leaving them out changes nothing. Added tokens become tokens of the
model, so that they keep their ids, and made-up tokens fill the holes where there would be too many.

Needs the `tokenizers` package. Run as: cut_vocabulary.py tokenizer.json expected.jsonl.gz > small.json
"""
import gzip
import json
import sys

from tokenizers import Tokenizer

data = json.load(open(sys.argv[1]))
expected = [json.loads(line) for line in gzip.open(sys.argv[2], "rt")]


def ids_in(value):
    if isinstance(value, dict):
        for key, child in value.items():
            if key in ("ids", "ids_without_special_tokens"):
                yield from child
            else:
                yield from ids_in(child)
    elif isinstance(value, list):
        for child in value:
            yield from ids_in(child)


model = data["model"]
vocab = model["vocab"]
token_of = {i: t for t, i in vocab.items()}
merges = [m.split(" ") if isinstance(m, str) else m for m in model["merges"]]
made_by = {}
for left, right in merges:
    made_by.setdefault(left + right, (left, right))
needed, todo = set(), [token_of[i] for i in set(ids_in(expected)) if i in token_of]
todo += [t for t in vocab if len(t) == 1 or (len(t) == 5 and t.endswith("</w>"))]
while todo:
    token = todo.pop()
    if token in needed:
        continue
    needed.add(token)
    todo += made_by.get(token, ())
kept = {t: i for t, i in vocab.items() if t in needed}
for added in data["added_tokens"]:
    kept[added["content"]] = added["id"]
free = iter(sorted(set(range(max(kept.values()))) - set(kept.values())))
while 2 * len(kept) + 65536 <= max(kept.values()):
    i = next(free)
    kept[f"\n{i:x}"] = i  # no text gives it: it is not spelled as bytes are
model["vocab"] = dict(sorted(kept.items(), key=lambda item: item[1]))
model["merges"] = [" ".join(m) for m in merges if all(t in needed for t in (*m, m[0] + m[1]))]
text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
print(text)
whole, small = Tokenizer.from_file(sys.argv[1]), Tokenizer.from_str(text)
for case in expected:
    for key in ("text", "pair"):
        if isinstance(case.get(key), str):
            assert whole.encode(case[key]).ids == small.encode(case[key]).ids, case[key]
