"""Classification: one label a text, or a pair of texts."""

from __future__ import annotations

from compactbio.kinds.counts import Counts
from compactbio.kinds.kind import (
    CLASS_WEIGHTS,
    F1,
    PRECISION,
    RECALL,
    STANDARD,
    Kind,
    Labels,
    Layout,
    Leak,
    Metric,
    Predictions,
    Protocol,
    Usage,
)
from compactbio.kinds.shared import LABEL_NUMBERS, RECORD_ROLES, TEXT_OR_PAIR, record_layouts

KIND = Kind(
    name="classification",
    title="Text classification",
    short="TC",
    hub_task="text-classification",
    layouts=(
        *record_layouts(
            (*RECORD_ROLES, "label"), "columns {text, [pair], label, [document]}: names of columns; labels"
        ),
        Layout(
            name="pubmedqa",
            reader="pubmedqa.read_dataset",
            describes="ori_pqal.json and test_ground_truth.json of PubMedQA, PQA-L: question and context.\n"
            "labels [yes, no, maybe]",
            files=frozenset(),
            splits=frozenset({"train", "test"}),
            counted=("rows", "documents"),
        ),
        Layout(
            name="bioasq_yesno",
            reader="bioasq_yesno.read_dataset",
            describes="yes/no questions of BioASQ's own files of training and golden answers, with their snippets.\n"
            "files {train, [validation], test}, labels [yes, no]",
            counted=("rows", "documents", "other_questions"),
        ),
    ),
    columns={"id": "int32", "document": "string", "text": "string", "pair": "string", "label": "label"},
    leak=Leak("Test texts", (("document",), ("text", "pair"))),
    kept_together=("document", "documents"),
    labels=Labels("label"),
    options={"class_weights": CLASS_WEIGHTS},
    denominator="examples",
    reads_first_token=True,
    predictions=Predictions(
        {"run": "string", "id": "int32", "gold": "string", "predicted": "string", "probabilities": ["float32"]}
    ),
    # of documents
    counts=Counts(columns={"correct": "int32", "texts": "int32"}, parts=({"correct": 1}, {"texts": 1}), gold="texts"),
    metrics=(Metric("accuracy", "accuracy"), Metric("macro_f1", "macro F1")),
    class_metrics=(PRECISION, RECALL, F1),
    headline="accuracy",
    protocols=(
        Protocol(
            STANDARD,
            "Standard protocol only. Accuracy is the share of texts with the right label; macro F1 is the unweighted "
            "mean of F1 over the labels that are gold or predicted in the test data.",
        ),
    ),
    usage=Usage(
        transformers=f"""\
from transformers import pipeline

folder = "."
classify = pipeline("text-classification", model=folder, top_k=None)
{TEXT_OR_PAIR}texts = {{"text": text, "text_pair": pair}} if pair else text
for found in classify([texts])[0]:
    print(found["label"], round(found["score"], 3))
""",
        encode=TEXT_OR_PAIR + "encoded = tokenizer.encode(text, pair or None)\n",
        decode=LABEL_NUMBERS,
    ),
)
