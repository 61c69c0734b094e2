"""What every test finds: Ctrl-C reaches the programs that tests start, also where the tests run in the background.

Without a GPU Triton interprets kernels, which it has to know before it is imported. Tests that run side by side have a
thread each.
"""

import os
import re
import signal
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Have `--dist loadfile` give files that name one group to one process, which makes once what they share.

    What `--dist loadgroup` is for, but with pytest 9.2 pytest-xdist 3.8 shares tests out one by one there.
    """
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    @cache
    def group_of(file: str) -> str:
        named = re.search(r"""xdist_group\("([\w ]+)"\)""", (config.rootpath / file).read_text(encoding="utf-8"))
        return named[1] if named else file

    class Groups(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(super()._split_scope(nodeid))

    return Groups(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--trials", type=int, default=6, help="tests/hostile: calls of each program at which it is killed (default 6)"
    )
