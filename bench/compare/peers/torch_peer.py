"""PyTorch: transformers' BertModel in eager mode or through torch.compile, and sentence-transformers' own encode."""

import numpy as np
import sentence_transformers
import torch
import transformers
from sentence_transformers import SentenceTransformer


class Peer:
    def __init__(self, model: str, dtype: str, threads: int, variant: str):
        torch.set_num_threads(threads)
        transformers.logging.disable_progress_bar()
        # Scaled dot product attention is transformers' default and as fast as the explicit one at these sizes.
        self.sentence_model = SentenceTransformer(model, device="cpu", model_kwargs={"dtype": getattr(torch, dtype)})
        self.sentence_model.eval()
        self.bert = self.sentence_model[0].model
        if variant == "compile":
            # Freezing lets the compiler pack the weights once, which is most of what it gains here. Inputs of a new
            # shape make it compile again, unless shapes are declared dynamic.
            import torch._inductor.config as inductor

            inductor.freezing = True
            torch._dynamo.config.cache_size_limit = 64
            self.bert = torch.compile(self.bert)
            self.sentence_model[0].model = self.bert
        self.settings = (
            f"torch {torch.__version__} ({variant}), transformers {transformers.__version__}, "
            f"sentence-transformers {sentence_transformers.__version__}; {dtype}, {threads} threads, sdpa, inference"
        )

    def forward(self, ids: np.ndarray):
        with torch.inference_mode():
            input_ids = torch.from_numpy(ids)
            mask = torch.ones_like(input_ids)
            return self.bert(input_ids=input_ids, attention_mask=mask, token_type_ids=torch.zeros_like(input_ids))[0]

    def to_numpy(self, hidden) -> np.ndarray:
        return hidden.float().numpy()

    def encode(self, sentences: list[str], batch_size: int) -> np.ndarray:
        return self.sentence_model.encode(sentences, batch_size=batch_size, show_progress_bar=False).astype(np.float32)
