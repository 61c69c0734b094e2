"""What lines of metrics are made of: rates, FLOPs, known GPUs, and sums that survive a resumption."""

from __future__ import annotations

import json
from dataclasses import asdict
from types import SimpleNamespace

import pytest
import torch
from test_training_loop import batches_of, train

from compactbio.training import trainer
from compactbio.training.checkpoints import CheckpointFolder
from compactbio.training.devices import PEAKS, PRECISIONS, known_peak
from compactbio.training.interval import Gathered, LossSums, Stopwatch
from compactbio.training.pace import Pace
from compactbio.training.progress import read_metrics


class Processes:
    """Stands in for an Accelerator of several processes, of which this is one."""

    device = torch.device("cpu")

    def __init__(self, rank=0, others=()):
        self.process_index = rank
        self.num_processes = 1 + len(others)
        self.others = [torch.tensor(row, dtype=torch.float64) for row in others]

    def gather(self, rows):
        return torch.stack([*rows, *self.others])


def test_means_are_over_the_steps_of_all_processes_and_come_back_from_json():
    sums = LossSums(Processes(others=[[0.0, 7.0, 7.0]]))
    assert sums.gather() is None
    for step, loss in ((1, 0.1), (2, 0.2)):
        sums.add_terms({"mlm": torch.tensor(loss)})
        sums.add_step(step, torch.tensor(loss), torch.tensor(True))
    gathered = sums.gather()
    assert gathered.first_bad_step == 0
    assert gathered.loss == gathered.terms["mlm"] == pytest.approx((0.1 + 0.2 + 7.0) / 2)
    again = LossSums(Processes(others=[[0.0, 7.0, 7.0]]))
    again.restore(Gathered(**json.loads(json.dumps(asdict(gathered)))))
    assert again.gather() == gathered
    one = LossSums(Processes())
    one.restore(gathered)
    assert one.gather().loss == pytest.approx(gathered.loss)
    assert one.gather().steps == 2


def test_the_first_bad_step_of_any_process_is_named():
    sums = LossSums(Processes(others=[[3.0, 7.0], [0.0, 1.0]]))
    for step in range(1, 7):
        sums.add_step(step, torch.tensor(1.0), torch.tensor(step < 5))
    assert sums.gather().first_bad_step == 3
    assert sums.first_bad == 5


def test_rates_leave_out_what_was_no_training():
    rates = Stopwatch(100.0)
    for _ in range(4):
        rates.add_counts({"tokens": 50.0, "sequences": 2.0, "flops": 3e12})
        rates.steps += 1
    rates.leave_out(5.0)
    assert rates.read(115.0, steps_left=6, peak_flops=None) == {
        "tokens_per_second": 20.0,
        "sequences_per_second": 0.8,
        "seconds_per_step": 2.5,
        "eta_seconds": 15.0,
        "model_flops_per_second": 1.2e12,
    }
    assert rates.read(115.0, steps_left=6, peak_flops=4.8e12)["model_flop_utilisation"] == pytest.approx(0.25)
    rates.clear(115.0)
    assert "model_flops_per_second" not in rates.read(116.0, steps_left=6, peak_flops=4.8e12)


def test_batches_that_count_flops_have_them_in_the_metrics(tmp_path):
    def batches(step):
        made = batches_of(5)(step)
        for batch in made:
            batch.counts["flops"] = 1e6
        return made

    train(tmp_path / "counted", batches=batches)
    for line in read_metrics(tmp_path / "counted" / "metrics.jsonl"):
        assert line["model_flops_per_second"] * line["seconds_per_step"] == pytest.approx(3e6)
        assert "model_flop_utilisation" not in line  # a processor has no known peak
    train(tmp_path / "not", batches=batches_of(5))
    assert all("model_flops_per_second" not in line for line in read_metrics(tmp_path / "not" / "metrics.jsonl"))


class Clock:
    """Time that passes only while a device is waited for, which takes 2 s a step, and while the host does other work.

    The host hands a step over in no time. The device works on while it saves.
    """

    STEP = 2.0

    def __init__(self):
        self.now = self.idle_at = 100.0

    def monotonic(self):
        return self.now

    def event(self, **_):
        done = []

        def record():
            self.idle_at = max(self.idle_at, self.now) + self.STEP
            done.append(self.idle_at)

        return SimpleNamespace(record=record, synchronize=lambda: self.wait(done[0]))

    def wait(self, until):
        self.now = max(self.now, until)


@pytest.mark.parametrize("what", ["nothing", "save", "evaluation"])
def test_rates_are_those_of_the_device_whatever_comes_between(tmp_path, monkeypatch, what):
    clock = Clock()

    class AheadOfAGpu(Pace):
        def __init__(self, device):
            super().__init__(torch.device("cuda"))

    def waiting(self, gather=LossSums.gather):
        clock.wait(clock.idle_at)  # for the copy of the sums
        return gather(self)

    def save(self, *given, plain=CheckpointFolder.save, **more):
        clock.wait(clock.idle_at)
        clock.now += 50.0
        plain(self, *given, **more)

    def evaluate(step):
        clock.wait(clock.idle_at)
        clock.now += 50.0
        return {}

    monkeypatch.setattr(trainer, "time", clock)
    monkeypatch.setattr(trainer, "Pace", AheadOfAGpu)
    monkeypatch.setattr(torch.cuda, "Event", clock.event)
    monkeypatch.setattr(LossSums, "gather", waiting)
    monkeypatch.setattr(CheckpointFolder, "save", save)
    options = {"save": {"checkpoint_every_steps": 3}, "evaluation": {"evaluate": evaluate}}
    train(tmp_path, log_every_steps=5, **options.get(what, {}))
    lines = [line for line in read_metrics(tmp_path / "metrics.jsonl") if "loss" in line]
    assert [line["step"] for line in lines] == [1, 5, 8]
    assert [line["seconds_per_step"] for line in lines] == pytest.approx([Clock.STEP] * 3)


@pytest.mark.parametrize(
    ("name", "precision", "peak"),
    [
        ("Tesla V100-SXM2-32GB", "fp16", 125e12),
        ("Tesla V100-PCIE-16GB", "fp32", 14e12),
        ("NVIDIA A100-SXM4-80GB", "bf16", 312e12),
        ("NVIDIA A100-SXM4-80GB", "tf32", 156e12),
        ("Tesla V100-SXM2-32GB", "tf32", None),
        ("NVIDIA A100 80GB PCIe", "fp32", 19.5e12),
        ("NVIDIA H100 80GB HBM3", "bf16", 989.4e12),
        ("NVIDIA H100 PCIe", "bf16", 756e12),
        ("NVIDIA H200", "fp32", 66.9e12),
        ("NVIDIA L40S", "bf16", 362.05e12),
        ("NVIDIA A40", "fp16", 149.7e12),
        ("NVIDIA GeForce RTX 3090", "fp16", 71e12),
        ("NVIDIA GeForce RTX 4090", "bf16", 165.2e12),
        ("Tesla V100-SXM2-32GB", "bf16", None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "bf16", None),
        ("NVIDIA H100 NVL", "bf16", None),
        ("NVIDIA H200 NVL", "bf16", None),
        ("NVIDIA GeForce RTX 3090 Ti", "fp16", None),
        ("NVIDIA GeForce RTX 4090 D", "fp16", None),
        ("NVIDIA A4000", "fp16", None),
        ("AMD Instinct MI250X", "bf16", None),
    ],
)
def test_peaks_are_given_for_known_gpus_only(name, precision, peak):
    assert known_peak(name, precision) == (None if peak is None else pytest.approx(peak))


def test_half_precision_is_at_least_as_fast():
    for pattern, *peaks in PEAKS:
        single, *halves = peaks
        assert len(peaks) == len(PRECISIONS)
        assert all(half is None or half >= single for half in halves), pattern
