"""The same metrics in another way, in tables of their own: macro averages, folds pooled, rows not seen in train."""

from __future__ import annotations

from compactbio.kinds import KINDS, METRIC_TITLES
from compactbio.kinds.kind import MACRO_PREFIX, POOLED_PREFIX, SEEN_IN_TRAIN, UNSEEN_PREFIX
from compactbio.reporting.render import Block, count_text
from compactbio.reporting.score_cells import ScoreCells
from compactbio.reporting.tables.score_columns import block_of, gap_notes, mean_column

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
    """Return a table for each variant of the metrics that differs from the metrics themselves for some model."""
    names = KINDS[task].metric_names
    plain = [cell.mean for name in names for cell in scored.column(dataset, protocol, name)]
    blocks = []
    for prefix in KINDS[task].variants:
        cells = {name: scored.column(dataset, protocol, prefix + name) for name in names}
        shown = [cell for column in cells.values() for cell in column]
        if any(cell.mean not in (None, mean) for cell, mean in zip(shown, plain, strict=True)):
            columns = [mean_column(METRIC_TITLES[name], column) for name, column in cells.items()]
            label = f"{task}-{protocol}-{dataset}-{prefix.strip('_')}".lower()
            notes = [*gap_notes(shown, scored), NOTES[prefix]]
            blocks.append(block_of(f"{dataset}, {TITLES[prefix]}", label, columns, scored, notes))
    return blocks


def seen_notes(task: str, protocol: str, dataset: str, scored: ScoreCells) -> list[str]:
    """Return how many test rows also stand in train; over folds, their mean. Empty where nothing is scored."""
    cells = scored.column(dataset, protocol, SEEN_IN_TRAIN)
    counts = sorted({cell.mean for cell in cells if cell.mean is not None})
    if not counts:
        return []
    known = " or ".join(map(count_text, counts))
    average = " on average over the runs" if any(cell.std for cell in cells) else ""
    return [f"{KINDS[task].leak.units} that also stand in train: {known}{average}."]
