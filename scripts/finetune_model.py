"""Fine-tune a model on a prepared dataset, once per seed or fold, and store its predictions on the test split.

Where the run file has a grid of hyper-parameters, its points are tried first and the best one is taken for all runs.
Start it again with the same arguments to go on after a deadline or a signal; finished runs are kept in the
checkpoints folder and taken from there.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from pathlib import Path

from compactbio.digests import add_verify
from compactbio.files import write_json
from compactbio.logs import run_program
from compactbio.training.deadlines import StopSignal, deadline_after
from compactbio.training.launching import claim_gpu, visible_gpus

AUTO = "auto"


def main() -> None:
    """Read the command line, do the runs that are missing, write the results of all."""
    started = time.monotonic()
    arguments = parse_arguments()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything is in the folders given
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    from compactbio.finetuning.runs.digests import dataset_digest, model_digest
    from compactbio.finetuning.runs.execution import finetune
    from compactbio.finetuning.runs.grid import choose_point, plan_trials
    from compactbio.finetuning.runs.kept_weights import kept_digest
    from compactbio.finetuning.runs.outputs import provenance_record, publish
    from compactbio.finetuning.runs.planning import PlannedRun, plan_runs
    from compactbio.settings.results import Finetuning
    from compactbio.settings.runs import read_finetuning_run

    settings = read_finetuning_run(arguments.run)
    stop = StopSignal().install()
    logging.info("settings: %s", settings)
    start = kept_digest if "starts_from" in settings else model_digest
    digests = {"model": start(arguments.model), "dataset": dataset_digest(arguments.task)}
    deadline = deadline_after(arguments.max_minutes, started=started)

    limits = {"deadline": deadline, "minutes": arguments.max_minutes, "memory_mb": arguments.memory_mb}

    def finish(runs: list[PlannedRun]) -> None:
        """Do the runs that are not finished; end the program if that has to go on another time."""
        if not all(run.is_finished() for run in runs):
            claim_gpu(stop)
        at_once = runs_at_once(arguments.runs_at_once)
        if not finetune(settings, arguments.model, arguments.task, runs, stop=stop, at_once=at_once, **limits):
            sys.exit(1)

    trials = plan_trials(settings, digests, arguments.checkpoints)
    finish(trials)
    chosen, grid = choose_point(settings, trials)
    planned = plan_runs(chosen, digests, arguments.checkpoints)
    finish(planned)
    training = publish(planned, settings["task"], arguments.output_dir, grid, arguments.notice)
    write_json(
        Finetuning(arguments.output_dir).provenance,
        provenance_record(settings, digests, planned, trials, training, arguments.output_dir),
    )
    logging.info("results of %d runs are in %s", len(planned), arguments.output_dir)


def runs_at_once(asked: int | None) -> int | None:
    """Return how many runs to do at once; None: what a GPU takes. A CPU has work enough with one."""
    return 1 if asked is None and not visible_gpus(os.environ) else asked


def number_or_auto(text: str) -> int | None:
    """Return a number of one or more, None for `auto`."""
    if text == AUTO:
        return None
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number of 1 or more nor {AUTO}")
    return int(text)


def parse_arguments() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="run.yaml of this model and dataset")
    parser.add_argument("--model", type=Path, required=True, help="folder of the model and its tokenizer")
    parser.add_argument("--task", type=Path, required=True, help="folder of the prepared dataset")
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder in which runs are kept between tries")
    parser.add_argument(
        "--output-dir",
        type=Path,
        required=True,
        help="predictions.parquet, metrics.jsonl, training.json, provenance.json and model/, if kept, go here",
    )
    parser.add_argument("--notice", default="", help="what stands over a kept model's card, where the data call for it")
    parser.add_argument("--max-minutes", type=float, help="save and leave before this many minutes are over")
    parser.add_argument(
        "--runs-at-once",
        type=number_or_auto,
        default=AUTO,
        help="seeds or folds that are done side by side; auto (default): as many as a GPU's memory takes, one on a CPU",
    )
    parser.add_argument("--memory-mb", type=int, help="of this machine, which bounds the runs at once; default: all")
    add_verify(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run_program(main)
