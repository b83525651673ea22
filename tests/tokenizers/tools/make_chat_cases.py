#!/usr/bin/env python3
"""Writes tests/tokenizers/data/chat/cases.json.gz: what transformers makes of each template and conversation there, and
of each line of expressions.txt and random_templates.txt. Run with an environment that has transformers and jinja2; today's clock is replaced."""

import copy
import datetime
import gzip
import json
import pathlib

import transformers.utils.chat_template_utils as chat

FOLDER = pathlib.Path(__file__).parent.parent / "data" / "chat"
NOW = (2024, 7, 26, 13, 4, 5)


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(*NOW)


chat.datetime = Clock


def render(template, source, messages, variant):
    try:
        variables = {**source["special_tokens"], **variant.get("variables", {})}
        continued = variant.get("continue_final_message", False)
        texts, spans = chat.render_jinja_template(
            [chat._normalize_chat_messages(copy.deepcopy(messages))],
            tools=source["tools"] if variant.get("tools") else None,
            documents=source["documents"] if variant.get("documents") else None,
            chat_template=template,
            add_generation_prompt=variant.get("add_generation_prompt", False),
            continue_final_message=continued,
            return_assistant_tokens_mask="generation %}" in template and not continued,
            **variables,
        )
        result = {"text": texts[0]}
        if spans and spans[0]:
            result["spans"] = [list(span) for span in spans[0]]
        return result
    except Exception as error:  # whatever fails there has to fail here
        return {"error": str(error) if type(error).__name__ == "TemplateError" else ""}


def main():
    source = json.loads((FOLDER / "conversations.json").read_text())
    cases = []
    for path in sorted((FOLDER / "templates").glob("*.jinja")):
        template = path.read_text()
        for name, messages in source["conversations"].items():
            for variant in source["variants"]:
                result = render(template, source, messages, variant)
                cases.append([path.stem, name, variant["name"], result])
    expressions = []
    lines = "".join((FOLDER / name).read_text() for name in ["expressions.txt", "random_templates.txt"])
    for line in lines.split("\n"):
        if not line or line.startswith("#!"):
            continue
        template = json.loads(line[2:]) if line.startswith("T:") else "{{ " + line + " }}"
        try:
            text = chat._compile_jinja_template(template).render(**json.loads((FOLDER / "variables.json").read_text()))
            expressions.append([template, {"text": text}])
        except Exception:
            expressions.append([template, {"error": ""}])
    text = json.dumps({"cases": cases, "expressions": expressions}, ensure_ascii=False, separators=(",", ":"))
    with open(FOLDER / "cases.json.gz", "wb") as file:
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=9, mtime=0, filename="") as out:
            out.write(text.encode())
    failing = sum("error" in case[3] for case in cases)
    print(f"{len(cases)} chats ({failing} of them fail), {len(expressions)} expressions")


if __name__ == "__main__":
    main()
