"""Train one student: distillation or continual masked-language modelling, as its run file says.

Runs alone or under torchrun (scripts/launch.py builds the command). Started again, it goes on from its newest sound
checkpoint; finished, it ends in seconds.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from compactbio.digests import add_verify
from compactbio.errors import UserError
from compactbio.files import read_json, write_json
from compactbio.imports import import_models, without_collector
from compactbio.logs import run_program
from compactbio.pretraining.inputs import (
    TOKENS_HELP,
    RunInputs,
    check_resources,
    folder_of,
    read_inputs,
    tokens_or_auto,
)
from compactbio.pretraining.training_record import (
    provenance_record,
    read_training_record,
    training_record,
    write_training_record,
)
from compactbio.settings.results import TrainingResults
from compactbio.settings.selection import shard_names
from compactbio.training.checkpoints import STATE, CheckpointFolder
from compactbio.training.deadlines import StopSignal, deadline_after
from compactbio.training.error_causes import in_words, lacks_memory
from compactbio.training.submissions import Submissions
from compactbio.training.tries import Tries, lacked_memory, note_lack_of_memory

UNFINISHED = 75  # exit code of a process alone that saved and left (EX_TEMPFAIL): start it again
SECONDS_TO_DECIDE = 60.0


def parse_arguments() -> argparse.Namespace:
    """Return the command line's values."""
    # folders may also be given by their manifest.json
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="run.yaml that resolve_run.py wrote")
    parser.add_argument("--student", type=Path, required=True, help="folder of the student to start from")
    parser.add_argument("--teacher", type=Path, nargs="?", help="folder of the teacher, where the run names one")
    parser.add_argument("--tokens", type=Path, nargs="+", required=True, help="token stores, in a fixed order")
    parser.add_argument("--shards", type=int, help="--tokens is the first of so many, named 0001 and so on")
    parser.add_argument("--checkpoints", type=Path, required=True, help="a folder per fingerprint is made in it")
    parser.add_argument("--output", type=Path, required=True, help="training.json, written when finished")
    parser.add_argument("--provenance", type=Path, help="provenance.json, written when finished")
    parser.add_argument("--max-minutes", type=float, help="save and leave before this many minutes have passed")
    parser.add_argument("--micro-batch-tokens", type=tokens_or_auto, default="auto", help=TOKENS_HELP)
    parser.add_argument("--checkpoint-every-steps", type=int)
    parser.add_argument("--checkpoint-every-minutes", type=float)
    parser.add_argument("--log-every-steps", type=int, default=50)
    add_verify(parser)
    return parser.parse_args()


def main() -> None:
    """Check the inputs, train, and leave training.json when every step is done."""
    started = time.monotonic()
    arguments = parse_arguments()
    if os.environ.get("RANK", "0") != "0":
        logging.getLogger().setLevel(logging.WARNING)  # one process logs for all
    tokens = arguments.tokens
    if arguments.shards is not None:
        tokens = [folder_of(tokens[0]).with_name(shard) for shard in shard_names(arguments.shards)]
    inputs = read_inputs(arguments.run, arguments.student, arguments.teacher, tokens)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    check_resources(inputs.run, processes=processes, micro_batch_tokens=arguments.micro_batch_tokens)
    folder = arguments.checkpoints / inputs.fingerprint
    if is_finished(folder):
        logging.info("%s is finished already (%s)", inputs.run["model"], folder)
    else:
        tries = Tries(
            folder,
            minutes=arguments.max_minutes,
            micro_batch_tokens=arguments.micro_batch_tokens,
            halves=arguments.micro_batch_tokens is None,
            began=started,
        )
        if os.environ.get("RANK", "0") == "0":  # one decides: what another host has may differ
            tries.refuse_if_stalled()
        else:
            wait_for_decision(tries.marker)
        logging.info("settings: %s", inputs.run)
        logging.info("fingerprint %s, inputs %s", inputs.fingerprint, inputs.digests)
        train(inputs, folder, tries, arguments, started)
    if os.environ.get("RANK", "0") == "0":
        publish(folder, arguments)
    finished = CheckpointFolder(folder).read_state().get("finished", False)
    if not finished and "RANK" not in os.environ:
        sys.exit(UNFINISHED)  # torchrun would take it for a failure; launch.py reads state.json instead


def wait_for_decision(marker: Path) -> None:
    """Wait until the main process has removed a marker, or left it and ended, which ends this one by a signal.

    A process that waits in torch for the others notices no signal: torchrun would kill it after half a minute only.
    """
    until = time.monotonic() + SECONDS_TO_DECIDE
    while marker.is_file() and time.monotonic() < until:  # another host may see a file for a while after its end
        time.sleep(0.1)


def is_finished(folder: Path) -> bool:
    """Return whether the run is done and its records and last checkpoint are there."""
    checkpoints = CheckpointFolder(folder)
    state = checkpoints.read_state()
    recorded = all(path.is_file() for path in (TrainingResults(folder).training, TrainingResults(folder).provenance))
    return bool(state.get("finished")) and recorded and checkpoints.latest_step() == state["total_steps"]


def train(inputs: RunInputs, folder: Path, tries: Tries, arguments: argparse.Namespace, started: float) -> None:
    """Train until the last step, the deadline or a signal; note a try that gained nothing."""
    main_process = os.environ.get("RANK", "0") == "0"
    stop = StopSignal(on_leaving=tries.interrupted).install()
    checkpoints = CheckpointFolder(folder)
    before = checkpoints.latest_step() if main_process else 0
    submissions = Submissions(folder)
    if main_process:
        folder.mkdir(parents=True, exist_ok=True)
        lacked = lacked_memory(folder)  # before the trace is removed
        tries.begin(before)
        submissions.begin(step=before, seconds=checkpoints.seconds() if before else 0.0, lacked_memory=lacked)
    import_models()
    with without_collector():
        from compactbio.pretraining.pretrain import pretrain
        from compactbio.provenance import gpu_count
        from compactbio.training.interface import LoopSettings

    settings = LoopSettings(
        total_steps=inputs.total_steps,
        max_gradient_norm=inputs.run["optimisation"]["max_gradient_norm"],
        checkpoint_every_steps=arguments.checkpoint_every_steps,
        checkpoint_every_minutes=arguments.checkpoint_every_minutes,
        log_every_steps=arguments.log_every_steps,
        deadline=deadline_after(arguments.max_minutes, started=started),
        stop=stop,
        at_step=tries.at_step if main_process else None,
        state_facts={"model": inputs.run["model"], "fingerprint": inputs.fingerprint},
    )
    if main_process:
        submissions.note(gpus=gpu_count())
    try:
        result = pretrain(
            inputs,
            folder,
            settings=settings,
            micro_batch_tokens=arguments.micro_batch_tokens,
            submissions=submissions,
        )
    except Exception as error:
        if main_process:
            step = checkpoints.latest_step()
            # the main process may have lost a connection only; asked before the trace is removed
            lacked = lacks_memory(error) or lacked_memory(folder)
            tries.end(started_at=before, step=step, finished=False, reason="error", error=error)
            with suppress(OSError):  # what ended it is raised, also where it was the disk
                submissions.note(out_of_memory=lacked)
                submissions.end(step=step, seconds=checkpoints.seconds(), reason="error")
        else:
            note_lack_of_memory(folder, error)
        if lacks_memory(error):
            raise UserError(
                f"out of memory ({in_words(error).splitlines()[0]}): ask for more memory or GPUs, or for a smaller "
                "micro_batch_tokens; the next try goes on from the last checkpoint"
            ) from error
        raise
    logging.info("%s at step %d of %d", result.reason, result.step, result.total_steps)
    if main_process:
        tries.end(started_at=result.started_at, step=result.step, finished=result.finished, reason=result.reason)
        submissions.end(step=result.step, seconds=checkpoints.seconds(), reason=result.reason)
        if result.finished:
            record = training_record(inputs, folder)
            write_json(TrainingResults(folder).provenance, provenance_record(inputs, record, submissions))
            write_training_record(TrainingResults(folder).training, record)


def publish(folder: Path, arguments: argparse.Namespace) -> None:
    """Copy the state beside the fingerprints' folders for launch.py and, if finished, write the outputs."""
    state = CheckpointFolder(folder).read_state()
    write_json(arguments.checkpoints / STATE, state)
    if state.get("finished"):
        if arguments.provenance is not None:
            write_json(arguments.provenance, read_json(TrainingResults(folder).provenance))
        write_training_record(arguments.output, read_training_record(TrainingResults(folder).training))


if __name__ == "__main__":
    run_program(main)
