"""Writes tests/tokenizers/data/training: a corpus, and what the trainers of tokenizers 0.23.3 make of it.

    python make_training_cases.py CORPUS.txt OUTPUT_FOLDER
"""
import gzip
import json
import sys

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

texts = open(sys.argv[1], encoding="utf-8").read().split("\n")[:-1]
out = sys.argv[2]
bert = (normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer())
words = (normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()]), pre_tokenizers.Whitespace())
spaces = (None, pre_tokenizers.WhitespaceSplit())
byte_level = (None, pre_tokenizers.ByteLevel(add_prefix_space=False))
whole = (None, None)
KINDS = {
    "BPE": (models.BPE, trainers.BpeTrainer),
    "WordPiece": (models.WordPiece, trainers.WordPieceTrainer),
    "WordLevel": (models.WordLevel, trainers.WordLevelTrainer),
    "Unigram": (models.Unigram, trainers.UnigramTrainer),
}
CASES = [
    ("BPE", words, dict(vocab_size=400)),
    ("BPE", words, dict(vocab_size=5000, min_frequency=4, special_tokens=["[A]", "e", "[A]"])),
    ("BPE", spaces, dict(vocab_size=60, limit_alphabet=38)),
    ("BPE", bert, dict(vocab_size=500, max_token_length=3)),
    ("BPE", bert, dict(vocab_size=300, end_of_word_suffix="</w>")),
    ("BPE", whole, dict(vocab_size=200)),
    ("BPE", byte_level, dict(vocab_size=600, alphabet=True)),
    ("BPE", words, dict(vocab_size=10)),
    ("WordPiece", bert, dict(vocab_size=500)),
    ("WordLevel", words, dict(vocab_size=150, special_tokens=["[UNK]", "the"])),
    ("WordLevel", spaces, dict(vocab_size=5000, min_frequency=3)),
    ("Unigram", words, dict(vocab_size=300, unk_token="<unk>")),
    ("Unigram", spaces, dict(vocab_size=250, special_tokens=["<s>", "<unk>"], unk_token="<unk>", max_piece_length=5,
                             shrinking_factor=0.6, n_sub_iterations=1, seed_size=900)),
]
lines = []
for kind, (normalizer, pre_tokenizer), options in CASES:
    model, trainer = KINDS[kind]
    tokenizer = Tokenizer(model())
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    options.setdefault("special_tokens", ["[PAD]"])
    known = {key: value for key, value in options.items() if key != "alphabet"}
    if options.get("alphabet"):
        known["initial_alphabet"] = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(texts, trainer(show_progress=False, **known))
    result = json.loads(tokenizer.to_str())
    vocab, merges = result["model"]["vocab"], result["model"].get("merges", [])
    if kind != "Unigram":
        vocab = sorted(vocab.items(), key=lambda item: item[1])
    if kind == "WordPiece" or "end_of_word_suffix" in options:
        # The reference numbers characters with an affix in the order of a hash table: given first, they are settled.
        affixed = [t for t, _ in vocab if t not in options["special_tokens"]]
        end = next(i for i, t in enumerate(affixed) if len(t.removeprefix("##").removesuffix("</w>") or "x") > 1)
        options["special_tokens"] = options["special_tokens"] + affixed[:end]
    lines.append({"model": kind, "normalizer": result["normalizer"], "pre_tokenizer": result["pre_tokenizer"],
                  "options": options, "vocab": vocab, "merges": merges})
with gzip.GzipFile(f"{out}/corpus.txt.gz", "wb", mtime=0) as file:
    file.write(("\n".join(texts) + "\n").encode())
with gzip.GzipFile(f"{out}/expected.jsonl.gz", "wb", mtime=0) as file:
    file.write("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode())
