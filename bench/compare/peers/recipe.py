"""What sentence-transformers does around the model, in a thin loop for the peers that bring only the model.

The recipe: tokenize, sort by length, cut into batches, pad each batch to its longest row, run, average the tokens that
are not padding, normalise. Texts are tokenized all at once, because the tokenizer then uses its threads best, and
sorted by their number of tokens, because that pads less than sorting by characters. Both favour the peer.
"""

import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer


class Recipe:
    def __init__(self, model: str):
        folder = Path(model)
        config = json.loads((folder / "sentence_bert_config.json").read_text())
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(config["max_seq_length"])
        self.padding = self.tokenizer.token_to_id("[PAD]") or 0

    def encode(self, sentences: list[str], batch_size: int, run) -> np.ndarray:
        """`run` takes ids and mask, both int64 [batch, tokens], and gives the last hidden state, float32."""
        rows = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(sentences)]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]), reverse=True)
        embeddings = None
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            tokens = len(rows[chosen[0]])
            ids = np.full((len(chosen), tokens), self.padding, dtype=np.int64)
            mask = np.zeros_like(ids)
            for row, index in enumerate(chosen):
                length = len(rows[index])
                ids[row, :length] = rows[index]
                mask[row, :length] = 1
            pooled = mean_of_tokens(run(ids, mask), mask)
            if embeddings is None:
                embeddings = np.empty((len(sentences), pooled.shape[1]), dtype=np.float32)
            embeddings[chosen] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return embeddings


def mean_of_tokens(hidden: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """[batch, tokens, hidden], [batch, tokens] -> [batch, hidden]; a product with the mask is NumPy's fastest way."""
    weights = mask.astype(np.float32)[:, None, :]
    return (weights @ hidden)[:, 0, :] / weights.sum(axis=2)
