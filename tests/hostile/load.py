"""Measure what each program takes of memory at 1, 4 and 16 times the input: make benchmark-memory.

Written to results/benchmarks/memory.tsv: bytes at the peak beyond the imports. What grows with the input for each
program is in `writers.py` (records, documents, sentences, models, shards, an archive's file); the size of models stays.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from helpers.configurations import ROOT

from hostile import writers
from hostile.forking import Forker, Started, build_faults

TIMES = (1, 4, 16)
PATH = ROOT / "results" / "benchmarks" / "memory.tsv"


def measure(times: int, scratch: Path, forker: Forker) -> dict[str, int]:
    """Return the peak of each program, by name, at so many times the input."""
    writers.LOAD = times
    world, made, peaks = scratch / "world", {}, {}
    world.mkdir(parents=True)
    for build in writers.WRITERS:
        writer = build(world, made)
        folder = scratch / writer.name
        folder.mkdir()
        if writer.before is not None:
            folder.rmdir()
            folder = Path(writer.before)
        log, peak = scratch / "log", scratch / "peak"
        started = Started(writer.program, writer.options, str(folder), str(log), seconds=600, peak=str(peak))
        code = forker.run(started)
        if code:
            raise SystemExit(f"{writer.name} ended with {code}:\n{log.read_text()[-3000:]}")
        made[writer.name], peaks[writer.name] = folder, int(peak.read_text())
    return peaks


def main() -> None:
    """Measure, write the table, print it."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        forker = Forker(build_faults(scratch), scratch / "home")
        found = [measure(times, scratch / str(times), forker) for times in TIMES]
        forker.close()
    lines = ["\t".join(["program", *(f"MiB at {times} times" for times in TIMES)])]
    lines += ["\t".join([name, *(f"{peaks[name] / 2**20:.1f}" for peaks in found)]) for name in found[0]]
    PATH.parent.mkdir(parents=True, exist_ok=True)
    PATH.write_text("".join(f"{line}\n" for line in lines))
    sys.stdout.write("".join(f"{line.expandtabs(20)}\n" for line in lines))


if __name__ == "__main__":
    main()
