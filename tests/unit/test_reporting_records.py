"""The records of tables, figures and pages: each has what is found by its name."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from helpers.configurations import ROOT

from compactbio.kinds import KINDS
from compactbio.reporting.report_records import FIGURES, INDEX, PAGES, TABLES, in_print_order, made_tables

RECORDS = (INDEX, *TABLES, *FIGURES, *PAGES)
OF_OTHER_STAGES = {"workflow", "citations", "corpus_files", "corpus_lengths", "pretraining_terms"}


def test_every_record_has_a_caption_and_every_caption_a_record():
    captions = {path.stem for path in (ROOT / "rules" / "report").glob("*.rst")}
    assert captions == {Path(record.caption).stem for record in RECORDS} | OF_OTHER_STAGES
    assert all((ROOT / "rules" / record.caption).is_file() for record in RECORDS)


@pytest.mark.parametrize("record", [record for record in RECORDS if record.builder], ids=lambda record: record.name)
def test_every_builder_is_found(record):
    module, _, function = record.builder.rpartition(".")
    assert callable(getattr(import_module(f"compactbio.reporting.{module}"), function))


def test_names_are_given_once_and_every_kind_of_task_has_a_table():
    names = [record.name for record in (INDEX, *TABLES)]
    assert len(set(names)) == len(names)
    assert KINDS.keys() <= set(names)
    printed = in_print_order(TABLES)
    assert sorted(printed) == sorted(table.name for table in TABLES if not table.wide)
    assert {f"{kind}_overview" for kind in KINDS} <= set(names)
    assert printed[-1] == "summary"  # what is looked for first stays on the screen


def test_a_run_has_the_tables_of_its_kinds_and_of_a_benchmark_if_it_has_one():
    names = {table.name for table in made_tables({"ner"}, benchmark=False)}
    assert {"ner", "ner_overview", "summary", "comparisons"} <= names
    assert not {"benchmark", "re", "qa", "qa_overview"} & names
    assert set(made_tables(KINDS, benchmark=True)) == set(TABLES)


def test_records_are_read_without_what_draws_or_computes():
    code = "import sys, compactbio.reporting.report_records; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "scripts", capture_output=True, text=True, check=True
    )
    assert not {"numpy", "matplotlib", "torch", "pyarrow", "tabulate"} & set(done.stdout.split())
