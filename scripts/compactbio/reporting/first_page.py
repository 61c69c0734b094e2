"""The first page of the results: verdict, summary, what was run, deviations, and the way to everything else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compactbio.reporting.effects import SCALE, ranked_effects
from compactbio.reporting.explanations import spread_of_runs
from compactbio.reporting.material import Material
from compactbio.reporting.pages.overview import left_out, runs_block, runs_result
from compactbio.reporting.render import Block, Document, Entry, Section, number, row
from compactbio.reporting.report_records import BOTH, FIGURES, PAGES, made_tables
from compactbio.reporting.statistics.estimates import HIGHER, LOWER
from compactbio.reporting.statistics.verdicts import REPLICATED, comparable, compare_with_paper, count_verdicts
from compactbio.reporting.tables.averages import ALL, averages, retained, summary_document
from compactbio.reporting.tables.kind_scores import UNITS_NOTE
from compactbio.settings.load import settings_of_files
from compactbio.settings.results import FIGURES as FIGURES_FOLDER
from compactbio.settings.results import REPORTING
from compactbio.settings.runs import finetuning_run
from compactbio.settings.selection import names_in_use, trained_models

_REPLICATION = "Replication: On the Effectiveness of Compact Biomedical Transformers"
_MOST_EFFECTS = 20  # rows of a table; the page on deviations has all of them
_FORMS = ["Each as Markdown (.md), LaTeX with booktabs (.tex), a page (.html) and rows with all digits (.csv)."]
_CARDS = "Each model has a card, to which its name in the summary leads."


def build(material: Material) -> Document:
    """Return the page."""
    compared = not material.assignment.is_empty
    sections = [
        Section("Summary", [], _summary(material)),
        Section("Where to look", [], list(_contents(material))),
    ]
    if material.config is not None:
        sections.append(_what_was_run(material, material.config, compared=compared))
    if material.config is not None and compared:
        sections.append(_deviations(material.config))
    notes = [f"{UNITS_NOTE} An empty cell is a dash, and the reason stands under its table."]
    if compared:
        notes.append(spread_of_runs({} if material.config is None else material.config["quirks"]))
    sections.append(Section("How to read it", notes, []))
    first, *others = verdict(material)
    return Document(_REPLICATION if compared else "Results", others, sections, lead=first)


def verdict(material: Material) -> list[str]:
    """Return what came out: a sentence on the values of the paper where they are compared, and one on the models."""
    sentences = [] if material.assignment.is_empty else [_replicated(material)]
    protocol = material.assignment.in_order(BOTH)[0]
    table = averages(material.scored, protocol)
    means = {model: by_task[ALL].value for model, by_task in table.items()}
    known = {model: mean for model, mean in means.items() if mean is not None}
    others = {model: mean for model, mean in known.items() if model != material.scored.baseline}
    best = max(others or known, key=lambda model: known[model], default=None)
    if best is not None:
        share = retained(table, material.scored.baseline)[best][ALL].value
        of = f", {number(share)} % of {material.scored.baseline}'s" if share is not None and best in others else ""
        whom = f" beside the baseline {material.scored.baseline}" if best in others else ""
        sentences.append(
            f"Highest average over all kinds of task{whom}: {best}, {number(means[best])} % by the {protocol} "
            f"protocol{of}."
        )
        sentences.append("Which differences between models are more than chance stands in the comparisons.")
    return sentences or ["No model has scores on all datasets yet."]


def _replicated(material: Material) -> str:
    """Return how many of the paper's values were replicated, and from how many runs."""
    comparisons = compare_with_paper(material.scored, material.assignment.matched)
    counts, total = count_verdicts(comparisons), len(comparable(comparisons))
    if not total:
        return "No model and dataset of this run has a confirmed value of the paper to be compared with."
    parts = [f"{counts.pop(REPLICATED, 0)} of {total} confirmed values of the paper replicated"]
    parts += [f"{counts.pop(word)} {word}" for word in (HIGHER, LOWER) if word in counts]
    parts += [f"{count} {word}" for word, count in counts.items()]
    runs = sum({(one.ours.dataset, one.ours.model): one.ours.runs for one in comparable(comparisons)}.values())
    return f"{', '.join(parts)}, from {runs} runs."


def _summary(material: Material) -> list[Block]:
    """Return the summary by the protocol that comes first: averages, and the share of the baseline's."""
    sections = summary_document(material.scored, material.assignment).sections
    if not sections:
        return []
    averaged, shares = sections[0].blocks
    rows = []
    for (model, *means), share in zip(averaged.rows, shares.rows, strict=True):
        link = f"../{REPORTING}/model_cards/{model.text}.md" if material.complete else ""
        rows.append([Entry(model.text, link=link), *means, share[-1]])
    header = [*averaged.header, f"% of {material.scored.baseline}"]
    title = f"{averaged.title}, {sections[0].title.lower()}"
    return [Block(title, "first-page-summary", header, rows, averaged.notes)]


def _what_was_run(material: Material, config: dict[str, Any], *, compared: bool) -> Section:
    """Return how many runs there are of those asked for, and what of the paper's configuration was left out."""
    scored = material.scored
    planned = {
        (model, dataset): [run["run"] for run in finetuning_run(config, model, dataset)["runs"]]
        for model in scored.models
        for dataset in scored.datasets
    }
    found: dict[tuple[str, str], set[str]] = {place: set() for place in planned}
    for score in material.scores:
        place = (score.model, score.dataset)
        if score.run in planned.get(place, ()):
            found[place].add(score.run)
    text = [runs_result(planned, found)]
    if compared:
        steps = {name: config["models"][name]["optimisation"]["steps"] for name in trained_models(config)}
        text += left_out(config, settings_of_files([]), steps)
    return Section(
        "What was run and what not", text, [runs_block(scored.models, list(scored.datasets), planned, found)]
    )


def _deviations(config: dict[str, Any]) -> Section:
    """Return the deviations by their expected effect."""
    effects = ranked_effects(config, settings_of_files([]), names_in_use(config))
    rows = [row(one.name, one.here, one.size, one.reason) for one in effects[:_MOST_EFFECTS]]
    more = len(effects) - len(rows)
    notes = [f"{more} more, of the smallest effect, are on the page of switches and configuration."] if more > 0 else []
    header = ["what", "here", "expected effect", "why"]
    block = Block("Deviations from the paper", "effects", header, rows, notes)
    return Section("Deviations by their expected effect", [SCALE], [block])


def _contents(material: Material) -> Iterator[Block]:
    """Yield links to each table and, where they are made beside it, to each figure and page."""
    compared = not material.assignment.is_empty
    tables = [
        [Entry(table.label, link=f"{table.name}.{{form}}"), Entry(table.holds)]
        for table in made_tables({*material.scored.datasets.values()}, benchmark=material.benchmark is not None)
        if compared or table.name != "replication"
    ]
    yield Block("Tables", "contents-tables", ["table", "what it holds"], tables, _FORMS)
    if not material.complete:
        return
    order = material.assignment.in_order(BOTH)
    by_protocol = sorted((one for one in FIGURES if one.arguments), key=lambda one: order.index(one.arguments[0]))
    figures = [*by_protocol, *(one for one in FIGURES if not one.arguments)]
    entries = [
        [Entry(figure.label, link=f"../{FIGURES_FOLDER}/{figure.name}.svg"), Entry(_without_number(figure.subcategory))]
        for figure in figures
        if compared or figure.name != "paper_and_replication"
    ]
    yield Block("Figures", "contents-figures", ["figure", "about"], entries)
    pages = [
        [Entry(page.label, link=f"../{REPORTING}/pages/{page.name}.{{form}}"), Entry(_without_number(page.category))]
        for page in PAGES
    ]
    pages.append([Entry("Sources, licences, citations", link=f"../{REPORTING}/citations.{{form}}"), Entry("Sources")])
    yield Block("Pages", "contents-pages", ["page", "about"], pages, [_CARDS])


def _without_number(title: str | None) -> str:
    """Return a category of the report without the number that orders it there."""
    return (title or "").lstrip("0123456789 ")
