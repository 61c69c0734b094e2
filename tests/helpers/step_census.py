"""Prints what a step of each case of the benchmark launches and moves on a GPU, which needs none: make census.

It is counted from the shapes of tensors (see `launches` and `counted_steps`), not measured, and the time is a bound
that no run stays below: each kernel as fast as the card's memory or its matrix products, one after the other.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from helpers import pretended_gpu

CARD = pretended_gpu.NAME.removeprefix("NVIDIA ")
TERABYTES = 3.0  # a second, copied on the device (read and written), as measured on an H100 80GB HBM3
MICROSECONDS = 2.0  # of the smallest kernel in a graph (an estimate)
HEAD = ("case", "kernels", "GB products", "GB else", "TFLOP", "ms products", "ms else", "ms passes", "update: GB, ms")


def main() -> None:
    """Count, print a table and, where wanted, the operations that move most."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", default="", help="names of cases, with commas between; all where left out")
    parser.add_argument("--precision", default="bf16", help="bf16, fp16, tf32 or fp32")
    parser.add_argument("--gpu", default=CARD, help="a name in compactbio.training.devices.PEAKS, for its peak")
    parser.add_argument("--terabytes", type=float, default=TERABYTES, help="that its memory moves in a second")
    parser.add_argument("--microseconds", type=float, default=MICROSECONDS, help="of its smallest kernel")
    parser.add_argument("--top", type=int, default=0, help="so many operations of each case, those that move most")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        pretended_gpu.install(Path(name))
        print_census(options, Path(name))


def print_census(options: argparse.Namespace, folder: Path) -> None:
    """Count the cases and print them, on the pretended GPU that is installed."""
    from compactbio.benchmarks.cases import CASES, chosen_cases
    from compactbio.training.devices import known_peak
    from helpers import counted_steps
    from helpers.launches import Card, by_name, total

    peak = known_peak(options.gpu, options.precision)
    if peak is None:
        raise SystemExit(f"--gpu: {options.gpu} has no known peak for {options.precision}")
    card = Card(peak, 1e12 * options.terabytes, 1e-6 * options.microseconds)
    print(
        f"# counted, not measured; ms: a lower bound at {peak / 1e12:g} TFLOP/s ({options.gpu}, {options.precision}, "
        f"dense), {options.terabytes:g} TB/s and {options.microseconds:g} us for the smallest kernel"
    )
    print("\t".join(HEAD))
    counted_steps.prepare()
    for name in chosen_cases(options.cases.split(",") if options.cases else list(CASES)):
        step = counted_steps.count_step(name, options.precision, folder)
        products = type(step.passes)({one: count for one, count in step.passes.items() if one.flops})
        others = step.passes - products
        (_, moved, flops), (_, rest, _) = total(products), total(others)
        seconds = card.seconds(products), card.seconds(others)
        update = f"{total(step.besides)[1] / 1e9:.1f}, {1e3 * card.seconds(step.besides):.1f}"
        numbers = [f"{moved / 1e9:.1f}", f"{rest / 1e9:.1f}", f"{flops / 1e12:.2f}"]
        numbers += [f"{1e3 * one:.1f}" for one in (*seconds, sum(seconds))]
        print("\t".join((name, str(total(step.passes)[0]), *numbers, update)), flush=True)
        if options.top:
            print(f"# {step.form}; positions of its micro-batches: {', '.join(map(str, step.positions))}")
        for operation, count, size, _ in by_name(step.passes)[: options.top]:
            print(f"  {size / 1e9:8.2f} GB {count:6d} x {operation}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
