"""The replication table: each published value beside ours with its verdict, and what became of the other rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from compactbio.kinds import KINDS, METRIC_TITLES, scored_by
from compactbio.kinds.kind import REFERENCE
from compactbio.reporting.grouping import grouped
from compactbio.reporting.material import Built, Material, Row
from compactbio.reporting.published import Assignment, PublishedValue
from compactbio.reporting.render import DASH, Block, Document, Entry, Section, interval_text, number, row, signed
from compactbio.reporting.score_cells import Cell, ScoreCells
from compactbio.reporting.statistics.estimates import MEAN, Estimate, by_model
from compactbio.reporting.statistics.verdicts import (
    LEAST_MODELS,
    RULE,
    Comparison,
    RankCorrelation,
    comparable,
    compare_with_paper,
    count_verdicts,
    headline_cells,
    rank_correlations,
)
from compactbio.reporting.tables.score_columns import cell_entry

NOT_THIS_RUN = (
    "This run is not compared with the paper: reporting.compare_with_paper is false in its configuration, or it has no "
    "dataset with a published value."
)
COLUMNS = (
    "Percent. Ours: mean ± sample standard deviation over the runs; difference: ours less published, percent points; "
    "one more run: its 95 % prediction interval; standard: our mean of the same cell by the standard protocol."
)


def build(material: Material) -> Built:
    """Return the table."""
    scored, assignment = material.scored, material.assignment
    return replication_document(scored, assignment), replication_records(scored, assignment, material.estimates)


def replication_document(scored: ScoreCells, assignment: Assignment) -> Document:
    """Return the verdicts, the rank correlations, and the published rows that decide nothing."""
    if assignment.is_empty:
        return Document("Replication", [NOT_THIS_RUN], [])
    comparisons = compare_with_paper(scored, assignment.matched)
    document = Document("Replication", [*_head(scored, assignment, comparisons), RULE], [])
    if comparisons:
        document.sections.append(Section("Published and ours", [COLUMNS], _cells_blocks(comparisons)))
    ranks = rank_correlations(comparisons)
    if ranks:
        document.sections.append(Section("Order of the models", [], [_ranks_block(ranks)]))
    rest = _rest_blocks(scored, assignment)
    if rest:
        document.sections.append(Section("Published values that decide nothing", [], rest))
    return document


def _head(scored: ScoreCells, assignment: Assignment, comparisons: Sequence[Comparison]) -> list[str]:
    """Return how many cells have a published value, and what was found."""
    filled, possible = headline_cells(scored, assignment.matched)
    counts = count_verdicts(comparisons)
    total = len(comparable(comparisons))
    found = "; ".join(f"{verdict}: {count}" for verdict, count in counts.items()) or "none"
    kinds = " and ".join(kind.short for kind in scored_by(REFERENCE, KINDS)[0])
    return [
        f"{filled} of {possible} cells (the paper's models in this run × its {kinds} datasets, headline metric) "
        "have a confirmed published value of a known model.",
        f"Verdicts on the {total} confirmed values by the reference protocol: {found}.",
    ]


def _cells_blocks(comparisons: Sequence[Comparison]) -> list[Block]:
    """Return a table for each dataset, metric and protocol with a row for each published value."""
    groups = grouped(((one.value.dataset, one.value.metric, one.value.protocol), one) for one in comparisons)
    header = ["model", "published", "ours", "runs", "difference", "one more run", "standard", "verdict"]
    blocks = []
    for (dataset, metric, protocol), group in groups.items():
        rows = []
        for one in group:
            ours = one.ours
            texts = [str(ours.runs) if ours.runs else DASH, signed(ours.difference), interval_text(one.interval)]
            standard = cell_entry(one.standard, deviations=False)
            entries = [*row(one.value.model, number(one.value.value)), cell_entry(ours), *row(*texts), standard]
            rows.append([*entries, Entry(one.verdict)])
        title = f"{dataset}, {_title(metric)}, {protocol} protocol"
        label = f"replication-{dataset}-{metric}-{protocol}".lower()
        reasons = _notes((f"{one.verdict}: {one.reason}" if one.reason else "", one.value.model) for one in group)
        sources = _notes((f"Published: {one.value.source}", one.value.model) for one in group)
        blocks.append(Block(title, label, header, rows, [*reasons, *sources]))
    return blocks


def _notes(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return each text once with the names that it is said of; empty texts are left out."""
    names_of = grouped((f"{text[0].upper()}{text[1:]}", name) for text, name in pairs if text)
    return [f"{text}: {', '.join(dict.fromkeys(names))}." for text, names in names_of.items()]


def _ranks_block(ranks: Sequence[RankCorrelation]) -> Block:
    """Return how alike the models are ordered, a row per dataset."""
    rows = []
    for rank in ranks:
        texts = [rank.dataset, _title(rank.metric), str(rank.models)]
        rows.append(row(*texts, number(rank.spearman), number(rank.kendall)))
    header = ["dataset", "metric", "models", "Spearman's rho", "Kendall's tau-b"]
    notes = [
        "Between the paper's values and our means by the reference protocol, over the models with a confirmed value. "
        f"{DASH} = fewer than {LEAST_MODELS} models, or all values alike. With so few models a correlation shows "
        "little: of three, every sixth random order is the paper's."
    ]
    return Block("Rank correlation", "rank-correlation", header, rows, notes)


def _undecided(assignment: Assignment) -> list[tuple[str, list[PublishedValue], str]]:
    """Return the published rows that have no verdict: title, rows, reason."""
    return [
        ("Not confirmed", assignment.unconfirmed, "not confirmed, decides nothing"),
        ("Not assigned to a model", assignment.unassigned, "the source does not say which model"),
        ("Outside this run", assignment.outside, "model or dataset is not part of this run"),
    ]


def _rest_blocks(scored: ScoreCells, assignment: Assignment) -> list[Block]:
    """Return a table for each kind of published rows that have no verdict; where they have a cell, how far it is."""
    header = ["dataset", "model", "metric", "protocol", "published", "ours", "difference"]
    blocks = []
    for title, values, reason in _undecided(assignment):
        rows = []
        for value in values:
            texts = [value.dataset, value.model or DASH, _title(value.metric), value.protocol]
            ours = scored.cells.get(value.cell)
            entries = [*row(*texts, number(value.value)), cell_entry(ours) if ours else Entry(DASH)]
            rows.append([*entries, Entry(signed(_ours(ours, value).get("difference")))])
        if rows:
            label = f"replication-{title.lower().replace(' ', '-')}"
            sources = _notes((value.source, f"{value.dataset} {number(value.value)}") for value in values)
            notes = [f"Reason: {reason}.", *sources]
            blocks.append(Block(title, label, header, rows, notes))
    return blocks


def _title(metric: str) -> str:
    """Return a metric as readers know it."""
    return {**METRIC_TITLES, "retained": "% of baseline"}.get(metric, metric)


def _ours(cell: Cell | None, value: PublishedValue) -> dict[str, float | None]:
    """Return our cell of a published value that has no verdict, and ours less published; nothing where we have none."""
    if cell is None or cell.mean is None:
        return {}
    return {"mean": cell.mean, "std": cell.std, "runs": cell.runs, "difference": cell.mean - value.value}


def replication_records(scored: ScoreCells, assignment: Assignment, estimates: Sequence[Estimate]) -> list[Row]:
    """Return one row per published value, every digit kept: those with a verdict first."""
    means = by_model(estimates, MEAN)
    records: list[Row] = []
    for one in compare_with_paper(scored, assignment.matched):
        value, ours = one.value, one.ours
        is_headline = value.metric == KINDS[ours.task].headline
        mean = means.get((value.dataset, value.protocol, value.model)) if is_headline else None
        record = _published_fields(value)
        record |= {name: getattr(ours, name) for name in ("mean", "std", "runs", "difference")}
        if one.interval:
            record |= {"prediction_low": one.interval[0], "prediction_high": one.interval[1]}
        if mean:
            record |= {"mean_low": mean.low, "mean_high": mean.high}
        records.append(record | {"standard_mean": one.standard.mean, "verdict": one.verdict, "reason": one.reason})
    for _, values, reason in _undecided(assignment):
        for value in values:
            records.append(_published_fields(value) | _ours(scored.cells.get(value.cell), value) | {"reason": reason})
    return records


def _published_fields(value: PublishedValue) -> Row:
    """Return the columns that say what was published where."""
    return {("published" if name == "value" else name): text for name, text in asdict(value).items()}
