"""A machine with a GPU may have little else: its tests and its benchmark run without what a training does not need."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions

import pytest
from helpers.configurations import ROOT

# what scripts/measure_gpu.sh asks for, and what comes with transformers
THERE = {"torch", "transformers", "accelerate", "msgspec", "pyyaml", "psutil", "pytest", "numpy", "tokenizers"}
THERE |= {"safetensors", "huggingface_hub", "filelock", "requests", "tqdm", "triton", "urllib3", "pip"}


def hidden_modules() -> set[str]:
    """Return the modules of every other package that is pinned here, so that a new one is hidden as well."""
    pinned = {
        re.split("[=; ]", line)[0].lower()
        for name in ("requirements", "development")
        for line in (ROOT / "envs" / f"{name}.txt").read_text().splitlines()
        if "==" in line and not line.startswith("#")
    }
    assert pinned >= THERE
    return {
        module
        for module, packages in packages_distributions().items()
        if {package.lower() for package in packages} <= pinned - THERE
    }


# packages that are not there are not found, as importlib.util.find_spec sees it too
PROGRAM = """
import sys
from importlib.machinery import PathFinder
found, hidden = PathFinder.find_spec, set(sys.argv[1].split(","))
def find_spec(cls, name, path=None, target=None):
    return None if name.partition(".")[0] in hidden else found(name, path, target)
PathFinder.find_spec = classmethod(find_spec)
import pytest
code = pytest.main(sys.argv[2:])
assert not hidden & {name.partition(".")[0] for name in sys.modules}
sys.exit(code)
"""


@pytest.mark.slow
def test_neither_needs_more_than_torch_transformers_accelerate_and_pytest(tmp_path):
    chosen = ["tests/gpu", "tests/programs/test_benchmark_gpu.py"]
    some = "cpu and (fp32 and (compact or mobilebert) or distil and killed or trial or memory or fine_tuning)"
    some += " or row_of_each or profiled or prints_the_tables"
    line = [
        sys.executable,
        "-c",
        PROGRAM,
        ",".join(hidden_modules()),
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        some,
        *chosen,
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [*line, f"--basetemp={tmp_path / 'base'}"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "fine-tuning writes its predictions with pyarrow" in done.stdout
    [passed] = re.findall(r"(\d+) passed", done.stdout)
    assert int(passed) >= 11
