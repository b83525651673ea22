"""Writes tests/tokenizers/data/classes: small folders of older tokenizer classes, and what transformers 5.24 makes of them (4.57
of those in VERSION_4).

    python make_class_cases.py SCRATCH_FOLDER [NAME ...]
    python make_class_cases.py SCRATCH_FOLDER --random COUNT SEED [TEXTS] NAME ...

Trains the SentencePiece models that are not there yet (sentencepiece 0.2.3). Each NAME.jsonl.gz begins with the folder's
files: an object is the content of a JSON file, a text that of another, and "@NAME" a file of data/classes. A number in
the place of a text is the line of texts.jsonl.gz. With --random the cases go to SCRATCH_FOLDER instead, as many random
texts of each folder, every second one a line of the file TEXTS.
"""
import gzip
import json
import os
import random
import shutil
import sys
import unicodedata

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "..", "data")
OUT = os.path.join(DATA, "classes")


def pack(path, content):
    with gzip.GzipFile(path, "wb", mtime=0) as file:
        file.write(content)


def lines_of(path):
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line in file]


def corpus():
    with gzip.open(os.path.join(DATA, "training", "corpus.txt.gz"), "rt", encoding="utf-8") as file:
        lines = file.read().split("\n")
    cases = lines_of(os.path.join(DATA, "albert-base-v2", "expected.jsonl.gz"))
    for text in [c["text"] for c in cases if c["case"] == "text"][::3]:
        lines += text.split("\n")
    return [line for line in lines if line.strip()]


def character_rules():
    """A small map in the manner of nmt_nfkc."""
    rules = {}
    ranges = [(1, 0x20), (0x7F, 0x180), (0x2000, 0x2070), (0x2460, 0x2480), (0x3000, 0x3001), (0xFB00, 0xFB07),
              (0xFF01, 0xFF60)]
    for code in (c for low, high in ranges for c in range(low, high)):
        to = unicodedata.normalize("NFKC", chr(code))
        if code in (9, 10, 13, 0x200B, 0x2028, 0x2029):
            to = " "
        elif unicodedata.category(chr(code)) in ("Cc", "Cf"):
            to = ""
        if to != chr(code):
            rules[chr(code)] = to
    for base in "aeiouAEIOU":
        for mark in "\u0300\u0301\u0308":
            to = unicodedata.normalize("NFKC", base + mark)
            if len(to) == 1:
                rules[base + mark] = to
    return rules


def train_models(scratch):
    import sentencepiece

    hexes = lambda text: " ".join("%X" % ord(c) for c in text)
    rules, lines = os.path.join(scratch, "rules.tsv"), os.path.join(scratch, "corpus.txt")
    open(rules, "w").write("".join(f"{hexes(k)}\t{hexes(v)}\n" for k, v in sorted(character_rules().items())))
    open(lines, "w").write("\n".join(corpus()))
    for name, kind, more in (
        ("unigram", "unigram", {}),
        ("bpe", "bpe", {}),
        ("pegasus", "unigram", {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}),
        ("bert", "unigram", {"pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3, "pad_piece": "<pad>",
                             "control_symbols": ["[CLS]", "[SEP]", "[MASK]"]}),
        ("xlnet", "unigram", {"control_symbols": ["<cls>", "<sep>", "<mask>"], "user_defined_symbols": ["<eop>"]}),
    ):
        if os.path.exists(os.path.join(OUT, name + ".model.gz")):
            continue
        prefix = os.path.join(scratch, name)
        sentencepiece.SentencePieceTrainer.train(
            input=lines, model_prefix=prefix, model_type=kind, vocab_size=900, character_coverage=0.98,
            normalization_rule_tsv=rules, minloglevel=2, num_threads=1, max_sentencepiece_length=10, **more)
        pack(os.path.join(OUT, name + ".model.gz"), open(prefix + ".model", "rb").read())


ODD = ["''", "``", "'", "\r\n", "\r", "\n", "\t", "\u200d", "\u00b4", "\u00a8", "  ", "\u3000", "\u2581", "\u0130", "\u03a3",
       "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\u00e9", "e\u0301", "\u0600",
       "\u1100\u1161", "\ufb01", "\ufeff", "\u200b", "\x01", "\x1c", "\x85", "\u00a0", "\u2028", "\u0915\u094d\u0958\u0300",
       "\u00df", "\u01c5", "@@", "</w>", "...", "!?", "(a)", "don't", "3,000.5", "a@b.c", "http://x.y/z?q=1", "\u2019s", "\uff21"]
STARTS = [0x80, 0x250, 0x300, 0x391, 0x400, 0x5D0, 0x600, 0x900, 0xE00, 0x1100, 0x1E00, 0x2000, 0x2100, 0x3040, 0x4E00,
          0xAC00, 0xFB00, 0xFF00, 0x20000, 0x1F600]


def random_text(pick, words, special):
    text = ""
    for _ in range(pick.randint(1, 10)):
        kind = pick.randint(0, 8)
        if kind < 4:
            word = pick.choice(words)
            text += pick.choice([word, word, word.upper(), word.capitalize()])
        elif kind == 4:
            text += "".join(chr(pick.randint(0, 127)) for _ in range(pick.randint(1, 8)))
        elif kind == 5:
            text += pick.choice(special)
        elif kind == 6:
            text += pick.choice(ODD)
        elif kind == 7:
            start = pick.choice(STARTS)
            text += "".join(chr(start + pick.randint(0, 60)) for _ in range(pick.randint(1, 6)))
        else:
            text += "".join(pick.choice("abcde .,") for _ in range(pick.randint(5, 20)))
        if pick.randint(0, 2):
            text += " "
    return text


def texts():
    path = os.path.join(OUT, "texts.jsonl.gz")
    if not os.path.exists(path):
        cases = lines_of(os.path.join(DATA, "albert-base-v2", "expected.jsonl.gz"))
        all_texts = list(dict.fromkeys(c["text"] for c in cases if c["case"] == "text" and len(c["text"]) < 120))
        pick, words = random.Random(1), " ".join(corpus()).split()
        all_texts += [random_text(pick, words, ["<s>", "</s>", "<unk>", "<mask>", "<pad>"]) for _ in range(120)]
        pack(path, "".join(json.dumps(t, ensure_ascii=False) + "\n" for t in all_texts).encode())
    return lines_of(path)


def nllb_decoder():
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    tokens = {i: t for i, t in enumerate(["<s>", "<pad>", "</s>", "<unk>"])}
    tokens.update({901 + i: t for i, t in enumerate(FAIRSEQ_LANGUAGE_CODES)})
    decoder = {str(i): {"content": t, **flags} for i, t in tokens.items()}
    decoder[str(901 + len(FAIRSEQ_LANGUAGE_CODES))] = {**flags, "content": "<mask>", "lstrip": True, "normalized": True}
    return {"added_tokens_decoder": decoder, "additional_special_tokens": FAIRSEQ_LANGUAGE_CODES}


def m2m100_vocab():
    import sentencepiece

    model = sentencepiece.SentencePieceProcessor(model_proto=gzip.open(os.path.join(OUT, "bpe.model.gz")).read())
    pieces = [model.IdToPiece(i) for i in range(3, model.GetPieceSize())]
    # Some pieces are missing, and some tokens are no pieces.
    return {t: i for i, t in enumerate(["<s>", "<pad>", "</s>", "<unk>"] + pieces[40:] + ["\u0416", "\U0001f600"])}


def m2m100_map():
    from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

    return {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>",
            "additional_special_tokens": [f"__{c}__" for c in FAIRSEQ_LANGUAGE_CODES["m2m100"]]}


def marked_pairs(lower):
    """Tokens and merges in the manner of subword-nmt."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace() if lower else pre_tokenizers.WhitespaceSplit()
    lines = [line.lower() if lower else line for line in corpus()]
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=1000, limit_alphabet=120, show_progress=False,
                                                             end_of_word_suffix="</w>"))
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    return [t[:-4] if t.endswith("</w>") else t + "@@" for t in tokens], [" ".join(merge) for merge in model["merges"]]


def ended_pairs(words):
    """Tokens and merges in the manner of XLM: a word's last token ends in </w>."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.train_from_iterator(words, trainers.BpeTrainer(vocab_size=900, limit_alphabet=120, show_progress=False,
                                                             end_of_word_suffix="</w>"))
    model = json.loads(tokenizer.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].get), [" ".join(merge) for merge in model["merges"]]


MOSES = ["Mr. Smith", "e.g. this", "U.S. troops", "No. 5", "No. five", "pp. 12", "z.B. so", "c.-\u00e0-d. ici", "l'eau",
         "qu'il", "aujourd'hui", "don't", "'tis", "dogs'", "5's", "'90s", "3,000", "a,b", ",,", "1,", ",1", "...", "....", ". .",
         "a...b", "..", "x..", "DOTMULTI", "DOTDOTMULTIx", "a-b-c", "--", "a -b", "@-@", "&amp;", "<b>", "a|b", "[x]", "`a`",
         "\u00abmot\u00bb", "\u00ab\u00a0mot\u00a0\u00bb", "\u201equote\u201c", "\u2018so\u2019", "\u2013", "\u2014",
         "\u2026", "3\u00a0000", "5\u00a0%", "5 %", "n\u00ba\u00a04", "20\u00a0\u00baC", "7\u00a0cm", "quoi\u00a0?",
         "\u3002 x", "\uff0e  y", "\uff1a", "\u300a\u300b", ",\"", ".\" x", ".\"<", "...\"  a", "\",", "\".,", "( a )", ") .",
         "a.'", "end.'", "Prof. a", "\u041f\u0440\u043e\u0444. \u0418\u0432\u0430\u043d\u043e\u0432", "5\u043a\u043c.",
         "\u03a3\u039f\u03a3 \u03a3", "\u0130\u00c9", "\u0915\u094d\u0937", "\u4e2d\u6587", "\ud55c\uad6d", "\u00b4\u00b4", "$5", "\u00bfQu\u00e9?",
         "\u201cSo.\u201d he", "((", "(\u20ac 5)", "don 't", "</w>", "s ' x", "s '", "' a '", "\" b \"", "&apos;s", "&#91;",
         "a.b@c.de", "www.x.org/y?z", "100%", "a:b", "a;b", "1/2", "\u00bd", "_x_", "\u00ad", "\u200b", "\x07", "\ue000"]


def moses_folders():
    from sacremoses import MosesPunctNormalizer, MosesTokenizer

    def words(lang, lower, **options):
        normal, cut = MosesPunctNormalizer(lang=lang), MosesTokenizer(lang=lang)
        for line in corpus() + MOSES * 3:
            line = line.lower() if lower else line
            yield cut.tokenize(normal.normalize(line), return_str=True, **options)

    all_folders = {}
    spare = [f"<special{i}>" for i in range(10)]
    for name, cls, lang, lower, config in (
        ("xlm", "XLMTokenizer", "en", True, {}),
        ("xlm_cased", "XLMTokenizer", "en", False, {"do_lowercase_and_remove_accent": False}),
        ("flaubert", "FlaubertTokenizer", "fr", False, {}),
        ("flaubert_uncased", "FlaubertTokenizer", "fr", True, {"do_lowercase": True}),
        ("biogpt", "BioGptTokenizer", "en", False, {}),
    ):
        escapes = name == "biogpt"
        tokens, merges = ended_pairs(words(lang, lower, escape=escapes, aggressive_dash_splits=escapes))
        first = ["<s>", "</s>", "<pad>", "<unk>"] + ([] if escapes else spare)
        all_folders[name] = (
            {"vocab.json": {t: i for i, t in enumerate(first + tokens)},
             "merges.txt": "".join(f"{merge} {1000 - i}\n" for i, merge in enumerate(merges)),
             "tokenizer_config.json": {"tokenizer_class": cls, **config}}, first[:4] + ["<special1>"] + MOSES)
    for name, source, target, lower in (("fsmt", "en", "ru", False), ("fsmt_de", "de", "en", False),
                                        ("fsmt_lower", "ru", "de", True), ("fsmt_fr", "fr", "fr", False)):
        tokens, merges = ended_pairs(words(source, lower, escape=True, aggressive_dash_splits=True))
        first = ["<s>", "<pad>", "</s>", "<unk>"]
        # The target has the same tokens in another order, and the last ones not at all.
        others = tokens[:-20]
        random.Random(1).shuffle(others)
        all_folders[name] = (
            {"vocab-src.json": {t: i for i, t in enumerate(first + tokens)},
             "vocab-tgt.json": {t: i for i, t in enumerate(first + (others if name == "fsmt" else tokens))},
             "merges.txt": "".join(f"{merge} {1000 - i}\n" for i, merge in enumerate(merges)),
             "tokenizer_config.json": {"tokenizer_class": "FSMTTokenizer", "langs": [source, target],
                                       "do_lower_case": lower}}, first + MOSES)
    tokens, merges = ended_pairs(corpus())
    first = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    all_folders["herbert"] = (
        {"vocab.json": {t: i for i, t in enumerate(first + tokens)},
         "merges.txt": "#version: 0.2\n" + "".join(merge + "\n" for merge in merges),
         "tokenizer_config.json": {"tokenizer_class": "HerbertTokenizer"}}, first + MOSES)
    return all_folders


# Classes that transformers 5 no longer has, or whose .model it numbers otherwise than their published weights: these come
# from 4.57, by running this program with it.
VERSION_4 = ["fnet", "mluke", "xlm_prophetnet"]

TWEETS = ["@user", "@ user", "a@b.co.uk", "http://t.co/Ab?c=(d)", "HTTPS://x.y/z.", "www.abc.com", "bit.ly/x", "x.com@y",
          "#tag", "#a-b'c", "##x", ":)", ":-D", "<3", "=8", "8)", "o:", ">:(", "D:", "-->", "<--", "<b>", "< b>", "+1 (234) 567-8901",
          "123 4567", "3,000", "10/12", "8:30-", "don't", "can't", "cannot", "ain't", "I'm", "you're", "it's", "we'll", "he'd",
          "I've", "5 p.m.", "a . m .", "p . m", "&amp;", "&eacute;", "&#233;", "&#xe9;", "&#x80;", "&#129;", "&bogus;", "&x41;",
          "&#;", "&#1114112;", "&rsquo;", "&hellip;", "!!!!!!", "????", "......", ". . .", "\u2019", "\u2026", "\U0001f600", "\u2764\ufe0f",
          "RT", "so-called", "rock'n'roll", "_x_", "1st", "\u212a\u017f.com", "http:///((a)b)", "http://x(y(z)w)v)", "http:a",
          "http://!?", "www.", "a.b.c", "A.B", "e-mail", "x--y", "$5.99", "50%", "h\u00e9llo's", "\u0130.com", "x.co/@", "\uff03",
          "\xad", "\x1c", "it 's n't "]


def piece_folders():
    import sentencepiece

    fairseq = ["<s>", "</s>", "<unk>", "<pad>", "<mask>"]
    model = sentencepiece.SentencePieceProcessor(model_proto=gzip.open(os.path.join(OUT, "unigram.model.gz")).read())
    pieces = [model.IdToPiece(i) for i in range(3, model.GetPieceSize())]
    bpe = {"sentencepiece.bpe.model": "@unigram.model"}
    entities = {"[UNK]": 0, "[PAD]": 1, "[MASK]": 2, "[MASK2]": 3, "Beyonc\u00e9": 4}
    numbers = ["1,", "3,000", "5,5,", "x5,", "\u2582", "\u2583", "a\u2582b", "<sep>", "<cls>", "<eop>", "<eod>", "\u24ea,"]
    all_folders = {
        "xglm": ({**bpe, "tokenizer_config.json": {"tokenizer_class": "XGLMTokenizer"}}, fairseq[:4] + ["<madeupword3>"]),
        "fnet": ({"spiece.model": "@bert.model", "tokenizer_config.json": {"tokenizer_class": "FNetTokenizer"}},
                 ["[CLS]", "[SEP]", "<unk>", "<pad>", "[MASK]", "5,000", "``x''"]),
        "mluke": ({**bpe, "entity_vocab.json": entities, "tokenizer_config.json": {"tokenizer_class": "MLukeTokenizer"}},
                  fairseq + ["<ent>", "<ent2>", "<s>NOTUSED", "[MASK]"]),
        "xlm_prophetnet": ({"prophetnet.tokenizer": "@unigram.model",
                            "tokenizer_config.json": {"tokenizer_class": "XLMProphetNetTokenizer"}},
                           fairseq + ["[SEP]", "[UNK]", "[CLS]", "[MASK]", "[unused3]"]),
        # Every seventh piece is missing.
        "bartpho": ({**bpe, "dict.txt": "".join(f"{p} {1000 - i}\n" for i, p in enumerate(pieces) if i % 7),
                     "tokenizer_config.json": {"tokenizer_class": "BartphoTokenizer"}}, fairseq),
        "cpm": ({"spiece.model": "@xlnet.model", "tokenizer_config.json": {"tokenizer_class": "CpmTokenizer"}},
                fairseq + numbers),
        "cpm_lower": ({"spiece.model": "@unigram.model", "tokenizer_config.json": {
            "tokenizer_class": "CpmTokenizer", "do_lower_case": True, "keep_accents": True, "remove_space": False}},
            fairseq + numbers),
    }
    spoken = [f"__{language}__" for language in ("eng", "fra", "deu", "cmn_Hant")]
    for name, config in (("seamless", {}), ("seamless_german", {"src_lang": "deu", "tgt_lang": "__cmn_Hant__"})):
        all_folders[name] = ({"sentencepiece.bpe.model": "@bpe.model", "tokenizer_config.json": {
            "tokenizer_class": "SeamlessM4TTokenizer", "additional_special_tokens": spoken, **config}},
            fairseq[:4] + ["__eng__", "__deu__", " \u2581", "\u2581\u2581", "a  b", "\n"])
    gpt2 = json.loads(gzip.open(os.path.join(DATA, "gpt2", "tokenizer.json.gz")).read())["model"]
    pairs = [m.split(" ") if isinstance(m, str) else m for m in gpt2["merges"]][:700]
    merges = "#version: 0.2\n" + "".join(" ".join(m) + "\n" for m in pairs)
    made = {a + b for a, b in pairs}
    tokens = [t for t in sorted(gpt2["vocab"], key=gpt2["vocab"].get) if len(t) == 1 or t in made]
    all_folders["luke"] = (
        {"vocab.json": {t: i for i, t in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>"] + tokens)},
         "merges.txt": merges, "entity_vocab.json": entities,
         "tokenizer_config.json": {"tokenizer_class": "LukeTokenizer"}}, fairseq + ["<ent>", "<ent2>", "[MASK]"])
    all_folders["nougat"] = (
        {"vocab.json": {t: i for i, t in enumerate(["<s>", "<pad>", "</s>", "<unk>", "[START_REF]"] + tokens)},
         "merges.txt": merges, "tokenizer_config.json": {"tokenizer_class": "NougatTokenizer"}},
        fairseq[:4] + ["[START_REF]", "SPL1T-TH1S-Pl3A5E", "x12", "\n\n"])
    bert = json.loads(gzip.open(os.path.join(DATA, "bert-base-uncased", "tokenizer.json.gz")).read())["model"]["vocab"]
    words = [t for i, t in enumerate(sorted(bert, key=bert.get)) if not t.startswith("[") and (len(t) < 4 or i % 9 == 0)]
    text = "".join(t + "\n" for t in ["[PAD]", "[UNK]", "[SEP]", "[X_SEP]", "[MASK]"] + words + ["\u03c3\u03bf\u03c2", "\u00e9"])
    special = ["[SEP]", "[UNK]", "[X_SEP]", "[MASK]", "\u03a3\u039f\u03a3", "\u00c9", "e\u0301", "\u4e2d\u6587", "x" * 101, "\U0001f970"]
    for name, config in (("prophetnet", {}), ("prophetnet_cased", {"do_lower_case": False}),
                         ("prophetnet_white", {"do_basic_tokenize": False})):
        all_folders[name] = ({"prophetnet.tokenizer": text,
                              "tokenizer_config.json": {"tokenizer_class": "ProphetNetTokenizer", **config}}, special)
    return all_folders


def folders():
    """Name to (files, special tokens to put into random texts)."""
    bpe, unigram = {"sentencepiece.bpe.model": "@bpe.model"}, {"spiece.model": "@unigram.model"}
    fairseq = ["<s>", "</s>", "<unk>", "<pad>", "<mask>"]
    all_folders = {
        "nllb": ({**bpe, "tokenizer_config.json": {"tokenizer_class": "NllbTokenizer", **nllb_decoder()}},
                 fairseq + ["eng_Latn", "deu_Latn"]),
        "nllb_legacy": ({**bpe, "tokenizer_config.json": {"tokenizer_class": "NllbTokenizer", "legacy_behaviour": True,
                                                          "src_lang": "deu_Latn", "tgt_lang": "zul_Latn", **nllb_decoder()}},
                        fairseq + ["eng_Latn"]),
        "m2m100": ({**bpe, "vocab.json": m2m100_vocab(), "special_tokens_map.json": m2m100_map(),
                    "tokenizer_config.json": {"tokenizer_class": "M2M100Tokenizer", "src_lang": "de", "tgt_lang": "zu"}},
                   fairseq[:4] + ["__en__", "__de__"]),
        "pegasus": ({"spiece.model": "@pegasus.model", "tokenizer_config.json": {"tokenizer_class": "PegasusTokenizer"}},
                    ["<pad>", "</s>", "<unk>", "<mask_1>", "<mask_2>", "<unk_2>", "<unk_102>"]),
        "plbart": ({**bpe, "tokenizer_config.json": {"tokenizer_class": "PLBartTokenizer", "src_lang": "python",
                                                     "tgt_lang": "en_XX"}},
                   fairseq + ["__python__", "__en_XX__", "java"]),
        "plbart_plain": ({**bpe, "tokenizer_config.json": {"tokenizer_class": "PLBartTokenizer"}}, fairseq),
        "plbart_multi": ({**bpe, "tokenizer_config.json": {"tokenizer_class": "PLBartTokenizer",
                                                           "language_codes": "multi"}}, fairseq[:4] + ["__go__"]),
        "mbart_german": ({"sentencepiece.bpe.model": "@unigram.model",
                          "tokenizer_config.json": {"tokenizer_class": "MBartTokenizer", "src_lang": "de_DE",
                                                    "tgt_lang": "ro_RO"}}, fairseq + ["de_DE"]),
    }
    tokens, merges = marked_pairs(True)
    text = "#version: 0.2\n" + "".join(merge + "\n" for merge in merges)
    small = ["__null__", "__start__", "__end__", "__unk__", "__newln__"]
    all_folders["blenderbot_small"] = (
        {"vocab.json": {t: i for i, t in enumerate(small + tokens)}, "merges.txt": text,
         "tokenizer_config.json": {"tokenizer_class": "BlenderbotSmallTokenizer"}},
        small + ["it's", "hm!?", "\u03a3\u039f\u03a3", "\u039f\u03a3'\u03a3.", "a\n", "a'\n", "a.\nb", "\n\n"])
    tokens, merges = marked_pairs(False)
    all_folders["ctrl"] = (
        {"vocab.json": {t: i for i, t in enumerate(tokens + ["<unk>", "Links", "\n"])},
         "merges.txt": "#version: 0.2\n" + "".join(merge + "\n" for merge in merges),
         "tokenizer_config.json": {"tokenizer_class": "CTRLTokenizer"}}, ["<unk>", "Links ", "a\n", "\n\n", "\x1c"])
    for name, cls in (("phobert", "PhobertTokenizer"), ("bertweet", "BertweetTokenizer")):
        all_folders[name] = (
            {"vocab.txt": "".join(f"{t} {1000 - i}\n" for i, t in enumerate(tokens)),
             "bpe.codes": "".join(f"{merge} {1000 - i}\n" for i, merge in enumerate(merges)),
             "tokenizer_config.json": {"tokenizer_class": cls}}, fairseq + ["a\n", "\n\n", "\x1c", " \x1f"])
    all_folders["bert_generation"] = (
        {"spiece.model": "@unigram.model", "tokenizer_config.json": {"tokenizer_class": "BertGenerationTokenizer"}},
        fairseq[:4] + ["<::::>"])
    all_folders["gpt_sw3"] = ({"spiece.model": "@bpe.model", "tokenizer_config.json": {"tokenizer_class": "GPTSw3Tokenizer"}},
                              fairseq[:4] + ["<|endoftext|>", "\ufffc", "\u202f\u2002", "\xa0", "\xad", "\x0a\x0b"])
    letters = "L A G V S E R T I D P K Q N F Y M H W C X B U Z O . - <null_1>".split()
    all_folders["esm"] = (
        {"vocab.txt": "\n".join(["<cls>", "<pad>", "<eos>", "<unk>"] + letters + ["<mask>"]),
         "tokenizer_config.json": {"tokenizer_class": "EsmTokenizer"}},
        ["<cls>", "<eos>", "<unk>", "<mask>", "<null_1>", "MKTAYIAKQR", "L A G", "XX<mask>", "mk", "<null", "\x1c"])
    all_folders["mt5"] = ({"spiece.model": "@pegasus.model", "config.json": {"model_type": "mt5"},
                           "tokenizer_config.json": {"extra_ids": 0}}, fairseq[:4] + ["<extra_id_0>"])
    for name, cls in (("xlm_roberta", "XLMRobertaTokenizer"), ("mbart50", "MBart50Tokenizer")):
        all_folders[name] = ({"sentencepiece.bpe.model": "@unigram.model", "tokenizer_config.json": {"tokenizer_class": cls}},
                             fairseq)
    all_folders["bertweet_normalized"] = (
        {**all_folders["bertweet"][0], "tokenizer_config.json": {"tokenizer_class": "BertweetTokenizer",
                                                                 "normalization": True}}, fairseq + TWEETS)
    all_folders.update(moses_folders())
    all_folders.update(piece_folders())
    return all_folders


TYPED = ["xlm", "xlm_cased", "flaubert", "flaubert_uncased", "biogpt", "fsmt", "fsmt_de", "fsmt_lower", "fsmt_fr",
         "herbert", "luke", "nougat", "prophetnet", "cpm", "bartpho", "bertweet_normalized", "seamless", "xglm", "fnet", "mluke"]  # whose token types are compared


def write_folder(path, files):
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    for name, content in files.items():
        if isinstance(content, str) and content.startswith("@"):
            content = gzip.open(os.path.join(OUT, content[1:] + ".gz")).read()
        elif isinstance(content, str):
            content = content.encode()
        else:
            content = json.dumps(content, ensure_ascii=False).encode()
        open(os.path.join(path, name), "wb").write(content)


def open_folder(name, folder):
    import transformers
    from transformers import AutoTokenizer

    if name != "xglm":
        return AutoTokenizer.from_pretrained(folder)
    # transformers 5 does not find XGLM's .model; the numbers are those of its converter.
    from transformers.convert_slow_tokenizer import XGLMConverter, import_protobuf

    proto = import_protobuf("").ModelProto.FromString(open(os.path.join(folder, "sentencepiece.bpe.model"), "rb").read())
    return transformers.XGLMTokenizer(vocab=XGLMConverter.vocab(None, proto),
                                      _spm_precompiled_charsmap=proto.normalizer_spec.precompiled_charsmap or None)


def case_of(name, tokenizer, text, pair=None):
    options = {"return_offsets_mapping": True} if tokenizer.is_fast else {}
    arguments = (text,) if pair is None else (text, pair)
    whole = tokenizer(*arguments, return_special_tokens_mask=True, **options)
    ids = whole["input_ids"]
    case = {"text": text, "ids": ids, "mask": whole["special_tokens_mask"]}
    if pair is not None:
        case["pair"] = pair
    if tokenizer.is_fast:
        case["offsets"] = [list(span) for span in whole["offset_mapping"]]
    if name in TYPED:
        case["types"] = tokenizer(*arguments, return_token_type_ids=True)["token_type_ids"]
        if name == "fsmt":  # where tokens are not those of the ids that went in
            case["tokens"] = tokenizer.convert_ids_to_tokens(ids)
    case["decoded"] = tokenizer.decode(ids)
    case["skipped"] = tokenizer.decode(ids, skip_special_tokens=True)
    if case["skipped"] == case["decoded"]:
        del case["skipped"]
    return case


def target_case(tokenizer, text):
    return {"text": text, "target_ids": tokenizer(text_target=text)["input_ids"]}


def main():
    scratch = sys.argv[1]
    import transformers

    os.makedirs(OUT, exist_ok=True)
    train_models(scratch)
    names, count, seed = sys.argv[2:], 0, 0
    lines = []
    if names and names[0] == "--random":
        count, seed, names = int(names[1]), int(names[2]), names[3:]
        if os.path.isfile(names[0]):
            lines = open(names.pop(0), encoding="utf-8").read().split("\n")
    words, shared = " ".join(corpus()).split(), texts()
    for name, (files, special) in folders().items():
        if (names and name not in names) or (name in VERSION_4) != transformers.__version__.startswith("4."):
            continue
        if count:  # training pairs does not give the same twice
            files = lines_of(os.path.join(OUT, name + ".jsonl.gz"))[0]["files"]
        folder = os.path.join(scratch, name)
        write_folder(folder, files)
        tokenizer = open_folder(name, folder)
        pick = random.Random(seed)
        if count:
            with open(os.path.join(scratch, name + ".random.jsonl"), "w") as file:
                for i in range(count):
                    text = pick.choice(lines) if lines and i % 2 else random_text(pick, words, special)
                    file.write(json.dumps(case_of(name, tokenizer, text)) + "\n")
            print(name, count)
            continue
        own = [random_text(pick, words, special * 3) for _ in range(60)]
        cases = []
        for text in shared + own:
            if name == "plbart_multi" and "<mask>" in text:
                continue  # there the reference finds the token, and then has no id for it
            case = case_of(name, tokenizer, text)
            if text in shared:
                case["text"] = shared.index(text)
            cases.append(case)
        cases += [case_of(name, tokenizer, a, b) for a, b in zip(own, own[1:20])]
        if getattr(tokenizer, "tgt_lang", None) is not None:
            cases += [target_case(tokenizer, text) for text in own[:10]]
        rows = [{"files": files}] + cases
        pack(os.path.join(OUT, name + ".jsonl.gz"),
             "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in rows).encode())
        print(name, type(tokenizer).__name__, len(cases), os.path.getsize(os.path.join(OUT, name + ".jsonl.gz")))


main()
