"""Kinds of task: each record is complete, and nothing else keeps a list of them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest
import transformers
from helpers.configurations import CONFIG, ROOT

from compactbio.errors import UserError
from compactbio.files import read_yaml
from compactbio.finetuning.kinds import task_kind
from compactbio.kinds import KINDS, kind_of
from compactbio.kinds.columns import arrow_schema, features
from compactbio.kinds.kind import REFERENCE, STANDARD, Kind, Metric, Protocol
from compactbio.scoring.kinds import scorer_of
from compactbio.settings.schema import registered_definitions
from compactbio.tasks.prepare import reader_of

SCRIPTS = ROOT / "scripts"
# What is of one kind says its name: its modules; data written by the miniature and by the benchmark of a GPU; and the
# plain trainer, which is written as a user of transformers would write it.
NAMED_IN = (
    *("compactbio/kinds/", "compactbio/finetuning/kinds/", "compactbio/scoring/kinds/", "compactbio/miniature/"),
    *("compactbio/benchmarks/plain_trainer.py", "compactbio/benchmarks/gpu_finetunings.py"),
)

every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))


@every_kind
def test_the_facts_of_a_kind_fit_each_other(kind: Kind) -> None:
    columns = features(kind, ["a", "b"])
    assert list(columns) == list(kind.columns)
    compared = {name for key in kind.leak.keys for name in key}
    assert kind.leak.loose <= compared <= set(columns) and kind.leak.unit in {*columns, None}
    assert kind.labels is None or kind.labels.column in columns
    assert kind.kept_together is None or kind.kept_together[0] in columns
    assert kind.has_folds or not any(layout.folds for layout in kind.layouts)
    stored = arrow_schema(kind.predictions.columns).names
    assert stored[0] == "run" and set(kind.predictions.unscored) <= set(stored)
    assert {name for part in kind.counts.parts for name in part} <= set(kind.counts.columns)
    assert kind.counts.gold is None or kind.counts.gold in kind.counts.columns
    assert kind.headline in kind.metric_names
    assert kind.hyperparameters()["best_epoch_by"]["enum"][0] == kind.headline
    assert set(kind.required_options) <= set(kind.options)


@every_kind
def test_every_number_of_a_kind_has_a_title_and_every_protocol_an_explanation(kind: Kind) -> None:
    titles = kind.titles | {count.name: count.title for count in kind.counted}
    for name in kind.known_metrics():
        plain = re.sub(f"^({'|'.join(kind.variants)})", "", name)
        assert titles.get(name) or titles.get(plain) or name == "seen_in_train", name
    assert STANDARD in kind.protocol_names and set(kind.protocol_names) <= {STANDARD, REFERENCE}
    assert all(protocol.explanation for protocol in kind.protocols)
    assert (ROOT / "rules" / "report" / f"{kind.name}.rst").is_file()


@every_kind
def test_a_kind_s_modules_are_found_by_its_name(kind: Kind) -> None:
    assert (scorer_of(kind.name).score_pooled is not None) == kind.has_folds
    assert all(callable(reader_of(layout)) for layout in kind.layouts)
    assert hasattr(transformers, task_kind(kind.name).model_class)


def test_a_metric_may_belong_to_one_protocol_only() -> None:
    ner = KINDS["ner"]
    partial = Protocol("partial", "Overlapping entities count.", (Metric("partial_f1", "partial F1"),))
    kind = Kind(**{**vars(ner), "protocols": (*ner.protocols, partial)})
    assert kind.metrics_of("partial") == (*ner.metric_names, "partial_f1")
    assert "partial_f1" not in kind.metrics_of(STANDARD)
    assert "partial_f1" in kind.known_metrics() and kind.titles["partial_f1"] == "partial F1"


def test_an_unknown_kind_is_refused_with_the_possible_ones() -> None:
    assert kind_of("qa") is KINDS["qa"]
    for name in ("nre", None, ["ner"]):
        with pytest.raises(UserError, match=r"datasets\.x\.task is .*; possible are ner, re, qa"):
            kind_of(name, "datasets.x.task")


def test_the_schema_knows_the_kinds_their_layouts_and_their_hyper_parameters() -> None:
    schema = read_yaml(CONFIG / "schema.yaml")
    common = schema["$defs"]["finetuning_options"]["properties"]
    found = registered_definitions(schema)
    assert found["kind"]["enum"] == found["finetuning"]["required"] == list(KINDS)
    layouts = [layout.name for kind in KINDS.values() for layout in kind.layouts]
    assert found["layout"]["enum"] == list(dict.fromkeys(layouts))
    roles = {role for kind in KINDS.values() for layout in kind.layouts for role in layout.roles}
    assert set(schema["properties"]["datasets"]["additionalProperties"]["properties"]["columns"]["properties"]) == roles
    for name, kind in KINDS.items():
        assert set(found["finetuning"]["properties"][name]["properties"]) == {*common, *kind.hyperparameters()}


def test_the_records_are_read_without_heavy_packages() -> None:
    heavy = ("torch", "numpy", "pyarrow", "datasets", "transformers")
    code = f"import sys, compactbio.kinds; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_other_file_names_a_kind() -> None:
    found = []
    for path in sorted(SCRIPTS.rglob("*.py")):
        place = path.relative_to(SCRIPTS).as_posix()
        if not place.startswith(NAMED_IN):
            found += [
                f"{place}:{node.lineno}"
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                if isinstance(node, ast.Constant) and node.value in KINDS
            ]
    literal = re.compile(rf"""["']({"|".join(KINDS)})["']""")
    for path in sorted((ROOT / "rules").rglob("*.smk")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if literal.search(line):
                found.append(f"rules/{path.name}:{number}")
    assert not found, f"ask compactbio.kinds instead of naming a kind in {', '.join(found)}"
