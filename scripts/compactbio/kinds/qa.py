"""Question answering: spans of snippets, collected a question."""

from __future__ import annotations

from compactbio.kinds.counts import Counts
from compactbio.kinds.kind import REFERENCE, STANDARD, Kind, Layout, Leak, Metric, Predictions, Protocol, Usage

_ROW_COUNTS = ("rows", "questions", "answers", "rows_without_answer")

_QUESTION = """\
question = "Which gene is meant?"
context = "A text of your own, in which the gene that is meant has its name."
"""

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
        parts=({"reciprocal_rank": 1}, {}),
        gold=None,
    ),
    metrics=(Metric("strict", "strict"), Metric("lenient", "lenient"), Metric("mrr", "MRR")),
    headline="mrr",
    protocols=(
        Protocol(
            REFERENCE,
            "Reference protocol: a question's answers are the best span of each snippet in file order, spans of at "
            "most 15 tokens. Strict: the first is right; lenient: one of five is; MRR: mean of 1 / rank of the first "
            "right one. Equality is after lower-casing; all golden factoid questions count.",
            beside_paper="So the paper's script scores.",
        ),
        Protocol(
            STANDARD,
            "Standard protocol: the spans of all snippets are ranked by their score, duplicates merged, at most five "
            "kept, spans of at most 30 tokens. Measures as in the reference protocol.",
        ),
    ),
    usage=Usage(  # transformers 5 has no pipeline for it
        transformers=f"""\
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

folder = "."
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForQuestionAnswering.from_pretrained(folder).eval()
{_QUESTION}encoded = tokenizer(question, context, truncation="only_second", return_tensors="pt")
with torch.inference_mode():
    found = model(**encoded)
inside = torch.tensor([part == 1 for part in encoded.sequence_ids()])
start, end = (logits[0].masked_fill(~inside, -1e9) for logits in (found.start_logits, found.end_logits))
spans = start[:, None] + end[None, :]
allowed = torch.ones_like(spans).triu().tril(29).bool()  # of 30 pieces at most
first, last = divmod(int(spans.masked_fill(~allowed, -1e9).argmax()), len(end))
print(context[encoded.token_to_chars(first).start : encoded.token_to_chars(last).end])
""",
        encode=_QUESTION + "encoded = tokenizer.encode(question, context)\n",
        decode="""\
inside = np.array([part == 1 for part in encoded.sequence_ids])
start, end = np.where(inside[:, None], logits, -1e9).T
spans = start[:, None] + end[None, :]
allowed = np.tril(np.triu(np.ones_like(spans)), 29) == 1  # of 30 pieces at most
first, last = divmod(int(np.where(allowed, spans, -1e9).argmax()), len(end))
print(context[encoded.offsets[first][0] : encoded.offsets[last][1]])
""",
    ),
    paper_datasets=("BioASQ-7b",),
)
