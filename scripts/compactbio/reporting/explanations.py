"""The page that explains the tables: what stands where, protocols, numbers of runs, deviations."""

from __future__ import annotations

from collections.abc import Mapping

from compactbio.errors import UserError
from compactbio.kinds import KINDS, scored_by
from compactbio.kinds.kind import REFERENCE
from compactbio.reporting.material import Material
from compactbio.reporting.published import Assignment, PublishedValue
from compactbio.reporting.render import Block, Document, Entry, Section, number, row
from compactbio.reporting.report_records import TABLES
from compactbio.reporting.score_cells import ScoreCells
from compactbio.reporting.tables.kind_scores import UNITS_NOTE

# What each value of a quirk switch means.
QUIRKS: dict[str, dict[str, str]] = {
    "text": {
        "reference": "first section of an abstract only, markup and entity references left in the text",
        "sound": "all sections of an abstract, text without markup",
    },
    "teacher_dropout": {
        "reference": "the frozen teacher runs with its dropout on",
        "sound": "the teacher runs without dropout",
    },
    "mlm_head_init": {
        "reference": "a student's MLM head starts random, its decoder tied to the embeddings",
        "sound": "a student's MLM head is copied from the teacher where shapes allow",
    },
    "attention_maps": {
        "reference": "attention probabilities are matched",
        "sound": "attention scores before the softmax are matched",
    },
    "maps_after_dropout": {
        "reference": "attention maps are taken after dropout",
        "sound": "attention maps are taken before dropout",
    },
    "mse_over_padding": {
        "reference": "TinyBioBERT's squared errors are averaged over padding too",
        "sound": "TinyBioBERT's squared errors are averaged over real tokens",
    },
    "attention_kl_denominator": {
        "reference": "CompactBioBERT's attention divergence is divided by the padded length",
        "sound": "CompactBioBERT's attention divergence is divided by each row's own length",
    },
    "decayed_norms": {
        "reference": "the scales of MobileBERT's NoNorm layers decay, in pre-training and in fine-tuning",
        "sound": "no scale of a normalisation decays",
    },
    "qa_loss_over_padding": {
        "reference": "question answering: windows are padded to max_length, the loss chooses among padding too",
        "sound": "question answering: the loss chooses among the pieces of a window",
    },
    "finetuning_seeds": {
        "reference": "a run's seed draws its head; order and dropout of all runs are those of the first seed",
        "sound": "a run's seed draws its head, the order of its examples and its dropout",
    },
}


def build(material: Material) -> Document:
    """Return the page."""
    return explanation_document(material.scored, material.assignment, material.quirks)


def check_quirks(quirks: Mapping[str, str]) -> None:
    """Refuse switches that are not known or have an unknown value.

    Raises:
        UserError: naming the switch and what it may be.
    """
    for name, value in quirks.items():
        if name not in QUIRKS:
            raise UserError(f"--quirks: unknown switch {name!r}; known are {', '.join(QUIRKS)}")
        if value not in QUIRKS[name]:
            raise UserError(f"--quirks: {name} is {value!r}; it is one of {', '.join(QUIRKS[name])}")


def explanation_document(scored: ScoreCells, assignment: Assignment, quirks: Mapping[str, str]) -> Document:
    """Return the page that stands beside the tables."""
    sections = [
        Section(
            "What stands where",
            [
                "Every table is there as Markdown (.md), LaTeX with booktabs (.tex), a page of its own (.html) and "
                "tidy rows with all digits (.csv).",
                f"{UNITS_NOTE} An empty cell is a dash, and the reason stands under the table.",
            ],
            [Block("Files", "files", ["files", "content"], _files(), numeric=False)],
        ),
        Section("Protocols", _protocols(scored), []),
        Section("Runs", [_spread(quirks)], [_runs_block(scored)]),
        Section("Published values", _published(scored, assignment), []),
        _deviations(quirks),
    ]
    return Document("What these tables are", [], sections)


def _files() -> list[list[Entry]]:
    """Return the names of tables with what they hold; tables of the same words share a line."""
    names: dict[str, list[str]] = {}
    for table in TABLES:
        names.setdefault(table.holds, []).append(table.name)
    return [row(", ".join(of_holds), holds) for holds, of_holds in names.items()]


def _protocols(scored: ScoreCells) -> list[str]:
    """Return a paragraph for each protocol of the kinds of task that were run."""
    kinds = [kind for task, kind in KINDS.items() if scored.datasets_of(task)]
    return [f"{kind.title}. {protocol.explanation}" for kind in kinds for protocol in kind.protocols]


def _spread(quirks: Mapping[str, str]) -> str:
    """Return what the standard deviation beside a score is the spread of."""
    if quirks.get("finetuning_seeds") == "reference":
        drawn = "their heads differ; order and dropout are the same in all of them, as in the authors' scripts"
    else:
        drawn = (
            "head, order and dropout differ between them, while in the authors' scripts, which draw the head before "
            "they seed, order and dropout are the same in all runs"
        )
    return (
        f"The standard deviation beside a score is that of the runs made here, not of the authors': {drawn}. How many "
        "runs theirs are is not known."
    )


def _runs_block(scored: ScoreCells) -> Block:
    """Return how many runs stand behind the cells of each dataset, and how many models have scores."""
    rows = []
    for dataset in (name for task in KINDS for name in scored.datasets_of(task)):
        counts = scored.run_counts(dataset)
        number_of_runs = " or ".join(str(count) for count in sorted(set(counts))) or "0"
        rows.append(row(dataset, number_of_runs, f"{len(counts)} of {len(scored.models)}"))
    return Block("Runs behind a cell", "runs", ["dataset", "runs per model", "models scored"], rows)


def _published(scored: ScoreCells, assignment: Assignment) -> list[str]:
    """Return what became of each published value."""
    having, lacking = scored_by(REFERENCE)
    paragraphs = [
        f"{sum(value.is_comparable for value in assignment.matched)} cells of the reference protocol have a confirmed "
        f"value of the paper; every other published place is a dash. Published {having} values are compared with the "
        f"reference protocol, {lacking} with nothing. The table replication says which were replicated. The "
        "foot of each table says where a value was read: not in the paper itself where a page files it under the paper."
    ]
    paragraphs += [f"Not assigned to a model: {describe(value)}." for value in assignment.unassigned]
    paragraphs += [f"Not confirmed, decides nothing: {describe(value)}." for value in assignment.unconfirmed]
    if assignment.outside:
        names = sorted({f"{value.model} on {value.dataset}" for value in assignment.outside})
        paragraphs.append(f"Published for models or datasets that are not part of this run: {', '.join(names)}.")
    return paragraphs


def describe(value: PublishedValue) -> str:
    """Return one published value in words."""
    place = " ".join(part for part in (value.dataset, value.model, value.metric, value.protocol) if part)
    return f"{place} {number(value.value)} ({value.source})"


def quirks_block(quirks: Mapping[str, str], label: str) -> Block:
    """Return the quirk switches with the meaning of their values."""
    rows = [row(name, value, QUIRKS[name][value]) for name, value in quirks.items()]
    return Block("Quirk switches", label, ["switch", "value", "meaning"], rows, numeric=False)


def _deviations(quirks: Mapping[str, str]) -> Section:
    """Return the quirk switches and their values."""
    if not quirks:
        return Section("Deviations", ["No quirk switches were given."], [])
    changed = [name for name, value in quirks.items() if value != "reference"]
    text = (
        f"{len(changed)} of {len(quirks)} differ from the reference code: {', '.join(changed)}."
        if changed
        else "All of them follow the reference code."
    )
    return Section(
        "Deviations",
        ["Places where the paper's code does something that changes numbers; each is a switch. " + text],
        [quirks_block(quirks, "quirks")],
    )
