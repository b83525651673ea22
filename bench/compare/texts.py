"""Texts to tokenize: cut from files that the user has (.txt, .py, .json, .jsonl, also with .gz), and made-up ones."""

import gzip
import json
import random
from pathlib import Path

TEXT_BYTES = 10_000


def strings_of(value) -> list[str]:
    if isinstance(value, str):
        return [value] if len(value.encode()) > 60 else []
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for child in children for text in strings_of(child)]


def read(path: Path) -> str:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    text = data.decode(errors="replace")
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if kind == ".json":
        return "\n".join(dict.fromkeys(strings_of(json.loads(text))))
    if kind == ".jsonl":
        return "\n".join(dict.fromkeys(s for line in text.splitlines() for s in strings_of(json.loads(line))))
    return text


def cut(paths: list[Path], count: int, size: int = TEXT_BYTES) -> list[str]:
    """Up to `count` texts of about `size` bytes, spread over the files, cut at line ends where there are some."""
    files = [read(file) for path in paths for file in (sorted(path.glob("*.py")) if path.is_dir() else [path])]
    pieces = []
    for text in files:
        piece, length = [], 0
        for line in text.splitlines(keepends=True):
            piece.append(line)
            length += len(line.encode())
            if length >= size:
                pieces.append("".join(piece))
                piece, length = [], 0
    step = max(1, len(pieces) // count)
    return pieces[::step][:count]


def new_words(texts: list[str], seed: int) -> list[str]:
    """The same texts with the letters of each word shuffled: words that nobody has seen, of the usual lengths."""
    generator = random.Random(seed)

    def shuffled(word: str) -> str:
        letters = list(word)
        generator.shuffle(letters)
        return "".join(letters)

    return [" ".join(shuffled(word) for word in text.split(" ")) for text in texts]


def hostile(kind: str, size: int) -> str:
    """About `size` bytes that have no words, or one."""
    generator = random.Random(7)
    if kind == "one letter":
        return "a" * size
    if kind == "no spaces":
        return "".join(generator.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(size))
    if kind == "random code points":
        text, length = [], 0
        while length < size:
            point = generator.randrange(0x20, 0x30000)
            if 0xD800 <= point < 0xE000:
                continue
            text.append(chr(point))
            length += len(text[-1].encode())
        return "".join(text)
    raise ValueError(kind)


HOSTILE = ("one letter", "no spaces", "random code points")


def write(texts: list[str], path: Path) -> Path:
    path.write_text("".join(json.dumps(text) + "\n" for text in texts))
    return path
