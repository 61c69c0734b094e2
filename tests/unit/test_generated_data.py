"""Data that were generated say so in everything that is made of them, and nothing else does."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest

from compactbio.errors import UserError
from compactbio.reporting.document_files import write_document
from compactbio.reporting.latex import to_latex
from compactbio.reporting.render import Block, Document, Section, row, to_html, to_markdown
from compactbio.reporting.tables.terminal import for_terminal
from compactbio.settings.load import CONFIG_FOLDER, load_settings, settings_of_files
from compactbio.tasks.data_sources import read_sources
from compactbio.tasks.generated_data import generated_notice

SOURCES = read_sources(CONFIG_FOLDER / "data_sources.tsv")
NOTICE = "Generated data: the corpus of this run was written by a_program & is not real."
CONFIGURATIONS = sorted(CONFIG_FOLDER.glob("*.yaml")) + sorted((CONFIG_FOLDER / "examples").glob("*.yaml"))


@pytest.mark.parametrize(
    "path", [path for path in CONFIGURATIONS if path.name != "schema.yaml"], ids=lambda path: path.name
)
def test_the_miniatures_alone_say_so(path: Path) -> None:
    files = [] if path.name == "config.yaml" else [path]
    notice = generated_notice(settings_of_files(files), SOURCES)
    if path.name in ("demo.yaml", "demo_more.yaml"):
        assert notice.startswith(
            "Generated data: the corpus, the datasets and the checkpoints of this run were written"
        )
        assert "scripts/make_miniature.py" in notice
    else:
        assert notice == ""


def test_what_is_generated_is_named_where_the_rest_is_real() -> None:
    config = settings_of_files([CONFIG_FOLDER / "released.yaml"])
    config["datasets"]["GAD"]["source"] = "miniature_datasets"
    notice = generated_notice(config, SOURCES)
    assert notice.startswith("Generated data: GAD of this run")
    assert "corpus" not in notice and "NCBI" not in notice  # released models read no corpus here
    config["run"]["datasets"].remove("GAD")
    assert generated_notice(config, SOURCES) == ""


def test_a_row_may_describe_data_of_ones_own() -> None:
    config = settings_of_files([CONFIG_FOLDER / "examples" / "own_data.yaml"])
    config["datasets"]["my-ner"]["described_by"] = "miniature_datasets"
    assert "my-ner" in generated_notice(load_settings(config, SOURCES), SOURCES)
    unknown = deepcopy(config)
    unknown["corpus"]["described_by"] = "nowhere"
    with pytest.raises(UserError, match=r"corpus\.described_by: `nowhere` is not defined; known: .*pubmed_baseline"):
        load_settings(unknown, SOURCES)


def document() -> Document:
    blocks = [Block(name, name, ["model", "F1"], [row("A", "1.00")]) for name in ("first", "second")]
    return Document("Scores", [], [Section("", [], blocks)], notice=NOTICE)


def test_every_form_of_a_table_carries_the_notice() -> None:
    assert f"> **{NOTICE}**" in to_markdown(document())
    assert '<p class="notice">Generated data: the corpus of this run was written by a_program &amp;' in to_html(
        document()
    )
    latex = to_latex(document())
    assert (
        latex.count(r"Generated data: the corpus of this run was written by a\_program \& is not real") == 2
    )  # each float is copied alone
    for styled in (False, True):
        assert NOTICE in for_terminal(to_markdown(document()), styled=styled)


def test_a_real_table_carries_none(tmp_path: Path) -> None:
    write_document(document(), tmp_path, "scores", ("md", "tex", "html"))  # what is written has the notice it is given
    assert all("Generated" not in path.read_text(encoding="utf-8") for path in tmp_path.iterdir())


def test_a_figure_carries_the_notice(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    from compactbio.style import write_figure

    for name, notice in (("real", ""), ("generated", NOTICE)):
        figure = Figure(figsize=(4.0, 2.0))
        figure.add_subplot()
        write_figure(figure, [tmp_path / f"{name}.svg"], notice)
    drawn = (tmp_path / "generated.svg").read_text(encoding="utf-8")
    assert "Generated data: the corpus of this run was written" in drawn
    assert "Generated" not in (tmp_path / "real.svg").read_text(encoding="utf-8")
