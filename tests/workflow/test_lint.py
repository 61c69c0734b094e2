"""Snakemake's own linter has nothing to say of the rules but what is meant so."""

from __future__ import annotations

import re
import subprocess

from helpers.configurations import ROOT

# The Snakefile finds its own folder, which must be known before a file of functions can be included from it.
MEANT = ["Mixed rules and functions in same snakefile.:"]


def test_the_linter_finds_only_what_is_meant() -> None:
    done = subprocess.run(["snakemake", "--lint"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert re.findall(r"^    \* (.*)$", done.stdout + done.stderr, re.MULTILINE) == MEANT
