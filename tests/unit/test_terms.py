"""The list of terms: what settings, schema and step ask of it is there for each, and costs no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
from helpers import pretraining as tiny
from helpers.configurations import CONFIG, ROOT
from helpers.objectives import micro_batches

from compactbio.errors import UserError
from compactbio.files import read_yaml
from compactbio.settings.schema import registered_definitions
from compactbio.terms.objective import OPTIONS, TERMS, key_faults, read_objective
from compactbio.terms.record import ATTENTION_STATES, HIDDEN, LOGITS

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
