"""From measured steps to hours, GPU-hours and submissions, each worked out by hand."""

from __future__ import annotations

from pathlib import Path

import check_site
import pytest
from helpers.configurations import CONFIG, read

from compactbio.cluster import preflight, timings
from compactbio.cluster.preflight import BAD, GOOD, UNSURE
from compactbio.cluster.timings import timed_settings
from compactbio.errors import UserError
from compactbio.files import write_json
from compactbio.settings.load import merge, settings_of_files
from compactbio.settings.selection import trained_models


def trial(config, model, seconds=0.72, gpus=1):
    """What timing a model's settings leaves."""
    return {
        "settings": timed_settings(config, model),
        "seconds_per_step": seconds,
        "peak_memory_mb": 9000.0,
        "gpus": gpus,
        "hardware": "A100" if gpus else "some CPU",
    }


def test_hours_and_submissions() -> None:
    """100,000 steps of 0.72 s are 20 hours; of a day, 24 h less 2 min of margin and 2 min of start can be used."""
    config = read()
    [one] = timings.forecasts(config, {"DistilBioBERT": trial(config, "DistilBioBERT")}, gpus=1, minutes=1440)
    assert (one.hours, one.gpu_hours, one.submissions) == (pytest.approx(20), pytest.approx(20), 1)
    [four] = timings.forecasts(config, {"DistilBioBERT": trial(config, "DistilBioBERT")}, gpus=4, minutes=64)
    assert (four.hours, four.gpu_hours) == (pytest.approx(5), pytest.approx(20))
    assert four.submissions == 5  # 300 minutes in slices of 60


def test_steps_that_were_measured_with_several_gpus() -> None:
    config = read()
    [one] = timings.forecasts(config, {"TinyBioBERT": trial(config, "TinyBioBERT", 0.09, gpus=8)}, gpus=1, minutes=1440)
    assert one.seconds_per_step == pytest.approx(0.72)


def test_without_a_gpu_there_are_no_gpu_hours() -> None:
    config = read()
    [one] = timings.forecasts(config, {"TinyBioBERT": trial(config, "TinyBioBERT", gpus=0)}, gpus=0, minutes=1440)
    assert (one.hours, one.gpu_hours) == (pytest.approx(20), 0)


def test_a_student_waits_for_its_teacher() -> None:
    """In the miniature the teacher is trained too: 70 steps of it, then 40 of each student side by side."""
    config = read("demo.yaml")
    trials = {name: trial(config, name, 36) for name in ("BioBERT-v1.1", "DistilBioBERT", "BioTinyBERT")}
    found = timings.forecasts(config, trials, gpus=1, minutes=1440)
    assert timings.wall_hours(config, found) == pytest.approx(0.7 + 0.4)
    assert timings.wall_hours(config, []) == 0


def test_timings_of_other_settings_do_not_count(tmp_path: Path) -> None:
    config, path = read(), tmp_path / "trainings.json"
    assert timings.read_timings(config, ["DistilBioBERT"], path) == {}
    write_json(path, {name: trial(config, name) for name in ("DistilBioBERT", "TinyBioBERT")})
    assert set(timings.read_timings(config, ["DistilBioBERT", "BioTinyBERT"], path)) == {"DistilBioBERT"}
    config["models"]["DistilBioBERT"]["optimisation"]["steps"] = 5  # neither steps nor their rate change what one takes
    assert set(timings.read_timings(config, ["DistilBioBERT"], path)) == {"DistilBioBERT"}
    config["pretraining"]["optimisation"]["precision"] = "bf16"
    assert timings.read_timings(config, ["DistilBioBERT"], path) == {}


def test_what_preflight_says() -> None:
    config = read()
    found = timings.forecasts(config, {"DistilBioBERT": trial(config, "DistilBioBERT")}, gpus=2, minutes=1440)
    one, total, missing = preflight.check_hours(found, ["TinyBioBERT"], timings.wall_hours(config, found))
    assert (one.subject, one.verdict) == ("hours DistilBioBERT", GOOD)
    assert one.text == "10 h on 2 GPUs, 100,000 steps of 0.36 s, peak 9,000 MB, 1 submission"
    assert total.text == ("20 GPU-hours of pre-training, ready after 10 h if none waits in the queue; measured on A100")
    assert (missing.verdict, missing.text) == (UNSURE, "not measured: TinyBioBERT")


def test_the_vocabulary_of_a_checkpoints_own_tokenizer_is_known_when_it_is_there(tmp_path: Path) -> None:
    own = {"checkpoints": {"biobert-v1.2": {"tokenizer": None}}, "models": {"DistilBioBERT": {"tokenizer": None}}}
    config = merge(read(), own | {"results_dir": str(tmp_path)})
    with pytest.raises(UserError, match=r"its vocabulary, that of biobert-v1\.2, is not known before `downloads`"):
        timings.time_steps(config, "DistilBioBERT", gpus=0, micro_batch_tokens=None)


def test_what_preflight_says_of_half_precision() -> None:
    """The same models as config/fast.yaml has them, and GPU-hours of both only where all were measured both ways."""
    config, fast = read(), settings_of_files([CONFIG / "fast.yaml"])
    half = timings.in_half_precision(config)
    names = list(trained_models(config))
    assert len(names) == 7
    assert all(
        timed_settings(half, name) == timed_settings(fast, name) != timed_settings(config, name) for name in names
    )
    found = timings.forecasts(half, {"DistilBioBERT": trial(half, "DistilBioBERT", 0.072)}, gpus=1, minutes=1440)
    [check] = preflight.check_fast(found, [], timings.wall_hours(half, found), 20.0)
    assert check.verdict == GOOD and check.text == (
        "2 GPU-hours of pre-training by config/fast.yaml, in half precision (as configured: 20), ready after 2 h; "
        "measured on A100"
    )
    [check] = preflight.check_fast(found, ["BioTinyBERT"], 2.0, 20.0)
    assert check.verdict == UNSURE and "(as" not in check.text and check.text.endswith("not measured: BioTinyBERT")
    config["models"]["BioTinyBERT"]["optimisation"]["precision"] = "bf16"  # one of a model's own
    assert timings.in_half_precision(config)["models"]["BioTinyBERT"]["optimisation"].keys().isdisjoint({"precision"})
    found = check_site.measurements(half, on_gpu=True), check_site.measurements(read(), on_gpu=False)
    assert [len(one) for one in found] == [1, 1] and len(check_site.measurements(read(), on_gpu=True)) == 2


def test_numbers_are_never_powers_of_ten() -> None:
    assert [timings.amount(value) for value in (0.0123, 9.876, 1234.5)] == ["0.0123", "9.88", "1,234"]
    assert [timings.time_in_words(value) for value in (0.5, 1.0, 63.04)] == ["30 min", "1 h", "63 h"]


def test_more_submissions_than_tries_are_a_fault() -> None:
    config = read()
    found = timings.forecasts(config, {"DistilBioBERT": trial(config, "DistilBioBERT")}, gpus=1, minutes=15)
    assert found[0].submissions == 105  # 1200 minutes in slices of 11.5: 15 less a tenth, less 2
    [check, _] = preflight.check_hours(found, [], 20.0)
    assert check.verdict == BAD and "a longer runtime" in check.text
