"""score_bioasq.py: printed scores, bad files, and the official scorer's own output where a mirror is given."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from compactbio.errors import UserError
from compactbio.scoring.bioasq_files import score_files

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = [
    {"id": "1", "type": "factoid", "exact_answer": [["PD-L1 status"]]},
    {"id": "2", "type": "factoid", "exact_answer": [["heterochromatin", "non coding DNA"]]},
    {"id": "3", "type": "factoid", "exact_answer": [["ABCC11"]]},
    {"id": "4", "type": "yesno", "exact_answer": "yes"},
]
RESPONSE = [
    {"id": "1", "exact_answer": [["pd-l1 STATUS"], ["x"]]},  # rank 1
    {"id": "2", "exact_answer": [["x"], [], ["y", "heterochromatin"], ["Non coding DNA"]]},  # rank 3
    {"id": "3", "exact_answer": []},
    {"id": "4", "exact_answer": "no"},
]


def run(tmp_path, response, *options):
    (tmp_path / "golden.json").write_text(json.dumps({"questions": GOLDEN}))
    (tmp_path / "response.json").write_text(json.dumps({"questions": response}))
    program = ROOT / "scripts" / "score_bioasq.py"
    return subprocess.run(
        [sys.executable, program, tmp_path / "golden.json", tmp_path / "response.json", *options],
        capture_output=True,
        text=True,
        check=False,
    )


def test_prints_scores_as_json(tmp_path):
    done = run(tmp_path, RESPONSE)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "strict": pytest.approx(1 / 3),
        "lenient": pytest.approx(2 / 3),
        "mrr": pytest.approx((1 + 1 / 3) / 3),
        "questions": 3,
    }


def test_a_missing_question_is_named(tmp_path):
    done = run(tmp_path, RESPONSE[1:])
    assert done.returncode == 1
    assert not done.stdout
    assert "the first is 1; the official scorer crashes" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_ninth_edition_leaves_it_out(tmp_path):
    done = run(tmp_path, RESPONSE[1:], "--edition", "9")
    assert json.loads(done.stdout)["questions"] == 2


@pytest.mark.skipif("COMPACTBIO_MIRROR" not in os.environ, reason="COMPACTBIO_MIRROR names no mirror of real data")
def test_equals_the_official_scorer(tmp_path):
    mirror = Path(os.environ["COMPACTBIO_MIRROR"])
    with tarfile.open(mirror / "bioasq-oracle/responses.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    with tarfile.open(mirror / "biobert/datasets.tar.gz") as archive:
        golden = archive.extractfile("datasets/QA/BioASQ/7B_golden.json").read()
    (tmp_path / "7B_golden.json").write_bytes(golden)
    cases = json.loads((mirror / "bioasq-oracle/oracle.json").read_text())["cases"]
    assert cases
    for case in cases:
        files = (tmp_path / case["golden"], tmp_path / case["response"])
        if case["rc"]:
            with pytest.raises(UserError, match=r"the official scorer (crashes|cannot read)"):
                score_files(*files, case["e"])
            continue
        scores = score_files(*files, case["e"])
        expected = [case["values"][f"factoid_{name}"] for name in ("strict", "lenient", "mrr")]
        assert [scores[name] for name in ("strict", "lenient", "mrr")] == expected, case["response"]
