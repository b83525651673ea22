"""Writes metrics.json: predictions and references with the scores that scikit-learn, scipy, seqeval, rouge_score,
sacrebleu, jiwer, nltk, transformers and sentence-transformers give them.

    python tests/training/generate_metrics.py tests/training/data
"""

import json
import random
import sys
from pathlib import Path

import jiwer
import numpy as np
import sacrebleu
import scipy.stats
import seqeval.metrics as seq
import seqeval.scheme
import sklearn.metrics as sk
from nltk.stem.porter import PorterStemmer
from rouge_score import rouge_scorer
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

rng = random.Random(7)


def classification():
    cases = []
    for classes, n in ((2, 40), (4, 60), (3, 5), (2, 6)):
        y = [rng.randrange(classes) for _ in range(n)]
        p = [a if rng.random() < 0.6 else rng.randrange(classes) for a in y]
        cases.append((p, y))
    cases += [([1, 1, 1], [0, 0, 0]), ([0, 0], [0, 0]), ([5, 5, -1, 7], [5, 2, 2, 2]), ([1, 1, 1, 1], [0, 1, 0, 1])]
    result = []
    for p, y in cases:
        one = {"p": p, "y": y, "accuracy": sk.accuracy_score(y, p), "matthews": float(sk.matthews_corrcoef(y, p))}
        averages = ["micro", "macro", "weighted"] + (["binary"] if set(p + y) <= {0, 1} else [])
        for average in averages:
            one[average] = [float(v) for v in sk.precision_recall_fscore_support(
                y, p, average=average, zero_division=0)[:3]]
        one["classes"] = [[float(v) for v in column]
                          for column in sk.precision_recall_fscore_support(y, p, zero_division=0)]
        result.append(one)
    return result


def correlation():
    result = []
    for n, levels in ((12, 1000), (30, 6), (5, 2), (2, 50)):
        x = [rng.randrange(levels) / 7 for _ in range(n)]
        y = [a + rng.randrange(levels) / 9 for a in x]
        y[0] += 1
        x[-1] += 0.5
        result.append({"x": x, "y": y, "pearson": float(scipy.stats.pearsonr(x, y)[0]),
                       "spearman": float(scipy.stats.spearmanr(x, y)[0])})
    return result


def entities():
    schemes = {"lenient": "BIOES", "IOB1": "BIO", "IOB2": "BIO", "IOE1": "IOE", "IOE2": "IOE", "IOBES": "BIOES",
               "BILOU": "BILOU"}
    result = []
    for name, letters in schemes.items():
        def sentence():
            tags = []
            for _ in range(rng.randrange(1, 14)):
                letter = rng.choice(letters + letters.replace("O", ""))
                tags.append("O" if letter == "O" else letter + "-" + rng.choice(["PER", "LOC", "a-b"]))
            return tags

        references = [sentence() for _ in range(25)]
        predictions = [[t if rng.random() < 0.7 else rng.choice(sum(references, [])) for t in s] for s in references]
        strict = {} if name == "lenient" else {"mode": "strict", "scheme": getattr(seqeval.scheme, name)}
        one = {"scheme": name, "p": predictions, "y": references, "accuracy": seq.accuracy_score(references, predictions)}
        for average in ("micro", "macro", "weighted"):
            one[average] = [float(f(references, predictions, average=average, zero_division=0, **strict))
                            for f in (seq.precision_score, seq.recall_score, seq.f1_score)]
        result.append(one)
    one = {"scheme": "lenient", "p": [["O", "B", "I", "X-PER"]], "y": [["I-PER", "I", "I", "."]]}
    one["accuracy"] = seq.accuracy_score(one["y"], one["p"])
    for average in ("micro", "macro", "weighted"):
        one[average] = [float(f(one["y"], one["p"], average=average, zero_division=0))
                        for f in (seq.precision_score, seq.recall_score, seq.f1_score)]
    return result + [one]


TEXTS = [
    ("The quick brown fox jumped over the lazy dogs.", "A quick brown fox jumps over the lazy dog!"),
    ("Prices rose 3.5% to $1,234.50 in 2019-2020, he said.", "Prices rose by 3.5 % to $ 1,234.50 (2019-2020), she said."),
    ("It is, of course, a \"matter of taste\": isn't it?", "It's of course a matter of taste, isn't it?"),
    ("Relational databases are generally organised logically.\nThey were operating happily.",
     "A relational database is organized in a logical way.\nHappily they operated; relations skies dying."),
    ("Der Fluß fließt — „schnell“ — nach Süden… 3,5 km²", "Der Fluss fließt „schnell“ nach Süden: 3,5 km²"),
    ("東京は日本の首都です。", "東京は、日本の首都である。"),
    ("same text", "same text"),
    ("", "nothing was said"),
    ("one", "two"),
    ("A\tB  C &amp; D &lt;x&gt; e.g. <skipped> well-\nknown", "A B C & D <x> e.g. well-known"),
    ("İstanbul'da ΑΒΓΔ ΣΑΣ КОТ", "istanbul'da αβγδ σασα кот"),
    ("the the the the cat", "the cat the mat"),
]


def rouge():
    result = []
    for stem in (False, True):
        scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL", "rougeLsum"], use_stemmer=stem)
        result.append([[list(map(float, s)) for s in scorer.score(y, p).values()] for p, y in TEXTS])
    return result


def stems():
    words = """caresses ponies ties caress cats feed agreed plastered bled motoring sing conflated troubled sized
    hopping tanned falling hissing fizzed failing filing happy sky relational conditional rational valenci hesitanci
    digitizer conformabli radicalli differentli vileli analogousli vietnamization predication operator feudalism
    decisiveness hopefulness callousness formaliti sensitiviti sensibiliti triplicate formative formalize electriciti
    electrical hopeful goodness revival allowance inference airliner gyroscopic adjustable defensible irritant
    replacement adjustment dependent adoption homologou communism activate angulariti homologous effective bowdlerize
    probate rate cease controll roll dying lying news innings succeed spied died tried dies flies enjoy enjoyment spy
    logically apology geology theology yyyy yes eye ie as is sses ies ing ed eed sion ation finally fulli dutifulli
    oed wing king being saying 2019 a1b2 generalizations oscillators ally totally ability possibly eating tie
    xylophones""".split()
    stemmer = PorterStemmer()
    return {word: stemmer.stem(word) for word in words}


def translation():
    hyps = [p for p, _ in TEXTS]
    refs = [[y, y.replace("the", "this")[::1] + (" indeed" if i % 3 == 0 else "")] for i, (_, y) in enumerate(TEXTS)]
    streams = [[r[k] for r in refs] for k in (0, 1)]
    result = {"references": refs, "bleu": [], "sentence": [], "chrf": []}
    for kwargs in ({}, {"tokenize": "intl"}, {"tokenize": "char"}, {"tokenize": "none"}, {"lowercase": True},
                   {"smooth_method": "floor"}, {"smooth_method": "add-k"}, {"smooth_method": "none"},
                   {"max_ngram_order": 2}):
        b = sacrebleu.metrics.BLEU(**kwargs).corpus_score(hyps, streams)
        result["bleu"].append({"options": kwargs, "score": b.score, "precisions": b.precisions, "bp": b.bp,
                               "lengths": [b.sys_len, b.ref_len]})
    for i, hyp in enumerate(hyps):
        result["sentence"].append([sacrebleu.metrics.BLEU(effective_order=True).sentence_score(hyp, refs[i]).score,
                                   sacrebleu.metrics.BLEU(smooth_method="none").sentence_score(hyp, refs[i]).score])
    for kwargs in ({}, {"word_order": 2}, {"lowercase": True}, {"whitespace": True}, {"eps_smoothing": True},
                   {"beta": 1, "char_order": 3, "word_order": 1}):
        result["chrf"].append({"options": kwargs, "score": sacrebleu.metrics.CHRF(**kwargs).corpus_score(hyps, streams).score})
    result["tokens"] = [[sacrebleu.metrics.BLEU(tokenize=t).tokenizer(p.rstrip()).split() for p in hyps + streams[0]]
                        for t in ("13a", "intl", "char")]
    return result


def transcripts():
    pairs = [(p, y) for p, y in TEXTS] + [("a  b\tc ", "a b c"), ("  x y z", "x  z"), ("kitten sitting", "sitting kitten")]
    hyps, refs = [p for p, _ in pairs], [y for _, y in pairs]
    return {"p": hyps, "y": refs, "wer": jiwer.wer(refs, hyps), "cer": jiwer.cer(refs, hyps),
            "each": [[jiwer.wer(y, p), jiwer.cer(y, p)] for p, y in pairs]}


def squad():
    """The published scripts for SQuAD 1.1 and 2.0 agree but where a side is empty; there 2.0's rule holds."""
    import collections
    import re
    import string

    def normalize(s):
        s = "".join(c for c in s.lower() if c not in string.punctuation)
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", s).split())

    def f1(p, y):
        p, y = normalize(p).split(), normalize(y).split()
        if not p or not y:
            return float(p == y)
        same = sum((collections.Counter(p) & collections.Counter(y)).values())
        return 2 * same / (len(p) + len(y)) if same else 0.0

    questions = [("The Eiffel Tower!", ["Eiffel tower", "the tower"]), ("in 1889, a year", ["1889"]), ("", []),
                 ("something", []), ("", ["answer"]), ("An the a", ["the"]), ("the-end of an era", ["end of era", "The end"]),
                 ("l’a été  the été", ["l’ été"]), ("dog dog cat", ["dog cat cat", "cat"]), ("Éa anna theory", ["éa anna theory."])]
    em = [max(float(normalize(p) == normalize(y)) for y in (ys or [""])) for p, ys in questions]
    f = [max(f1(p, y) for y in (ys or [""])) for p, ys in questions]
    return {"p": [p for p, _ in questions], "y": [y for _, y in questions], "normalized": [normalize(p) for p, _ in questions],
            "em": em, "f1": f, "exact_match": 100 * float(np.mean(em)), "mean_f1": 100 * float(np.mean(f))}


def retrieval():
    documents, queries = 20, 8
    relevant = [sorted(rng.sample(range(documents), rng.randrange(1, 6))) for _ in range(queries)]
    ranked = [rng.sample(range(documents), 12) for _ in range(queries)]
    ks = [1, 3, 5, 10]
    evaluator = InformationRetrievalEvaluator(
        {str(q): "" for q in range(queries)}, {str(d): "" for d in range(documents)},
        {str(q): {str(d) for d in r} for q, r in enumerate(relevant)},
        accuracy_at_k=ks, precision_recall_at_k=ks, mrr_at_k=ks, ndcg_at_k=ks, map_at_k=ks)
    hits = [[{"corpus_id": str(d), "score": -i} for i, d in enumerate(row)] for row in ranked]
    scores = evaluator.compute_metrics(hits)
    return {"ranked": ranked, "relevant": relevant, "ks": ks,
            "scores": {name: [float(scores[name][k]) for k in ks] for name in scores}}


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.15g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(v) for v in value]
    return value


def main():
    data = {"classification": classification(), "correlation": correlation(), "entities": entities(),
            "texts": [list(t) for t in TEXTS], "rouge": rouge(), "stems": stems(), "translation": translation(),
            "transcripts": transcripts(), "squad": squad(), "retrieval": retrieval()}
    lines = ",\n".join(f"{json.dumps(k)}:{json.dumps(rounded(v), separators=(',', ':'), ensure_ascii=False)}"
                       for k, v in data.items())
    (Path(sys.argv[1]) / "metrics.json").write_text("{" + lines + "}\n")


main()
