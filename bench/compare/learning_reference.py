"""The reference of learning.py: one fine-tuning in PyTorch, its held-out score as a line of JSON."""

import argparse
import gzip
import json
import re
import string
import time
from collections import Counter

import torch
import transformers


def rows_of(path: str) -> list[dict]:
    with (gzip.open if path.endswith(".gz") else open)(path, "rt") as file:
        return [json.loads(line) for line in file]


class Classification:
    def __init__(self, tokenizer, train, test, tokens):
        self.tokenizer, self.tokens = tokenizer, tokens
        self.train, self.test = rows_of(train), rows_of(test)
        self.model, self.settings = transformers.AutoModelForSequenceClassification, {"num_labels": 2}

    def batch(self, rows):
        texts = [row["text"] for row in rows]
        batch = self.tokenizer(texts, truncation=True, max_length=self.tokens, padding=True, return_tensors="pt")
        return {**batch, "labels": torch.tensor([row["label"] for row in rows])}

    def score(self, outputs):
        right = sum(int((logits.argmax(-1) == batch["labels"]).sum()) for batch, logits in outputs)
        return {"test_accuracy": right / len(self.test)}


class Tagging(Classification):
    """Words already split; a word's first token carries its label."""

    def __init__(self, tokenizer, train, test, tokens, column):
        super().__init__(tokenizer, train, test, tokens)
        self.column = column
        self.names = sorted({tag for row in self.train + self.test for tag in row[column]})
        self.model, self.settings = transformers.AutoModelForTokenClassification, {"num_labels": len(self.names)}

    def batch(self, rows):
        batch = self.tokenizer([row["tokens"] for row in rows], is_split_into_words=True, truncation=True,
                               max_length=self.tokens, padding=True, return_tensors="pt")
        labels = torch.full(batch["input_ids"].shape, -100)
        for i, row in enumerate(rows):
            before = None
            for j, word in enumerate(batch.word_ids(i)):
                if word is not None and word != before:
                    labels[i, j] = self.names.index(row[self.column][word])
                before = word
        return {**batch, "labels": labels}

    def entities(self, tags):
        """Spans of IOB2, an I without its B beginning one, as conlleval reads them."""
        spans, start, kind = set(), None, None
        for i, tag in enumerate([*tags, "O"]):
            inside, here = tag[:1], tag[2:]
            if start is not None and (inside != "I" or here != kind):
                spans.add((start, i, kind))
                start = None
            if inside == "B" or (inside == "I" and start is None):
                start, kind = i, here
        return spans

    def score(self, outputs):
        right = total = hits = found = expected = 0
        for batch, logits in outputs:
            for guess, labels in zip(logits.argmax(-1), batch["labels"]):
                kept = labels != -100
                said, true = ([self.names[k] for k in each[kept]] for each in (guess, labels))
                right += sum(a == b for a, b in zip(said, true))
                total += len(true)
                a, b = self.entities(said), self.entities(true)
                hits, found, expected = hits + len(a & b), found + len(a), expected + len(b)
        return {"test_accuracy": right / total, "test_f1": 2 * hits / max(1, found + expected)}


def plain(text):
    text = re.sub(r"\b(a|an|the)\b", " ", "".join(c for c in text.lower() if c not in string.punctuation))
    return text.split()


class Answers:
    """Windows of a context; of all windows' spans of at most 30 tokens the one with the highest sum of logits."""

    def __init__(self, tokenizer, train, test, tokens, stride=64):
        self.tokenizer, self.tokens, self.stride = tokenizer, tokens, stride
        self.model, self.settings = transformers.AutoModelForQuestionAnswering, {}
        self.questions = [self.questions_of(path) for path in (train, test)]
        self.train, self.test = (self.windows(each) for each in self.questions)

    @staticmethod
    def questions_of(path):
        return [(question["question"], paragraph["context"], question["answers"])
                for article in json.load(open(path))["data"] for paragraph in article["paragraphs"]
                for question in paragraph["qas"]]

    def windows(self, questions):
        rows = []
        for number, (question, context, answers) in enumerate(questions):
            start = answers[0]["answer_start"]
            end = start + len(answers[0]["text"])
            coded = self.tokenizer(question.strip(), context, truncation="only_second", max_length=self.tokens,
                                   stride=self.stride, return_overflowing_tokens=True, return_offsets_mapping=True)
            for i, offsets in enumerate(coded["offset_mapping"]):
                inside = [j for j, part in enumerate(coded.sequence_ids(i)) if part == 1]
                first = last = 0
                if offsets[inside[0]][0] <= start and offsets[inside[-1]][1] >= end:
                    first = max(j for j in inside if offsets[j][0] <= start)
                    last = min(j for j in inside if offsets[j][1] >= end)
                rows.append({"input_ids": coded["input_ids"][i], "token_type_ids": coded["token_type_ids"][i],
                             "first": first, "last": last, "question": number, "inside": inside, "offsets": offsets})
        return rows

    def batch(self, rows):
        padded = self.tokenizer.pad([{k: row[k] for k in ("input_ids", "token_type_ids")} for row in rows],
                                    return_tensors="pt")
        return {**padded, "start_positions": torch.tensor([row["first"] for row in rows]),
                "end_positions": torch.tensor([row["last"] for row in rows])}

    def score(self, outputs):
        best, window = {}, iter(self.test)
        for _, (starts, ends) in outputs:
            for start, end in zip(starts, ends):
                row = next(window)
                inside = row["inside"]
                for i in start[inside].argsort(descending=True)[:20]:
                    for j in range(int(i), min(int(i) + 30, len(inside))):
                        value = float(start[inside[i]] + end[inside[j]])
                        if value > best.get(row["question"], (-1e9,))[0]:
                            best[row["question"]] = value, row["offsets"][inside[i]][0], row["offsets"][inside[j]][1]
        exact = f1 = 0.0
        for number, (_, context, answers) in enumerate(self.questions[1]):
            said = plain(context[best[number][1]:best[number][2]])
            exact += max(said == plain(answer["text"]) for answer in answers)
            f1 += max(self.overlap(said, plain(answer["text"])) for answer in answers)
        count = len(self.questions[1])
        return {"test_exact_match": 100 * exact / count, "test_f1": 100 * f1 / count}

    @staticmethod
    def overlap(said, true):
        common = sum((Counter(said) & Counter(true)).values())
        return 2 * common / (len(said) + len(true)) if common else float(said == true)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("name", "model", "train", "test"):
        parser.add_argument(name)
    parser.add_argument("--learning_rate", type=float)
    for name in ("per_device_train_batch_size", "max_length", "num_train_epochs", "seed", "threads"):
        parser.add_argument("--" + name, type=int)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    tokenizer = transformers.AutoTokenizer.from_pretrained(a.model)
    parts = (tokenizer, a.train, a.test, a.max_length)
    task = {"polarity": lambda: Classification(*parts), "wnut17": lambda: Tagging(*parts, "tags"),
            "ud_ewt": lambda: Tagging(*parts, "upos"), "xquad": lambda: Answers(*parts)}[a.name]()
    model = task.model.from_pretrained(a.model, **task.settings).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=a.learning_rate, weight_decay=0.0)
    size = a.per_device_train_batch_size
    steps = -(-len(task.train) // size) * a.num_train_epochs
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, -(-steps // 10), steps)
    begin, total = time.time(), 0.0
    for _ in range(a.num_train_epochs):
        order = torch.randperm(len(task.train)).tolist()
        for first in range(0, len(order), size):
            loss = model(**task.batch([task.train[i] for i in order[first:first + size]])).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            total += float(loss.detach())
    seconds = time.time() - begin
    model.eval()
    outputs = []
    with torch.no_grad():
        for first in range(0, len(task.test), 32):
            batch = task.batch(task.test[first:first + 32])
            out = model(**batch)
            outputs.append((batch, out.logits if "logits" in out else (out.start_logits, out.end_logits)))
    print(json.dumps({"train_loss": total / steps, "train_runtime": seconds, **task.score(outputs)}))


if __name__ == "__main__":
    main()
