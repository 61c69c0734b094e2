"""The tables' LaTeX files, compiled: none has an error, or runs off its page."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import build_tables
import pytest
from helpers.configurations import ROOT
from helpers.reporting import DATASETS, MODELS, deployment_file, efficiency_file, score_rows, write_results, write_rows

from compactbio.reporting.latex import PACKAGES
from compactbio.reporting.report_records import made_tables

pytestmark = pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="needs LaTeX: Debian's texlive-latex-recommended"
)
MANY = {f"Own-{number}_set": ("ner", 80.0 + number) for number in range(15)}  # more rows than a page has


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Tables of all models on the paper's datasets and on many others."""
    root, datasets = tmp_path_factory.mktemp("results"), DATASETS | MANY
    write_results(root, MODELS, datasets)
    scores = write_rows(root / "scores.tsv", [row for model in MODELS for row in score_rows(model, datasets)])
    options = ["--scores", scores, "--classes", root / "finetuning" / "{model}" / "classes.tsv"]
    options += ["--efficiency", efficiency_file(root / "efficiency.json")]
    options += ["--deployment", deployment_file(root / "deployment.json")]
    options += ["--trainings", root / "finetuning" / "{model}" / "{dataset}" / "training.json"]
    options += ["--published", ROOT / "config" / "published_values.tsv", "--baseline", "BioBERT-v1.1"]
    options += ["--models", *MODELS, "--datasets", *(f"{name}:{task}" for name, (task, _) in datasets.items())]
    columns = {
        name: {"dataset": name, "metric": "mrr" if task == "qa" else "f1"} for name, (task, _) in DATASETS.items()
    }
    absent = {f"Absent {number}": {"dataset": f"no-{number}", "metric": "accuracy"} for number in range(5)}
    benchmark = {"name": "Bench", "source": "a paper", "groups": {"First": columns, "Second_one": absent}}
    options += ["--benchmark", json.dumps(benchmark)]
    with pytest.MonkeyPatch.context() as monkeypatch:
        arguments = [*options, "--notice", "Generated data: 100 % of it.", "--output-dir", root / "tables"]
        monkeypatch.setattr(sys, "argv", ["build_tables", *map(str, arguments)])
        build_tables.main()
    return root / "tables"


@pytest.mark.parametrize("paper", ["", "a4paper,twocolumn"])
def test_every_table_compiles_and_fits_its_page(tables, tmp_path, paper):
    names = [table.name for table in made_tables({"ner", "re", "qa"}, benchmark=True)]
    lines = [
        rf"\documentclass[{paper}]{{article}}",
        rf"\usepackage{{{','.join(PACKAGES)}}}",
        r"\begin{document}",
        *(rf"\input{{{tables / name}.tex}}\clearpage" for name in names),
        r"\end{document}",
    ]
    (tmp_path / "all.tex").write_text("\n".join(lines), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    found = (tmp_path / "all.log").read_text(encoding="utf-8", errors="replace")
    assert not re.findall(r"^(?:Overfull|LaTeX Warning: Float too large|LaTeX Warning: Label `).*", found, re.MULTILINE)
    assert (tmp_path / "all.pdf").stat().st_size > 10_000


def test_a_wide_table_is_in_landscape_and_goes_on_on_the_next_page(tables):
    text = (tables / "ner_overview.tex").read_text(encoding="utf-8")
    assert (
        text.count(r"\begin{sidewaystable}") == text.count(r"\end{sidewaystable}") == 4
    )  # two protocols, two pages each
    assert text.count(", continued.}") == text.count(r"\label{") == 2
    rows = [line for line in text.splitlines() if line.rstrip().endswith(r"\\")]
    assert len(rows) == 4 + 2 * 20 * 3  # headers; protocols, datasets, metrics
    assert "table}[htbp]" not in text
