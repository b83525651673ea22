"""One peer of generation.py as a process: a JSON object a line in ({"ids", "new_tokens", "beams"}), one a line out
({"ms", "tokens"}). Prompts go in as ids; greedy or beam search; exactly so many new tokens."""

import json
import os
import sys
import time


class Transformers:
    def __init__(self, folder: str, threads: int):
        import torch
        import transformers

        torch.set_num_threads(threads)
        self.torch = torch
        config = transformers.AutoConfig.from_pretrained(folder)
        kind = transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM
        self.model = kind.from_pretrained(folder, dtype="auto").eval()
        self.prompt_in_result = not config.is_encoder_decoder

    def generate(self, prompts: list[list[int]], count: int, beams: int) -> list[list[int]]:
        torch = self.torch
        longest = max(map(len, prompts))
        pad = lambda row, filler: [filler] * (longest - len(row)) + row  # noqa: E731
        ids = torch.tensor([pad(row, 0) for row in prompts])
        mask = torch.tensor([pad([1] * len(row), 0) for row in prompts])
        with torch.inference_mode():
            out = self.model.generate(
                input_ids=ids, attention_mask=mask, max_new_tokens=count, min_new_tokens=count, do_sample=False,
                num_beams=beams, pad_token_id=0)
        return out[:, longest if self.prompt_in_result else 1 :].tolist()


class LlamaCpp:
    """One prompt at a time, greedy; FILE.gguf beside the folder, made by to_gguf.py."""

    def __init__(self, folder: str, threads: int):
        import llama_cpp

        self.llama = llama_cpp.Llama(
            folder.rstrip("/") + ".gguf", n_ctx=512, n_threads=threads, n_threads_batch=threads, n_batch=512,
            verbose=False)
        self.cpp = llama_cpp

    def generate(self, prompts: list[list[int]], count: int, beams: int) -> list[list[int]]:
        import numpy

        if beams > 1 or len(prompts) > 1:
            raise ValueError("one prompt, greedy")
        self.llama.reset()
        self.llama.eval(prompts[0])
        tokens = []
        while True:
            logits = self.cpp.llama_get_logits_ith(self.llama._ctx.ctx, -1)
            tokens.append(int(numpy.ctypeslib.as_array(logits, (self.llama.n_vocab(),)).argmax()))
            if len(tokens) == count:
                return [tokens]
            self.llama.eval(tokens[-1:])


class CTranslate2:
    """On the folder FOLDER-ct2, made by to_ct2.py; tokens are the ids' names."""

    def __init__(self, folder: str, threads: int):
        import ctranslate2

        with open(folder.rstrip("/") + "/config.json") as file:
            config = json.load(file)
        kind = ctranslate2.Translator if config.get("is_encoder_decoder") else ctranslate2.Generator
        dtype = "bfloat16" if config.get("dtype", config.get("torch_dtype")) == "bfloat16" else "float32"
        self.model = kind(folder.rstrip("/") + "-ct2", device="cpu", compute_type=dtype, intra_threads=threads,
                          inter_threads=1)
        self.encodes = kind is ctranslate2.Translator

    def generate(self, prompts: list[list[int]], count: int, beams: int) -> list[list[int]]:
        rows = [[f"t{i}" for i in prompt] for prompt in prompts]
        if self.encodes:
            results = self.model.translate_batch(rows, beam_size=beams, max_decoding_length=count,
                                                 min_decoding_length=count)
            return [[int(token[1:]) for token in result.hypotheses[0]] for result in results]
        results = self.model.generate_batch(rows, beam_size=beams, max_length=count, min_length=count,
                                            include_prompt_in_result=False, sampling_topk=1)
        return [result.sequences_ids[0] for result in results]


PEERS = {"transformers": Transformers, "llama.cpp": LlamaCpp, "ctranslate2": CTranslate2}


def main() -> None:
    name, folder, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    peer = PEERS[name](folder, threads)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            start = time.perf_counter()
            tokens = peer.generate(request["ids"], request["new_tokens"], request.get("beams", 1))
            reply = {"ms": (time.perf_counter() - start) * 1e3, "tokens": tokens}
        except Exception as error:  # said to the runner, which goes on without
            reply = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
