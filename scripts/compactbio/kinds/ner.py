"""Named-entity recognition: one label a word."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from compactbio.kinds.counts import F1_COUNTS
from compactbio.kinds.kind import (
    ALSO_IN_TRAIN,
    CLASS_WEIGHTS,
    F1,
    PRECISION,
    RECALL,
    REFERENCE,
    STANDARD,
    UNSEEN_PREFIX,
    Kind,
    Labels,
    Layout,
    Leak,
    Metric,
    Predictions,
    Protocol,
    Usage,
)
from compactbio.kinds.tag_schemes import OUTSIDE

_LABEL = re.compile(r"O|[BI](-.+)?")


def label_fault(names: Sequence[str]) -> str | None:
    """Return what is wrong with labels that are not of the IOB2 scheme, which entity scores rest on; else None."""
    wrong = [name for name in names if not _LABEL.fullmatch(name)]
    wrong += [name for name in names if name.startswith("I") and f"B{name[1:]}" not in names and name not in wrong]
    if wrong or OUTSIDE not in names:
        return f"{', '.join(wrong) or 'O missing'}; NER labels are O, and B, I or B-TYPE, I-TYPE, each I with its B"
    return None


def types_fault(definition: Mapping[str, Any]) -> str | None:
    """Return chosen types that no label is of; labels without a type, B and I, are of all."""
    labels = set(definition.get("labels") or ())
    lacking = [name for name in definition.get("types") or () if "B" not in labels and f"B-{name}" not in labels]
    return f"types: {', '.join(lacking)} without a label: add B-{lacking[0]}, I-{lacking[0]}" if lacking else None


_OTHER_TYPES = "entities_of_other_types"  # than those that a definition chooses


def _span_layout(name: str, reader: str, described: str, roles: tuple[str, ...] = ()) -> Layout:
    """Return a layout of documents with annotated spans of their text."""
    return Layout(
        name=name,
        reader=reader,
        describes=f"{described}.\nfiles {{train, [validation], test}} or folders of them; labels as of tagged_words,\n"
        "[types], [offsets], [sentences], [misfits]; words are cut by rule",
        counted=(
            *("documents", "sentences", "words", "entities", _OTHER_TYPES, "repeated_documents"),
            *("repeated_annotations", "discontinuous", "across_sentences", "unaligned", "overlapping"),
        ),
        counted_in_test=(ALSO_IN_TRAIN, "documents_also_in_train"),
        roles=roles,
        options=frozenset({"types", "offsets", "sentences", "misfits"}),
        fault=types_fault,
    )


_ENTITIES = """\
entities, inside, began, before = [], False, None, None
for found, start, end in pieces:
    start += text[start : start + 1] == " "
    # a word, which has the label of its first piece, ends at a blank or a punctuation mark
    if start != began and (start != before or not text[start - 1 : start + 1].isalnum()):
        tag, _, name = found.partition("-")
        if tag != "O" and (tag == "B" or not inside or name != entities[-1][2]):
            entities.append([start, end, name])
        inside = tag != "O"
    began, before = start, end
    if inside:
        entities[-1][1] = end
for start, end, name in entities:
    print(text[start:end], name)
"""
_TEXT = """\
text = "A sentence of your own."
text = f" {text}"  # a blank before the first word too, as in fine-tuning
"""

KIND = Kind(
    name="ner",
    title="Named-entity recognition",
    short="NER",
    hub_task="token-classification",
    layouts=(
        Layout(
            name="tagged_words",
            reader="tagged_words.read_dataset",
            describes="word<TAB>label, blank line between sentences.\n"
            "files {train, validation, test}, labels [O, B, I] or [O, B-x, I-x, ...]\n"
            "[scheme] of the tags, [separator], [columns {word, tag}] by number, [types]",
            counted=(
                # i_after_o: an I that continues no entity, read as B
                *("sentences", "words", "entities", "i_after_o", "blank_lines_extra", "document_marks_skipped"),
                *("illegal_tags", "tags_changed", _OTHER_TYPES),
            ),
            roles=("word", "tag"),
            options=frozenset({"scheme", "separator", "types"}),
            fault=types_fault,
        ),
        _span_layout(
            "span_lines",
            "span_lines.read_dataset",
            'JSON lines, {"id", "text", "entities": [{"start", "end", "label"}]} a document',
            roles=("text", "document"),
        ),
        _span_layout("bioc_json", "bioc.read_json_dataset", "BioC collections as JSON"),
        _span_layout("bioc_xml", "bioc.read_xml_dataset", "BioC collections as XML"),
        _span_layout("brat", "brat.read_dataset", "brat standoff: NAME.txt and NAME.ann a document, a folder a split"),
        _span_layout("pubtator", "pubtator.read_dataset", "PubTator: PMID|t|title, PMID|a|abstract, annotations"),
    ),
    columns={"id": "int32", "words": ["string"], "labels": ["label"]},
    leak=Leak("Test sentences", (("words",),)),
    labels=Labels("labels", nested=True, fault=label_fault),
    options={
        "labelled_pieces": {
            "description": "Whether all word pieces of a word carry its label in training, or the first one.",
            "enum": ["all", "first"],
        },
        "class_weights": CLASS_WEIGHTS,
    },
    required_options=("labelled_pieces",),
    denominator="pieces",
    predictions=Predictions(
        {
            "run": "string",
            "id": "int32",
            "gold": ["string"],
            "predicted": ["string"],
            "score": ["float32"],
            "piece_words": ["int32"],
            "piece_predicted": ["string"],
            "piece_score": ["float32"],
        }
    ),
    counts=F1_COUNTS,
    metrics=(PRECISION, RECALL, F1),
    optional=(Metric("word_macro_f1", "word-level macro F1"),),
    class_metrics=(PRECISION, RECALL, F1),
    headline="f1",
    protocols=(
        Protocol(
            REFERENCE,
            "Reference protocol: every word piece carries its word's label, so that B is repeated on the continuation "
            "pieces, and entities are counted over word pieces. The number of gold entities grows two- to threefold "
            "and depends on the vocabulary: these values compare neither with the literature nor between cased and "
            "uncased models.",
            beside_paper="So the paper's script scores, and these values compare with the paper's.",
        ),
        Protocol(
            STANDARD,
            "Standard protocol: one label a word (that of its first piece), strict match of whole entities, every word "
            "of every sentence counted. These values compare with the literature. Word-level macro F1, where there are "
            "several types: F1 of the words of each type, whatever entity they are in, unweighted mean over the types.",
            beside_paper="They do not compare with the paper's.",
        ),
    ),
    # gold entities under the protocol, also of the sentences that do not stand in train
    counted=(Metric("entities", "gold entities"), Metric(f"{UNSEEN_PREFIX}entities", "gold entities not in train")),
    usage=Usage(
        transformers="from transformers import pipeline\n\n"
        'folder = "."\n'
        'label = pipeline("token-classification", model=folder, ignore_labels=[])\n'
        + _TEXT
        + 'pieces = [(one["entity"], one["start"], one["end"]) for one in label(text)]\n'
        + _ENTITIES,
        encode=_TEXT + "encoded = tokenizer.encode(text)\n",
        decode="found = [labels[str(row.argmax())] for row in logits]\n"
        "rows = zip(found, encoded.offsets, encoded.special_tokens_mask)\n"
        "pieces = [(tag, *place) for tag, place, special in rows if not special]\n" + _ENTITIES,
    ),
    paper_datasets=("NCBI-disease", "BC5CDR-disease", "BC5CDR-chem", "BC2GM", "JNLPBA"),
)
