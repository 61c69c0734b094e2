"""The checks before a run, each good and bad, and the estimates behind them. No SLURM needed."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.configurations import ROOT, read

from compactbio.cluster import preflight
from compactbio.cluster.partitions import Demand, Partition
from compactbio.cluster.preflight import BAD, GOOD, UNSURE
from compactbio.cluster.site import Accounts
from compactbio.cluster.storage import Need, Quota, Room
from compactbio.settings.selection import trained_models

CPU = Partition("cpu", default=True, nodes=2, cpus=16, memory_mb=64000, max_minutes=1440)
GPU = Partition("gpu", nodes=2, cpus=16, memory_mb=64000, max_minutes=2880, gpus={"a100": 4})
PROBE = {"host": "gpu1", "partition": "gpu", "visible": "0", "gpus": ["A100"], "sees_folder": True, "waited_seconds": 3}
PROBE["without_kernels"] = None


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


def need(size: float, files: int) -> Need:
    return Need("corpus", size, files, (Path("results/corpus"),))


def test_the_room() -> None:
    room, folder = Room(bytes=100e9, files=5000), Path("results")
    disk, files = preflight.check_room([need(90e9, 4000), need(1e9, 10)], room, folder)
    assert (disk.verdict, files.verdict) == (GOOD, GOOD)
    assert disk.text == "100 GB free in results, about 91 still needed (corpus 90)"
    assert files.text == "5000 more may be made in results, about 4010 still needed (corpus 4000)"
    assert verdicts(preflight.check_room([need(101e9, 4000)], room, folder)) == [BAD, GOOD]
    assert verdicts(preflight.check_room([need(1e9, 5001)], room, folder)) == [GOOD, BAD]
    assert verdicts(preflight.check_room([need(1e9, 5001)], Room(100e9, None), folder)) == [GOOD, GOOD]


@pytest.mark.parametrize(
    ("bytes_left", "files_left", "verdict"),
    [(2e9, 20, GOOD), (None, 20, GOOD), (2e9, None, GOOD), (0.5e9, 20, BAD), (2e9, 5, BAD), (0.0, None, BAD)],
)
def test_quotas(bytes_left, files_left, verdict) -> None:
    quota = Quota("group lab", "/scratch", bytes_left, files_left)
    [check] = preflight.check_quotas([quota], "", [need(1e9, 10)])
    assert check.verdict == verdict
    assert check.text.startswith("group lab on /scratch: ")


def test_quotas_that_nothing_tells_are_no_fault() -> None:
    [check] = preflight.check_quotas([], "neither `quota` nor `lfs` is here", [need(1e9, 10)])
    assert check.verdict == UNSURE
    assert check.text == (
        "not known: neither `quota` nor `lfs` is here; about 1.0 GB and 10 files still needed: ask your site"
    )


def test_what_is_taken_from_the_profile_is_what_stands_there() -> None:
    profile = (ROOT / "profiles" / "slurm" / "config.yaml").read_text()
    assert f"\nslurm-init-seconds-before-status-checks: {preflight.STATUS_SECONDS}\n" in profile
    assert f"\nretries: {preflight.RETRIES}\n" in profile


def test_downloads_and_network() -> None:
    assert verdicts(preflight.check_downloads(0, 79)) == [GOOD]
    assert verdicts(preflight.check_downloads(3, 79)) == [UNSURE]
    assert verdicts(preflight.check_network(["file:///data"])) == [GOOD]
    assert verdicts(preflight.check_network(["https://no-such-host.invalid/"], seconds=1)) == [BAD]


def test_the_short_job() -> None:
    assert verdicts(preflight.check_probe(PROBE, "", gpus=1)) == [GOOD, GOOD, GOOD]
    *others, triton = preflight.check_probe(PROBE | {"without_kernels": "no compiler"}, "", gpus=1)
    assert verdicts(others) == [GOOD, GOOD]
    assert (triton.verdict, triton.text) == (UNSURE, "not used, trainings are slower: no compiler")
    assert verdicts(preflight.check_probe(PROBE, "", gpus=0)) == [GOOD]
    assert verdicts(preflight.check_probe(PROBE | {"gpus": []}, "", gpus=1)) == [GOOD, BAD]
    assert verdicts(preflight.check_probe(PROBE | {"sees_folder": False}, "", gpus=0)) == [GOOD, BAD]
    assert verdicts(preflight.check_probe(None, "queued", gpus=1)) == [BAD]


def test_the_table_is_aligned_and_coloured_only_on_a_terminal() -> None:
    checks = preflight.check_downloads(0, 1) + preflight.check_downloads(1, 1)
    text = preflight.table(checks, styled=False)
    assert "\033" not in text and text.splitlines()[0].startswith("downloads  ok      all 1")
    assert "\033[32m" in preflight.table(checks, styled=True)


def test_a_teacher_that_is_trained_counts() -> None:
    config = read("demo.yaml")
    config["run"]["models"] = ["TinyBioBERT"]
    assert trained_models(config) == ["TinyBioBERT", "BioBERT-v1.1"]
