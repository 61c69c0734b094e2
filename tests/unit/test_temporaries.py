"""Temporary names: what a dead process left goes, what somebody may still write stays."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import list_checkpoints
import pytest
from helpers.finetuning import run_settings
from helpers.tasks import write_sources, write_tar

from compactbio.files import replacing_file, replacing_folder, write_manifest
from compactbio.finetuning.runs.execution import finetune
from compactbio.finetuning.runs.planning import plan_runs
from compactbio.finetuning.runs.records import FINISHED
from compactbio.settings.results import Corpus, Results, find
from compactbio.tasks.data_sources import fetch_source, read_sources
from compactbio.temporaries import FRESH_SECONDS, is_temporary, left_below, new_folder

OLD = time.time() - FRESH_SECONDS - 60


def made_by_another(folder: Path, *, alive: bool = False) -> tuple[Path, subprocess.Popen[bytes]]:
    """Return a temporary folder of another process of this host, which runs or was killed, and that process."""
    program = (
        f"import sys, time; sys.path.insert(0, {str(Path(list_checkpoints.__file__).parent)!r})\n"
        "from pathlib import Path; from compactbio.temporaries import new_folder\n"
        f"made = new_folder(Path({str(folder)!r}) / 'x'); (made / 'a').write_bytes(bytes(1000))\n"
        "print(made, flush=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    made = Path(process.stdout.readline().decode().strip())
    if not alive:
        process.kill()
        process.wait()
    return made, process


def of_another_host(folder: Path, name: str = "x", *, changed_at: float | None = None) -> Path:
    path = folder / f".{name}.elsewhere.1.1.abcdefgh.temporary"
    path.mkdir()
    (path / "a").write_bytes(bytes(1000))
    if changed_at is not None:
        os.utime(path / "a", (changed_at, changed_at))
        os.utime(path, (changed_at, changed_at))
    return path


def test_what_the_dead_left_goes_and_what_others_write_stays(tmp_path: Path) -> None:
    dead, _ = made_by_another(tmp_path)
    alive, process = made_by_another(tmp_path, alive=True)
    try:
        silent, fresh = of_another_host(tmp_path, "y", changed_at=OLD), of_another_host(tmp_path)
        mine = new_folder(tmp_path / "z")
        assert not dead.exists() and not silent.exists()  # whatever output is written in the folder
        with replacing_folder(tmp_path / "x") as folder, replacing_file(folder / "a") as file:
            file.write_text("A")
        assert {path.name for path in tmp_path.iterdir()} == {"x", alive.name, fresh.name, mine.name}
        assert left_below(tmp_path) == []
    finally:
        process.kill()
        process.wait()
    assert [left.path for left in left_below(tmp_path)] == [alive]


def test_a_process_number_that_another_has_by_now_is_no_life(tmp_path: Path) -> None:
    mine = new_folder(tmp_path / "x")
    host, number, start, random, suffix = mine.name.split(".")[-5:]
    (tmp_path / f".x.{host}.{number}.{int(start) - 1}.{random}.{suffix}").mkdir()
    (left,) = left_below(tmp_path)
    assert left.path != mine


def test_long_names_fit_and_odd_ones_are_known(tmp_path: Path) -> None:
    for name in ("x" * 250, "ä" * 120, "a b.c'd$", ".hidden"):
        with replacing_folder(tmp_path / name) as folder:
            assert is_temporary(folder) and is_temporary(folder / "inner")
        assert (tmp_path / name).is_dir() and not is_temporary(tmp_path / name)


def test_a_temporary_store_is_no_result(tmp_path: Path) -> None:
    tree = Results(tmp_path)
    assert isinstance(tree.corpus, Corpus)
    store = tree.corpus.token_store("tiny", "0001").folder
    store.mkdir(parents=True)
    (store / "manifest.json").touch()
    shutil.copytree(store, new_folder(store), dirs_exist_ok=True)
    assert find(tree, tree.corpus.token_store("tiny", "*").manifest) == [store / "manifest.json"]


def test_the_list_names_what_is_left_and_removes_it_when_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"
    (results / "tasks").mkdir(parents=True)
    left, _ = made_by_another(results / "tasks")
    kept = of_another_host(results / "tasks")
    others = [results / name for name in (".a.xml.gz.partial", ".a.xml.gz.rejected", ".old.lock", "abc.incomplete")]
    for path in others:
        path.write_bytes(bytes(500))
        os.utime(path, (OLD, OLD))
    (results / ".new.xml.gz.partial").touch()  # somebody may fetch it

    def run(*more: str) -> str:
        monkeypatch.setattr(sys, "argv", ["list_checkpoints.py", "--results", str(results), *more])
        list_checkpoints.main()
        return capsys.readouterr().out

    for text, word in ((run(), "--remove-temporary removes it"), (run("--remove-temporary"), "removed")):
        assert all(str(path) in text for path in (left, *others))
        assert str(kept) not in text and ".new.xml" not in text
        assert "0.0 MB" in text and "1 h" in text and word in text
    assert {path.name for path in results.rglob("*")} == {"tasks", kept.name, "a", ".new.xml.gz.partial"}
    assert run() == f"no checkpoints under {Results(results).checkpoints.folder}\n"


def test_what_a_finished_run_no_longer_needs_goes_though_its_process_was_killed(tmp_path: Path) -> None:
    settings = run_settings("ner", ["O", "B", "I"])
    (planned,) = plan_runs(settings, {}, tmp_path)
    for name in (FINISHED, "step-00000009", ".step-00000012.elsewhere.1.1.abcdefgh.temporary"):
        (planned.folder / name).mkdir(parents=True)
    (planned.folder / "state.json").touch()
    write_manifest(planned.finished)
    assert finetune(settings, tmp_path, tmp_path, [planned], deadline=None, stop=None)
    assert [path.name for path in planned.folder.iterdir()] == [FINISHED]


def test_an_extraction_that_is_whole_keeps_nothing_of_a_killed_one(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "data.tar.gz", {"d/a.tsv": "A"})
    source = read_sources(write_sources(tmp_path / "t.tsv", {"name": "s", "version": "1"}))["s"]

    def fetch() -> Path:
        return Path(fetch_source(source, tmp_path / "cache", tmp_path / "t.tsv", archive.as_uri())["folder"])

    folder = fetch()
    made, _ = made_by_another(folder.parent)
    assert made.is_dir() and fetch() == folder
    assert list(folder.parent.iterdir()) == [folder]
