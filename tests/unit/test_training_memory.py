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
blocks = [bytearray(int(sys.argv[3])) for _ in range(200 * 2**20 // int(sys.argv[3]))]
del blocks
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmRSS")))
"""


def resident_mb(mode: str, block: int) -> float:
    """What a process holds after it has freed 200 MB in blocks of so many bytes."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", PROGRAM, str(SCRIPTS), mode, str(block)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return int(done.stdout) / 1024


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_stays_with_the_process_where_it_is_asked_for():
    assert resident_mb("leave", 2**20) < 100
    assert resident_mb("keep", 2**20) > 190


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_large_blocks_go_back_all_the_same():
    assert resident_mb("keep", 100 * 2**20) < 100
