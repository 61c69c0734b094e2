"""The table of fine-tunings and the learning curves, on made-up trainings."""

from __future__ import annotations

import pytest
from helpers.reporting import write_training

from compactbio.errors import UserError
from compactbio.reporting.render import to_markdown
from compactbio.reporting.tables.hyperparameters import trainings_document, trainings_records
from compactbio.reporting.trainings import read_trainings

DATASETS = {"N": "ner", "Q": "qa"}
GRID = [
    {"learning_rate": rate, "epochs": 3, "f1": score, "run": "seed1", "fingerprint": "x", "chosen": score == 0.3}
    for rate, score in ((1.0e-5, 0.2), (5.0e-5, 0.3))
]


@pytest.fixture
def trainings(tmp_path):
    root = tmp_path / "finetuning"
    write_training(root / "A" / "N", "ner", ["seed1", "seed2"], GRID)
    write_training(root / "B" / "N", "ner", ["seed1"])
    write_training(root / "A" / "Q", "qa", ["seed1"])
    return read_trainings(sorted(tmp_path.glob("finetuning/*/*/training.json")))


def cells(text: str, start: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_what_was_trained_and_the_validation_score_of_the_epoch_taken(trainings):
    text = to_markdown(trainings_document(["A", "B"], DATASETS, trainings))
    # epoch 2 of both runs: 20 and 22
    assert cells(text, "A") == ["A", "5e-05", "16", "3", "2", "21.00 ± 1.41", "2", "3.0 min"]
    assert cells(text, "B")[5] == "20.00"
    questions = text[text.index("### Q") :]
    assert cells(questions, "A")[5] == "–" and "– = not run: B." in questions


def test_a_grid_shows_every_point_and_the_chosen_one(trainings):
    text = to_markdown(trainings_document(["A", "B"], DATASETS, trainings))
    grid = text[text.index("## Grids") :]
    assert cells(grid, "learning rate 1e-05, epochs 3")[1] == "20.00"
    assert cells(grid, "learning rate 5e-05, epochs 3")[1] == "**30.00**"
    assert "| B" not in grid
    records = trainings_records(["A", "B"], DATASETS, trainings)
    assert [(row["kind"], row["dataset"], row["model"]) for row in records] == [
        *[("run", "N", "A")] * 2,
        *[("grid point", "N", "A")] * 2,
        ("run", "N", "B"),
        ("run", "Q", "A"),
    ]
    assert [row["chosen"] for row in records[2:4]] == [False, True]
    assert records[0]["validation"] == pytest.approx(0.2)


def test_without_a_grid_there_is_no_such_section(trainings):
    assert "Grids" not in to_markdown(trainings_document(["B"], {"N": "ner"}, trainings))


def test_curves_are_means_over_the_runs_that_came_so_far(trainings):
    from compactbio.reporting.figures.learning_curves import mean_curve

    training = trainings["A", "N"]
    del training.epochs["seed2"][-1]  # stopped early
    epochs, losses = mean_curve(training, lambda line: line["loss"])
    assert epochs == [1, 2, 3]
    assert losses == pytest.approx([1.5, 1.0, 1 / 3])


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    path = write_training(tmp_path / "A" / "N", "ner", ["seed1", "seed2"])
    (path.parent / "metrics.jsonl").write_text(
        '{"run": "seed1", "epoch": 1, "step": 9, "loss": 1.0, "validation": null}\n'
    )
    with pytest.raises(UserError, match="has no line of run seed2"):
        read_trainings([path])
    path.write_text("[]")
    with pytest.raises(UserError, match="finetune_model writes it"):
        read_trainings([path])
