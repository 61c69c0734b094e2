"""The student before its first step: cut from a teacher, a base checkpoint, or random weights of a shape."""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compactbio.architectures import architecture_of
from compactbio.errors import UserError
from compactbio.files import read_json
from compactbio.settings.runs import PretrainingRun
from compactbio.settings.selection import student_kind
from compactbio.students.checkpoints import read_checkpoint
from compactbio.students.models import load_encoder, load_masked_lm, masked_lm_of_configuration, random_masked_lm
from compactbio.students.tokenizers import load_tokenizer, tokenizer_digest

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

# the folder that a student of each kind is made of
FOLDER_OF_KIND = {"teacher_layers": "teacher", "checkpoint": "checkpoint", "shape": "tokenizer"}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Student:
    """A student with its tokenizer and the facts of its origin, for the manifest."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    origin: dict[str, Any]


def initialise_student(run: PretrainingRun, **folders: Path | None) -> Student:
    """Return the student of a pre-training run, a function of the run and the folders' contents alone.

    Args:
        run: model, architecture, teacher, student, seed and quirks are read.
        folders: `teacher` for `teacher_layers`, `checkpoint` for `checkpoint`, `tokenizer` for `shape`.

    Raises:
        UserError: a folder is missing, or run and folders do not go together.
    """
    key, (kind, value) = f"models.{run['model']}.student", student_kind(run)
    folder = folders.get(FOLDER_OF_KIND[kind])
    if folder is None:
        raise UserError(f"{key}.{kind} needs the folder that --{FOLDER_OF_KIND[kind]} names")
    _require_one_tokenizer(folder, [path for path in folders.values() if path is not None], run["model"])
    tokenizer, seed = load_tokenizer(folder), int(run["seed"])
    origin: dict[str, Any] = {"source": kind, "model": run["model"], "seed": seed}
    if kind == "shape":
        size = vocabulary_size(folder, len(tokenizer))
        special = {name: getattr(tokenizer, f"{name}_token_id") for name in ("pad", "cls", "sep")}
        model = random_masked_lm(run["architecture"], value, size, seed, f"{key}.shape", special)
        return Student(model, tokenizer, {**origin, "shape": value, "mlm_head": "random"})
    manifest = read_checkpoint(folder)
    name = run["teacher"] if kind == "teacher_layers" else value
    if manifest["architecture"] != run["architecture"]:
        raise UserError(
            f"{key}.{kind}: {name} is a {manifest['architecture']} model, models.{run['model']}.architecture "
            f"is {run['architecture']}: weights are only taken from the same architecture"
        )
    origin |= {"from": name, "digest": manifest["digest"]}
    has_head = manifest["mlm_head"]
    source = (load_masked_lm if has_head else load_encoder)(folder)
    if kind == "checkpoint":
        if not has_head:
            log.warning("%s has no MLM head: the student's starts random", folder)
            source = student_of_layers(source, list(range(source.config.num_hidden_layers)), seed, copy_head=False)
        return Student(source, tokenizer, {**origin, "mlm_head": "checkpoint" if has_head else "random"})
    copy_head = run["quirks"]["mlm_head_init"] == "sound"
    if copy_head and not has_head:
        log.warning("%s has no MLM head: the student's starts random", folder)
        copy_head = False
    model = student_of_layers(source, value, seed, copy_head=copy_head, key=f"{key}.teacher_layers")
    head = "teacher" if copy_head else "random"
    return Student(model, tokenizer, {**origin, "teacher_layers": list(value), "mlm_head": head})


def vocabulary_size(folder: Path, tokens: int) -> int:
    """Return how many embeddings a student has whose tokenizer is a folder's: its model's, some of them spare."""
    path = folder / "config.json"
    stored = read_json(path, dict[str, Any]) if path.is_file() else {}
    return max(tokens, int(stored.get("vocab_size") or 0))


def _require_one_tokenizer(first: Path, folders: list[Path], model: str) -> None:
    """Refuse folders whose tokenizers differ."""
    digest = tokenizer_digest(first)
    for folder in folders:
        if tokenizer_digest(folder) != digest:
            raise UserError(
                f"the tokenizers of {first} and {folder} differ: every term compares a student and its teacher token "
                f"by token, also one that reads no logits; models.{model}.tokenizer and its teacher's have to be one"
            )


def student_of_layers(
    teacher: PreTrainedModel, layers: list[int], seed: int, *, copy_head: bool, key: str = "student.teacher_layers"
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
    architecture = architecture_of(teacher)
    refusal = architecture.refused_layers(layers)
    if refusal is not None:
        raise UserError(f"{key} {layers}: {refusal}")
    configuration = copy.deepcopy(teacher.config)
    architecture.keep_layers(configuration, layers)
    student = masked_lm_of_configuration(configuration, seed)
    stack = f"{architecture.layers}."
    given, wanted = teacher.base_model.state_dict(), {}
    for name in student.base_model.state_dict():
        source = name
        if name.startswith(stack):
            number, rest = name.removeprefix(stack).split(".", 1)
            source = f"{stack}{layers[int(number)]}.{rest}"
        wanted[name] = given[source]
    student.base_model.load_state_dict(wanted)
    if copy_head:  # all weights outside the encoder: they have the same shapes, depth being all that differs
        prefix = f"{student.base_model_prefix}."
        head = {name: value for name, value in teacher.state_dict().items() if not name.startswith(prefix)}
        student.load_state_dict(head, strict=False)
    return student.eval()
