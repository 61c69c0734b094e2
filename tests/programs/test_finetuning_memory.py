"""Fine-tuning several runs in one process: none leaves its model in memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from helpers.finetuning import NER_LABELS, ner_rows, run_settings, write_dataset, write_model

SCRIPTS = Path(__file__).parents[2] / "scripts"
# Its own process: the libraries must be imported by the first run, as in the program.
TWO_RUNS = """
import gc, json, sys
from pathlib import Path
settings, model, task, checkpoints = json.loads(sys.argv[1])
from compactbio.finetuning.runs.execution import finetune
from compactbio.finetuning.runs.planning import plan_runs
planned = plan_runs(settings, {}, Path(checkpoints))
assert finetune(settings, Path(model), Path(task), planned, deadline=None, stop=None)
gc.collect()
gc.unfreeze()  # now also what no collection looks at can be listed
import torch
print(sum(type(thing) is torch.nn.Embedding for thing in gc.get_objects()))
"""


def test_models_of_finished_runs_are_freed(tmp_path):
    model = write_model(tmp_path / "model", masked_lm=True)
    write_dataset(tmp_path / "ner", "ner", {"train": ner_rows(16, 1), "test": ner_rows(4, 2)}, NER_LABELS)
    runs = [{"run": f"seed{seed}", "seed": seed, "fold": 0} for seed in (1, 2)]
    settings = run_settings("ner", NER_LABELS, runs=runs, epochs=1)
    given = json.dumps([settings, str(model), str(tmp_path / "ner"), str(tmp_path / "checkpoints")])
    done = subprocess.run(
        [sys.executable, "-c", TWO_RUNS, given],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(SCRIPTS), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "0"
