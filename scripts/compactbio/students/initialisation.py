"""The student before its first step: cut from a teacher, a base checkpoint, or random weights of a shape."""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compactbio.architectures import architecture_of
from compactbio.errors import UserError
from compactbio.settings.runs import PretrainingRun
from compactbio.students.checkpoints import read_checkpoint
from compactbio.students.models import (
    load_encoder,
    load_masked_lm,
    masked_lm_of_configuration,
    random_masked_lm,
)
from compactbio.students.tokenizers import load_tokenizer, tokenizer_digest

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

KINDS = ("teacher_layers", "checkpoint", "shape")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Student:
    """A student with its tokenizer and the facts of its origin, for the manifest."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    origin: dict[str, Any]


@dataclass(frozen=True)
class SourceFolders:
    """Folders that a student may be made of, each with a manifest; which one is needed, the run says."""

    teacher: Path | None = None
    checkpoint: Path | None = None
    tokenizer: Path | None = None


def initialise_student(run: PretrainingRun, folders: SourceFolders) -> Student:
    """Return the student of a pre-training run, a function of the run and the folders' contents alone.

    Args:
        run: model, architecture, teacher, student, seed and quirks are read.
        folders: the teacher's for `teacher_layers`, the checkpoint's for `checkpoint`, and for `shape`
            that of the tokenizer.

    Raises:
        UserError: a folder is missing, or run and folders do not go together.
    """
    key = f"models.{run['model']}.student"
    kind = _kind_of_student(run["student"], key)
    folder, option = {
        "teacher_layers": (folders.teacher, "--teacher"),
        "checkpoint": (folders.checkpoint, "--checkpoint"),
        "shape": (folders.tokenizer, "--tokenizer"),
    }[kind]
    if folder is None:
        raise UserError(f"{key}.{kind} needs the folder that {option} names")
    digests = {path: tokenizer_digest(path) for path in vars(folders).values() if path is not None}
    for path, digest in digests.items():
        if digest != digests[folder]:
            raise UserError(
                f"the tokenizers of {folder} and {path} differ: a student and what it learns from share one "
                f"(models.{run['model']}.tokenizer)"
            )
    architecture, seed = run["architecture"], int(run["seed"])
    tokenizer = load_tokenizer(folder)
    origin: dict[str, Any] = {"source": kind, "model": run["model"], "seed": seed}
    if kind == "shape":
        model = random_masked_lm(architecture, run["student"]["shape"], len(tokenizer), seed, key=f"{key}.shape")
        return Student(model, tokenizer, {**origin, "shape": run["student"]["shape"], "mlm_head": "random"})

    manifest = read_checkpoint(folder, verify=True)
    name = run["teacher"] if kind == "teacher_layers" else run["student"]["checkpoint"]
    if manifest["architecture"] != architecture:
        raise UserError(
            f"{key}.{kind}: {name} is a {manifest['architecture']} model, models.{run['model']}.architecture "
            f"is {architecture}: weights are only taken from the same architecture"
        )
    origin |= {"from": name, "digest": manifest["digest"]}
    source = (load_masked_lm if manifest["mlm_head"] else load_encoder)(folder)
    if kind == "checkpoint":
        model = source if manifest["mlm_head"] else with_random_head(source, seed)
        head = "checkpoint" if manifest["mlm_head"] else "random"
        return Student(model, tokenizer, {**origin, "mlm_head": head})

    layers = run["student"]["teacher_layers"]
    copy_head = run["quirks"]["mlm_head_init"] == "sound" and manifest["mlm_head"]
    if run["quirks"]["mlm_head_init"] == "sound" and not copy_head:
        log.warning("%s has no MLM head: the student's starts random", folder)
    model = student_of_layers(source, layers, seed, copy_head=copy_head, key=f"{key}.teacher_layers")
    head = "teacher" if copy_head else "random"
    return Student(model, tokenizer, {**origin, "teacher_layers": list(layers), "mlm_head": head})


def _kind_of_student(student: dict[str, Any], key: str = "student") -> str:
    """Return which of the three ways a student is made: the one of their keys that is set.

    Raises:
        UserError: none is, or more than one.
    """
    kinds = [kind for kind in KINDS if student.get(kind) is not None]
    if len(kinds) != 1:
        raise UserError(f"{key} must hold exactly one of {', '.join(KINDS)}; it holds {kinds or 'none'}")
    return kinds[0]


def student_of_layers(
    teacher: PreTrainedModel,
    layers: list[int],
    seed: int,
    *,
    copy_head: bool,
    key: str = "student.teacher_layers",
) -> PreTrainedModel:
    """Return a masked language model with the teacher's embeddings and some of its layers.

    Args:
        teacher: an encoder or a masked language model of a supported architecture.
        layers: the teacher's layers in the order of the student's, counted from 0.
        seed: of the weights that are not copied.
        copy_head: whether the teacher's MLM head is copied (mlm_head_init: sound). Otherwise the head's
            transform is random and its bias zero, as when an encoder saved alone is read back with a
            head (mlm_head_init: reference); its decoder is tied to the copied embeddings either way.
        key: where the layers stand in the configuration, for messages.

    Raises:
        UserError: no layers, or layers that the teacher does not have.
    """
    depth = teacher.config.num_hidden_layers
    beyond = [layer for layer in layers if not 0 <= layer < depth]
    if beyond or not layers:
        raise UserError(
            f"{key} {layers}: the teacher has {depth} layers, counted from 0 to {depth - 1}"
            + (f", so there is no layer {', '.join(map(str, beyond))}" if beyond else "; name at least one")
        )
    configuration = copy.deepcopy(teacher.config)
    configuration.num_hidden_layers = len(layers)
    student = masked_lm_of_configuration(configuration, seed)
    student_encoder, teacher_encoder = student.base_model, teacher.base_model
    stack = f"{architecture_of(teacher).layers}."
    given = teacher_encoder.state_dict()
    wanted = {}
    for name in student_encoder.state_dict():
        source = name
        if name.startswith(stack):
            number, rest = name.removeprefix(stack).split(".", 1)
            source = f"{stack}{layers[int(number)]}.{rest}"
        wanted[name] = given[source]
    student_encoder.load_state_dict(wanted)
    if copy_head:
        _copy_head(teacher, student)
    return student.eval()


def with_random_head(encoder: PreTrainedModel, seed: int) -> PreTrainedModel:
    """Return a masked language model of an encoder's weights, without its pooler, and a random head."""
    model = masked_lm_of_configuration(copy.deepcopy(encoder.config), seed)
    names = model.base_model.state_dict().keys()
    given = encoder.base_model.state_dict()
    model.base_model.load_state_dict({name: given[name] for name in names})
    return model.eval()


def _copy_head(teacher: PreTrainedModel, student: PreTrainedModel) -> None:
    """Copy the weights outside the encoder; they have the same shapes, depth being all that differs."""
    prefix = f"{student.base_model_prefix}."
    given = {name: value for name, value in teacher.state_dict().items() if not name.startswith(prefix)}
    unexpected = student.load_state_dict(given, strict=False).unexpected_keys
    if unexpected:
        raise RuntimeError(f"the head has weights the student's class lacks: {unexpected}")
