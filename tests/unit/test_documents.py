"""What the documents name is there: files, code, make targets, options, resources, layers, folders of results."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from helpers.configurations import CONFIG, ROOT
from helpers.documents import DOCUMENTS, PAGES

from compactbio.files import read_yaml
from compactbio.kinds import KINDS

LIBRARY = ROOT / "scripts" / "compactbio"
PLACES = (ROOT, ROOT / "scripts", LIBRARY)  # where a path of the documents may begin
SITE_FILES = {"profiles/slurm/partitions.yaml", "profiles/slurm/site.env", "envs/compactbio.sif"}  # a site makes them
OTHER_OPTIONS = {  # of commands that are not ours, and one that the library adds to many programs
    "digests.add_verify": {"--verify"},
    "pip": {"--force-reinstall", "--index-url"},
    "apptainer": {"--nv", "--bind"},
    "docker": {"--tag"},
    "conda": {"--file"},
    "squeue": {"--me"},
    "git": {"--stat"},
}
RULES = "".join(path.read_text() for path in (ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))))


@pytest.fixture(scope="module")
def options_of_snakemake() -> set[str]:
    """The options that the pinned Snakemake and its SLURM plugin know."""
    done = subprocess.run([sys.executable, "-m", "snakemake", "--help"], capture_output=True, text=True, check=True)
    return set(re.findall(r"--[a-z][a-z-]*", done.stdout))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_and_make_targets_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    for link in set(re.findall(r"\]\(([^)#:]+)\)", text)):
        assert ((ROOT / name).parent / link).exists(), link
    for path in set(re.findall(r"(?:scripts|config|profiles|envs|rules)/[\w./-]+\w", text)) - SITE_FILES:
        assert (ROOT / path).exists(), path
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", text)) <= targets


@pytest.mark.parametrize("name", DOCUMENTS)
def test_options_exist(name: str, options_of_snakemake: set[str]) -> None:
    text = (ROOT / name).read_text()
    programs = {
        option
        for program in re.findall(r"python (scripts/\w+\.py)", text)
        for option in re.findall(r"\"(--[a-z-]+)\"", (ROOT / program).read_text())
    }
    known = options_of_snakemake | programs | set().union(*OTHER_OPTIONS.values())
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) <= known


@pytest.mark.parametrize("name", DOCUMENTS)
def test_rules_and_their_resources_exist(name: str) -> None:
    for rule, resource in re.findall(r"\b([a-z_]+):([a-z_]+)=", (ROOT / name).read_text()):
        body = RULES.partition(f"rule {rule}:")[2].partition("\nrule ")[0]
        assert re.search(rf"^ +{resource}=", body, re.MULTILINE), f"{rule}:{resource}"


def test_the_overview_of_stages_names_rules() -> None:
    overview = (ROOT / "docs" / "how-it-works.md").read_text().partition("Each stage is one file")[0]
    rules = set(re.findall(r"\b[a-z]+_[a-z_]+\b", overview))
    assert len(rules) > 10
    assert rules <= set(re.findall(r"rule (\w+):", RULES))


def test_the_folders_of_results_are_those_of_the_tree() -> None:
    rows = re.findall(r"^\| `(\w+)/[^|]*\|([^|]*)\|$", (ROOT / "docs" / "results.md").read_text(), re.MULTILINE)
    assert len(rows) > 8
    tree = (ROOT / "scripts" / "compactbio" / "settings" / "results.py").read_text()
    configured = (ROOT / "config" / "config.yaml").read_text()
    for folder, contents in rows:
        assert re.search(rf'"{folder}["/]', tree) or f"results/{folder}" in configured, folder
        for file in re.findall(r"`([\w.]+\.\w+)`", contents):
            stem = file.partition(".")[0]
            assert f'"{file}"' in tree or f'"{stem}"' in tree or f"/{file}" in configured, file


def named_code(name: str) -> list[tuple[str, str]]:
    """Return what stands between single backticks as a path, with the name behind a colon if there is one."""
    plain = re.sub(r"^```.*?^```", "", (ROOT / name).read_text(), flags=re.DOTALL | re.MULTILINE)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", plain)]
    return [path for span in spans if (path := re.fullmatch(r"((?:[\w.-]+/)*[\w.-]*)(?::([\w.]+))?", span))]


def found(path: str, name: str) -> Path | None:
    """Return what a path in a document names: seen from the checkout, from scripts or library, or from the document."""
    places = (place / path for place in (*PLACES, (ROOT / name).parent))
    return next((place for place in places if place.exists()), None)


def words_of_results() -> set[str]:
    """Return the parts of names of results: texts in the modules that hold them, and configurations' folders."""
    modules = ("settings/results.py", "reporting/report_records.py", "files.py", "provenance.py", "downloads/pins.py")
    trees = [ast.parse((LIBRARY / module).read_text(encoding="utf-8")) for module in modules]
    nodes = [node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    folders = re.findall(
        r"^results_dir: (\S+)", "".join(path.read_text() for path in CONFIG.rglob("*.yaml")), re.MULTILINE
    )
    names = [text for text in (*nodes, *folders) if isinstance(text, str) and re.fullmatch(r"[\w./-]+", text)]
    configurations = [read_yaml(path) for path in CONFIG.rglob("*.yaml") if path.name != "schema.yaml"]
    chosen = {name for one in configurations for block in ("models", "datasets") for name in one.get(block, {})}
    return {part for name in names for part in re.split(r"[/.]", name)} | chosen | set(KINDS)


def is_of_results(path: str) -> bool:
    """Return whether a path is one that a workflow makes; capitals stand for any name, and logs are called by rules."""
    words = {word for word in re.split(r"[/.]", path) if word and not word.isupper()}
    return words <= words_of_results() | {
        "md",
        "html",
        "csv",
        "svg",
        "slurm",
        "ranks",
        *re.findall(r"rule (\w+):", RULES),
    }


def defined_in(path: Path) -> set[str]:
    """Return the names that a module defines, those of methods as Class.method."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
            inner = getattr(node, "body", [])
            names |= {f"{node.name}.{one.name}" for one in inner if isinstance(one, ast.FunctionDef)}
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


@pytest.mark.parametrize("name", PAGES)
def test_named_files_and_functions_exist(name: str) -> None:
    for span in named_code(name):
        path, code = span.groups()
        if code is not None:
            file = found(path, name)
            assert file is not None and file.suffix == ".py", span[0]
            assert code in defined_in(file), span[0]
        elif path.endswith(".py") or "/" in path or path.endswith((".smk", ".yaml", ".toml")):
            theirs = path in SITE_FILES or path.startswith("FOLDER/")  # a reader's own
            assert found(path, name) or is_of_results(path) or theirs, span[0]


@pytest.mark.parametrize("name", PAGES)
def test_named_modules_exist(name: str) -> None:
    for dotted in re.findall(r"(?<!/)\bcompactbio\.([a-z_.]+[a-z_])", (ROOT / name).read_text()):
        path = LIBRARY / dotted.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").is_file(), dotted


@pytest.mark.parametrize("name", DOCUMENTS)
def test_linked_headings_exist(name: str) -> None:
    for page, heading in re.findall(r"\]\(([\w/.]*)#([\w-]+)\)", (ROOT / name).read_text()):
        text = ((ROOT / name).parent / page if page else ROOT / name).read_text()
        titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        assert heading in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, heading


def test_every_shipped_configuration_has_a_row() -> None:
    rows = set(re.findall(r"^\| \[config/(\S+)\]", (ROOT / "docs" / "configuration.md").read_text(), re.MULTILINE))
    assert rows == {str(path.relative_to(CONFIG)) for path in CONFIG.rglob("*.yaml")} - {"config.yaml", "schema.yaml"}


def test_the_table_of_layers_is_the_contract() -> None:
    """Every package and shared module has a place in it, since the contract is exhaustive."""
    section = (ROOT / "docs" / "architecture.md").read_text().partition("## Layers")[2].partition("\n## ")[0]
    rows = [set(re.findall(r"`(\w+)`", cell)) for cell in re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE)]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    assert rows == [set(re.split(r" *[|:] *", layer)) for layer in layers]
    present = {path.stem for path in LIBRARY.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert set().union(*rows) == present - {"__init__"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_tables_are_whole(name: str) -> None:
    """A row that has other columns than its head is not shown as one."""
    for table in re.findall(r"(?:^\|.*\n)+", (ROOT / name).read_text(), re.MULTILINE):
        plain = re.sub(r"`[^`]*`", "", table).replace("\\|", "")
        assert len({line.count("|") for line in plain.splitlines()}) == 1, table
