"""Regression: a number for a text, or for a pair of texts such as how alike they are."""

from __future__ import annotations

from compactbio.kinds.counts import PEARSON_COUNTS
from compactbio.kinds.kind import (
    POOLED_PREFIX,
    STANDARD,
    UNSEEN_PREFIX,
    Kind,
    Layout,
    Leak,
    Metric,
    Predictions,
    Protocol,
    Usage,
)
from compactbio.kinds.shared import RECORD_ROLES, TEXT_OR_PAIR, record_layouts

KIND = Kind(
    name="regression",
    title="Regression",
    short="REG",
    hub_task="text-classification",
    layouts=(
        *record_layouts(
            (*RECORD_ROLES, "score"), "columns {text, [pair], score, [document]}: names of columns; score: a number"
        ),
        Layout(
            name="table_of_folds",
            reader="record_folds.read_dataset",
            describes="a table as of the layout table, with a column that says in which fold a row is test data.\n"
            "files {train}: all rows; folds; columns {text, [pair], score, [document], fold}",
            files=frozenset({"train"}),
            splits=frozenset({"train", "test"}),
            folds=range(1, 101),
            counted=("rows", "documents", "folds", "smallest_fold", "largest_fold"),
            roles=(*RECORD_ROLES, "score", "fold"),
        ),
    ),
    columns={
        **{"id": "int32", "fold": "int32", "document": "string", "text": "string", "pair": "string"},
        "score": "float64",
    },
    leak=Leak("Test texts", (("document",), ("text", "pair"))),
    kept_together=("document", "documents"),
    denominator="examples",
    reads_first_token=True,
    predictions=Predictions(
        {"run": "string", "fold": "int32", "id": "int32", "gold": "float64", "predicted": "float32"}
    ),
    counts=PEARSON_COUNTS,  # of documents
    metrics=(Metric("pearson", "Pearson's r", lowest=-1.0), Metric("spearman", "Spearman's rho", lowest=-1.0)),
    headline="pearson",
    protocols=(
        Protocol(
            STANDARD,
            "Standard protocol only. Correlations of predicted with gold numbers over the test texts, times 100, from "
            "-100 to 100: Pearson's, and Spearman's, which is that of ranks (equal numbers share the mean of theirs). "
            "0 where all predictions are one number. Each fold has its own; pooled, all folds are one set.",
        ),
    ),
    variants=(POOLED_PREFIX, UNSEEN_PREFIX),
    usage=Usage(
        transformers=f"""\
from transformers import pipeline

folder = "."
predict = pipeline("text-classification", model=folder, function_to_apply="none")
{TEXT_OR_PAIR}texts = {{"text": text, "text_pair": pair}} if pair else text
print(round(predict([texts])[0]["score"], 3))
""",
        encode=TEXT_OR_PAIR + "encoded = tokenizer.encode(text, pair or None)\n",
        decode="print(round(float(logits[0]), 3))\n",
    ),
)
