"""The cases of the benchmark: the paper's objectives on the shapes that they are trained in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compactbio.architectures import ARCHITECTURES
from compactbio.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CASED, UNCASED = 28_996, 30_522  # entries of BERT's vocabularies
TINY_SHAPE = {"hidden_size": 312, "num_hidden_layers": 4, "num_attention_heads": 12, "intermediate_size": 1200}
TEACHER = "bert"  # of 12 layers

QUIRKS = {
    "text": "reference",
    "teacher_dropout": "reference",
    "mlm_head_init": "reference",
    "attention_maps": "reference",
    "maps_after_dropout": "reference",
    "mse_over_padding": "reference",
    "attention_kl_denominator": "reference",
}
EVERY_LAYER = [[layer, 2 * layer] for layer in range(1, 7)]
MLM = [{"term": "mlm", "weight": 1.0}]
DISTIL = [
    {"term": "mlm", "weight": 2.0},
    {"term": "logit_kl", "weight": 5.0, "temperature": 2.0},
    {"term": "hidden_cosine", "weight": 1.0, "layers": [[6, 12]]},
]
COMPACT = [
    {"term": "mlm", "weight": 1.0},
    {"term": "attention_kl", "weight": 3.0, "layers": EVERY_LAYER},
    {"term": "hidden_cosine", "weight": 3.0, "layers": EVERY_LAYER},
    {"term": "logit_kl", "weight": 5.0, "temperature": 1.0},
]
TINY = [
    {"term": "attention_mse", "weight": 1.0, "layers": [[1, 3], [2, 6], [3, 9], [4, 12]]},
    {"term": "hidden_mse", "weight": 1.0, "layers": [[0, 0], [1, 3], [2, 6], [3, 9], [4, 12]]},
    {"term": "soft_cross_entropy", "weight": 1.0},
]


@dataclass(frozen=True)
class Case:
    """An objective on a shape.

    Attributes:
        architecture, shape, vocabulary: of the student, whose weights are random.
        objective: the list of terms of a run file.
        teacher: whether a BERT of 12 layers stands beside it.
        sound: switches under `quirks` that are set to `sound`.
        formula: the name of the loss in `reference`; plain MLM where it is None.
    """

    architecture: str
    shape: dict[str, Any]
    vocabulary: int
    objective: list[dict[str, Any]]
    teacher: bool = False
    sound: tuple[str, ...] = ()
    formula: str | None = None

    @property
    def quirks(self) -> dict[str, str]:
        """Return the value of every switch."""
        return QUIRKS | dict.fromkeys(self.sound, "sound")


CASES = {
    "distil": Case("bert", {"num_hidden_layers": 6}, CASED, DISTIL, True, formula="distil"),
    "compact": Case("bert", {"num_hidden_layers": 6}, CASED, COMPACT, True, formula="compact"),
    "tiny": Case("bert", TINY_SHAPE, CASED, TINY, True, formula="tiny"),
    "tiny_sound": Case("bert", TINY_SHAPE, CASED, TINY, True, ("mse_over_padding",), "tiny_sound"),
    "mlm_6l_768": Case("distilbert", {}, CASED, MLM),
    "mlm_4l_312": Case("bert", TINY_SHAPE, UNCASED, MLM),
    "mlm_mobilebert": Case("mobilebert", {}, UNCASED, MLM),
}


def chosen_cases(names: list[str]) -> dict[str, Case]:
    """Return the cases of these names, in the order of their definition."""
    unknown = sorted(set(names) - set(CASES))
    if unknown:
        raise UserError(f"--cases: {', '.join(unknown)} is unknown; choose from {', '.join(CASES)} and input")
    return {name: case for name, case in CASES.items() if name in names}


def build_models(case: Case, dropout: float, seed: int) -> tuple[PreTrainedModel, PreTrainedModel | None]:
    """Return a case's student and teacher with random weights; every dropout has the value given."""
    from compactbio.students.models import random_masked_lm

    def build(architecture: str, shape: dict[str, Any], seed: int) -> PreTrainedModel:
        dropouts = dict.fromkeys(ARCHITECTURES[architecture].dropouts, dropout)
        return random_masked_lm(architecture, shape | dropouts, case.vocabulary, seed)

    student = build(case.architecture, case.shape, seed)
    return student, build(TEACHER, {}, seed + 1) if case.teacher else None
