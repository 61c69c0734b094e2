"""The numbers behind the figures: losses by tokens and time, running means, what is compared with the paper, looks."""

from __future__ import annotations

import json
import resource

import pytest
from helpers.reporting import DISTILLED, write_pretraining
from matplotlib.figure import Figure

from compactbio.errors import UserError
from compactbio.reporting.figures.agreement import compared_cells, draw_agreement
from compactbio.reporting.figures.loss_curves import draw_losses, objective_title, smoothed
from compactbio.reporting.pretrainings import read_pretrainings, running_mean
from compactbio.reporting.published import PublishedValue
from compactbio.reporting.score_cells import build_cells
from compactbio.scoring.score_rows import Score
from compactbio.style import FORMATS, line_looks, save_figure, write_figure

MLM = [{"term": "mlm", "weight": 1.0}]


def svg_of(figure, folder):
    """A figure's SVG as text."""
    return save_figure(figure, folder / "figure.svg")[0].read_text(encoding="utf-8")


def test_losses_by_tokens_and_by_hours_of_all_gpus(tmp_path):
    on_cpu = write_pretraining(tmp_path / "A", MLM)
    on_gpus = write_pretraining(tmp_path / "B", MLM, gpu_hours=0.04)  # 36 s on four
    found = read_pretrainings([on_cpu, on_gpus])
    assert found["A"].losses().tolist() == [10.0, 9.0, 8.0]
    assert found["A"].tokens().tolist() == [50.0, 500.0, 1500.0]  # 50 tokens a step
    assert found["A"].gpus == 0
    assert found["A"].device_hours() == pytest.approx([0.5 / 3600, 5 / 3600, 15 / 3600])
    assert found["B"].gpus == pytest.approx(4)
    assert found["B"].device_hours() == pytest.approx([2 / 3600, 20 / 3600, 60 / 3600])


def test_a_training_without_losses_is_refused(tmp_path):
    path = write_pretraining(tmp_path / "A", MLM)
    path.write_text(json.dumps({"step": 1, "evaluation": {}}) + "\n")
    with pytest.raises(UserError, match="no line with a loss"):
        read_pretrainings([path])


@pytest.mark.parametrize(("count", "width"), [(99, 1), (100, 3), (2000, 41)])
def test_losses_are_smoothed_over_two_per_cent_of_the_lines(count, width):
    import numpy as np

    values = np.random.default_rng(0).normal(size=count)
    half = width // 2
    plain = [values[max(0, place - half) : place + half + 1].mean() for place in range(count)]
    assert smoothed(values) == pytest.approx(plain)
    assert running_mean(values, width) == pytest.approx(plain)


def test_each_objective_has_its_own_panels_of_tokens_and_time(tmp_path):
    paths = [write_pretraining(tmp_path / "A", MLM), write_pretraining(tmp_path / "B", MLM)]
    paths.append(write_pretraining(tmp_path / "C", DISTILLED))
    svg = svg_of(draw_losses(["B", "A"], read_pretrainings(paths)), tmp_path)
    assert svg.count("tokens read, thousands") == 2
    assert svg.count("seconds of training on a CPU") == 2
    words = objective_title(read_pretrainings(paths)["C"].objective)
    assert words.split("\n") == ["5 × KL divergence of logits", "+ 2 × masked language modelling"]
    assert "5 × KL divergence of logits" in svg and "Masked language modelling" in svg


def test_gpu_hours_are_said_where_all_had_gpus(tmp_path):
    path = write_pretraining(tmp_path / "A", MLM, gpu_hours=0.04)
    assert "GPU-seconds of training" in svg_of(draw_losses(["A"], read_pretrainings([path])), tmp_path)
    mixed = [path, write_pretraining(tmp_path / "B", MLM)]
    assert "GPU-seconds, or seconds on a CPU" in svg_of(draw_losses(["A"], read_pretrainings(mixed)), tmp_path)


def test_without_a_pretraining_the_figure_says_so(tmp_path):
    assert "No model is pre-trained in this run" in svg_of(draw_losses(["A"], {}), tmp_path)


def results(*values, models=("A", "B")):
    """Cells of one NER and one RE dataset with two runs each, beside published values."""
    scores = [
        Score(task, dataset, model, run, protocol, "f1", 0.8 if run == "seed1" else 0.9)
        for model in models
        for task, dataset, protocol in (("ner", "N", "reference"), ("ner", "N", "standard"), ("re", "R", "standard"))
        for run in ("seed1", "seed2")
    ]
    published = {value.cell: value for value in values}
    return build_cells(scores, models=models, datasets={"N": "ner", "R": "re"}, baseline="A", published=published)


def published(dataset, model, metric, protocol, value):
    task = "re" if dataset == "R" else "ner"
    return PublishedValue(task, dataset, model, metric, protocol, value, "confirmed", "a paper")


def test_only_the_reference_protocol_is_set_against_the_paper(tmp_path):
    cells = results(
        published("N", "A", "f1", "reference", 84.0),
        published("N", "B", "f1", "standard", 70.0),
        published("R", "A", "f1", "standard", 70.0),
    )
    assert {name: [cell.model for cell in found] for name, found in compared_cells(cells).items()} == {"N": ["A"]}
    svg = svg_of(draw_agreement(cells), tmp_path)
    assert "mean +1.0 points" in svg  # 85 less 84
    assert "paper, F1 %" in svg and ">R<" not in svg


def test_without_a_pair_the_scatter_says_so(tmp_path):
    assert "nothing is compared with it here" in svg_of(draw_agreement(results()), tmp_path)


def test_no_two_models_look_alike():
    looks = line_looks([f"model {number}" for number in range(24)])
    assert len({tuple(look.values()) for look in looks.values()}) == 24
    greyless = {(look["marker"], look["linestyle"]) for look in looks.values()}
    assert len(greyless) == 24  # also without colours


@pytest.fixture
def full_disk():
    """Files take 1,000 bytes: a write beyond fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("full_disk")
def test_a_disk_that_fails_is_an_error_of_the_system_and_leaves_nothing(tmp_path):
    """matplotlib's own writers end in errors of theirs, which would reach the user as a traceback."""
    for suffix in FORMATS:
        with pytest.raises(OSError, match="File too large"):
            write_figure(Figure(), [tmp_path / f"figure.{suffix}"])
    assert list(tmp_path.iterdir()) == []
