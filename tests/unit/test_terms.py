"""The list of terms: what settings, schema and step ask of it is there for each, and costs no torch."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
from helpers import pretraining as tiny
from helpers.configurations import CONFIG, ROOT
from helpers.objectives import micro_batches

import compactbio.terms
from compactbio.errors import UserError
from compactbio.files import read_yaml
from compactbio.pretraining.distillation import Distillation
from compactbio.settings.schema import registered_definitions
from compactbio.terms import objective
from compactbio.terms.objective import OPTIONS, TERMS, key_faults, read_objective
from compactbio.terms.term import ATTENTION_STATES, HIDDEN, LOGITS

EVERY_TERM = pytest.mark.parametrize("term", TERMS.values(), ids=lambda term: term.name)


def test_settings_read_the_terms_without_torch() -> None:
    program = "import sys, compactbio.settings, compactbio.terms.objective; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT / "scripts").returncode == 0


@EVERY_TERM
def test_a_record_is_whole_under_either_quirk(term) -> None:
    [batch] = micro_batches([])
    for quirks in (tiny.REFERENCE, tiny.SOUND):
        chosen = term.under(quirks)
        assert chosen.denominator in batch.counts
        assert chosen.reads in ((LOGITS,), (HIDDEN,)) or set(chosen.reads) <= set(ATTENTION_STATES)
        assert not (chosen.over_padding and quirks is tiny.SOUND)
    assert all(OPTIONS[name] == option for name, option in term.options.items())  # one meaning each
    assert set(term.sound) <= set(tiny.REFERENCE)


@EVERY_TERM
def test_the_schema_of_configurations_knows_it(term) -> None:
    properties = registered_definitions(read_yaml(CONFIG / "schema.yaml"))["term"]["properties"]
    assert term.name in properties["term"]["enum"]
    assert set(term.options) <= set(properties)


def test_options_have_types_and_defaults() -> None:
    given = [{"term": "logit_kl", "weight": 1}, {"term": "mlm", "weight": 1}]
    [entry, other] = read_objective(given, tiny.SOUND)
    assert (entry.arguments, other.arguments) == ({"temperature": 1.0}, {})
    [entry] = read_objective([given[0] | {"temperature": 2}], tiny.SOUND)
    assert isinstance(entry.arguments["temperature"], float)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"term": "mlm", "temperature": 2.0}, ".temperature: only logit_kl has one; remove it"),
        ({"term": "mlm", "layers": [[1, 1]]}, ".layers: this term has no layers; remove it"),
        ({"term": "attention_kl"}, ".layers: needed: pairs [student, teacher]"),
    ],
)
def test_keys_that_a_term_lacks_or_does_not_have_are_named(given, fault) -> None:
    assert list(key_faults(given)) == [fault]
    with pytest.raises(UserError):
        read_objective([given | {"weight": 1.0}], tiny.SOUND)


def test_a_term_is_added_by_one_file(tmp_path, monkeypatch) -> None:
    """Its schema, its checks and its part of the step follow from its record."""
    (tmp_path / "manhattan.py").write_text(
        "from compactbio.terms.term import HIDDEN, Option, Term\n"
        "def hidden_l1(student, teacher, scale):\n"
        "    return scale * (student - teacher).abs().sum()\n"
        "OPTIONS = {'scale': Option('Scale.', float, {}, 1.0)}\n"
        "TERMS = (Term('hidden_l1', hidden_l1, (HIDDEN,), 'tokens', options=OPTIONS),)\n"
    )
    monkeypatch.setattr(compactbio.terms, "__path__", [*compactbio.terms.__path__, str(tmp_path)])
    try:
        importlib.reload(objective)
        assert objective.term_schema()["properties"]["scale"] == {"description": "Scale.", "type": "number"}
        assert list(objective.key_faults({"term": "hidden_l1"})) == [".layers: needed: pairs [student, teacher]"]
        terms = [{"term": "hidden_l1", "weight": 1.0, "layers": [[1, 2]], "scale": scale} for scale in (1, 2)]
        [batch] = micro_batches([])
        losses = []
        for term in terms:
            entries = objective.read_objective([term], tiny.SOUND)
            module = Distillation(tiny.bert(), tiny.bert(seed=1), entries, tiny.SOUND, max_length=24, seed=0)
            losses.append(module(batch.tensors, batch.counts).item())
        assert losses[1] == pytest.approx(2 * losses[0]) and losses[0] > 0
    finally:
        monkeypatch.undo()
        importlib.reload(objective)
        sys.modules.pop("compactbio.terms.manhattan")
    assert "hidden_l1" not in objective.TERMS
