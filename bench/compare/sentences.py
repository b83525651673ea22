"""Builds the list of real sentences that the encode workload embeds, from text files that the user names.

    python sentences.py MODEL FILE... --output sentences.txt

A FILE is text (.txt) or JSON lines (.jsonl, the English under "en", "text" or "sentence"), or either with .gz. From all
of them together come 1,000 different texts of 5 to 256 tokens, special tokens counted, about 40,000 tokens in all: 85
in a hundred are single sentences, taken from the files in turn, and the others are passages of consecutive sentences,
so lengths vary as they do in use. The same files give the same list.
"""

import argparse
import gzip
import json
import random
import re
import sys
from pathlib import Path

from tokenizers import Tokenizer

LEAST, MOST = 5, 256  # tokens of one text
PASSAGES = 0.15  # share of the texts that are passages
FIELDS = ("en", "text", "sentence")


def read_lines(path: Path) -> list[str]:
    opened = gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8")
    with opened as file:
        return [line.strip() for line in file]


def sentences_of_text(lines: list[str]) -> list[str]:
    """Sentences in the order of the text. A line that ends with a colon names a speaker, one with `=` is a heading."""
    kept = ["" if line.endswith(":") or line.startswith("=") or "<unk>" in line else line for line in lines]
    paragraphs = re.split(r"\n{2,}", "\n".join(kept))
    sentences = []
    for paragraph in paragraphs:
        sentences += re.split(r"(?<=[.!?])\s+(?=[A-Z\"'])", " ".join(paragraph.split()))
    return sentences


def read_sentences(path: Path) -> list[str]:
    lines = read_lines(path)
    if ".jsonl" not in path.suffixes:
        return sentences_of_text(lines)
    rows = [json.loads(line) for line in lines if line]
    field = next((name for name in FIELDS if rows and name in rows[0]), None)
    if field is None:
        raise SystemExit(f"sentences: {path} has none of the fields {', '.join(FIELDS)}")
    return [" ".join(row[field].split()) for row in rows]


class Counter:
    """Counts tokens as the model will: with the special tokens, without truncation."""

    def __init__(self, model: str):
        self.tokenizer = Tokenizer.from_file(str(Path(model) / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    def __call__(self, text: str) -> int:
        return len(self.tokenizer.encode(text).ids)


def choose_singles(files: list[list[str]], wanted: int, count_tokens: Counter, rng: random.Random) -> dict[str, int]:
    """Text -> tokens. The files take turns, so a large file does not push out a small one."""
    pools = [rng.sample(sentences, len(sentences)) for sentences in files]
    chosen = {}
    while len(chosen) < wanted and any(pools):
        for pool in pools:
            while pool and len(chosen) < wanted:
                text = pool.pop()
                tokens = count_tokens(text) if text and text not in chosen else 0
                if LEAST <= tokens <= MOST:
                    chosen[text] = tokens
                    break
    return chosen


def choose_passages(
    files: list[list[str]],
    taken: dict[str, int],
    wanted: int,
    tokens_left: int,
    count_tokens: Counter,
    rng: random.Random,
) -> dict[str, int]:
    """Consecutive sentences. Each passage aims at its share of the tokens that are still missing, give or take 90 %."""
    chosen = {}
    tries = 0
    while len(chosen) < wanted:
        tries += 1
        if tries > 100 * wanted:
            raise SystemExit("sentences: the files hold too little text to make the passages")
        aim = tokens_left / (wanted - len(chosen)) * rng.uniform(0.1, 1.9)
        sentences = rng.choice(files)
        start = rng.randrange(len(sentences))
        text, tokens = "", 0
        for sentence in sentences[start:]:
            longer = f"{text} {sentence}".strip()
            length = count_tokens(longer)
            if length > MOST or (tokens >= aim and text):
                break
            text, tokens = longer, length
        if tokens >= LEAST and text not in chosen and text not in taken:
            chosen[text] = tokens
            tokens_left -= tokens
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="folder with the tokenizer.json that counts the tokens")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, required=True, help="one text a line")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--tokens", type=int, default=40000, help="tokens wanted in all")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    rng = random.Random(arguments.seed)
    count_tokens = Counter(arguments.model)
    files = [read_sentences(path) for path in arguments.files]
    passages = round(arguments.count * PASSAGES)
    chosen = choose_singles(files, arguments.count - passages, count_tokens, rng)
    if len(chosen) < arguments.count - passages:
        raise SystemExit(f"sentences: only {len(chosen)} sentences of {LEAST} to {MOST} tokens in these files")
    tokens_left = arguments.tokens - sum(chosen.values())
    chosen |= choose_passages(files, chosen, passages, tokens_left, count_tokens, rng)

    texts = list(chosen)
    rng.shuffle(texts)
    arguments.output.write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    lengths = sorted(chosen.values())
    shares = (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)
    quantiles = "/".join(str(lengths[round(share * (len(lengths) - 1))]) for share in shares)
    print(f"{len(texts)} texts, {sum(lengths)} tokens, quantiles {quantiles}", file=sys.stderr)


if __name__ == "__main__":
    main()
