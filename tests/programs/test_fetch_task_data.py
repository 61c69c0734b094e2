"""fetch_task_data.py: from an archive to a manifest, and its messages."""

import subprocess
import sys
from pathlib import Path

from helpers.configurations import ROOT
from helpers.tasks import write, write_tar

from compactbio.files import read_json

PROGRAM = ROOT / "scripts" / "fetch_task_data.py"
HEADER = "name\tmember\turl\tmirrors\tversion\tsha256\tlicence\tcitation\tlanguage\tgenerated\tnote\n"


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, PROGRAM, "--cache", "cache", "--output", "out/s.json", *arguments]
    return subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True, check=False)


def test_a_local_archive_ends_as_a_manifest(tmp_path: Path) -> None:
    write_tar(tmp_path / "data.tar.gz", {"d/a.tsv": "A"})
    write(
        tmp_path / "t.tsv", HEADER + "s\t\thttps://example.org/x.zip\t\t1\t\tfree\tSomeone\t\t\t\ns\td/a.tsv" + "\t" * 9
    )
    result = run(tmp_path, "--source", "s", "--table", "t.tsv", "--url", "file://data.tar.gz")
    assert result.returncode == 0, result.stderr
    manifest = read_json(tmp_path / "out" / "s.json")
    assert (tmp_path / manifest["folder"] / "d/a.tsv").read_text() == "A"
    assert manifest["archive"]["path"] == "data.tar.gz"


def test_faults_give_one_line_and_no_manifest(tmp_path: Path) -> None:
    write(tmp_path / "t.tsv", HEADER + "s" + "\t" * 10)
    write_tar(tmp_path / "evil.tar.gz", {"../../evil.tsv": "x"})
    for arguments, message in (
        (("--source", "q"), "t.tsv has no row named 'q'; it has s"),
        (("--source", "s"), "t.tsv has no address for s"),
        (("--source", "s", "--url", "file://evil.tar.gz"), "'../../evil.tsv': nothing was extracted"),
        (("--source", "s", "--url", "file://t.tsv"), "no sound tar or zip archive"),
    ):
        result = run(tmp_path, "--table", "t.tsv", *arguments)
        assert result.returncode == 1
        assert message in result.stderr
        assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.rglob("evil.tsv"))
