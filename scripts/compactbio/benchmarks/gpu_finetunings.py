"""One fine-tuning of entities and one of answers on a GPU, ours against a plain script on transformers' Trainer.

On random weights and made-up words, as long as the texts of NCBI-disease and BioASQ: nothing is downloaded, and scores
would say nothing. Both sides train one epoch in this process.
"""

from __future__ import annotations

import gc
import json
import logging
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compactbio.benchmarks.whole_finetunings import train_side
from compactbio.files import read_yaml
from compactbio.kinds import KINDS
from compactbio.kinds.kind import Labels
from compactbio.settings.runs import FinetuningRun, Run, finetuning_options
from compactbio.tasks.rows import DATA

COLUMNS = (
    "hardware",
    "task",
    "side",
    "precision",
    "sequences",
    "seconds",
    "sequences_per_second",
    "start_seconds",
    "note",
)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = 4000
NER_LABELS = ["O", "B", "I"]
SEED = 1
CONFIG = Path(__file__).resolve().parents[3] / "config" / "config.yaml"


@dataclass(frozen=True)
class Scale:
    """How large the model and the data are.

    Attributes:
        shape: of a BERT.
        rows: of the training data by task.
        words: of a text on average, by task.
    """

    shape: dict[str, int] = field(default_factory=lambda: {"num_hidden_layers": 6})
    rows: dict[str, int] = field(default_factory=lambda: {"ner": 3200, "qa": 800})
    words: dict[str, int] = field(default_factory=lambda: {"ner": 25, "qa": 220})


def measure_finetunings(scale: Scale, hardware: str, half: str, *, deadline: float) -> Iterator[dict[str, Any]]:
    """Yield a row of `COLUMNS` for each task and side, until the deadline (a value of `time.monotonic()`) is over.

    Ours is measured in fp32, as the plain script runs, and in half precision (bf16 or fp16). A side that fails, for
    want of a package perhaps, says so in its last column.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        longest, model = 0.0, None
        for task in scale.rows:
            for side, precision in (("reference", "fp32"), ("ours", "fp32"), ("ours", half)):
                began = time.monotonic()
                if began + longest > deadline:
                    logging.warning("no time for the fine-tuning of %s, %s in %s", task, side, precision)
                    continue
                line = {"hardware": hardware, "task": task, "side": side, "precision": precision}
                try:
                    model = model or _write_model(folder / "encoder", scale.shape)
                    line |= _measured(side, precision, task, model, folder, scale)
                except Exception as error:  # whatever is missing, the other rows are of use
                    logging.warning("%s, %s: %s", task, side, error)
                    why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
                    line |= dict.fromkeys(COLUMNS[4:-1], "-") | {"note": why[:200]}
                yield line
                longest = max(longest, time.monotonic() - began)


def _measured(side: str, precision: str, task: str, model: Path, folder: Path, scale: Scale) -> dict[str, Any]:
    """Return what a side took for one epoch."""
    import torch
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    torch.set_float32_matmul_precision("highest")  # a step in TF32 may have run before
    gc.collect()
    data = folder / task
    if not data.is_dir():
        for split, count in (("train", scale.rows[task]), ("test", 8)):
            rows = _sentences(count, scale.words[task]) if task == "ner" else _questions(count, scale.words[task])
            _write_split(data, task, split, rows)
    options = finetuning_options(read_yaml(CONFIG), {"task": task, "finetuning": {"epochs": 1, "precision": precision}})
    run: Run = {"run": f"{side}-{task}-{precision}", "seed": SEED, "fold": 0}
    settings: FinetuningRun = {
        "model": model.name,
        "dataset": task,
        "task": task,
        "labels": NER_LABELS if task == "ner" else [],
        "positive_labels": [],
        "hyperparameters": options,
        "runs": [run],
    }
    began = time.perf_counter()
    taken = train_side(side, settings, run, model, data, folder, threads=None)
    whole = time.perf_counter() - began
    return {
        "sequences": scale.rows[task],
        "seconds": f"{taken.seconds:.2f}",
        "sequences_per_second": round(scale.rows[task] / taken.seconds),
        "start_seconds": f"{whole - taken.seconds:.1f}",
        "note": "",
    }


def _write_model(folder: Path, shape: dict[str, int]) -> Path:
    """Write a BERT of random weights, with a tokenizer whose words are numbers."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from tokenizers.processors import BertProcessing
    from transformers import BertConfig, BertModel

    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *(str(word) for word in range(WORDS))])}
    BertModel(BertConfig.from_dict(shape | {"vocab_size": len(vocabulary)})).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, **named}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def _text(draw: random.Random, words: int) -> list[str]:
    """Return words of a text, half to one and a half times as many."""
    return [str(draw.randrange(WORDS)) for _ in range(draw.randint(words // 2, words + words // 2))]


def _sentences(count: int, words: int) -> dict[str, list[Any]]:
    """Return tagged sentences."""
    draw = random.Random(SEED)
    texts = [_text(draw, words) for _ in range(count)]
    labels = [[0 if int(word) % 10 else 1 for word in text] for text in texts]
    return {"id": list(range(count)), "words": texts, "labels": labels}


def _questions(count: int, words: int) -> dict[str, list[Any]]:
    """Return contexts, a word of which is the answer."""
    draw = random.Random(SEED)
    rows: dict[str, list[Any]] = {name: [] for name in KINDS["qa"].columns}
    for number in range(count):
        text = _text(draw, words)
        place = draw.randrange(len(text))
        start = sum(len(word) + 1 for word in text[:place])
        answers = {"text": [text[place]], "answer_start": [start]}
        values = (number, f"q{number}", 0, " ".join(_text(draw, 10)), " ".join(text), answers)
        for name, value in zip(("id", "question_id", "snippet", "question", "context", "answers"), values, strict=True):
            rows[name].append(str(value) if name == "id" else value)
    return rows


def _write_split(folder: Path, task: str, split: str, rows: dict[str, list[Any]]) -> None:
    """Write a split as `tasks.rows.read_rows` finds it."""
    import pyarrow as pa

    place = folder / DATA / split
    place.mkdir(parents=True)
    table = pa.table(rows)
    with pa.OSFile(str(place / "data.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    labels: Labels | None = KINDS[task].labels
    features = {} if labels is None else {labels.column: {"feature": {"names": NER_LABELS}}}
    files = {"state.json": {"_data_files": [{"filename": "data.arrow"}]}, "dataset_info.json": {"features": features}}
    for name, content in files.items():
        (place / name).write_text(json.dumps(content), encoding="utf-8")
    (folder / DATA / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}), encoding="utf-8")
