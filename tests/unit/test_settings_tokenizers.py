"""A trained model without a named tokenizer takes a checkpoint's own: which one, and what is refused."""

import json
import re
from pathlib import Path

import pytest
from helpers.configurations import read

from compactbio.errors import UserError
from compactbio.settings.load import load_settings, merge
from compactbio.settings.runs import pretraining_run
from compactbio.settings.selection import (
    corpus_tokenizers,
    fetched_names,
    names_in_use,
    tokenizer_checkpoint,
    trained_models,
)

OWN = {
    "source": "hub",
    "hub": {"repository": "a/b", "revision": "main"},
    "architecture": "bert",
    "tokenizer": None,
}
MINE = {
    "source": "train",
    "architecture": "bert",
    "tokenizer": None,
    "teacher": None,
    "objective": [{"term": "mlm", "weight": 1.0}],
    "optimisation": {"steps": 10, "warmup_steps": 1, "peak_learning_rate": 1e-4, "weight_decay": 0.0},
}
TAUGHT = MINE | {"objective": [{"term": "logit_kl", "weight": 1.0}]}


def test_a_checkpoints_own_tokenizer_is_that_of_all_that_learn_from_it() -> None:
    models = {
        "Continued": MINE | {"student": {"checkpoint": "mine"}},
        "Small": TAUGHT | {"teacher": "Continued", "student": {"shape": {}}},
        "Given": OWN,
        "OfGiven": TAUGHT | {"teacher": "Given", "student": {"teacher_layers": [0]}},
    }
    changes = {"checkpoints": {"mine": OWN}, "models": models, "reporting": {"baseline_model": "Small"}}
    config = load_settings(merge(read(), changes | {"run": {"models": ["Small", "OfGiven", "TinyBioBERT"]}}))
    named = {name: pretraining_run(config, name)["tokenizer"] for name in trained_models(config)}
    assert named == {"Continued": "mine", "Small": "mine", "OfGiven": "Given", "TinyBioBERT": "cased"}
    assert corpus_tokenizers(config) == ["Given", "cased", "mine"]
    assert {"mine", "Given"} < set(fetched_names(config))
    assert None not in names_in_use(config)
    checkpoints = [tokenizer_checkpoint(config, name) for name in ("Given", "cased", "mine")]
    assert checkpoints == ["Given", "biobert-v1.2", "mine"]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            TAUGHT | {"teacher": "biobert-v1.2", "student": {"shape": {}}},
            r"models\.X\.tokenizer: `null`, but the teacher `biobert-v1\.2` has `cased`: every term",
        ),
        (
            TAUGHT | {"tokenizer": "cased", "teacher": "mine", "student": {"shape": {}}},
            r"models\.X\.tokenizer: `cased`, but the teacher `mine` has `null`: .* set it to `null`",
        ),
        (
            MINE | {"student": {"checkpoint": "biobert-v1.2"}},
            r"models\.X\.tokenizer: `null`, but checkpoints\.biobert-v1\.2\.tokenizer is `cased`",
        ),
        (
            MINE | {"student": {"shape": {}}},
            r"models\.X\.tokenizer: null is the tokenizer of student\.checkpoint or of the teacher, and X has neither",
        ),
        (
            MINE | {"student": {"checkpoint": "uncased"}},
            r"models\.X\.tokenizer: null is that of `uncased`, whose token stores would lie where",
        ),
        (
            MINE | {"student": {"checkpoint": "short"}},
            r"corpus\.max_length: 256 exceeds the 200 positions of `X`",
        ),
        (
            TAUGHT | {"teacher": "short", "student": {"shape": {}}},
            r"corpus\.max_length: 256 exceeds the 200 positions of `short`",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_by_its_key(tmp_path: Path, model: dict, message: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 200}))
    short = {"source": "path", "path": str(tmp_path), "architecture": "bert", "tokenizer": None}
    checkpoints = {"mine": OWN, "uncased": OWN, "short": short}
    with pytest.raises(UserError) as refused:
        load_settings(merge(read(), {"checkpoints": checkpoints, "models": {"X": model}}))
    assert re.search(message, str(refused.value)), str(refused.value)
