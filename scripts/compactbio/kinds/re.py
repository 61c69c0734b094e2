"""Relation extraction: one label a sentence."""

from __future__ import annotations

from compactbio.kinds.counts import F1_COUNTS
from compactbio.kinds.kind import (
    ALSO_IN_TRAIN,
    CLASS_WEIGHTS,
    F1,
    MACRO_PREFIX,
    POOLED_PREFIX,
    PRECISION,
    RECALL,
    STANDARD,
    UNSEEN_PREFIX,
    Kind,
    Labels,
    Layout,
    Leak,
    Predictions,
    Protocol,
    Usage,
)
from compactbio.kinds.shared import LABEL_NUMBERS

_TEXT = 'text = "A sentence of your own, its entities marked as in the training data."\n'

KIND = Kind(
    name="re",
    title="Relation extraction",
    short="RE",
    hub_task="text-classification",
    layouts=(
        Layout(
            name="gad",
            reader="sentences.read_gad",
            describes="folders 1, 2, ... with train.tsv (sentence<TAB>label) and test.tsv\n"
            "(header index<TAB>sentence<TAB>label). labels, folds [1, 2, ...]",
            files=frozenset(),
            splits=frozenset({"train", "test"}),
            folds=range(1, 11),
            counted=("rows", "folds", "smallest_fold", "largest_fold"),
        ),
        Layout(
            name="sentences",
            reader="sentences.read_plain",
            describes="[index<TAB>]sentence<TAB>label, header optional. files {train, [validation], test}, labels",
            counted=("rows",),
        ),
        Layout(
            name="json_lines",
            reader="sentences.read_json_lines",
            describes="an object with text and label a line, other keys ignored.\n"
            "files {train, [validation], test}, labels",
            counted=("rows",),
        ),
        Layout(
            name="chemprot",
            reader="chemprot.read_dataset",
            describes="the BioCreative VI tables chemprot_{training,development,test}_*.tsv.\n"
            "labels [false, CPR:3, ...]; the classes listed are evaluated, all other pairs are false",
            files=frozenset(),
            splits=frozenset({"train", "validation", "test"}),
            counted=(
                *("abstracts", "relations"),
                "relations_repeated",  # rows that give a pair and class again, under another name of the relation
                "relations_of_another_class",  # evaluated classes of a pair beyond the one it is labelled with
                "relations_across_sentences",
                "relations_not_evaluated",  # rows whose class is not among the labels
                *("false_with_relation_not_evaluated", "overlapping_pairs", "overlapping_pairs_related"),
                *("sentences", "sentences_joined", "rows"),
            ),
            counted_in_test=("abstracts_also_in_train", ALSO_IN_TRAIN),
        ),
    ),
    columns={"id": "int32", "fold": "int32", "sentence": "string", "label": "label"},
    leak=Leak("Test sentences", (("sentence",),)),
    labels=Labels("label", positive=True),
    options={
        "class_weights": CLASS_WEIGHTS,
        "added_tokens": {
            "description": "Entity markers that become one new token each, whose embedding fine-tuning alone learns; "
            "null leaves them plain text.",
            "type": ["array", "null"],
            "minItems": 1,
            "uniqueItems": True,
            "items": {"type": "string", "minLength": 1},
        },
    },
    denominator="examples",
    reads_first_token=True,
    predictions=Predictions(
        {
            "run": "string",
            "fold": "int32",
            "id": "int32",
            "gold": "string",
            "predicted": "string",
            "probabilities": ["float32"],
        }
    ),
    counts=F1_COUNTS,
    metrics=(PRECISION, RECALL, F1),
    class_metrics=(PRECISION, RECALL, F1),
    headline="f1",
    # One only: the paper's own code for it was never released, so there is no reference to follow.
    protocols=(
        Protocol(
            STANDARD,
            "Standard protocol only. Precision, recall and F1 are micro averages over the dataset's positive labels "
            "(GAD: one class, its runs being the folds; ChemProt: the five evaluated classes); where all labels are "
            "positive, the three are one number, the accuracy.",
            beside_paper="The paper released no code for relation extraction, so what its tables average is not known "
            "and no difference to it is given.",
        ),
    ),
    variants=(MACRO_PREFIX, POOLED_PREFIX, UNSEEN_PREFIX),
    usage=Usage(
        transformers=f"""\
from transformers import pipeline

folder = "."
classify = pipeline("text-classification", model=folder, top_k=None)
{_TEXT}for found in classify([text])[0]:
    print(found["label"], round(found["score"], 3))
""",
        encode=_TEXT + "encoded = tokenizer.encode(text)\n",
        decode=LABEL_NUMBERS,
    ),
    paper_datasets=("GAD", "ChemProt"),
)
