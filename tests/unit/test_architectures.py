"""The records of architectures: whole, alone in what they know, and asked without torch."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from helpers.students import SHAPES, random_model
from torch import nn
from transformers import AttentionInterface, AutoConfig, AutoModel

from compactbio.architectures import ARCHITECTURES, architecture_named, architecture_of, beyond_fp16, longest_sequence
from compactbio.architectures.record import COMMON_SIZES, EMBEDDINGS, HEAD, LAYERS, POOLER
from compactbio.errors import UserError

ROOT = Path(__file__).parents[2]
# the miniature makes checkpoints, and the benchmark's cases choose among architectures as a configuration does
CHOOSERS = (
    "scripts/compactbio/miniature/checkpoints.py",
    "scripts/compactbio/miniature/encoders.py",
    "scripts/compactbio/benchmarks/cases.py",
)
RECORDS = pytest.mark.parametrize("record", ARCHITECTURES.values(), ids=list(ARCHITECTURES))


def texts_of(path: Path) -> set[str]:
    """Return the texts in a program, without docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    described = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, described) and ast.get_docstring(node)
    }
    constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docstrings)
    return {node.value for node in constants if isinstance(node.value, str)}


def test_no_other_file_names_an_architecture() -> None:
    names = re.compile(rf"(?<![\w-])({'|'.join(ARCHITECTURES)})(?![\w-])")
    own = ROOT / "scripts/compactbio/architectures"
    programs = [path for path in (ROOT / "scripts").rglob("*.py") if own not in path.parents]
    named = {str(path.relative_to(ROOT)) for path in programs if any(map(names.search, texts_of(path)))}
    assert named == set(CHOOSERS)
    assert not [path for path in (ROOT / "rules").glob("*.smk") if names.search(path.read_text(encoding="utf-8"))]


def test_records_are_read_without_torch_and_transformers() -> None:
    asked = """
import sys
from compactbio.architectures import ARCHITECTURES
import compactbio.settings.shapes
print(*ARCHITECTURES, *({"torch", "transformers"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", asked]
    found = subprocess.run(command, cwd=ROOT / "scripts", capture_output=True, text=True, check=True)
    assert found.stdout.split() == [*ARCHITECTURES]


@RECORDS
def test_a_record_is_of_the_architecture_that_transformers_has(record) -> None:
    usual = AutoConfig.for_model(record.name)
    assert {key: getattr(usual, key) for key in record.usual} == record.usual
    assert {getattr(record.sizes, size.name) for size in fields(record.sizes)} <= set(record.usual) <= set(record.shape)
    assert set(record.dropouts) <= set(record.shape) and all(hasattr(usual, key) for key in record.shape)
    common = record.common_names(record.usual)
    assert {key: getattr(usual, key) for key in vars(COMMON_SIZES).values()}.items() <= common.items()
    assert longest_sequence(usual.to_dict()) == usual.max_position_embeddings - record.first_position(usual.to_dict())


def called_with(model, attention) -> set[tuple[float, float]]:
    """Return dropout and scaling that self-attention modules call an attention function with in training."""
    found = set()

    def attend(module, query, key, value, mask, dropout, scaling, **options):
        assert any(module is one for one in attention)
        found.add((dropout, scaling))
        return value.transpose(1, 2).contiguous(), None

    AttentionInterface.register("watched", attend)
    model.set_attn_implementation("watched")
    model.train()(input_ids=torch.arange(5, 15)[None])
    return found


@RECORDS
def test_a_record_finds_the_parts_of_a_model(record) -> None:
    model = random_model(record.name, "AutoModelForMaskedLM")
    assert architecture_of(model) is record
    assert getattr(model, record.encoder) is model.base_model
    layers, attention = record.layers_of(model), record.attention_modules(model)
    recorded = model.base_model._can_record_outputs
    assert layers == [one for one in model.modules() if isinstance(one, recorded["hidden_states"])]
    assert attention == [one for one in model.modules() if isinstance(one, recorded["attentions"])]
    for module in attention:
        assert all(isinstance(module.get_submodule(name), nn.Linear) for name in record.projections or ())
        record.set_dropout(module, 0.25)
        assert record.dropout_of(module) == 0.25
    assert called_with(model, attention) == {(0.25, size**-0.5) for size in record.head_sizes(model)}
    (_, width), (_, heads) = record.attention_sizes(model.config.to_dict())
    assert record.head_sizes(model)[0] * heads == width


@RECORDS
def test_every_weight_belongs_to_a_part(record) -> None:
    names = [name for name, _ in random_model(record.name).named_parameters()]
    inside = [name for name in names if name.startswith(f"{record.encoder}.")]
    assert {record.part_of(name) for name in set(names) - set(inside)} == {HEAD}
    assert {EMBEDDINGS, LAYERS} <= {record.part_of(name) for name in inside} <= {EMBEDDINGS, LAYERS, POOLER}
    stack = tuple(f"{record.encoder}.{path}." for path in (record.layers, *record.behind))
    assert [name for name in inside if record.part_of(name) == LAYERS] == [n for n in inside if n.startswith(stack)]
    for name in inside:  # an encoder saved alone has no prefix
        assert record.part_of(name.removeprefix(f"{record.encoder}.")) == record.part_of(name)


@RECORDS
@torch.no_grad()
def test_the_head_of_chosen_rows_is_the_head(record) -> None:
    model = random_model(record.name, "AutoModelForMaskedLM")
    ids = torch.arange(5, 15)[None]
    states = model.base_model(input_ids=ids).last_hidden_state
    torch.testing.assert_close(record.mlm_logits(model, states[0, [2, 5]]), model(input_ids=ids).logits[0, [2, 5]])


@RECORDS
@torch.no_grad()
def test_token_types_positions_and_borders_are_as_the_record_says(record) -> None:
    model = random_model(record.name, "AutoModel")
    ids = torch.arange(5, 15)[None]
    ids_of = record.position_ids(model)
    places = ids_of.packed(torch.arange(10)[None])
    expected = model(input_ids=ids).last_hidden_state
    torch.testing.assert_close(model(input_ids=ids, position_ids=places).last_hidden_state, expected)
    if record.token_types:
        assert not torch.allclose(model(input_ids=ids, token_type_ids=torch.ones_like(ids)).last_hidden_state, expected)
    else:
        assert all(len(w) == 1 for name, w in model.state_dict().items() if "token_type_embeddings" in name)
    # one behind the other in a row, embeddings are those of the sequences alone
    embeddings, borders = model.base_model.embeddings, record.borders(model, 64)
    if "position_ids" not in inspect.signature(embeddings.forward).parameters:
        return  # positions enter attention: test_pretraining_windows.py
    row = torch.cat([ids, ids.flip(1)], dim=1)
    separate = torch.cat([embeddings(input_ids=part) for part in row.split(10, dim=1)], dim=1)
    positions = torch.arange(10).repeat(2)[None]
    if borders is not None:
        padded = [torch.cat([part, torch.zeros_like(part)], dim=1) for part in row.split(10, dim=1)]
        separate = torch.cat([embeddings(input_ids=part)[:, :10] for part in padded], dim=1)
        borders.positions = positions
    together = embeddings(input_ids=row, position_ids=ids_of.packed(positions))
    torch.testing.assert_close(together, separate)


@torch.no_grad()
@pytest.mark.parametrize("padding", [0, 1, 5])
def test_positions_begin_behind_padding_s_and_padded_ones_are_transformers_own(padding) -> None:
    configuration = AutoConfig.for_model("roberta", **SHAPES["roberta"] | {"pad_token_id": padding}, vocab_size=50)
    model = AutoModel.from_config(configuration).eval()
    position_ids = architecture_of(model).position_ids(model)
    assert longest_sequence(configuration.to_dict()) == 66 - (padding + 1)
    lengths = torch.tensor([12, 7, 1])
    real = torch.arange(12) < lengths[:, None]
    ids = torch.arange(10, 46).view(3, 12).masked_fill(~real, padding)
    made = position_ids.padded(ids, real)
    assert torch.equal(made, model.embeddings.create_position_ids_from_input_ids(ids, padding))
    assert torch.equal(position_ids.padded(ids[:1], None), made[:1])
    # a token that was drawn in place of a masked one may be padding's, and moves nothing
    assert torch.equal(position_ids.padded(ids.index_fill(1, torch.tensor(3), padding), real), made)
    row = position_ids.packed(torch.cat([torch.arange(length) for length in lengths])[None])
    assert torch.equal(row[0], made[real])


@RECORDS
@torch.no_grad()
def test_activations_stay_in_range_where_normalisations_bound_them(record) -> None:
    """Embeddings without measure go in: a model that normalises gives states of a size of its own."""
    model = random_model(record.name).eval()
    model.get_input_embeddings().weight.mul_(1e10)
    states = model(input_ids=torch.arange(5, 12)[None], output_hidden_states=True).hidden_states
    assert record.fits_fp16 == (max(float(one.abs().max()) for one in states) < torch.finfo(torch.float16).max)
    assert beyond_fp16(model.config.to_dict()) == ([] if record.fits_fp16 else [record.title])


def test_another_architecture_is_refused_with_the_choice() -> None:
    with pytest.raises(UserError, match="'longformer' is not supported: choose bert, distilbert"):
        architecture_named("longformer")
    assert set(SHAPES) == set(ARCHITECTURES)
