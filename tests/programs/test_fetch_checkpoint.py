"""fetch_checkpoint: from a folder, and through the real client from a hub on this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import fetch_checkpoint
import pytest
from helpers.hub import FakeHub
from helpers.hub import serving_hub as serving
from helpers.students import DEFINITION, definition, random_model, write_published

from compactbio.errors import UserError
from compactbio.files import read_manifest

PROGRAM = Path(__file__).parents[2] / "scripts" / "fetch_checkpoint.py"
COMMIT = "c" * 40
SECRET = "hf_secret_of_the_test"


def arguments(tmp_path: Path, entry: dict) -> list[str]:
    given = ["--name", "tiny", "--definition", json.dumps(entry)]
    given += ["--tokenizer-definition", json.dumps(DEFINITION), "--cache", str(tmp_path / "cache")]
    return [*given, "--lock", str(tmp_path / "revisions.lock.json"), "--output", str(tmp_path / "out")]


WITHOUT_WAITS = f"""
import runpy, sys, types
sys.path.insert(0, {str(PROGRAM.parent)!r})
from compactbio.downloads import retries
retries.time = types.SimpleNamespace(sleep=lambda _: None)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def fetch(tmp_path: Path, entry: dict, **environment: str) -> subprocess.CompletedProcess:
    """Run the program, without waits between tries, in a process: the hub's client reads its environment at import."""
    command = [sys.executable, "-c", WITHOUT_WAITS, str(PROGRAM), *arguments(tmp_path, entry)]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    clean |= {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1", "HF_HOME": str(tmp_path / "home")}
    return subprocess.run(command, env=clean | environment, capture_output=True, text=True, timeout=300, check=False)


def fetch_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, entry: dict) -> None:
    """Run the program in this process."""
    monkeypatch.setattr(sys, "argv", [str(PROGRAM), *arguments(tmp_path, entry)])
    fetch_checkpoint.main()


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    folder = write_published(tmp_path_factory.mktemp("hub") / "files", random_model("bert", "AutoModelForMaskedLM"))
    (folder / "README.md").write_text("not needed")
    return folder


def hub_entry(revision: str = "main", repository: str = "owner/name") -> dict:
    return definition("bert") | {
        "source": "hub",
        "hub": {"repository": repository, "revision": revision},
    }


def test_a_hub_repository_is_fetched_once_pinned_and_then_works_offline(published, tmp_path, monkeypatch):
    with serving(FakeHub("owner/name", published, COMMIT)) as hub:
        first = fetch(tmp_path, hub_entry(), HF_ENDPOINT=hub.url, HF_TOKEN=SECRET)
        assert first.returncode == 0, first.stderr
        assert not any("README" in request for request in hub.requests)
        about_it = [token for path, token in zip(hub.requests, hub.tokens, strict=True) if "owner" in path]
        assert set(about_it) == {f"Bearer {SECRET}"}
        # the repository moves on; the lock file does not
        hub.revisions["main"] = "d" * 40
        asked = len(hub.requests)
        again = fetch(tmp_path, hub_entry(), HF_ENDPOINT=hub.url)
        assert again.returncode == 0, again.stderr
        assert len(hub.requests) == asked
    fetch_here(monkeypatch, tmp_path, hub_entry())  # the hub is gone
    manifest = read_manifest(tmp_path / "out")
    assert manifest["origin"] == {
        "source": "hub",
        "repository": "owner/name",
        "revision": "main",
        "commit": COMMIT,
    }
    assert manifest["mlm_head"] is True
    assert json.loads((tmp_path / "revisions.lock.json").read_text()) == {"owner/name@main": COMMIT}
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in data for data in written)
    assert SECRET not in first.stdout + first.stderr

    weights = tmp_path / "cache" / "models--owner--name" / "snapshots" / COMMIT / "pytorch_model.bin"
    content = weights.resolve()
    data = bytearray(content.read_bytes())
    data[len(data) // 2] ^= 1
    content.chmod(0o644)
    content.write_bytes(data)
    with serving(FakeHub("owner/name", published, COMMIT)) as hub:  # what is damaged is fetched again, nothing else
        again = fetch(tmp_path, hub_entry(), HF_ENDPOINT=hub.url)
    assert again.returncode == 0, again.stderr
    assert "pytorch_model.bin is damaged" in again.stderr
    assert not any("resolve" in path and "config.json" in path for path in hub.requests)
    assert read_manifest(tmp_path / "out")["digest"] == manifest["digest"]


@pytest.mark.parametrize(
    ("failure", "entry", "message"),
    [
        ((401, "GatedRepo"), hub_entry(), "is gated"),
        ((404, "RepoNotFound"), hub_entry(), "no repository owner/name"),
        (None, hub_entry("v9"), "no revision v9"),
        (None, hub_entry(repository="a b"), "no repository name"),
        ((403, ""), hub_entry(), "answered 403"),
    ],
    ids=["gated", "unknown", "revision", "name", "forbidden"],
)
def test_what_the_hub_refuses_is_one_line_with_the_remedy(published, tmp_path, failure, entry, message):
    hub = FakeHub("owner/name", published, COMMIT)
    hub.failure = failure
    with serving(hub):
        result = fetch(tmp_path, entry, HF_ENDPOINT=hub.url, HF_TOKEN=SECRET)
    assert result.returncode == 1
    assert message in result.stderr and "tiny: " in result.stderr
    assert "Traceback" not in result.stderr and SECRET not in result.stderr
    assert not (tmp_path / "out").exists()


def test_offline_with_nothing_cached_says_where_the_network_is_needed(tmp_path):
    result = fetch(tmp_path, hub_entry(), HF_HUB_OFFLINE="1")
    assert result.returncode == 1
    assert "HF_HUB_OFFLINE" in result.stderr and "`downloads`" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_local_folder(published, tmp_path, monkeypatch):
    fetch_here(monkeypatch, tmp_path, definition("bert", published))
    manifest = read_manifest(tmp_path / "out")
    assert manifest["origin"] == {"source": "path", "path": str(published)}
    with pytest.raises(UserError, match=r"tiny: .* is not a folder"):
        fetch_here(monkeypatch, tmp_path, definition("bert", tmp_path / "nowhere"))
    assert read_manifest(tmp_path / "out")["digest"] == manifest["digest"]  # the old result is untouched


def test_weights_in_several_files_are_fetched_from_the_hub_and_then_work_offline(tmp_path):
    files = write_published(tmp_path / "files", random_model("bert", "AutoModelForMaskedLM"))
    (files / "pytorch_model.bin").unlink()
    random_model("bert", "AutoModelForMaskedLM").save_pretrained(files, max_shard_size="20KB")
    parts = {path.name for path in files.glob("model-*")}
    with serving(FakeHub("owner/name", files, COMMIT)) as hub:
        done = fetch(tmp_path, hub_entry(), HF_ENDPOINT=hub.url)
    assert done.returncode == 0, done.stderr
    inputs = json.loads((tmp_path / "out" / "provenance.json").read_text())["inputs"]
    assert len(parts) > 3 and parts <= inputs.keys()
    again = fetch(tmp_path, hub_entry(), HF_ENDPOINT="http://127.0.0.1:9")
    assert again.returncode == 0, again.stderr
