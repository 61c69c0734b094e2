"""A fine-tuned model in the forms that are measured side by side, and what each scores on the test data."""

from __future__ import annotations

import logging
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from compactbio.card_texts import CARD
from compactbio.errors import UserError, reading
from compactbio.files import replacing_folder, write_manifest, write_text, write_yaml
from compactbio.finetuning.examples import Dataset
from compactbio.finetuning.features import PieceTokenizer
from compactbio.finetuning.kinds import task_kind
from compactbio.finetuning.model.task_step import TaskStep
from compactbio.finetuning.runs.digests import MODEL_FILES
from compactbio.finetuning.runs.kept_weights import about, kept_digest
from compactbio.finetuning.runs.model_cards import finetuned_card
from compactbio.finetuning.runs.outputs import with_run
from compactbio.finetuning.runs.records import PREDICTIONS, read_training
from compactbio.provenance import require_written
from compactbio.reporting.efficiency.measurements import INT8, ONNX, TORCH, DeployedForm
from compactbio.reporting.efficiency.onnx_files import OnnxModel, check_agreement, export_onnx, quantise
from compactbio.scoring.folder_scores import score_folder
from compactbio.settings.results import INT8_FILE, MODEL, Finetuning
from compactbio.settings.runs import FinetuningRun, read_finetuning_run
from compactbio.students.models import load_pretrained
from compactbio.students.weights import weight_files

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Forms:
    """One fine-tuned model."""

    settings: FinetuningRun
    digest: str  # of the kept weights and tokenizer
    step: TaskStep  # torch's model
    files: dict[str, OnnxModel]  # the ONNX ones, by form
    facts: dict[str, DeployedForm]  # by form


def make_forms(name: str, folder: Path, task_folder: Path, output: Path, threads: int, notice: str = "") -> Forms:
    """Export and quantise the kept weights of a fine-tuning's first run, and score them; the int8 file is kept.

    Args:
        name: of the model.
        folder: of the fine-tuning: run.yaml, training.json, predictions.parquet and model/.
        task_folder: the prepared dataset.
        output: folder of the int8 file, with what belongs to it: configuration, tokenizer, manifest.
        threads: for ONNX Runtime.
        notice: what stands over its card, where the data call for it.

    Raises:
        UserError: the weights were not kept or have changed, the folders do not belong together, or the export is not
            equal to torch's model.
    """
    settings = read_finetuning_run(Finetuning(folder).run)
    if settings["model"] != name:
        raise UserError(f"--models: {folder} is of model {settings['model']}, not of {name}")
    settings["runs"] = settings["runs"][:1]
    digest = kept_digest(folder / MODEL)
    step = load_kept(folder / MODEL, settings["task"])
    tokenizer = PieceTokenizer(folder / MODEL)
    part = Dataset(task_folder, settings, tokenizer).test_part(settings["runs"][0]["fold"])
    with replacing_folder(output) as kept:
        exported, quantised = kept / "model.onnx", kept / INT8_FILE
        export_onnx(step, exported)
        quantise(exported, quantised)
        files = {ONNX: OnnxModel(exported, threads), INT8: OnnxModel(quantised, threads)}
        difference = check_agreement(step, files[ONNX], part.features, tokenizer.pad, name)
        log.info("%s: exported; its logits differ from torch's by %.2g at most", name, difference)
        sizes = {TORCH: sum(file.stat().st_size for file in weight_files(folder / MODEL))}
        sizes |= {ONNX: exported.stat().st_size, INT8: quantised.stat().st_size}
        exported.unlink()  # read whole when it was opened
        _complete(kept, folder, settings, digest, notice)
    predictions = {TORCH: _stored_predictions(folder, settings)}
    for form, model in files.items():
        logits = model.predict(part.features, tokenizer.pad)
        table = step.kind.prediction_table(part, logits, settings["labels"])
        predictions[form] = with_run(table, settings["runs"][0]["run"], settings["task"])
    facts: dict[str, DeployedForm] = {
        form: {"bytes": sizes[form], "scores": _scores(form, settings, table, task_folder)}
        for form, table in predictions.items()
    }
    return Forms(settings, digest, step, files, facts)


def load_kept(folder: Path, task: str) -> TaskStep:
    """Return a kept model with its head in evaluation mode, fp32, on the CPU."""
    return TaskStep(load_pretrained(task_kind(task).model_class, folder)[0], task).eval()


def _complete(kept: Path, folder: Path, settings: FinetuningRun, digest: str, notice: str) -> None:
    """Put beside the int8 file what is needed to use it, its card, and the manifest."""
    for name in MODEL_FILES:
        if (folder / MODEL / name).is_file() and not name.endswith(".safetensors"):
            shutil.copyfile(folder / MODEL / name, kept / name)
    trained = read_training(Finetuning(folder).training)
    facts = {**about(settings), "fingerprint": trained["runs"][0]["fingerprint"]}
    options = trained.get("hyperparameters", settings["hyperparameters"])
    text = finetuned_card(facts, options, settings["runs"][0]["run"], notice=notice, int8=True)
    write_text(kept / CARD, text)
    write_manifest(kept, kind="quantised", **about(settings), run=settings["runs"][0]["run"], weights=digest)


def _stored_predictions(folder: Path, settings: FinetuningRun) -> pa.Table:
    """Return the first run's predictions as fine-tuning stored them."""
    path, run = folder / PREDICTIONS, settings["runs"][0]["run"]
    require_written(path)
    with reading(path, "finetune_model has to make it again"):
        return pq.read_table(path, filters=[("run", "=", run)])


def _scores(form: str, settings: FinetuningRun, table: pa.Table, task_folder: Path) -> dict[str, dict[str, float]]:
    """Return what predictions score, by protocol and metric, as score_model scores stored ones."""
    log.info("%s, %s:", settings["model"], form)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_yaml(Finetuning(folder).run, dict(settings))
        pq.write_table(table, folder / PREDICTIONS)
        scores = score_folder(settings["model"], folder, task_folder).scores
    by_protocol: dict[str, dict[str, float]] = {}
    for score in scores:
        by_protocol.setdefault(score.protocol, {})[score.metric] = score.value
    return by_protocol
