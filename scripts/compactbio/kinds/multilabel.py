"""Classification with any number of labels a sentence, whose documents have the labels of their sentences."""

from __future__ import annotations

from collections.abc import Sequence

from compactbio.kinds.counts import F1_COUNTS
from compactbio.kinds.kind import (
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
from compactbio.kinds.shared import SEPARATOR, record_layouts

MOST_LABELS = 63  # the labels of a sentence are the bits of one int64

_TEXT = 'text = "A sentence of your own."\n'


def label_fault(names: Sequence[str]) -> str | None:
    """Return what is wrong with a list of labels, None where nothing is."""
    if len(names) > MOST_LABELS:
        return f"{len(names)} labels; at most {MOST_LABELS} are possible"
    wrong = [name for name in names if SEPARATOR in name]
    return f"{', '.join(wrong)}: a label has no {SEPARATOR}, which stands between labels" if wrong else None


KIND = Kind(
    name="multilabel",
    title="Multi-label classification",
    short="MLC",
    hub_task="text-classification",
    layouts=(
        *record_layouts(
            ("text", "labels", "document"),
            "columns {text, labels, [document]}: names of columns, the labels of a row joined by ; or a list; labels",
        ),
        Layout(
            name="hallmarks",
            reader="hallmarks.read_dataset",
            describes="folders text and labels of Hallmarks of Cancer, a file a document. labels: first levels;\n"
            "split_seed, or files {train, [validation], test}, each with a PMID a line",
            files=frozenset(),
            splits=frozenset({"train", "validation", "test"}),
            counted=("rows", "documents", "unlabelled"),
            drawn=True,
        ),
    ),
    columns={"id": "int32", "document": "string", "text": "string", "labels": ["label"]},
    leak=Leak("Test documents", (("document",),), unit="document"),
    kept_together=("document", "documents"),
    labels=Labels("labels", nested=True, fault=label_fault),
    denominator="examples",
    reads_first_token=True,
    predictions=Predictions(
        {"run": "string", "id": "int32", "gold": ["string"], "predicted": ["string"], "probabilities": ["float32"]},
        unscored=frozenset({"probabilities"}),
    ),
    counts=F1_COUNTS,  # labels of documents
    metrics=(
        *(PRECISION, RECALL, F1, Metric("macro_f1", "macro F1")),
        *(Metric(f"sentence_{one.name}", f"sentence {one.title}") for one in (PRECISION, RECALL, F1)),
        Metric("sentence_macro_f1", "sentence macro F1"),
    ),
    class_metrics=(PRECISION, RECALL, F1),
    headline="f1",
    protocols=(
        Protocol(
            STANDARD,
            "Standard protocol only. A document has every label that one of its sentences has, gold and predicted "
            "alike. Precision, recall and F1 are micro averages over documents and labels, macro F1 is the unweighted "
            "mean over all labels, 0 for one that is neither gold nor predicted; sentence scores are the same over "
            "sentences. A row without a document is one. Scores of classes are those of documents.",
        ),
    ),
    usage=Usage(
        transformers=f"""\
from transformers import pipeline

folder = "."
classify = pipeline("text-classification", model=folder, top_k=None)
{_TEXT}for found in classify([text])[0]:  # it has every label above 0.5
    print(found["label"], round(found["score"], 3))
""",
        encode=_TEXT + "encoded = tokenizer.encode(text)\n",
        decode="""\
shares = 1 / (1 + np.exp(-logits))
for number in (-shares).argsort():  # it has every label above 0.5
    print(labels[str(number)], round(float(shares[number]), 3))
""",
    ),
)
