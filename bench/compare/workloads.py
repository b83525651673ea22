"""What is measured: full rows of five shapes, and the list of real sentences."""

from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from costs import Encoder, floor_seconds

SHAPES = ((1, 16), (1, 128), (8, 128), (32, 128), (1, 512))
BATCH_SIZE = 32  # of the sentences


@dataclass(frozen=True)
class Workload:
    name: str
    request: dict  # what a worker is sent, without the number of runs
    lengths: list[int]  # of the rows, for the floor
    passes: int  # batches in one run

    @property
    def operation(self) -> str:
        return self.request["op"]

    def floor_ms(self, encoder: Encoder, machine: dict, dtype: str, threads: int) -> float:
        return 1e3 * floor_seconds(encoder, machine, dtype, threads, self.lengths, self.passes)


def make_workloads(model: str, sentences_file: Path) -> list[Workload]:
    """The full rows are real text too: the sentences one after the other, between the model's own [CLS] and [SEP]."""
    sentences = sentences_file.read_text(encoding="utf-8").splitlines()
    tokenizer = Tokenizer.from_file(str(Path(model) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    encodings = [encoding.ids for encoding in tokenizer.encode_batch(sentences)]
    first, last = encodings[0][0], encodings[0][-1]
    stream = [token for ids in encodings for token in ids[1:-1]]

    workloads = []
    for batch, tokens in SHAPES:
        inner = tokens - 2
        if batch * inner > len(stream):
            raise SystemExit(f"compare: {sentences_file} holds too little text for {batch}x{tokens}")
        rows = [[first, *stream[row * inner : (row + 1) * inner], last] for row in range(batch)]
        request = {"op": "forward", "batch": batch, "tokens": tokens, "ids": rows}
        workloads.append(Workload(f"{batch}x{tokens}", request, [tokens] * batch, 1))

    lengths = [len(ids) for ids in encodings]
    request = {"op": "encode", "sentences": sentences, "batch_size": BATCH_SIZE}
    workloads.append(Workload("sentences", request, lengths, -(-len(sentences) // BATCH_SIZE)))
    return workloads
