"""A process that has imported what programs import, preloads the faults, and forks for each program that it runs.

Started as a program by `Forker`; requests and answers are JSON lines on its standard input and output.
"""

from __future__ import annotations

import atexit
import ctypes
import errno
import gc
import importlib
import json
import os
import pkgutil
import resource
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path(__file__).with_name("faults.c")
SECONDS = 120  # after which a program hangs
KILL = -1
WARM = (
    "transformers.models.auto.modeling_auto",
    "transformers.models.bert.modeling_bert",
    "pyarrow.parquet",
    "rocrate",
)
WARM += ("matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg", "matplotlib.font_manager", "accelerate")


@dataclass
class Fault:
    """What befalls the call of number `at` among those that change files under a folder; 0: nothing."""

    folder: str
    at: int = 0
    error: int = KILL
    lasting: bool = False


@dataclass
class Started:
    """A program as it is to be run: the file's path, its options, the folder it is started in."""

    program: str
    options: list[str]
    folder: str
    log: str
    fault: Fault | None = None
    trace: str = ""
    seconds: int = SECONDS
    memory: int = 0  # bytes that it may take beyond what it begins with; 0: any
    peak: str = ""  # file for the bytes that it took at most beyond what it begins with
    environment: dict[str, str] = field(default_factory=dict)


def build_faults(folder: Path) -> Path:
    """Compile the library of faults and return its path.

    Raises:
        FileNotFoundError: there is no C compiler.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise FileNotFoundError("no C compiler (Debian: gcc and libc6-dev)")
    library = folder / "faults.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, SOURCE, "-ldl"]
    subprocess.run(command, check=True)
    return library


class Forker:
    """The process, seen from the tests; one program runs at a time."""

    def __init__(self, library: Path, home: Path, **environment: str) -> None:
        """Start it, with a home and a folder of temporary files of its own."""
        self._lock = threading.Lock()
        home.mkdir(parents=True, exist_ok=True)
        own = {"LD_PRELOAD": str(library), "PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT / 'tests'}", "HOME": str(home)}
        own |= {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TMPDIR": str(home)}
        own |= {"TOKENIZERS_PARALLELISM": "false", "PYTHONHASHSEED": "0", "FAULTS_LIBRARY": str(library)}
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=os.environ | own | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, started: Started) -> int:
        """Run a program and return its exit code, a signal's number below zero."""
        assert self._process.stdin and self._process.stdout
        with self._lock:
            self._process.stdin.write(json.dumps(asdict(started)) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the forking process has ended")
        return int(answer)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


def _serve() -> None:
    """Answer requests until the input ends."""
    library = ctypes.CDLL(os.environ["FAULTS_LIBRARY"])
    import compactbio

    ours = (found.name for found in pkgutil.walk_packages(compactbio.__path__, "compactbio."))
    for name in (*WARM, *ours):
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _run(json.loads(line), library)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _run(request: dict, library: ctypes.CDLL) -> None:
    """Become the program, as the interpreter would run it; does not return."""
    code = 1
    try:
        signal.alarm(request["seconds"])
        if request["memory"]:
            resource.setrlimit(resource.RLIMIT_DATA, (_memory("VmData") + request["memory"], resource.RLIM_INFINITY))
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.pop("LD_PRELOAD")
        os.environ |= request["environment"]
        os.chdir(request["folder"])
        sys.argv = [request["program"], *request["options"]]
        if request["peak"]:
            Path("/proc/self/clear_refs").write_text("5")  # its peak is from now on
            began = _memory("VmRSS")
        fault = request["fault"]
        if fault:
            trace = os.open(request["trace"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if request["trace"] else -1
            library.faults_arm(
                fault["folder"].encode(), ctypes.c_long(fault["at"]), fault["error"], int(fault["lasting"]), trace
            )
        try:
            runpy.run_path(request["program"], run_name="__main__")
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
            if isinstance(end.code, str):
                sys.stderr.write(end.code + "\n")
        atexit._run_exitfuncs()
        if request["peak"]:
            Path(request["peak"]).write_text(str(max(0, _memory("VmHWM") - began)))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _memory(of: str) -> int:
    """Return bytes of this process as the kernel counts them."""
    return int(Path("/proc/self/status").read_text().partition(f"{of}:")[2].split()[0]) * 1024


ERRORS = {name: getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EIO", "EROFS")}

if __name__ == "__main__":
    _serve()
