"""The first page of the results: what it says first, where it leads, and when it speaks of the paper."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from compactbio.reporting.effects import LARGE, SMALL, SOME, SWITCHES, ranked_effects
from compactbio.reporting.explanations import QUIRKS
from compactbio.reporting.first_page import build, verdict
from compactbio.reporting.material import Material
from compactbio.reporting.published import Assignment, PublishedValue, assign
from compactbio.reporting.render import to_html, to_markdown, to_rst
from compactbio.reporting.report_records import BOTH, FIGURES, PAGES, made_tables
from compactbio.reporting.score_cells import build_cells
from compactbio.scoring.score_rows import POOLED, Score
from compactbio.settings.load import CONFIG_FOLDER, settings_of_files

MODELS, DATASETS = ["BioBERT-v1.1", "DistilBioBERT"], {"BC2GM": "ner", "GAD": "re"}
RUNS = {"BC2GM": [f"seed{seed}" for seed in (42, 43, 44)], "GAD": [f"seed42-fold{fold}" for fold in range(1, 11)]}
NOTHING = Assignment([], [], [], [])


@pytest.fixture(scope="module")
def paper() -> dict[str, Any]:
    return settings_of_files([])


@pytest.fixture
def config(paper: dict[str, Any]) -> dict[str, Any]:
    small = deepcopy(paper)
    small["run"] |= {"models": MODELS, "datasets": list(DATASETS)}
    return small


def scores() -> list[Score]:
    """Every run; the last digit of a value is its run's number."""
    found = []
    for model, level in zip(MODELS, (0.80, 0.72), strict=True):
        for dataset, task in DATASETS.items():
            for protocol in ("reference", "standard") if task == "ner" else ("standard",):
                for number, run in enumerate(RUNS[dataset]):
                    found.append(Score(task, dataset, model, run, protocol, "f1", level + number / 1000))
    return found


def value_of(model: str, value: float) -> PublishedValue:
    return PublishedValue("ner", "BC2GM", model, "f1", "reference", value, "confirmed", "a paper")


def material(config: dict[str, Any] | None, assignment: Assignment, **facts: Any) -> Material:
    cells = build_cells(scores(), models=MODELS, datasets=DATASETS, baseline=MODELS[0], published=assignment.by_cell())
    return Material(cells, assignment, measured={}, trainings={}, scores=scores(), config=config, **facts)


def compared() -> Assignment:
    values = [value_of("BioBERT-v1.1", 80.1), value_of("DistilBioBERT", 60.0)]
    return assign(values, models=MODELS, datasets=DATASETS)


def test_the_first_sentence_is_the_verdict(config: dict[str, Any]) -> None:
    first, second, third = verdict(material(config, compared()))
    assert first == "1 of 2 confirmed values of the paper replicated, 1 higher, from 6 runs."
    # 72.1 and 72.45 over a baseline of 80.1 and 80.45
    assert (
        "DistilBioBERT, 72.28 % by the reference protocol, 90.03 % of BioBERT-v1.1's." in second
        and "in the comparisons" in third
    )
    lines = to_markdown(build(material(config, compared()))).split("\n\n")
    assert lines[1:4] == [f"**{first}**", second, third]


def test_without_a_comparison_nothing_is_said_of_the_paper(config: dict[str, Any]) -> None:
    config["reporting"]["compare_with_paper"] = False
    text = to_markdown(build(material(config, NOTHING)))
    assert "paper" not in text.lower() and "authors" not in text.lower() and "replicat" not in text.lower()
    assert "by the standard protocol" in text and "reference protocol" not in text.partition("## Where to look")[0]
    assert "26 of the 26 runs" in text


def test_the_protocol_that_matters_comes_first() -> None:
    assert compared().in_order(BOTH) == ("reference", "standard")
    assert NOTHING.in_order(BOTH) == ("standard", "reference")
    assert NOTHING.in_order(("standard",)) == ("standard",)


def test_everything_is_linked_in_the_form_of_the_page(config: dict[str, Any]) -> None:
    document = build(material(config, compared()))
    for text, form, link in ((to_markdown(document), "md", "]({})"), (to_html(document), "html", 'href="{}"')):
        wanted = [f"{table.name}.{form}" for table in made_tables({*DATASETS.values()}, benchmark=False)]
        wanted += [f"../figures/{figure.name}.svg" for figure in FIGURES]
        wanted += [f"../reporting/pages/{page.name}.{form}" for page in PAGES]
        wanted += [f"../reporting/model_cards/{model}.md" for model in MODELS]
        lacking = [path for path in wanted if link.format(path) not in text]
        assert not lacking
        assert link.format(f"qa.{form}") not in text  # no dataset of this kind


def test_tables_so_far_lead_only_to_what_is_beside_them(config: dict[str, Any]) -> None:
    text = to_markdown(build(material(config, compared(), complete=False)))
    assert "](ner.md)" in text and "](../" not in text


def test_pooled_folds_are_no_run_of_their_own(config: dict[str, Any]) -> None:
    facts = material(config, NOTHING)
    pooled = [Score("re", "GAD", MODELS[0], POOLED, "standard", "f1", 0.5)]
    text = to_markdown(build(Material(**{**vars(facts), "scores": [*facts.scores, *pooled]})))
    assert "26 of the 26 runs" in text


def test_deviations_stand_in_the_order_of_their_effect(config: dict[str, Any], paper: dict[str, Any]) -> None:
    config["quirks"] |= {"teacher_dropout": "sound", "text": "sound"}
    config["models"]["DistilBioBERT"]["optimisation"]["steps"] = 50
    used = [*MODELS, *DATASETS, "cased", "biobert-v1.2"]
    effects = ranked_effects(config, paper, used)
    sizes = [one.size for one in effects]
    assert sizes == sorted(sizes, key=[LARGE, SOME, SMALL].index) and set(sizes) == {LARGE, SOME, SMALL}
    names = [one.name for one in effects]
    assert names[:2] == ["models.DistilBioBERT.optimisation.steps", "quirks.text"]
    assert "50; the paper's configuration: 100000" in effects[0].here
    assert names.index("quirks.teacher_dropout") < names.index("quirks.finetuning_seeds")
    assert not {"run.models", "run.datasets", "BioDistilBERT-uncased"} & set(names)
    relations = "recipe and scores of relation extraction"
    assert relations in names
    config["run"]["datasets"] = ["BC2GM"]
    assert relations not in [one.name for one in ranked_effects(config, paper, used)]


def test_published_weights_are_no_other_models(paper: dict[str, Any]) -> None:
    released = settings_of_files([CONFIG_FOLDER / "released.yaml"])
    effects = {one.name: one for one in ranked_effects(released, paper, released["run"]["models"])}
    assert effects["models.TinyBioBERT.source"].size == SOME and "upload" in effects["models.TinyBioBERT.source"].reason
    assert not [name for name, one in effects.items() if one.size == LARGE]
    assert not {"corpus", "loss over GPUs", "AdamW"} & effects.keys()  # nothing is trained here


def test_every_switch_has_an_expected_effect() -> None:
    assert SWITCHES.keys() == QUIRKS.keys()
    assert all(size in (LARGE, SOME, SMALL) and reason for size, reason in SWITCHES.values())


def test_the_verdict_stands_on_the_first_page_of_the_report() -> None:
    from docutils.core import publish_parts

    text = to_rst("Generated data: a_b *x*.", ["1 of 2 `values`.", "Then | this."])
    body = publish_parts(text, writer="html", settings_overrides={"halt_level": 2})["body"]
    assert "<strong>1 of 2 `values`.</strong>" in body and "<strong>Generated data: a_b *x*.</strong>" in body
    assert json.dumps("Then | this.")[1:-1] in body
    assert publish_parts(to_rst("", ["One."]), writer="html")["body"].strip() == "<p><strong>One.</strong></p>"
