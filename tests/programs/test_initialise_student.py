"""initialise_student: a run file and a folder in, a folder that transformers reads out."""

import subprocess
import sys
from pathlib import Path

import initialise_student
import pytest
import yaml
from helpers.pretraining import MLM, run_settings
from helpers.students import DEFINITION, definition, random_model, write_published
from transformers import AutoModelForMaskedLM, AutoTokenizer

from compactbio.errors import UserError
from compactbio.files import read_manifest
from compactbio.students.checkpoints import import_checkpoint
from compactbio.students.tokenizers import tokenizer_digest

PROGRAM = Path(__file__).parents[2] / "scripts" / "initialise_student.py"


def test_a_student_is_written_twice_alike_and_refusals_leave_nothing(tmp_path, monkeypatch):
    teacher = tmp_path / "teacher"
    source = write_published(tmp_path / "published", random_model("bert"))
    import_checkpoint(source, definition("bert"), DEFINITION, {}, teacher)
    made = {"model": "Mine", "teacher": "big", "student": {"teacher_layers": [0, 2]}}
    run = run_settings([*MLM, {"term": "logit_kl", "weight": 1.0}], **made)

    def arguments(name: str) -> list[str]:
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
        paths = {"run": "run.yaml", "teacher": "teacher", "output": name}
        return [part for key, path in paths.items() for part in (f"--{key}", str(tmp_path / path))]

    command = [sys.executable, str(PROGRAM), *arguments("first")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    monkeypatch.setattr(sys, "argv", [str(PROGRAM), *arguments("second")])
    initialise_student.main()
    digests = [read_manifest(tmp_path / name)["digest"] for name in ("first", "second")]
    assert digests[0] == digests[1]
    manifest = read_manifest(tmp_path / "first")
    assert manifest["kind"] == "checkpoint" and manifest["mlm_head"] is True
    assert manifest["tokenizer_digest"] == tokenizer_digest(teacher)
    assert manifest["origin"]["digest"] == read_manifest(teacher)["digest"]
    model, report = AutoModelForMaskedLM.from_pretrained(tmp_path / "first", output_loading_info=True)
    assert model.config.num_hidden_layers == 2 and not report["missing_keys"]
    assert len(AutoTokenizer.from_pretrained(tmp_path / "first")) == model.config.vocab_size

    run["student"] = {"teacher_layers": [0, 4]}
    monkeypatch.setattr(sys, "argv", [str(PROGRAM), *arguments("third")])
    with pytest.raises(UserError, match=r"models\.Mine\.student\.teacher_layers"):
        initialise_student.main()
    assert not (tmp_path / "third").exists()
