"""Imports in less time: the garbage collector is off, and optional packages hidden, only while they last."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from compactbio import imports
from compactbio.imports import import_without, without_collector

# a model's loss and gradients after ordinary imports or ours, and what can be imported then
LOSS = """
import hashlib, sys
from compactbio.imports import UNUSED, import_models
if sys.argv[1:]:
    import_models()
    assert not any(name in sys.modules for name in UNUSED)
    import scipy.special
import torch
from transformers import BertConfig, BertForMaskedLM
sizes = dict(vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
torch.manual_seed(1)
model = BertForMaskedLM(BertConfig(**sizes)).train()
ids = torch.arange(40).reshape(2, 20)
model(input_ids=ids, labels=ids).loss.backward()
values = b"".join(weight.grad.numpy().tobytes() for weight in model.parameters())
print(hashlib.sha256(values).hexdigest())
"""


def test_the_collector_comes_back():
    assert gc.isenabled()
    with without_collector():
        assert not gc.isenabled()
        lasting = [[]]
    assert gc.isenabled()
    assert all(kept is not lasting for kept in gc.get_objects())  # frozen: no collection looks at it
    with pytest.raises(ImportError), without_collector():
        raise ImportError
    assert gc.isenabled()
    gc.unfreeze()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with without_collector():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()


def test_models_after_these_imports_compute_what_they_do_after_others():
    started = [[sys.executable, "-c", LOSS, *given] for given in ([], ["ours"])]
    here = Path(imports.__file__).parent.parent
    printed = [subprocess.run(line, cwd=here, check=True, stdout=subprocess.PIPE).stdout for line in started]
    assert len(printed[0]) == 65
    assert printed[0] == printed[1]


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A library that asks for an optional package, and one that another version cannot do without."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "made_optional.py").touch()
    (tmp_path / "made_asking.py").write_text(
        "from importlib.util import find_spec\nfound = find_spec('made_optional') is not None\n"
    )
    (tmp_path / "made_needing.py").write_text("import made_asking\nimport made_optional\n")
    yield
    for name in ("made_optional", "made_asking", "made_needing"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("packages")
def test_an_optional_package_is_not_found_while_others_are_imported_and_is_afterwards():
    import_without(["made_optional"], ["made_asking"])
    assert not sys.modules["made_asking"].found
    assert "made_optional" not in sys.modules
    import made_optional

    import_without(["made_optional"], ["made_needing"])  # what is imported already stays
    assert sys.modules["made_optional"] is made_optional


@pytest.mark.usefixtures("packages")
def test_a_library_that_needs_the_package_is_imported_with_it():
    import_without(["made_optional"], ["made_needing"])
    assert sys.modules["made_needing"].made_optional is sys.modules["made_optional"]


@pytest.mark.usefixtures("packages")
def test_what_cannot_be_imported_at_all_is_said():
    with pytest.raises(ModuleNotFoundError, match="made_absent"):
        import_without(["made_optional"], ["made_absent"])
    assert "made_optional" not in sys.modules
