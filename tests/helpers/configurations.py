"""The shipped configurations, merged over the paper's as Snakemake merges them."""

from pathlib import Path

import yaml

from compactbio.settings.load import merge

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config"


def read(*names: str) -> dict:
    """Return config/config.yaml with the named files merged over it in turn."""
    merged = yaml.safe_load((CONFIG / "config.yaml").read_text())
    for name in names:
        merged = merge(merged, yaml.safe_load((CONFIG / name).read_text()))
    return merged
