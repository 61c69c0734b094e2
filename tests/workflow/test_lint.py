"""Snakemake's own linter has nothing to say of the rules but what is meant so."""

from __future__ import annotations

import re
import subprocess

from helpers.configurations import ROOT

# Where things lie and how often a training reports is no parameter: one more would make finished results stale.
NO_PARAMETERS = "SCRIPTS|RESULTS|DOWNLOADS|FINETUNED|PRETRAINED|SOURCES_TABLE|SHARDS|TOKENIZERS|AS_OF|config"
MEANT = re.compile(rf"Shell command directly uses variable ({NO_PARAMETERS}) from outside of the rule:")


def test_the_linter_finds_only_that_commands_name_places() -> None:
    done = subprocess.run(["snakemake", "--lint"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    found = re.findall(r"^    \* (.*)$", done.stdout + done.stderr, re.MULTILINE)
    assert found, "the linter printed nothing of its usual form"
    assert [finding for finding in found if not MEANT.fullmatch(finding)] == []
