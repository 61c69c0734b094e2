"""How long pre-trainings will take, from a few steps of each on random weights and texts of its sizes.

The steps are made by the program that trains, with the configuration's own objective, batch and precision, so that
several GPUs and the network between them count as well. Nothing has to be downloaded for it.
"""

from __future__ import annotations

import logging
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from compactbio.architectures import architecture_named
from compactbio.benchmarks.random_tokens import SEED, SPECIAL_IDS, TOKENIZER_DIGEST, draw_lengths, write_store
from compactbio.errors import UserError
from compactbio.files import read_json, write_manifest, write_yaml
from compactbio.pretraining.inputs import AUTO
from compactbio.pretraining.training_record import read_training_record
from compactbio.settings.results import CHECKPOINTS, Results, TrainingResults
from compactbio.settings.runs import PretrainingRun, pretraining_run
from compactbio.settings.selection import definition_of, student_kind, tokenizer_name
from compactbio.settings.shapes import shape_of
from compactbio.training.checkpoints import STATE
from compactbio.training.deadlines import usable_seconds
from compactbio.training.progress import read_metrics

if TYPE_CHECKING:
    from transformers import PretrainedConfig

SCRIPTS = Path(__file__).resolve().parents[2]
STEPS, LINE_STEPS = 9, 3  # the first line of metrics is the warm-up
BATCHES = 4  # of texts: the order goes over them again
START_MINUTES = 2.0  # of each submission, for imports, inputs and the last checkpoint


class Timing(TypedDict):
    """How long steps of a model's pre-training take; gpus is 0 where they ran on the CPU."""

    settings: PretrainingRun
    """The run that was timed."""
    seconds_per_step: float
    peak_memory_mb: float
    gpus: int
    hardware: str


def in_half_precision(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration whose pre-trainings are all in half precision, as `config/fast.yaml` has them."""
    changed = deepcopy(config)
    changed["pretraining"]["optimisation"]["precision"] = "half"
    for model in changed["models"].values():
        model.get("optimisation", {}).pop("precision", None)
    return changed


def timed_settings(config: dict[str, Any], model: str) -> PretrainingRun:
    """Return the run that is timed: the model's own, without what decides only its length and its learning."""
    run = pretraining_run(config, model)
    run["optimisation"] |= {"steps": STEPS, "warmup_steps": 0, "peak_learning_rate": 1e-6}
    return run


def time_steps(config: dict[str, Any], model: str, *, gpus: int, micro_batch_tokens: int | None) -> Timing:
    """Train a few steps of a model and return how long they took; without any GPU, one process runs on the CPU.

    Raises:
        UserError: the training failed.
    """
    run = timed_settings(config, model)
    with tempfile.TemporaryDirectory(prefix="timing-") as name:
        folder = Path(name)
        made = TrainingResults(folder)
        write_yaml(made.run, run)
        inputs = ["--student", str(_write_model(config, model, folder / "student"))]
        if run["teacher"] is not None:
            inputs += ["--teacher", str(_write_model(config, run["teacher"], folder / "teacher"))]
        lengths = draw_lengths(BATCHES * run["optimisation"]["global_batch_size"], SEED)
        write_store(folder / "tokens", lengths, _vocabulary(config, model), max_length=run["max_length"])
        inputs += ["--tokens", str(folder / "tokens")]
        launch = [str(SCRIPTS / "launch.py"), "--gpus", str(gpus), "--run-state", str(folder / CHECKPOINTS / STATE)]
        program = [str(SCRIPTS / "pretrain_model.py"), "--run", str(made.run), *inputs]
        program += ["--checkpoints", str(folder / CHECKPOINTS), "--output", str(made.training)]
        program += ["--provenance", str(made.provenance), "--log-every-steps", str(LINE_STEPS)]
        program += ["--micro-batch-tokens", AUTO if micro_batch_tokens is None else str(micro_batch_tokens)]
        done = subprocess.run([sys.executable, *launch, "--", *program], capture_output=True, text=True)
        if done.returncode != 0:
            raise UserError(f"{model} could not be timed: {_reason(done.stderr)}")
        logging.info("%s: %d steps are done", model, STEPS)
        return _read_timing(made, run)


def _read_timing(made: TrainingResults[Path], run: PretrainingRun) -> Timing:
    """Return how long the steps of a finished training took: the median of its lines after the warm-up."""
    training = read_training_record(made.training)
    lines = [line for line in read_metrics(Path(training["metrics"])) if "seconds_per_step" in line]
    hardware = read_json(made.provenance)["hardware"]
    names = sorted(set(hardware["gpus"]))
    return {
        "settings": run,
        "seconds_per_step": statistics.median(line["seconds_per_step"] for line in lines[1:]),
        "peak_memory_mb": max(line["peak_memory_mb"] for line in lines),
        "gpus": len(hardware["gpus"]),
        "hardware": ", ".join(names) or f"{hardware['processor']}, {hardware['cores']} cores, no GPU",
    }


def _write_model(config: dict[str, Any], name: str, folder: Path) -> Path:
    """Write a model of a name's architecture and shape with random weights, and return its folder."""
    from compactbio.students.models import masked_lm_of_configuration, quiet_transformers

    try:
        with quiet_transformers():
            model = masked_lm_of_configuration(_transformers_configuration(config, name), SEED)
            model.save_pretrained(str(folder))
    except (RuntimeError, ValueError) as error:  # MobileBERT's sizes have to go together
        raise UserError(f"{name}: its sizes are not all known before `downloads` ({error})") from None
    write_manifest(folder, tokenizer_digest=TOKENIZER_DIGEST)
    return folder


def _transformers_configuration(config: dict[str, Any], name: str) -> PretrainedConfig:
    """Return a model's configuration: as its checkpoint has it where that is fetched, else as ours has it."""
    from transformers import AutoConfig

    from compactbio.students.models import special_token_ids

    fetched = Results(Path(config["results_dir"])).students.fetched(name).folder
    if (fetched / "config.json").is_file():
        return AutoConfig.from_pretrained(str(fetched), local_files_only=True)
    definition = definition_of(config, name)
    if definition["source"] == "train":
        kind, value = student_kind(definition)
        if kind == "checkpoint":
            return _transformers_configuration(config, value)
        if kind == "teacher_layers":
            found = _transformers_configuration(config, definition["teacher"])
            architecture_named(definition["architecture"]).keep_layers(found, value)
            return found
    shape = shape_of(config, name) | special_token_ids(definition["architecture"], SPECIAL_IDS)
    return AutoConfig.for_model(definition["architecture"], **shape, vocab_size=_vocabulary(config, name))


def _vocabulary(config: dict[str, Any], name: str) -> int:
    """Return how many embeddings a model has.

    Raises:
        UserError: its tokenizer is a checkpoint's own, which is not there.
    """
    tokenizer = tokenizer_name(config, name)
    if tokenizer in config["tokenizers"]:
        return config["tokenizers"][tokenizer]["vocabulary_size"]
    path = Results(Path(config["results_dir"])).students.fetched(tokenizer).folder / "config.json"
    if not path.is_file():
        raise UserError(f"{name}: its vocabulary, that of {tokenizer}, is not known before `downloads`")
    return read_json(path)["vocab_size"]


def _reason(log: str) -> str:
    """Return the first error that a program logged, else its last line."""
    lines = log.strip().splitlines() or ["it printed nothing"]
    return next((line.partition("ERROR ")[2] for line in lines if " ERROR " in line), lines[-1])


@dataclass(frozen=True)
class Forecast:
    """What a model's pre-training will take with so many GPUs (0: on the CPU) and a time limit."""

    model: str
    steps: int
    seconds_per_step: float
    peak_memory_mb: float
    gpus: int
    submissions: int
    hardware: str

    @property
    def hours(self) -> float:
        """Return the hours of training, without queues and starts."""
        return self.steps * self.seconds_per_step / 3600

    @property
    def gpu_hours(self) -> float:
        """Return the hours times the GPUs."""
        return self.hours * self.gpus


def read_timings(config: dict[str, Any], trained: Iterable[str], path: Path) -> dict[str, Timing]:
    """Return the timings in a file by model, without those of other settings than the present ones."""
    found: dict[str, Timing] = read_json(path) if path.is_file() else {}
    return {
        name: found[name]
        for name in trained
        if name in found and found[name]["settings"] == timed_settings(config, name)
    }


def forecasts(config: dict[str, Any], timings: Mapping[str, Timing], *, gpus: int, minutes: float) -> list[Forecast]:
    """Return what each timed model will take with so many GPUs and a time limit a submission.

    With another number of GPUs than was timed, the time of a step is taken to fall as their number rises.
    """
    usable = max(1.0, usable_seconds(minutes) / 60 - START_MINUTES)
    found = []
    for name, timing in timings.items():
        steps = pretraining_run(config, name)["optimisation"]["steps"]
        seconds = timing["seconds_per_step"] * max(timing["gpus"], 1) / max(gpus, 1)
        submissions = math.ceil(steps * seconds / 60 / usable)
        peak, hardware = timing["peak_memory_mb"], timing["hardware"]
        found.append(Forecast(name, steps, seconds, peak, gpus if timing["gpus"] else 0, submissions, hardware))
    return found


def wall_hours(config: dict[str, Any], found: Iterable[Forecast]) -> float:
    """Return the hours until the last is trained if none waits for a GPU: a student waits for its teacher only."""
    hours = {forecast.model: forecast.hours for forecast in found}

    def until(name: str | None) -> float:
        return 0.0 if name not in hours else hours[name] + until(config["models"][name].get("teacher"))

    return max(map(until, hours), default=0.0)


def time_in_words(hours: float) -> str:
    """Return a time in hours, in minutes where it is less than one."""
    return f"{amount(hours)} h" if hours >= 1 else f"{60 * hours:.2g} min"


def amount(value: float) -> str:
    """Return a number with three digits, large ones whole and never as a power of ten."""
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"
