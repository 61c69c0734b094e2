"""What a process keeps of freed memory."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from compactbio.training.memory import keep_freed_memory
if sys.argv[2] == "keep":
    keep_freed_memory()
block = bytearray(200 * 2**20)
del block
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmRSS")))
"""


def resident_mb(mode: str) -> float:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", PROGRAM, str(SCRIPTS), mode]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return int(done.stdout) / 1024


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_stays_with_the_process_where_it_is_asked_for():
    assert resident_mb("leave") < 100
    assert resident_mb("keep") > 190
