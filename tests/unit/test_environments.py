"""The conda environment and the virtual environment have the same pins."""

from helpers.configurations import ROOT

from compactbio.files import read_yaml


def test_the_conda_environment_repeats_the_pins_line_by_line() -> None:
    lines = (ROOT / "envs" / "requirements.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    inline = [
        entry["pip"] for entry in read_yaml(ROOT / "envs" / "workflow.yaml")["dependencies"] if isinstance(entry, dict)
    ]
    assert inline == [pins]
