"""Question answering: spans of snippets, collected a question."""

from __future__ import annotations

from compactbio.kinds.kind import REFERENCE, STANDARD, Counts, Kind, Layout, Leak, Metric, Predictions, Protocol

_ROW_COUNTS = ("rows", "questions", "answers", "rows_without_answer")

KIND = Kind(
    name="qa",
    title="Question answering",
    short="QA",
    hub_task="question-answering",
    layouts=(
        Layout(
            name="bioasq",
            reader="squad.read_bioasq",
            describes="SQuAD form, ids <question>_<number>. files {train, [validation], test, golden}",
            files=frozenset({"train", "test", "golden"}),
            counted=_ROW_COUNTS,
            golden=(
                *("questions", "factoid", "list", "summary", "yesno"),
                *("factoid_without_snippet", "answer_in_context"),
            ),
        ),
        Layout(
            name="squad",
            reader="squad.read_squad",
            describes="SQuAD form with answers in every file. files {train, [validation], test}",
            counted=_ROW_COUNTS,
            golden=("questions", "factoid", "answer_in_context"),
        ),
    ),
    columns={
        "id": "string",
        "question_id": "string",
        "snippet": "int32",
        "question": "string",
        "context": "string",
        "answers": {"text": ["string"], "answer_start": ["int32"]},
    },
    # the question, whatever its contexts: each year's training questions are those that were tests before
    leak=Leak("Test questions", (("question_id",), ("question",)), frozenset({"question"}), unit="question_id"),
    kept_together=("question_id", "questions"),
    options={"stride": {"description": "Word pieces that two windows share.", "type": "integer", "minimum": 1}},
    required_options=("stride",),
    denominator="windows",
    loss_over_padding=True,
    predictions=Predictions(
        {
            "run": "string",
            "question_id": "string",
            "snippet": "int32",
            "max_answer_tokens": "int32",
            "rank": "int32",
            "text": "string",
            "score": "float64",
            "start": "int32",
            "end": "int32",
            "probability": "float64",
        },
        unscored=frozenset({"start", "end", "probability"}),
    ),
    # of questions; the reciprocal rank is 0 without a right answer
    counts=Counts(
        columns={"strict": "int32", "lenient": "int32", "reciprocal_rank": "float64"},
        numerator={"reciprocal_rank": 1},
        denominator={},
        gold=None,
    ),
    metrics=(Metric("strict", "strict"), Metric("lenient", "lenient"), Metric("mrr", "MRR")),
    headline="mrr",
    protocols=(
        Protocol(
            REFERENCE,
            "Reference protocol, as the paper's script scores: a question's answers are the best span of each snippet "
            "in file order, spans of at most 15 tokens. Strict: the first is right; lenient: one of five is; MRR: mean "
            "of 1 / rank of the first right one. Equality is after lower-casing; all golden factoid questions count.",
        ),
        Protocol(
            STANDARD,
            "Standard protocol: the spans of all snippets are ranked by their score, duplicates merged, at most five "
            "kept, spans of at most 30 tokens. Measures as in the reference protocol.",
        ),
    ),
    paper_datasets=("BioASQ-7b",),
)
