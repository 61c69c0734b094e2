"""What can be scored: kinds of task, protocols, metrics, and the words that tables use for them."""

from __future__ import annotations

from compactbio.scoring.tables import POOLED_PREFIX, SEEN_IN_TRAIN, UNSEEN_PREFIX

STANDARD = "standard"
REFERENCE = "reference"

# The metrics of a kind of task in the order of the tables' columns; all are fractions in [0, 1].
METRICS: dict[str, tuple[str, ...]] = {
    "ner": ("precision", "recall", "f1"),
    "re": ("precision", "recall", "f1"),
    "qa": ("strict", "lenient", "mrr"),
}
# Groups of metrics that repeat the ones above in another way; a dataset has those that say something of it.
MACRO_PREFIX = "macro_"
VARIANTS: dict[str, tuple[str, ...]] = {
    "ner": (UNSEEN_PREFIX,),
    "re": (MACRO_PREFIX, POOLED_PREFIX, UNSEEN_PREFIX),
    "qa": (UNSEEN_PREFIX,),
}
# Counts: gold entities under the protocol, also of the sentences that do not stand in train; test rows that do.
COUNTED: dict[str, tuple[str, ...]] = {
    "ner": ("entities", f"{UNSEEN_PREFIX}entities", SEEN_IN_TRAIN),
    "re": (SEEN_IN_TRAIN,),
    "qa": (SEEN_IN_TRAIN,),
}
COUNTS = frozenset(name for names in COUNTED.values() for name in names)

# The protocols of a kind of task, the one that is compared with the paper first. Relation extraction has
# one only: the paper's own code for it was never released, so there is no reference to follow.
PROTOCOLS: dict[str, tuple[str, ...]] = {
    "ner": (REFERENCE, STANDARD),
    "re": (STANDARD,),
    "qa": (REFERENCE, STANDARD),
}
# The metric that stands for a task in overviews, the summary and the figures.
HEADLINE: dict[str, str] = {"ner": "f1", "re": "f1", "qa": "mrr"}

TASK_TITLES: dict[str, str] = {
    "ner": "Named-entity recognition",
    "re": "Relation extraction",
    "qa": "Question answering",
}
TEST_ROWS: dict[str, str] = {
    "ner": "Test sentences",
    "re": "Test sentences",
    "qa": "Test snippets, with their question,",
}
TASK_SHORT: dict[str, str] = {"ner": "NER", "re": "RE", "qa": "QA"}

METRIC_TITLES: dict[str, str] = {
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "strict": "strict",
    "lenient": "lenient",
    "mrr": "MRR",
    "entities": "gold entities",
    "retained": "% of baseline",
}

PROTOCOL_EXPLANATIONS: dict[tuple[str, str], str] = {
    ("ner", REFERENCE): (
        "Reference protocol, as the paper's script scores: every word piece carries its word's label, so that B "
        "is repeated on the continuation pieces, and entities are counted over word pieces. The number of gold "
        "entities grows two- to threefold and depends on the vocabulary: these values compare with the paper's, "
        "not with the literature, and not between cased and uncased models."
    ),
    ("ner", STANDARD): (
        "Standard protocol: one label a word (that of its first piece), strict match of whole entities, every word "
        "of every sentence counted. These values compare with the literature, not with the paper's."
    ),
    ("re", STANDARD): (
        "Standard protocol only: the paper released no code for relation extraction, so what its tables average is "
        "not known and no difference to it is given. Precision, recall and F1 are micro averages over the dataset's "
        "positive labels (GAD: one class, its runs being the folds; ChemProt: the five evaluated classes); where all "
        "labels are positive, the three are one number, the accuracy."
    ),
    ("qa", REFERENCE): (
        "Reference protocol, as the paper's script scores: a question's answers are the best span of each snippet in "
        "file order, spans of at most 15 tokens. Strict: the first is right; lenient: one of five is; MRR: mean of "
        "1 / rank of the first right one. Equality is after lower-casing; all golden factoid questions count."
    ),
    ("qa", STANDARD): (
        "Standard protocol: the spans of all snippets are ranked by their score, duplicates merged, at most five "
        "kept, spans of at most 30 tokens. Measures as in the reference protocol."
    ),
}


def extra_metrics(task: str) -> tuple[str, ...]:
    """Return the metrics of a kind of task that need not be there."""
    return COUNTED[task] + tuple(prefix + metric for prefix in VARIANTS[task] for metric in METRICS[task])


def known_metrics(task: str) -> tuple[str, ...]:
    """Return every metric that a kind of task may have, required ones first."""
    return METRICS[task] + extra_metrics(task)
