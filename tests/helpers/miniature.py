"""The miniature in small, for tests that need its files: in well under a second without starting points."""

from __future__ import annotations

from pathlib import Path

import pytest

from compactbio.miniature.assembly import Sizes, make_miniature

SMALL = {
    "files": 2,
    "citations": 80,
    "ner_train": 20,
    "ner_validation": 5,
    "ner_test": 10,
    "gad_rows": 30,
    "chemprot_train": 6,
    "chemprot_validation": 2,
    "chemprot_test": 3,
    "questions_train": 10,
    "questions_test": 6,
    "questions_other": 1,
}


def write_small_miniature(folder: Path, seed: int = 0, *, checkpoints: bool = False) -> dict:
    """Write a small miniature into a folder and return its listing."""
    return make_miniature(folder, seed, Sizes(**SMALL, checkpoints=checkpoints))


@pytest.fixture(scope="session")
def small_miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small miniature without checkpoints. Import this name where it is used, or request it from a conftest."""
    folder = tmp_path_factory.mktemp("miniature") / "data"
    write_small_miniature(folder)
    return folder
