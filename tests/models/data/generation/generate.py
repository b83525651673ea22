#!/usr/bin/env python3
"""Makes the reference data of tests/models/generation: what transformers' logits processors give for random scores, and
what its strategies give for a toy model.

    python generate.py OUT_FOLDER

Needs torch and transformers. Only whoever adds cases runs it: the tests read what it wrote (processors.json and
strategies.json). All inputs come from the hash stream that tests/golden/README.md describes, so they are not stored.

The toy model: logits = 3 A[last token] + 2 B[token before it] (no B for the first token), A and B [16, 16] from the
streams "toy.last" and "toy.before", float32.
"""

import json
import math
import random
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import GenerationConfig, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

VOCAB = 16


def uniform(text, count):
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = ((h ^ byte) * 0x100000001B3) & (2**64 - 1)
    with np.errstate(over="ignore"):
        z = np.uint64(h) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return 2 * ((z >> np.uint64(40)).astype(np.float64) * 2.0**-24) - 1


def stream(text, *shape):
    return torch.from_numpy(uniform(text, int(np.prod(shape))).astype(np.float32).reshape(shape))


class ToyConfig(PretrainedConfig):
    model_type = "toy"

    def __init__(self, **kwargs):
        self.vocab_size = VOCAB
        super().__init__(**kwargs)


class Toy(PreTrainedModel, GenerationMixin):
    config_class = ToyConfig

    def __init__(self, config):
        super().__init__(config)
        self.unused = torch.nn.Parameter(torch.zeros(1))
        self.last = 3 * stream("toy.last", VOCAB, VOCAB)
        self.before = 2 * stream("toy.before", VOCAB, VOCAB)
        self.post_init()

    def prepare_inputs_for_generation(self, input_ids, attention_mask=None, **kwargs):
        return {"input_ids": input_ids, "attention_mask": attention_mask}

    def forward(self, input_ids=None, attention_mask=None, **kwargs):
        logits = self.last[input_ids]
        if input_ids.shape[1] > 1:
            before = self.before[input_ids[:, :-1]]
            if attention_mask is not None:
                # The mask that generate() keeps is that of the prompt.
                mask = torch.ones_like(input_ids)
                mask[:, : attention_mask.shape[1]] = attention_mask[:, : input_ids.shape[1]]
                before = before * mask[:, :-1, None]
            logits = torch.cat((logits[:, :1], logits[:, 1:] + before), dim=1)
        return CausalLMOutput(logits=logits)


# ---- processors ----------------------------------------------------------------------------------------------------

# name, settings, scale of the scores, length of the text, extras
PROCESSOR_CASES = [
    dict(name="nothing"),
    dict(name="temperature", settings=dict(do_sample=True, temperature=0.7, top_k=0)),
    dict(name="top_k", settings=dict(do_sample=True, top_k=5)),
    dict(name="top_k_beyond", settings=dict(do_sample=True, top_k=500)),
    dict(name="top_p", settings=dict(do_sample=True, top_k=0, top_p=0.8)),
    dict(name="top_p_low", settings=dict(do_sample=True, top_k=0, top_p=0.01)),
    dict(name="top_p_wide", settings=dict(do_sample=True, top_k=0, top_p=0.95), vocab=3000, scale=1.0),
    dict(name="top_p_beams", settings=dict(do_sample=True, top_k=0, top_p=0.05, num_beams=2, eos_token_id=[3, 4])),
    dict(name="min_p", settings=dict(do_sample=True, top_k=0, min_p=0.1)),
    dict(name="min_p_beams", settings=dict(do_sample=True, top_k=0, min_p=0.9, num_beams=3, eos_token_id=1)),
    dict(name="top_h", settings=dict(do_sample=True, top_k=0, top_h=0.4)),
    dict(name="top_h_wide", settings=dict(do_sample=True, top_k=0, top_h=0.6), vocab=300, scale=2.0),
    dict(name="typical_p", settings=dict(do_sample=True, top_k=0, typical_p=0.5)),
    dict(name="typical_p_wide", settings=dict(do_sample=True, top_k=0, typical_p=0.9), vocab=3000, scale=1.0),
    dict(name="typical_p_beams", settings=dict(do_sample=True, top_k=0, typical_p=0.05, num_beams=2)),
    dict(name="epsilon", settings=dict(do_sample=True, top_k=0, epsilon_cutoff=0.02)),
    dict(name="epsilon_all", settings=dict(do_sample=True, top_k=0, epsilon_cutoff=0.9, num_beams=2)),
    dict(name="eta", settings=dict(do_sample=True, top_k=0, eta_cutoff=0.05)),
    dict(name="eta_small", settings=dict(do_sample=True, top_k=0, eta_cutoff=0.0009), vocab=500, scale=2.0),
    dict(name="all_cuts", settings=dict(do_sample=True, temperature=1.7, top_k=12, top_p=0.9, min_p=0.02, typical_p=0.95,
                                        epsilon_cutoff=0.01, eta_cutoff=0.02)),
    dict(name="cuts_and_norm", settings=dict(do_sample=True, top_k=6, top_p=0.9, renormalize_logits=True)),
    dict(name="repetition", settings=dict(repetition_penalty=1.3)),
    dict(name="repetition_reward", settings=dict(repetition_penalty=0.8)),
    dict(name="encoder_repetition", settings=dict(encoder_repetition_penalty=1.5), encoder=[2, 5, 5, 7]),
    dict(name="no_repeat_1", settings=dict(no_repeat_ngram_size=1)),
    dict(name="no_repeat_2", settings=dict(no_repeat_ngram_size=2), ids=[1, 2, 3, 1, 2, 5, 1]),
    dict(name="no_repeat_3", settings=dict(no_repeat_ngram_size=3), ids=[4, 1, 2, 3, 4, 1, 2, 9, 4, 1, 2]),
    dict(name="no_repeat_short", settings=dict(no_repeat_ngram_size=4), ids=[4, 1, 2]),
    dict(name="no_repeat_exact", settings=dict(no_repeat_ngram_size=3), ids=[4, 4, 4]),
    dict(name="encoder_no_repeat", settings=dict(encoder_no_repeat_ngram_size=3), ids=[9, 2, 5],
         encoder=[2, 5, 5, 7, 2, 5, 8]),
    dict(name="encoder_no_repeat_short", settings=dict(encoder_no_repeat_ngram_size=3), ids=[2], encoder=[2, 5, 5, 7]),
    dict(name="bad_words", settings=dict(bad_words_ids=[[3], [1, 2, 7], [2, 6], [8, 9, 1, 2, 10], [11, 11]],
                                         eos_token_id=3), ids=[9, 1, 2]),
    dict(name="sequence_bias", settings=dict(sequence_bias=[[[3], 1.5], [[1, 2, 7], -2.5], [[2, 7], 4.0], [[5, 7], 9.0],
                                                            [[3], -0.5]]), ids=[9, 1, 2]),
    dict(name="forced_bos", settings=dict(forced_bos_token_id=6), ids=[2]),
    dict(name="forced_bos_later", settings=dict(forced_bos_token_id=6), ids=[2, 3]),
    dict(name="forced_eos", settings=dict(forced_eos_token_id=[6, 7], max_length=8), ids=[1, 2, 3, 4, 5, 6, 7]),
    dict(name="forced_eos_early", settings=dict(forced_eos_token_id=6, max_length=9), ids=[1, 2, 3, 4, 5, 6, 7]),
    dict(name="min_length", settings=dict(min_length=4, eos_token_id=[5, 6]), ids=[1, 2, 3]),
    dict(name="min_length_reached", settings=dict(min_length=3, eos_token_id=[5, 6]), ids=[1, 2, 3]),
    dict(name="min_new_tokens", settings=dict(min_new_tokens=3, eos_token_id=5), ids=[1, 2, 3, 4], prompt=2),
    dict(name="min_new_tokens_reached", settings=dict(min_new_tokens=2, eos_token_id=5), ids=[1, 2, 3, 4], prompt=2),
    dict(name="suppress", settings=dict(suppress_tokens=[1, 4, 9])),
    dict(name="begin_suppress", settings=dict(begin_suppress_tokens=[1, 4]), ids=[1, 2, 3], prompt=3),
    dict(name="begin_suppress_later", settings=dict(begin_suppress_tokens=[1, 4]), ids=[1, 2, 3, 4], prompt=3),
    dict(name="begin_suppress_bos", settings=dict(begin_suppress_tokens=[1, 4], forced_bos_token_id=7), ids=[1, 7],
         prompt=1),
    dict(name="decay", settings=dict(exponential_decay_length_penalty=[2, 1.4], eos_token_id=[5, 6]),
         ids=[1, 2, 3, 4, 5, 6, 7], prompt=3),
    dict(name="decay_not_yet", settings=dict(exponential_decay_length_penalty=[4, 1.4], eos_token_id=5),
         ids=[1, 2, 3, 4, 5, 6, 7], prompt=3),
    dict(name="remove_invalid", settings=dict(remove_invalid_values=True), invalid=True),
    dict(name="renormalize", settings=dict(renormalize_logits=True)),
    dict(name="all_rules", settings=dict(repetition_penalty=1.2, no_repeat_ngram_size=2, bad_words_ids=[[2, 3]],
                                         min_length=20, eos_token_id=5, suppress_tokens=[8], sequence_bias=[[[4], 2.0]],
                                         exponential_decay_length_penalty=[1, 1.1], do_sample=True, temperature=0.5,
                                         top_k=8, top_p=0.9, renormalize_logits=True),
         ids=[1, 2, 3, 1, 2, 6, 2], prompt=2),
]


def plain(value):
    """A float32 as the text that JSON has no number for, or as a number."""
    value = float(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "-Infinity" if value < 0 else "Infinity"
    return value


def processor_cases():
    model = Toy(ToyConfig())
    cases = []
    for case in PROCESSOR_CASES:
        vocab, scale = case.get("vocab", 24), case.get("scale", 3.0)
        scores = scale * stream("scores." + case["name"], 1, vocab)
        if case.get("invalid"):
            scores[0, 3], scores[0, 4], scores[0, 5] = math.nan, math.inf, -math.inf
        ids = torch.tensor([case.get("ids", [1, 2, 3, 2, 9])])
        prompt = case.get("prompt", min(3, ids.shape[1]))
        encoder = torch.tensor([case["encoder"]]) if "encoder" in case else ids[:, :prompt]
        config = GenerationConfig(**{**GenerationConfig._get_default_generation_params(), **case.get("settings", {})})
        if config.min_new_tokens is not None:
            config.min_length = config.min_new_tokens + prompt
        model._prepare_special_tokens(config)
        processors = model._get_logits_processor(generation_config=config, input_ids_seq_length=prompt,
                                                 encoder_input_ids=encoder)
        result = processors(ids, scores.clone())[0]
        cases.append(dict(name=case["name"], vocab=vocab, scale=scale, invalid=bool(case.get("invalid")),
                          settings=case.get("settings", {}), ids=ids[0].tolist(), prompt=prompt,
                          encoder=encoder[0].tolist(), scores=[plain(x) for x in result]))
    return cases


# ---- strategies ----------------------------------------------------------------------------------------------------

STRATEGY_CASES = [dict(name="greedy", settings=dict(max_new_tokens=12)),
                  dict(name="greedy_batch", prompts=[[1, 2], [3, 4], [5, 6]], settings=dict(max_new_tokens=12, eos_token_id=[5, 9])),
                  dict(name="greedy_ragged", prompts=[[1], [3, 4, 7], [5, 6]],
                       settings=dict(max_new_tokens=12, eos_token_id=[5, 9], pad_token_id=0)),
                  dict(name="greedy_rules", settings=dict(max_new_tokens=15, repetition_penalty=1.5, no_repeat_ngram_size=2)),
                  dict(name="greedy_max_length", settings=dict(max_length=9)),
                  dict(name="greedy_default"),
                  dict(name="beams_plain", settings=dict(num_beams=4, max_new_tokens=10)),
                  dict(name="beams_two_ends", settings=dict(num_beams=3, num_return_sequences=3, max_new_tokens=12, eos_token_id=[5, 9])),
                  dict(name="beams_rules", settings=dict(num_beams=4, num_return_sequences=2, max_new_tokens=14, eos_token_id=9,
                                                         no_repeat_ngram_size=2, repetition_penalty=1.3, min_new_tokens=5)),
                  dict(name="beams_norm", settings=dict(num_beams=3, max_new_tokens=10, eos_token_id=9, suppress_tokens=[1, 2],
                                                        renormalize_logits=True, length_penalty=2.0)),
                  dict(name="beams_forced_eos", settings=dict(num_beams=3, num_return_sequences=3, max_length=8, forced_eos_token_id=7,
                                                              eos_token_id=7)),
                  dict(name="beams_batch", prompts=[[1, 2], [3, 4], [5, 6]],
                       settings=dict(num_beams=3, num_return_sequences=2, max_new_tokens=10, eos_token_id=9, pad_token_id=11)),
                  dict(name="beams_ragged", prompts=[[1], [3, 4, 7], [5, 6]],
                       settings=dict(num_beams=3, num_return_sequences=3, max_new_tokens=10, eos_token_id=9, pad_token_id=11,
                                     early_stopping=True))]
for early in (False, True, "never"):
    for penalty in (0.0, 1.0, 2.5, -1.0):
        STRATEGY_CASES.append(dict(
            name=f"beams_{early}_{penalty}", prompts=[[1, 2], [13, 4]],
            settings=dict(num_beams=4, num_return_sequences=4, max_new_tokens=9, eos_token_id=[9], pad_token_id=11,
                          early_stopping=early, length_penalty=penalty)))

# Many more of beams, settled by chance, with the texts and their scores only.
chance = random.Random(0)
for number in range(200):
    settings = dict(num_beams=chance.randint(2, 5), max_new_tokens=chance.randint(3, 20), pad_token_id=0,
                    eos_token_id=chance.sample(range(1, VOCAB), chance.choice([1, 1, 2, 3, 6])),
                    early_stopping=chance.choice([False, True, "never"]),
                    length_penalty=chance.choice([-2.0, -0.5, 0.0, 0.5, 1.0, 3.0]))
    settings["num_return_sequences"] = chance.randint(1, settings["num_beams"])
    lengths = [chance.randint(1, 4) for _ in range(3)]
    if chance.random() < 0.3:
        settings["no_repeat_ngram_size"] = 2
        lengths = [3] * 3  # the reference counts padding tokens among the text's
    prompts = [[chance.randrange(1, VOCAB) for _ in range(length)] for length in lengths]
    STRATEGY_CASES.append(dict(name=f"chance_{number}", brief=True, prompts=prompts, settings=settings))


def strategy_cases():
    model = Toy(ToyConfig()).eval()
    cases = []
    for case in STRATEGY_CASES:
        prompts = case.get("prompts", [[1, 2, 3]])
        settings = case.get("settings", {})
        longest = max(map(len, prompts))
        pad = settings.get("pad_token_id", 0)
        ids = torch.tensor([[pad] * (longest - len(p)) + p for p in prompts])
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
        config = GenerationConfig(use_cache=False, return_dict_in_generate=True, output_scores=True, output_logits=True,
                                  **settings)
        with torch.no_grad():
            out = model.generate(ids, attention_mask=mask, generation_config=config)
        beams = getattr(out, "beam_indices", None)
        transitions = model.compute_transition_scores(out.sequences, out.scores, beams)
        logs = model.compute_transition_scores(out.sequences, out.scores, beams, normalize_logits=True)
        rows = []
        returned = out.sequences.shape[0] // len(prompts)
        for row in range(out.sequences.shape[0]):
            new = out.sequences[row, longest:].tolist()
            if beams is not None:
                length = int((beams[row] >= 0).sum())
            else:
                ends = settings.get("eos_token_id", [])
                ends = ends if isinstance(ends, list) else [ends]
                stops = [i for i, token in enumerate(new) if token in ends]
                length = stops[0] + 1 if stops else len(new)
            entry = dict(tokens=new[:length])
            if not case.get("brief"):
                entry["transitions"] = [plain(x) for x in transitions[row, :length]]
                entry["logs"] = [plain(x) for x in logs[row, :length]]
            if beams is not None:
                entry["score"] = float(out.sequences_scores[row])
                entry["beams"] = beams[row, :length].tolist()
            rows.append(entry)
        result = dict(name=case["name"], prompts=prompts, settings=settings, returned=returned, rows=rows)
        if not case.get("brief"):
            result["logits"] = [plain(x) for x in out.logits[1].reshape(-1)]
            result["scores"] = [plain(x) for x in out.scores[1].reshape(-1)]
        cases.append(result)
    return cases


def write(path, cases):
    with open(path, "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
    print(path, len(cases), "cases")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    write(folder / "processors.json", processor_cases())
    write(folder / "strategies.json", strategy_cases())
