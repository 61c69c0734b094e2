"""A few steps of a model's pre-training, on random weights and texts of its sizes: how long they take on this hardware.

They are made by the program that trains, with the configuration's own objective, batch and precision, so that several
GPUs and the network between them count as well. Nothing has to be downloaded for it.
"""

from __future__ import annotations

import logging
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from compactbio.benchmarks.cases import draw_lengths
from compactbio.corpus.tokens import TokenStoreWriter
from compactbio.errors import UserError
from compactbio.files import read_json, write_manifest, write_yaml
from compactbio.settings.results import CHECKPOINTS, Results, TrainingResults
from compactbio.settings.runs import PretrainingRun, pretraining_run
from compactbio.settings.selection import definition_of, student_kind
from compactbio.settings.shapes import shape_of
from compactbio.training.checkpoints import STATE
from compactbio.training.progress import read_metrics

if TYPE_CHECKING:
    from transformers import PretrainedConfig

SCRIPTS = Path(__file__).resolve().parents[2]
STEPS, LINE_STEPS = 9, 3  # the first line of metrics is the warm-up
BATCHES = 4  # of texts: the order goes over them again
SPECIAL_IDS = {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
SEED = 42
DIGEST = "0" * 64  # of a tokenizer that is not there


class Timing(TypedDict):
    """How long steps of a model's pre-training take; gpus is 0 where they ran on the CPU."""

    settings: PretrainingRun
    """The run that was timed."""
    seconds_per_step: float
    peak_memory_mb: float
    gpus: int
    hardware: str


def timed_settings(config: dict[str, Any], model: str) -> PretrainingRun:
    """Return the run that is timed: the model's own, without what decides only its length and its learning."""
    run = pretraining_run(config, model)
    run["optimisation"] |= {"steps": STEPS, "warmup_steps": 0, "peak_learning_rate": 1e-6}
    return run


def time_steps(config: dict[str, Any], model: str, *, gpus: int, micro_batch_tokens: int) -> Timing:
    """Train a few steps and return how long they took.

    Args:
        config: checked settings.
        model: one that is trained.
        gpus: of this machine; without any, one process runs on its CPU.
        micro_batch_tokens: as in the rule's resources.

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
        inputs += ["--tokens", str(_write_texts(run, _vocabulary(config, model), folder / "tokens"))]
        launch = [str(SCRIPTS / "launch.py"), "--gpus", str(gpus), "--run-state", str(folder / CHECKPOINTS / STATE)]
        program = [str(SCRIPTS / "pretrain_model.py"), "--run", str(made.run), *inputs]
        program += ["--checkpoints", str(folder / CHECKPOINTS), "--output", str(made.training)]
        program += ["--provenance", str(made.provenance), "--log-every-steps", str(LINE_STEPS)]
        program += ["--micro-batch-tokens", str(micro_batch_tokens)]
        done = subprocess.run([sys.executable, *launch, "--", *program], capture_output=True, text=True)
        if done.returncode != 0:
            raise UserError(f"{model} could not be timed: {_reason(done.stderr)}")
        logging.info("%s: %d steps are done", model, STEPS)
        return _read_timing(made, run)


def _read_timing(made: TrainingResults[Path], run: PretrainingRun) -> Timing:
    """Return how long the steps of a finished training took: the median of its lines after the warm-up."""
    training = read_json(made.training)
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
    write_manifest(folder, tokenizer_digest=DIGEST)
    return folder


def _transformers_configuration(config: dict[str, Any], name: str) -> PretrainedConfig:
    """Return a model's configuration: as its checkpoint has it where that is fetched, else as ours has it."""
    from transformers import AutoConfig

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
            found.num_hidden_layers = len(value)
            return found
    shape = shape_of(config, name)
    return AutoConfig.for_model(definition["architecture"], **shape, vocab_size=_vocabulary(config, name))


def _vocabulary(config: dict[str, Any], name: str) -> int:
    """Return the size of a model's vocabulary."""
    return config["tokenizers"][definition_of(config, name)["tokenizer"]]["vocabulary_size"]


def _write_texts(run: PretrainingRun, vocabulary: int, folder: Path) -> Path:
    """Write a token store of random ids, its sequences as long as PubMed's texts, and return its folder."""
    folder.mkdir()
    writer = TokenStoreWriter(folder, vocabulary_size=vocabulary, special_ids=SPECIAL_IDS, max_length=run["max_length"])
    lengths = draw_lengths(BATCHES * run["optimisation"]["global_batch_size"], SEED)
    random = np.random.default_rng(SEED)
    for length in np.minimum(lengths, run["max_length"]):
        ids = random.integers(len(SPECIAL_IDS), vocabulary, int(length) - 2)
        writer.append([[SPECIAL_IDS["cls"], *ids.tolist(), SPECIAL_IDS["sep"]]])
    writer.finish(tokenizer_digest=DIGEST)
    return folder


def _reason(log: str) -> str:
    """Return the first error that a program logged, else its last line."""
    lines = log.strip().splitlines() or ["it printed nothing"]
    return next((line.partition("ERROR ")[2] for line in lines if " ERROR " in line), lines[-1])
