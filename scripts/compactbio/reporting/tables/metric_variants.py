"""The same metrics in another way, in tables of their own: macro averages, folds pooled, rows not seen in train."""

from __future__ import annotations

from compactbio.kinds import KINDS, METRIC_TITLES
from compactbio.kinds.kind import MACRO_PREFIX, POOLED_PREFIX, SEEN_IN_TRAIN, UNSEEN_PREFIX
from compactbio.reporting.render import Block, Entry, mean_and_std
from compactbio.reporting.score_cells import ScoreCells
from compactbio.reporting.tables.score_columns import gap_notes, marked_column

TITLES = {
    MACRO_PREFIX: "macro averages",
    POOLED_PREFIX: "folds pooled",
    UNSEEN_PREFIX: "without what stands in train",
}
NOTES = {
    MACRO_PREFIX: "Unweighted mean over the evaluated classes that the test data hold.",
    POOLED_PREFIX: "The predictions of all folds scored as one set, beside the folds' mean above.",
    UNSEEN_PREFIX: "Test data that also stand in train are left out.",
}


def variant_blocks(task: str, protocol: str, dataset: str, scored: ScoreCells) -> list[Block]:
    """Return a table for each variant of the metrics that says something else than the metrics themselves."""
    return [
        _block(task, protocol, dataset, scored, prefix)
        for prefix in KINDS[task].variants
        if _says_something_else(task, protocol, dataset, scored, prefix)
    ]


def seen_notes(task: str, protocol: str, dataset: str, scored: ScoreCells) -> list[str]:
    """Return how many test rows also stand in train; over folds, their mean. Empty where nothing is scored."""
    cells = [scored.cell(dataset, model, protocol, SEEN_IN_TRAIN) for model in scored.models]
    counts = sorted({cell.mean for cell in cells if cell.mean is not None})
    if not counts:
        return []
    known = " or ".join(f"{count:,.1f}".removesuffix(".0") for count in counts)
    average = " on average over the runs" if any(cell.std for cell in cells) else ""
    return [f"{KINDS[task].test_rows} that also stand in train: {known}{average}."]


def _says_something_else(task: str, protocol: str, dataset: str, scored: ScoreCells, prefix: str) -> bool:
    """Return whether some model has a value of this variant that differs from the plain one."""
    for model in scored.models:
        for metric in KINDS[task].metric_names:
            variant = scored.cell(dataset, model, protocol, prefix + metric)
            if variant.mean is not None and variant.mean != scored.cell(dataset, model, protocol, metric).mean:
                return True
    return False


def _block(task: str, protocol: str, dataset: str, scored: ScoreCells, prefix: str) -> Block:
    """Return one variant's metrics of a dataset by model."""
    metrics = [prefix + metric for metric in KINDS[task].metric_names]
    columns = [[scored.cell(dataset, model, protocol, metric) for model in scored.models] for metric in metrics]
    entries = [marked_column([mean_and_std(cell.mean, cell.std) for cell in column], column) for column in columns]
    return Block(
        title=f"{dataset}, {TITLES[prefix]}",
        label=f"{task}-{protocol}-{dataset}-{prefix.strip('_')}".lower(),
        header=["model", *(METRIC_TITLES[metric] for metric in KINDS[task].metric_names)],
        rows=[[Entry(model), *(column[i] for column in entries)] for i, model in enumerate(scored.models)],
        notes=[*gap_notes([cell for column in columns for cell in column], scored), NOTES[prefix]],
    )
