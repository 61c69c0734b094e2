"""A check of scores before they are believed: complete, and in agreement with each other."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from compactbio.errors import UserError
from compactbio.files import read_yaml
from compactbio.kinds import KINDS
from compactbio.kinds.kind import STANDARD, SUPPORT
from compactbio.reporting.grouping import grouped
from compactbio.reporting.published import Assignment
from compactbio.scoring.score_rows import POOLED, ClassScore, Score

_TOLERANCE = 1e-6  # of identities between fractions


def read_expected_runs(paths: Sequence[Path]) -> dict[tuple[str, str], list[str]]:
    """Return the names of runs by (model, dataset) from run.yaml files of the fine-tunings.

    Raises:
        UserError: a file is no such run file, or two are of the same model and dataset.
    """
    expected: dict[tuple[str, str], list[str]] = {}
    for path in paths:
        content = read_yaml(path)
        try:
            key = (content["model"], content["dataset"])
            runs = [str(run["run"]) for run in content["runs"]]
        except (KeyError, TypeError) as error:
            raise UserError(f"{path} is no run file of a fine-tuning ({error}): resolve_finetuning writes it") from None
        if key in expected:
            raise UserError(f"{path}: a second run file of {' on '.join(key)}")
        expected[key] = runs
    return expected


def find_problems(
    scores: Sequence[Score],
    *,
    models: Sequence[str],
    datasets: Mapping[str, str],
    expected: Mapping[tuple[str, str], list[str]],
) -> list[str]:
    """Return everything that is wrong with a set of scores, one sentence each; empty if nothing is."""
    return _completeness(scores, models, datasets, expected) + _identities(scores) + _entity_counts(scores)


def _completeness(
    scores: Sequence[Score],
    models: Sequence[str],
    datasets: Mapping[str, str],
    expected: Mapping[tuple[str, str], list[str]],
) -> list[str]:
    """Check that each run has each required metric of each protocol, and that no other run is there."""
    problems = []
    found: dict[tuple[str, str], set[tuple[str, str, str]]] = defaultdict(set)
    for score in scores:
        found[score.model, score.dataset].add((score.run, score.protocol, score.metric))
        if score.model not in models or score.dataset not in datasets:
            problems.append(f"{score.model} on {score.dataset} has scores, but is not part of this run")
        elif score.task != datasets[score.dataset]:
            problems.append(f"{score.dataset} is scored as {score.task}, but is defined as {datasets[score.dataset]}")
    for dataset, task in datasets.items():
        for model in models:
            rows, runs = found[model, dataset], expected.get((model, dataset))
            if runs is None or not rows:
                problems.append(f"{model} on {dataset} has no {'run file' if runs is None else 'scores'}")
                continue
            required = {
                (run, protocol, metric)
                for run, protocol in itertools.product(runs, KINDS[task].protocol_names)
                for metric in KINDS[task].metrics_of(protocol)
            }
            missing = sorted(required - rows)
            if missing:
                first = " / ".join(missing[0])
                problems.append(f"{model} on {dataset} lacks {len(missing)} of {len(required)} scores, first {first}")
            stale = sorted({run for run, _, _ in rows} - {*runs, POOLED})
            if stale:
                problems.append(f"{model} on {dataset} has scores of runs that its run file lacks: {', '.join(stale)}")
    return list(dict.fromkeys(problems))


def _identities(scores: Sequence[Score]) -> list[str]:
    """Check F1 = 2PR / (P + R) of micro values, and strict <= MRR <= lenient."""
    values: dict[tuple[str, str, str, str], dict[str, float]] = defaultdict(dict)
    for score in scores:
        values[score.model, score.dataset, score.run, score.protocol][score.metric] = score.value
    problems = []
    for place, row in values.items():
        where = " / ".join(place)
        if {"precision", "recall", "f1"} <= row.keys():
            total = row["precision"] + row["recall"]
            harmonic = 2 * row["precision"] * row["recall"] / total if total else 0.0
            if not math.isclose(row["f1"], harmonic, abs_tol=_TOLERANCE):
                problems.append(f"{where}: F1 {row['f1']:.6f} is not 2PR/(P+R) = {harmonic:.6f}")
        if {"strict", "lenient", "mrr"} <= row.keys() and not (
            row["strict"] - _TOLERANCE <= row["mrr"] <= row["lenient"] + _TOLERANCE
        ):
            problems.append(
                f"{where}: MRR {row['mrr']:.6f} does not lie between strict {row['strict']:.6f} "
                f"and lenient {row['lenient']:.6f}"
            )
    return problems


def find_class_problems(classes: Sequence[ClassScore]) -> list[str]:
    """Check that all models were scored on the same examples of each class, by the standard protocol."""
    supports = grouped(
        ((score.dataset, score.run, score.label), score.value)
        for score in classes
        if score.metric == SUPPORT and score.protocol == STANDARD
    )
    return [
        f"{' / '.join(place)}: models were scored on different numbers of gold examples of this class "
        f"({', '.join(f'{value:.0f}' for value in sorted(set(values)))})"
        for place, values in supports.items()
        if len(set(values)) > 1
    ]


def _entity_counts(scores: Sequence[Score]) -> list[str]:
    """Check that all models were scored on the same gold entities, and that there are some.

    Only the standard protocol counts words; under the reference one the vocabulary decides.
    """
    counts = grouped(
        (score.dataset, score.value) for score in scores if score.metric == "entities" and score.protocol == STANDARD
    )
    problems = []
    for dataset, values in counts.items():
        seen = set(values)
        if len(seen) > 1:
            numbers = ", ".join(f"{value:.0f}" for value in sorted(seen))
            problems.append(f"{dataset}: runs were scored on different numbers of gold entities ({numbers})")
        elif 0 in seen:
            problems.append(f"{dataset}: the test set has no entities")
    return problems


def report(
    scores: Sequence[Score],
    *,
    models: Sequence[str],
    datasets: Mapping[str, str],
    expected: Mapping[tuple[str, str], list[str]],
    assignment: Assignment,
    rows: Mapping[str, int],
) -> str:
    """Return the text of a passed check: what was counted; `rows` are those of each table."""
    runs = sum(map(len, expected.values()))
    lines = [
        "All checks passed.",
        f"scores: {len(scores)} rows, each a number in its range, none twice",
        f"complete: {len(models)} models x {len(datasets)} datasets, {runs} runs, every protocol and metric",
        "identities: F1 = 2PR/(P+R); strict <= MRR <= lenient; equal gold entities under the standard protocol, of "
        "each class too",
        f"tables: {', '.join(f'{name} {count} rows' for name, count in rows.items())}",
        "agreement: each required cell once, no NaN; means and deviations are those of the scores; what is printed of "
        "a cell is one text in all tables; averages are those of the cells; a deployed model is there in each form, "
        "its score in torch that of its run",
        f"published values: {len(assignment.matched)} matched to a cell, {len(assignment.unassigned)} unassigned, "
        f"{len(assignment.unconfirmed)} unconfirmed, {len(assignment.outside)} of models or datasets outside this run",
    ]
    lines += [
        f"  unassigned: {value.dataset} {value.metric} {value.value} ({value.source})"
        for value in assignment.unassigned
    ]
    return "\n".join(lines) + "\n"
