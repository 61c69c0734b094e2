"""The cards of a fine-tuned model, as transformers reads it and in int8: what it is, and a program that uses it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compactbio.card_texts import card, facts_table, program, tags
from compactbio.kinds import KINDS
from compactbio.settings.results import INT8_FILE

_LABELS = """\
with open(f"{folder}/config.json", encoding="utf-8") as stream:
    labels = json.load(stream)["id2label"]
"""
_ONNX = """\
{json}import numpy as np
import onnxruntime
from tokenizers import Tokenizer

folder = "."
{labels}tokenizer = Tokenizer.from_file(f"{{folder}}/tokenizer.json")
session = onnxruntime.InferenceSession(f"{{folder}}/{file}", providers=["CPUExecutionProvider"])
{encode}known = {{"input_ids": encoded.ids, "token_type_ids": encoded.type_ids}}
known["attention_mask"] = encoded.attention_mask
feeds = {{entry.name: np.array([known[entry.name]]) for entry in session.get_inputs()}}
logits = session.run(["logits"], feeds)[0][0]
{decode}"""


def finetuned_card(
    about: Mapping[str, Any], options: Mapping[str, Any], run: str, *, notice: str = "", int8: bool = False
) -> str:
    """Return the README.md of a kept model's folder, or of its int8 file's.

    Args:
        about: of its manifest: model, dataset, task, labels, and the fingerprint.
        options: the hyper-parameters of its run.
        run: which one it is.
        notice: what stands over everything, where the data call for it.
    """
    kind, model, dataset = KINDS[about["task"]], about["model"], about["dataset"]
    usage = kind.usage
    text = usage.transformers
    if int8:
        read = {"json": "import json\n\n", "labels": _LABELS} if about["labels"] else {"json": "", "labels": ""}
        text = _ONNX.format(file=INT8_FILE, encode=usage.encode, decode=usage.decode, **read)
    form = " Its weights are in int8, in a file for ONNX Runtime." if int8 else ""
    facts = {
        "task": kind.title.lower(),
        **({"labels": ", ".join(about["labels"])} if about["labels"] else {}),
        "run": run,
        **{name.replace("_", " "): value for name, value in options.items() if value is not None},
        "fingerprint": about["fingerprint"],
    }
    front = {
        "library_name": "onnxruntime" if int8 else "transformers",
        "pipeline_tag": kind.hub_task,
        "tags": tags(notice),
    }
    parts = [
        f"{model} with a head for {kind.title.lower()}, fine-tuned on {dataset}: the model of the run {run}, one of "
        f"those whose mean the tables show.{form}",
        program(text, by_transformers=not int8),
        facts_table(facts),
        "Language, corpus and licence are those of what it is made of; this card does not know them. The results that "
        f"it is a part of do: `reporting/model_cards/{model}.md` and `reporting/citations.md`. What it says of a text "
        "is no fact until a person has checked it.",
    ]
    return card(front, f"{model}, fine-tuned on {dataset}" + (", int8" if int8 else ""), notice, parts)
