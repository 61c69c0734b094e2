"""What a run cost, from a recorded sacct of the cut miniature. No SLURM needed."""

from __future__ import annotations

import pytest

from compactbio.cluster.costs import read_accounting, suggestions, table

DAY = "2026-11-24T"
NAME = "compactbio_d1d6e8cf-740f-4325-a7eb-b0b4d858aed2"
# recorded from a SLURM 22.05 with accounting: sacct --noheader --parsable2 --duplicates with SACCT_COLUMNS;
# times made longer, and the first start of job 6 added as preemption leaves it
SACCT = f"""\
2|{NAME}|COMPLETED|{DAY}07:09:01|{DAY}07:09:01|{DAY}07:10:01|600|06:04.464|billing=2,cpu=2,mem=2000M,node=1||\
/x|rule_shard_parse_baseline_tokenize_shard
2.batch|batch|COMPLETED|{DAY}07:09:01|{DAY}07:09:01|{DAY}07:09:01|600|00:01.657|cpu=2,mem=2000M,node=1|185692K||
2.0|python|COMPLETED|{DAY}07:09:03|{DAY}07:09:03|{DAY}07:09:03|590|06:02.125|cpu=1,mem=2000M,node=1|190168K||
3|compactbio-preflight|COMPLETED|{DAY}07:09:02|{DAY}07:09:02|{DAY}07:09:02|3|00:01.524|cpu=1,gres/gpu=1,mem=4000M||\
/x|
3.0|compactbio-preflight|COMPLETED|{DAY}07:09:02|{DAY}07:09:02|{DAY}07:09:02|3|00:01.524|cpu=1,gres/gpu=1|229164K||
6|{NAME}|PREEMPTED|{DAY}07:00:00|{DAY}07:00:00|{DAY}07:01:00|1800|10:00:00|cpu=8,gres/gpu=2,mem=32000M,node=1||\
/x|rule_pretrain_model_wildcards_DistilBioBERT
6.batch|batch|CANCELLED|{DAY}07:01:00|{DAY}07:01:00|{DAY}07:01:00|1800|00:01.668|cpu=8,mem=32000M,node=1|185748K||
6|{NAME}|COMPLETED|{DAY}07:31:00|{DAY}07:33:00|{DAY}07:43:00|5400|06:00:00|cpu=8,gres/gpu=2,mem=32000M,node=1||\
/x|rule_pretrain_model_wildcards_DistilBioBERT
6.0|python|COMPLETED|{DAY}07:43:02|{DAY}07:43:02|{DAY}07:43:02|5390|06:00:00|cpu=8,gres/gpu=2,mem=32000M|12G||
7|{NAME}|COMPLETED|{DAY}07:09:45|{DAY}07:09:45|{DAY}07:09:45|480|04:04.062|cpu=1,mem=4000M,node=1||/x|
7.0|python|COMPLETED|{DAY}07:09:48|{DAY}07:09:48|{DAY}07:09:48|470|04:02.276|cpu=1,mem=4000M,node=1|173036K||
8|{NAME}|PENDING|{DAY}07:09:45|Unknown|Unknown|0|00:00:00|||/x|rule_score_model_wildcards_BioBERT-v1.1
9|{NAME}|COMPLETED|{DAY}07:09:45|{DAY}07:09:45|{DAY}07:09:45|8|00:04.062|cpu=1,mem=4000M,node=1||/elsewhere|rule_x
"""
COMMENTS = {"7": "rule_score_model_wildcards_BioBERT-v1.1"}  # this site kept no comment of it


@pytest.fixture
def starts():
    return read_accounting(SACCT, "/x", COMMENTS, ["BioBERT-v1.1", "DistilBioBERT", "BioBERT"])


def test_every_start_of_this_folders_jobs_is_read(starts) -> None:
    assert [(start.number, start.state) for start in starts] == [
        ("2", "COMPLETED"),
        ("6", "PREEMPTED"),
        ("6", "COMPLETED"),
        ("7", "COMPLETED"),
    ]
    last = starts[2]
    assert (last.seconds, last.cores, last.gpus, last.asked_mb, last.peak_mb) == (5400, 8, 2, 32000, 12288)
    assert last.cpu_seconds == 21600
    assert [start.queue_seconds for start in starts] == [60, 60, 600, 0]  # put back into the queue, it waits anew


def test_starts_have_their_rule_and_model(starts) -> None:
    assert [(start.rule, start.model) for start in starts] == [
        ("shard_parse_baseline_tokenize_shard", ""),
        ("pretrain_model", "DistilBioBERT"),
        ("pretrain_model", "DistilBioBERT"),
        ("score_model", "BioBERT-v1.1"),
    ]


def test_the_table(starts) -> None:
    lines = {line.split()[0]: line.split() for line in table(starts).splitlines()}
    assert lines["pretrain_model"][1:] == [
        *("DistilBioBERT", "2", "1", "0:05:30", "2:00:00", "4.00", "100%", "38%", "12288"),
    ]
    assert lines["all"][2:4] == ["4", "3"]


def test_suggestions_are_for_rules_and_leave_slices_their_time(starts) -> None:
    assert suggestions(starts, {"pretrain_model", "score_model"}) == [
        "pretrain_model:mem_mb=16000",
        "score_model:mem_mb=500 score_model:runtime=15",
    ]
