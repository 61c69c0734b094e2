"""The table of comparisons: every model against the baseline, with intervals, p-values and a verdict."""

from __future__ import annotations

from collections.abc import Sequence

from compactbio.kinds import KINDS, METRIC_TITLES
from compactbio.reporting.grouping import grouped
from compactbio.reporting.material import Built, Material, Row
from compactbio.reporting.render import (
    DASH,
    Block,
    Document,
    Entry,
    Section,
    gap_note,
    interval_text,
    number,
    row,
    signed,
)
from compactbio.reporting.report_records import BOTH
from compactbio.reporting.score_cells import ScoreCells
from compactbio.reporting.statistics.estimates import BASELINE, MEAN, RULE, VERDICTS, Estimate, by_model

METHOD = (
    "Multi-bootstrap (Sellam et al. 2022, The MultiBERTs): test examples are resampled, the same ones for all models, "
    "and for each model its runs, of R runs R - 1 at a time, which gives the variance of their mean without bias. "
    "Where runs are folds, the same folds are drawn for all models and examples within them, which errs towards no "
    "difference. Means and differences in percent and percent points, each with its 95 % percentile interval; p: two-"
    "sided; Holm: p corrected over the models of one table."
)


def build(material: Material) -> Built:
    """Return the table, a section per protocol."""
    return comparisons_document(material.scored, material.estimates), comparison_records(material.estimates)


def comparisons_document(scored: ScoreCells, estimates: Sequence[Estimate]) -> Document:
    """Return each model's difference to the baseline, a section per protocol."""
    document = Document(f"Comparisons with {scored.baseline}", [METHOD, RULE], [])
    if not estimates:
        document.text.append(
            "Nothing is compared yet: no model has units.parquet, the counts per test example that score_model leaves."
        )
        return document
    document.text.append(f"Resamples: {estimates[0].resamples:,}. All pairs of models stand in comparisons.csv.")
    for protocol in BOTH:
        blocks = [
            _block(dataset, protocol, scored, estimates)
            for task in KINDS
            if protocol in KINDS[task].protocol_names
            for dataset in scored.datasets_of(task)
        ]
        if blocks:
            document.sections.append(Section(f"{protocol.capitalize()} protocol", [], blocks))
    return document


def _block(dataset: str, protocol: str, scored: ScoreCells, estimates: Sequence[Estimate]) -> Block:
    """Return the models on one dataset."""
    means, differences = by_model(estimates, MEAN), by_model(estimates, BASELINE)
    rows, metric = [], KINDS[scored.datasets[dataset]].headline
    for model in scored.models:
        mean, difference = means.get((dataset, protocol, model)), differences.get((dataset, protocol, model))
        cell = scored.cell(dataset, model, protocol, metric)
        texts = [interval_text(mean.interval), str(mean.runs)] if mean else [DASH] * 2
        if difference:
            texts += [signed(difference.value), interval_text(difference.interval)]
            texts += [p_text(difference.p), p_text(difference.holm), difference.verdict]
        ours = Entry(number(mean.value), cell=cell.place) if mean else Entry(DASH)
        rows.append([Entry(model), ours, *row(*texts, *([] if difference else [DASH] * 5))])
    header = ["model", METRIC_TITLES[metric], "interval", "runs", "difference", "interval", "p", "Holm", "verdict"]
    label = f"comparisons-{protocol}-{dataset}".lower()
    return Block(dataset, label, header, rows, _notes(dataset, protocol, scored, estimates))


def _notes(dataset: str, protocol: str, scored: ScoreCells, estimates: Sequence[Estimate]) -> list[str]:
    """Return what was resampled, and what the dashes are."""
    means, differences = by_model(estimates, MEAN), by_model(estimates, BASELINE)
    here = [means[key] for key in ((dataset, protocol, model) for model in scored.models) if key in means]
    notes = []
    if here:
        notes.append(f"Test examples: {here[0].examples:,}.")
        single = [mean.model for mean in here if mean.runs == 1]
        if single:
            notes.append(
                "One run, so that test examples alone are resampled and nothing is said of other trainings: "
                f"{'all models' if len(single) == len(here) else ', '.join(single)}."
            )
    cells = scored.column(dataset, protocol, KINDS[scored.datasets[dataset]].headline)
    gaps = (
        (cell.reason or "no units.parquet", cell.model)
        for cell in cells
        if (dataset, protocol, cell.model) not in means
    )
    for reason, models in grouped(gaps).items():
        notes += gap_note(reason, models)
    others = [mean.model for mean in here if mean.model != scored.baseline]
    apart = [model for model in others if (dataset, protocol, model) not in differences]
    if apart and (dataset, protocol, scored.baseline) not in means:
        notes.append(f"No differences: {scored.baseline} has no runs to compare with.")
    elif apart:
        notes.append(
            f"No difference to {scored.baseline}, since other gold entities were looked for (another vocabulary): "
            f"{', '.join(apart)}."
        )
    return notes


def difference_notes(dataset: str, protocol: str, scored: ScoreCells, estimates: Sequence[Estimate]) -> list[str]:
    """Return in one sentence which models differ from the baseline on a dataset; empty where nothing was compared."""
    differences = by_model(estimates, BASELINE)
    models_of: dict[str, list[str]] = {verdict: [] for verdict in VERDICTS}
    for model in scored.models:
        if (dataset, protocol, model) in differences:
            models_of[differences[dataset, protocol, model].verdict].append(model)
    parts = [f"{verdict}: {', '.join(models)}" for verdict, models in models_of.items() if models]
    return [f"Against {scored.baseline} (table comparisons): {'; '.join(parts)}."] if parts else []


def comparison_records(estimates: Sequence[Estimate]) -> list[Row]:
    """Return one row per estimate, every digit kept: means, differences to the baseline, all pairs."""
    return [one._asdict() | {"resampled": one.resampled, "verdict": one.verdict} for one in estimates]


def p_text(value: float | None) -> str:
    """Return a p-value with three decimals, or a dash."""
    if value is None:
        return DASH
    return "< 0.001" if value < 0.001 else number(value, 3)
