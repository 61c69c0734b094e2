"""Damaged inputs end every program in one line that names the file; those with a recorded digest are always noticed.

Folder and files are in helpers/programs_world.py, ways to damage them in damage.py. Programs run in this process.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest
from helpers import annotated, tasks
from helpers.corpus import awkward_records, write_baseline
from helpers.damage import Ended, damaged, damages, same_size, start
from helpers.programs_world import BARE, PROGRAMS, find, write_world

from hostile.table import Counts

Faults = Callable[..., Iterator[tuple]]
PROGRAM = "verify_results"  # reads everything each time: it gets the damage that no size tells, and lists several files


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


def outcome(ended: Ended, *, one_line: bool, guarded: bool) -> str:
    """Return what became of a program that read a damaged file."""
    if ended.trace:
        return "traceback"
    if ended.code == 0:
        return "silent" if guarded else "went on"
    return "one line" if one_line else "not one line"


@pytest.fixture
def faults(counts: Counts) -> Faults:
    return partial(find_faults, counts)


def find_faults(
    counts: Counts,
    name: str,
    line: list,
    root: Path,
    path: Path,
    cases: Iterable[tuple[str, bytes]],
    *,
    guarded: bool,
) -> Iterator[tuple]:
    """Yield what is wrong with a program's end for each content of a file."""
    kind = f"damaged file {'with' if guarded else 'without'} a recorded digest"
    whole = path.read_bytes()
    places = [path.name, *map(str, [path, *path.relative_to(root).parents][:5])]
    for what, content in cases:
        if content == whole:
            continue
        with damaged(path, content):
            ended = start(name, line)
        one_line = name == PROGRAM or (len(ended.errors) == 1 and any(place in ended.errors[0] for place in places))
        came = outcome(ended, one_line=one_line, guarded=guarded)
        counts.add(kind, came)
        if came not in ("one line", "went on"):
            yield name, path.name, what, ended


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_has_a_recorded_digest_is_noticed_and_the_rest_ends_in_one_line(world, name, faults):
    program, found = PROGRAMS[name], []
    for files, guarded in ((program.guarded, True), (program.others, False)):
        for file in files:
            path = find(world, file)
            cases = (same_size if name == PROGRAM else lambda content, path=path: damages(path, content))(
                path.read_bytes()
            )
            found += faults(name, program.line(world), world, path, cases, guarded=guarded)
    assert not found
    assert start(name, program.line(world)).code == 0  # sound again


@pytest.mark.parametrize("name", BARE)
def test_a_users_own_files_without_records_end_in_one_line(world, tmp_path, name, faults):
    shutil.copytree(world, tmp_path / "world", symlinks=True)
    root, (records, files) = tmp_path / "world", BARE[name]
    for record in records:
        (root / record).unlink()
    line, found = PROGRAMS[name].line(root), []
    for file in files:
        path = find(root, file)
        found += faults(name, line, root, path, damages(path, path.read_bytes()), guarded=False)
    assert not found


def with_halves(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield JSON with half of a character in each text, and with a number beyond 64 bits."""
    yield "half a character in each text", re.sub(rb'": "', rb'": "\\ud800', content)
    yield "a long number", re.sub(rb": \d+", b": " + b"9" * 31, content)


@pytest.mark.parametrize(
    "layout", ["gad", "json_lines", "chemprot", "bioasq", "tagged_words", "squad", *annotated.FORMS]
)
def test_benchmark_files_in_every_layout(tmp_path, layout, faults):
    sets = {
        "gad": (tasks.GAD, tasks.write_gad),
        "json_lines": (tasks.JSON_LINES, tasks.write_json_lines),
        "chemprot": (tasks.CHEMPROT, tasks.write_chemprot),
        "bioasq": (tasks.BIOASQ, tasks.write_bioasq),
        "tagged_words": (tasks.NER, tasks.write_ner),
        "squad": (tasks.SQUAD, write_squad),
    }
    sets |= {form: (annotated.definition(form), partial(write_annotated, form)) for form in annotated.FORMS}
    definition, write = sets[layout]
    write(tmp_path)
    line = ["--dataset", "x", "--definition", json.dumps(definition), "--data", tmp_path, "--output", tmp_path / "out"]
    assert start("prepare_task", line).code == 0
    found = []
    for path in sorted((tmp_path / definition["folder"]).rglob("*.*")):
        content = path.read_bytes()
        cases = [*damages(path.with_suffix(""), content), *(with_halves(content) if b"{" in content else ())]
        found += faults("prepare_task", line, tmp_path, path, cases, guarded=False)
    assert not found


def write_annotated(form: str, root: Path) -> None:
    for name, split in enumerate(("train", "test")):
        annotated.write_corpus(root, form, split, str(name))


def write_squad(root: Path) -> None:
    for split, question in (("train", "a"), ("test", "b")):
        content = tasks.squad_json([(question, "Q?", "It is so.", [("so", 6)])])
        tasks.write(root / "qa" / f"{split}.json", content)


@pytest.mark.parametrize("text", ["full", "reference"])
def test_records_of_pubmed_with_numbers_and_characters_that_cannot_be(tmp_path, text, faults):
    path = write_baseline(tmp_path / "pubmed26n0001.xml.gz", awkward_records(1, 6))
    xml = gzip.decompress(path.read_bytes())
    cases = [
        (what, gzip.compress(re.sub(pattern, new, xml)))
        for what, pattern, new in (
            ("a PMID of 31 digits", rb"(<PMID[^>]*>)\d+", rb"\g<1>" + b"9" * 31),
            ("a PMID of 5,000 digits", rb"(<PMID[^>]*>)\d+", rb"\g<1>" + b"9" * 5000),
            ("a PMID of letters", rb"(<PMID[^>]*>)\d+", rb"\1abc"),
            ("a negative PMID", rb"(<PMID[^>]*>)\d+", rb"\1-5"),
            ("a version of 40 digits", rb'Version="\d+"', b'Version="' + b"9" * 40 + b'"'),
            ("half a character", b"<ArticleTitle>", b"<ArticleTitle>&#xD800;"),
            ("deep elements", b"<ArticleTitle>", b"<ArticleTitle>" + b"<b>" * 20_000),
        )
    ]
    line = [path, "--text", text, "--as-of", "", "--output", tmp_path / "t.parquet", "--counts", tmp_path / "c.json"]
    assert start("parse_baseline", line).code == 0
    assert not list(faults("parse_baseline", line, tmp_path, path, cases, guarded=False))
    assert start("parse_baseline", line).code == 0
