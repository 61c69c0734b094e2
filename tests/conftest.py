"""What every test finds: Ctrl-C reaches the programs that tests start, also where the tests run in the background.

Without a GPU Triton interprets kernels, which it has to know before it is imported.
"""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")

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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--trials", type=int, default=6, help="tests/hostile: calls of each program at which it is killed (default 6)"
    )
