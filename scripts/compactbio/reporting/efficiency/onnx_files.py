"""Fine-tuned models as ONNX files in fp32 and int8, and running them by ONNX Runtime on a CPU."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from compactbio.errors import UserError
from compactbio.finetuning.features import Feature, collate
from compactbio.finetuning.model.predicted_logits import in_micro_batches
from compactbio.finetuning.model.task_step import TaskStep
from compactbio.finetuning.packed.batching import to_tensors

INPUTS = ("input_ids", "attention_mask", "token_type_ids")  # the last one where the model takes it
OUTPUT = "logits"
OPSET = 17  # the first one with LayerNormalization
TOLERANCE = 1e-3  # of the file's logits, as a share of the largest one of torch
CHECKED = 8  # sequences of different lengths in the batch that is compared


class Exported(nn.Module):
    """A task's model as the file has it: tensors by position, one output."""

    def __init__(self, step: TaskStep) -> None:
        super().__init__()
        self.step = step

    def forward(self, *tensors: Tensor) -> Tensor:
        """Return the head's output (`TaskStep.logits`) for input ids, mask and, where there are any, token types."""
        return self.step.logits(dict(zip(INPUTS, tensors, strict=False)))


def export_onnx(step: TaskStep, path: Path) -> None:
    """Write a task's model as ONNX in fp32 with free batch size and length.

    By the exporter that traces: the newer one gives the same numbers, but takes twenty times as long and needs two
    more packages. What it warns of, a trace that holds for its example only, `check_agreement` would show.
    """
    exported = Exported(step).eval()
    names = INPUTS if step.token_types else INPUTS[:2]
    example = torch.ones((2, 7), dtype=torch.int64)
    axes = {name: {0: "batch", 1: "length"} for name in names}
    axes[OUTPUT] = {0: "batch"} if step.record.reads_first_token else {0: "batch", 1: "length"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            exported,
            (example,) * len(names),
            str(path),
            input_names=list(names),
            output_names=[OUTPUT],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )


def quantise(source: Path, path: Path) -> None:
    """Write an ONNX file in int8: weights of matrix products and embeddings; their inputs are quantised as they come.

    Weights keep 7 of 8 bits (`reduce_range`): with all 8, sums overflow on CPUs without VNNI, and the file would
    give other answers there than here.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it would advise to simplify the graph first, which changes nothing here
    try:
        quantize_dynamic(
            _weights_read_directly(source), path, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8
        )
    finally:
        root.setLevel(level)


def _weights_read_directly(source: Path) -> onnx.ModelProto:
    """Return the model of a file without the copies by which layers that share their weights, as ALBERT's, read them.

    The exporter writes equal weights once, and a node `Identity` for each other place; the quantiser takes weights
    themselves only, and would leave these products in fp32.
    """
    model = onnx.load(source)
    weights = {weight.name for weight in model.graph.initializer}
    copies = [node for node in model.graph.node if node.op_type == "Identity" and node.input[0] in weights]
    read = {node.output[0]: node.input[0] for node in copies}
    for node in copies:
        model.graph.node.remove(node)
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = read.get(name, name)
    return model


@cache
def share_arena() -> None:
    """Give the files of this process one store of working memory; each would keep what its largest batch took."""
    kind = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    information = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, onnxruntime.OrtMemType.DEFAULT)
    onnxruntime.create_and_register_allocator(information, onnxruntime.OrtArenaCfg(0, -1, -1, -1))


class OnnxModel:
    """An ONNX file ready to run."""

    def __init__(self, path: Path, threads: int) -> None:
        share_arena()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors
        # its threads wait for the next pass by spinning, which would slow down the model that is measured next
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.add_session_config_entry("session.use_env_allocators", "1")
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.inputs = tuple(entry.name for entry in self._session.get_inputs())

    def logits(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the head's output for a collated batch, float32, padding included."""
        return self._session.run([OUTPUT], {name: arrays[name] for name in self.inputs})[0]

    def predict(self, features: Sequence[Feature], pad: int) -> list[np.ndarray]:
        """Return the head's output per feature without padding.

        In int8 a number depends a little on the sequences beside it, since a batch is quantised as a whole: the
        batches are those of `predict_logits`.
        """
        token_types = "token_type_ids" in self.inputs
        return in_micro_batches(self.logits, features, pad, token_types=token_types, device="cpu")


def check_agreement(step: TaskStep, model: OnnxModel, features: Sequence[Feature], pad: int, what: str) -> float:
    """Return the largest difference of a file's logits from torch's, on a batch of long and short sequences.

    The batch is chosen among `features`; `what` is the model's name, for the message.

    Raises:
        UserError: they differ by more than `TOLERANCE`.
    """
    by_length = sorted(features, key=lambda feature: len(feature.ids))
    places = np.linspace(0, len(by_length) - 1, min(CHECKED, len(by_length)))
    arrays = collate([by_length[round(place)] for place in places], pad, token_types=step.token_types)
    with torch.inference_mode():
        wanted = step.logits(to_tensors(arrays)).numpy()
    found = model.logits(arrays)
    real = arrays["attention_mask"].astype(bool) if wanted.ndim == 3 else slice(None)
    difference = float(np.abs(found - wanted)[real].max())
    allowed = TOLERANCE * float(np.abs(wanted[real]).max())
    if not difference <= allowed:
        raise UserError(
            f"{what}: its ONNX export differs from torch by {difference:.2g} in a batch of {len(places)} test "
            f"sequences, where {allowed:.2g} is allowed: nothing was measured; try the pinned versions of torch, "
            "transformers and onnxruntime, or set reporting.deployment_dataset to null"
        )
    return difference
