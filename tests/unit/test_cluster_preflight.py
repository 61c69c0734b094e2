"""The checks before a run, each good and bad, and the estimates behind them. No SLURM needed."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.configurations import ROOT, read

from compactbio.cluster import estimates, preflight
from compactbio.cluster.demands import Demand
from compactbio.cluster.partitions import Partition
from compactbio.cluster.preflight import BAD, GOOD, UNSURE
from compactbio.cluster.site import Accounts
from compactbio.cluster.status import trained_models

CPU = Partition("cpu", default=True, nodes=2, cpus=16, memory_mb=64000, max_minutes=1440)
GPU = Partition("gpu", nodes=2, cpus=16, memory_mb=64000, max_minutes=2880, gpus={"a100": 4})
PROBE = {"host": "gpu1", "partition": "gpu", "visible": "0", "gpus": ["A100"], "sees_folder": True, "waited_seconds": 3}


def verdicts(checks):
    return [check.verdict for check in checks]


def test_the_pins_are_what_is_installed() -> None:
    pins = (ROOT / "envs" / "requirements.txt").read_text()
    assert verdicts(preflight.check_versions(pins)) == [GOOD]
    assert verdicts(preflight.check_versions(pins.replace("torch==", "torch==0."))) == [UNSURE]


@pytest.mark.parametrize(
    ("accounts", "named", "verdict"),
    [
        (Accounts(("lab",), "lab"), None, GOOD),
        (Accounts(("lab", "other")), "other", GOOD),
        (Accounts(("lab",)), None, BAD),
        (Accounts(("lab",), "lab"), "others", BAD),
        (Accounts(unknown="no accounting"), None, UNSURE),
    ],
)
def test_the_account(accounts, named, verdict) -> None:
    assert verdicts(preflight.check_account(accounts, named)) == [verdict]


def test_a_demand_that_fits_nowhere_says_what_to_lower() -> None:
    good, bad = preflight.check_demands(
        [Demand("score_model", 20, 4000), Demand("pretrain_model", 1440, 32000, 8, gpus=8)], [CPU, GPU]
    )
    assert (good.verdict, good.text) == (GOOD, "20 min, 4000 MB, 1 cores: cpu, gpu")
    assert bad.verdict == BAD
    assert "gpu: 8 GPUs a node > 4" in bad.text and "--set-resources pretrain_model:" in bad.text


def test_the_partition_file(tmp_path: Path) -> None:
    path = tmp_path / "partitions.yaml"
    assert verdicts(preflight.check_partition_file(path, [], [CPU, GPU], gpus=True)) == [BAD]
    assert verdicts(preflight.check_partition_file(path, [], [CPU, GPU], gpus=False)) == [UNSURE]
    path.touch()
    assert verdicts(preflight.check_partition_file(path, ["gpu"], [CPU, GPU], gpus=True)) == [GOOD]
    [check] = preflight.check_partition_file(path, ["gpu", "gone"], [CPU, GPU], gpus=True)
    assert check.verdict == BAD and "names gone" in check.text


def test_the_controller() -> None:
    assert verdicts(preflight.check_controller("MinJobAge  = 300 sec\nJobRequeue  = 1\n")) == [GOOD]
    short, requeue = preflight.check_controller("MinJobAge  = 60 sec\nJobRequeue  = 0\n")
    assert (short.verdict, requeue.verdict) == (BAD, UNSURE)
    assert "--slurm-init-seconds-before-status-checks 20" in short.text


def test_the_disk(tmp_path: Path) -> None:
    assert verdicts(preflight.check_disk({"corpus": (1e6, 10)}, tmp_path)) == [GOOD, GOOD]
    assert verdicts(preflight.check_disk({"corpus": (1e18, 10)}, tmp_path))[0] == BAD


def test_downloads_and_network() -> None:
    assert verdicts(preflight.check_downloads(0, 79)) == [GOOD]
    assert verdicts(preflight.check_downloads(3, 79)) == [UNSURE]
    assert verdicts(preflight.check_network(["file:///data"])) == [GOOD]
    assert verdicts(preflight.check_network(["https://no-such-host.invalid/"], seconds=1)) == [BAD]


def test_the_short_job() -> None:
    assert verdicts(preflight.check_probe(PROBE, "", gpus=1)) == [GOOD, GOOD]
    assert verdicts(preflight.check_probe(PROBE, "", gpus=0)) == [GOOD]
    assert verdicts(preflight.check_probe(PROBE | {"gpus": []}, "", gpus=1)) == [GOOD, BAD]
    assert verdicts(preflight.check_probe(PROBE | {"sees_folder": False}, "", gpus=0)) == [GOOD, BAD]
    assert verdicts(preflight.check_probe(None, "queued", gpus=1)) == [BAD]


def test_the_table_is_aligned_and_coloured_only_on_a_terminal() -> None:
    checks = preflight.check_downloads(0, 1) + preflight.check_downloads(1, 1)
    text = preflight.table(checks, styled=False)
    assert "\033" not in text and text.splitlines()[0].startswith("downloads  ok      all 1")
    assert "\033[32m" in preflight.table(checks, styled=True)


def test_estimates_of_the_papers_configuration(tmp_path: Path) -> None:
    config = read()
    trained = trained_models(config)
    needs = estimates.stages(config, trained)
    assert set(needs) == {"downloads", "corpus", "students", "pretraining", "finetuning"}
    assert 30e9 < needs["downloads"][0] < 60e9
    assert {name: estimates.case_of(config["models"][name]) for name in trained} == {
        "DistilBioBERT": "distil",
        "CompactBioBERT": "compact",
        "TinyBioBERT": "tiny",
        "BioDistilBERT-cased": "mlm_6l_768",
        "BioDistilBERT-uncased": "mlm_6l_768",
        "BioTinyBERT": "mlm_4l_312",
        "BioMobileBERT": "mlm_mobilebert",
    }
    table = tmp_path / "training.tsv"
    table.write_text("hardware\tcase\tours_seconds\nA100\tdistil\t9.0\nA100\tdistil\t0.09\n")
    steps = estimates.measured_steps(table)
    # 192 sequences are eight of the measured batches: 0.72 s a step, 100,000 of them
    assert estimates.gpu_hours(config, trained, steps) == {"DistilBioBERT": pytest.approx(20.0)}


def test_a_teacher_that_is_trained_counts() -> None:
    config = read("demo.yaml")
    config["run"]["models"] = ["TinyBioBERT"]
    assert trained_models(config) == ["TinyBioBERT", "BioBERT-v1.1"]
