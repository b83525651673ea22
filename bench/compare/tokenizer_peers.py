"""What other libraries make of the same tokenizer files. Each gives ids, without special tokens, from a call per text."""

import json
import time
from pathlib import Path


class Tokenizers:
    """Hugging Face's library, with offsets as its `encode` always makes them."""

    name = "tokenizers"

    def __init__(self, folder: Path):
        from tokenizers import Tokenizer

        self.path = str(folder / "tokenizer.json")
        self.load = lambda: Tokenizer.from_file(self.path)
        self.tokenizer = self.load()
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    def encode(self, text: str):
        return self.tokenizer.encode(text, add_special_tokens=False)

    def encode_batch(self, texts: list[str]):
        return self.tokenizer.encode_batch(texts, add_special_tokens=False)

    def ids(self, text: str) -> list[int]:
        return self.encode(text).ids

    def offsets(self, text: str) -> list[tuple[int, int]]:
        return self.encode(text).offsets

    def decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=False)


def byte_of_letter() -> dict[str, int]:
    """GPT-2's alphabet for bytes: printable ones stand for themselves, the others follow from U+0100 on."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = {chr(byte): byte for byte in kept}
    others = [byte for byte in range(256) if byte not in kept]
    return letters | {chr(0x100 + i): byte for i, byte in enumerate(others)}


class Tiktoken:
    """The ranks of a byte-level tokenizer.json, with possessive quantifiers, which are its fastest patterns."""

    name = "tiktoken"
    PATTERNS = {
        "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
        "qwen2.5": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}++|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s*[\r\n]+|"
        r"\s+(?!\S)|\s+",
    }

    def __init__(self, folder: Path):
        import tiktoken

        letters = byte_of_letter()
        vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
        ranks = {}
        for token, rank in vocabulary.items():
            if all(letter in letters for letter in token):
                ranks[bytes(letters[letter] for letter in token)] = rank
        self.load = lambda: tiktoken.Encoding(
            folder.name, pat_str=self.PATTERNS[folder.name], mergeable_ranks=ranks, special_tokens={}
        )
        self.tokenizer = self.load()

    def encode(self, text: str):
        return self.tokenizer.encode_ordinary(text)

    def encode_batch(self, texts: list[str]):
        return self.tokenizer.encode_ordinary_batch(texts, num_threads=2)

    ids = encode

    def decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids)


class SentencePiece:
    """The model file beside a tokenizer.json, without offsets. ALBERT lower-cases before it, so the ids are others."""

    name = "sentencepiece"
    same_ids = False

    def __init__(self, folder: Path):
        import sentencepiece

        path = next(folder / name for name in ("spiece.model", "tokenizer.model") if (folder / name).exists())
        self.load = lambda: sentencepiece.SentencePieceProcessor(model_file=str(path))
        self.tokenizer = self.load()

    def encode(self, text: str):
        return self.tokenizer.encode(text)

    def encode_batch(self, texts: list[str]):
        return self.tokenizer.encode(texts, num_threads=2)

    ids = encode

    def decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids)


PEERS_OF = {
    "bert-base-uncased": [Tokenizers],
    "gpt2": [Tokenizers, Tiktoken],
    "qwen2.5": [Tokenizers, Tiktoken],
    "t5-small": [Tokenizers],
    "xlm-roberta-base": [Tokenizers],
    "albert-base-v2": [Tokenizers, SentencePiece],
}


def milliseconds(call) -> float:
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)
