"""What every test finds: Ctrl-C reaches the programs that tests start, also where the tests run in the background.

Without a GPU Triton interprets kernels, which it has to know before it is imported. Tests that run side by side have a
thread each.
"""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

# A shell has its background processes ignore SIGINT, and who is started by them as well; a handler is not inherited.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_precision_of_an_earlier_test() -> Iterator[None]:
    """A process has one precision, which accelerate keeps: a program that ran in this process has left its own."""
    yield
    state = sys.modules.get("accelerate.state")
    if state is not None:
        state.AcceleratorState._reset_state(reset_partial_state=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have `--dist loadgroup` give a file's tests, which share what they make, to one process, unless they say else."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--trials", type=int, default=6, help="tests/hostile: calls of each program at which it is killed (default 6)"
    )
