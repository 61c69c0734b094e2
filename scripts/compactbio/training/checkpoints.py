"""Checkpoints that are whole or not there: saved under a temporary name, verified before they are read."""

from __future__ import annotations

import errno
import json
import logging
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

from compactbio.digests import AGAIN
from compactbio.errors import UserError, reading
from compactbio.file_errors import in_one_line
from compactbio.files import read_json, read_manifest, replacing_folder, sha256_of_value, write_json, write_manifest
from compactbio.locks import try_lock
from compactbio.temporaries import SUFFIX

if TYPE_CHECKING:  # a finished or stalled run is recognised without loading torch
    import numpy as np
    import torch

WEIGHTS = "model.safetensors"
OPTIMIZER = "optimizer.pt"
EXTRA = "extra.json"
STATE = "state.json"
PREFIX = "step-"
NOT_DECISIVE = ("deterministic",)  # keys of a run that decide how it is calculated, not what


def fingerprint(run: Mapping[str, Any], digests: dict[str, str], recipe: int) -> str:
    """Return the name of a run's checkpoints: a sha256 over its settings, its inputs' digests and the recipe's number.

    That is what decides its results, and nothing that decides where they are made.

    Args:
        run: the content of run.yaml.
        digests: content digest of each input by its role ("student", "tokens/0001", ...).
        recipe: raised by hand whenever the arithmetic of the training changes.
    """
    decisive = {key: value for key, value in run.items() if key not in NOT_DECISIVE}
    return sha256_of_value({"run": decisive, "digests": digests, "recipe": recipe})


class TrainingState(TypedDict, total=False):
    """Content of state.json, the truth about how far a run is; empty before its first try."""

    step: int
    total_steps: int
    finished: bool
    """Whether step equals total_steps."""
    reason: str
    """Why the last try ended (`finished`, `deadline`, `signal`), `running` after a save in a try that goes on."""
    seconds: float
    """Of training, earlier tries included."""
    model: str
    fingerprint: str


class OptimizerStates(TypedDict):
    """Content of optimizer.pt: what the optimizer and, with loss scaling, the scaler gave."""

    optimizer: dict[str, Any]
    scaler: dict[str, Any] | None


class NotSavedError(UserError):
    """A checkpoint could not be written."""


class CheckpointFolder:
    """The checkpoints of one run: folders step-00001234, `keep` of them, and state.json.

    Each holds model.safetensors (the module's weights; tied ones once), optimizer.pt (optimizer and loss-scaler
    state), extra.json and a manifest with the sha256 of every file.
    """

    def __init__(self, folder: Path, *, keep: int = 2) -> None:
        self.folder = folder
        self.keep = keep

    def latest(self) -> Path | None:
        """Return the newest checkpoint whose files equal their digests, or None; torn ones are named in the log."""
        for candidate in sorted(self.folder.glob(f"{PREFIX}*"), reverse=True):
            try:
                manifest = read_manifest(candidate)
                if {WEIGHTS, OPTIMIZER, EXTRA} <= set(manifest["files"]) and "step" in manifest:
                    return candidate
                logging.warning("checkpoint %s is not complete: an older one is taken", candidate)
            except (UserError, OSError, KeyError, TypeError) as error:
                logging.warning("checkpoint %s is not sound (%s): an older one is taken", candidate, error)
        return None

    def save(
        self,
        step: int,
        module: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        extra: dict[str, Any] | None = None,
        *,
        scaler: torch.amp.GradScaler | None = None,
    ) -> Path:
        """Write the checkpoint of a step and return its folder; older ones go when it is complete.

        Raises:
            NotSavedError: there is no room; the checkpoints that were there are untouched.
        """
        import torch
        from safetensors.torch import save_model

        self.folder.mkdir(parents=True, exist_ok=True)
        self.clear_up()
        target = self.folder / f"{PREFIX}{step:08d}"
        try:
            self._check_room(module, optimizer)
            with replacing_folder(target) as temporary:
                save_model(module, str(temporary / WEIGHTS))
                states: OptimizerStates = {
                    "optimizer": optimizer.state_dict(),
                    "scaler": scaler.state_dict() if scaler else None,
                }
                torch.save(states, temporary / OPTIMIZER)
                (temporary / EXTRA).write_text(json.dumps(extra or {}) + "\n", encoding="utf-8")
                write_manifest(temporary, step=step)
        except OSError as error:
            raise NotSavedError(
                f"the checkpoint of step {step} could not be written: {in_one_line(error)}; {self.last_good_in_words()}"
            ) from error
        self._prune()
        return target

    def latest_step(self) -> int:
        """Return the step of the newest sound checkpoint, 0 where there is none."""
        checkpoint = self.latest()
        return 0 if checkpoint is None else step_of(checkpoint)

    def restore(self, checkpoint: Path, module: torch.nn.Module) -> tuple[int, OptimizerStates, dict[str, Any]]:
        """Load a checkpoint's weights into a module; return (step, optimizer and scaler state, extra)."""
        import torch
        from safetensors.torch import load_model

        again = f"delete {checkpoint} to go on from the one before, or from the start"
        with reading(checkpoint / WEIGHTS, again):
            load_model(module, str(checkpoint / WEIGHTS), strict=True)
        with reading(checkpoint / OPTIMIZER, again):
            states = torch.load(checkpoint / OPTIMIZER, map_location="cpu", weights_only=True)
        return step_of(checkpoint), states, read_json(checkpoint / EXTRA, dict[str, Any], again)

    def write_state(self, state: TrainingState) -> None:
        """Write state.json."""
        write_json(self.folder / STATE, state)

    def read_state(self) -> TrainingState:
        """Return state.json, empty where there is none."""
        path = self.folder / STATE
        remake = "delete it, and what is done is counted from the checkpoints"
        return cast(TrainingState, read_json(path, TrainingState, remake)) if path.is_file() else {}

    def seconds(self) -> float:
        """Return the seconds of training that state.json counts."""
        return self.read_state().get("seconds", 0.0)

    def _check_room(self, module: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Refuse a save that cannot fit, before anything is written."""
        tensors = [*module.state_dict().values()]
        tensors += [
            value for state in optimizer.state.values() for value in state.values() if hasattr(value, "data_ptr")
        ]
        unique = {tensor.data_ptr(): tensor.numel() * tensor.element_size() for tensor in tensors}
        needed = int(1.05 * sum(unique.values()))
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            words = f"{needed / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free"
            raise OSError(errno.ENOSPC, words, str(self.folder))

    def last_good_in_words(self) -> str:
        """Return which checkpoint a next try would start from."""
        return f"the last good checkpoint is {self.latest() or 'none'}"

    def clear_up(self) -> None:
        """Remove what a killed save left behind, files of locks included."""
        for path in self.folder.glob(f".{PREFIX}*{SUFFIX}"):
            shutil.rmtree(path, ignore_errors=True)
        for place in self.folder.glob(f".{PREFIX}*.lock"):
            with suppress(OSError):
                if lock := try_lock(place):
                    lock.release(remove=True)

    def _prune(self) -> None:
        """Remove all but the newest checkpoints."""
        for path in sorted(self.folder.glob(f"{PREFIX}*"))[: -self.keep]:
            shutil.rmtree(path, ignore_errors=True)


def step_of(checkpoint: Path) -> int:
    """Return the step of a checkpoint's folder."""
    return read_manifest(checkpoint, contents=False)["step"]


def read_arrays(checkpoint: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the weights of a checkpoint by name, and under which name each of the tied ones is that are left out."""
    from safetensors import safe_open

    with (
        reading(checkpoint / WEIGHTS, f"delete {checkpoint} and {AGAIN}"),
        safe_open(checkpoint / WEIGHTS, framework="np") as stored,
    ):
        return {name: stored.get_tensor(name) for name in stored.keys()}, stored.metadata() or {}  # noqa: SIM118
