"""Parameter counts of model folders: those of the paper's models, by the headers of their weights."""

import itertools
import json
import struct
from pathlib import Path

import pytest
from helpers.students import SHAPES, encoder_parameters, random_model

from compactbio.errors import UserError
from compactbio.students.parameters import count_parameters


def write_weights_header(folder: Path, shapes: dict[str, tuple[int, ...]], config: dict, dtype: str = "F32") -> Path:
    """A model folder whose safetensors file has a header and no tensors."""
    folder.mkdir(parents=True, exist_ok=True)
    header = {name: {"dtype": dtype, "shape": list(shape), "data_offsets": [0, 0]} for name, shape in shapes.items()}
    text = json.dumps({"__metadata__": {"format": "pt"}} | header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def bert_shapes(layers, hidden, intermediate, vocabulary, prefix="bert."):
    """Names and shapes of a BERT encoder as the paper on BERT describes it, 512 positions, 2 token types."""
    shapes = {
        "embeddings.word_embeddings.weight": (vocabulary, hidden),
        "embeddings.position_embeddings.weight": (512, hidden),
        "embeddings.token_type_embeddings.weight": (2, hidden),
        "embeddings.LayerNorm.weight": (hidden,),
        "embeddings.LayerNorm.bias": (hidden,),
    }
    for i in range(layers):
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            shapes[f"encoder.layer.{i}.{name}.weight"] = (hidden, hidden)
            shapes[f"encoder.layer.{i}.{name}.bias"] = (hidden,)
        for name, size in (("intermediate.dense", (intermediate, hidden)), ("output.dense", (hidden, intermediate))):
            shapes[f"encoder.layer.{i}.{name}.weight"] = size
            shapes[f"encoder.layer.{i}.{name}.bias"] = size[:1]
        for name, kind in itertools.product(("attention.output.LayerNorm", "output.LayerNorm"), ("weight", "bias")):
            shapes[f"encoder.layer.{i}.{name}.{kind}"] = (hidden,)
    return {prefix + name: shape for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("layers", "hidden", "intermediate", "vocabulary", "encoder", "with_pooler"),
    [
        (6, 768, 3072, 28996, 65.19, 65.78),  # DistilBioBERT, CompactBioBERT
        (4, 312, 1200, 28996, 13.78, 13.87),  # TinyBioBERT
        (4, 312, 1200, 30522, 14.25, 14.35),  # BioTinyBERT
    ],
)
@pytest.mark.parametrize("prefix", ["bert.", ""])
def test_counts_of_the_papers_models(tmp_path, layers, hidden, intermediate, vocabulary, encoder, with_pooler, prefix):
    shapes = bert_shapes(layers, hidden, intermediate, vocabulary, prefix)
    head = {"cls.predictions.bias": (vocabulary,), "cls.predictions.transform.dense.weight": (hidden, hidden)}
    folder = write_weights_header(tmp_path, shapes | head, {"model_type": "bert", "hidden_size": hidden})
    counts = count_parameters(folder)
    assert round(counts.encoder / 1e6, 2) == encoder
    assert round((counts.encoder + counts.pooler) / 1e6, 2) == with_pooler
    assert counts.embeddings == (vocabulary + 512 + 2 + 2) * hidden
    assert counts.head == vocabulary + hidden * hidden


def test_a_stored_pooler_is_not_counted_twice_and_buffers_not_at_all(tmp_path):
    shapes = bert_shapes(1, 8, 16, 50) | {"bert.pooler.dense.weight": (8, 8), "bert.pooler.dense.bias": (8,)}
    folder = write_weights_header(tmp_path / "a", shapes, {"model_type": "bert", "hidden_size": 8})
    assert count_parameters(folder).pooler == 72
    buffers = write_weights_header(tmp_path / "b", shapes, {"model_type": "bert", "hidden_size": 8}, dtype="I64")
    with pytest.raises(UserError, match="holds no encoder layers"):
        count_parameters(buffers)


@pytest.mark.parametrize("content", [b"", b"short", b"\x05\0\0\0\0\0\0\0[1,2]", b"\xff" * 100])
def test_weights_that_are_none_are_refused(tmp_path, content):
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=r"no \.safetensors file"):
        count_parameters(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="not a safetensors file"):
        count_parameters(tmp_path)


@pytest.mark.parametrize("architecture", SHAPES)
@pytest.mark.parametrize("class_name", ["AutoModel", "AutoModelForMaskedLM"])
def test_a_folder_and_a_model_in_memory_count_the_same(tmp_path, architecture, class_name):
    model = random_model(architecture, class_name)
    model.save_pretrained(tmp_path)
    counts = count_parameters(tmp_path)
    assert counts.encoder == encoder_parameters(model, with_pooler=False)
    assert counts.encoder + counts.pooler == encoder_parameters(model, with_pooler=True)
    assert (counts.head > 0) == (class_name != "AutoModel")
