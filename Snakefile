# From the PubMed baseline to the tables of "On the Effectiveness of Compact Biomedical Transformers".
# This file only wires things together; README.md says how to use it, config/config.yaml what it makes.
import os
import re
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.27")  # the version that was tried; envs/requirements.txt pins it


configfile: Path(workflow.basedir) / "config" / "config.yaml"


sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))


include: "rules/common.smk"


if in_containers():

    container: container_image()


include: "rules/reporting_inputs.smk"
include: "rules/targets.smk"
include: "rules/students.smk"
include: "rules/corpus.smk"
include: "rules/pretraining.smk"
include: "rules/tasks.smk"
include: "rules/finetuning.smk"
include: "rules/reporting.smk"
include: "rules/provenance.smk"
include: "rules/figures.smk"
include: "rules/preflight.smk"


report: "rules/report/workflow.rst"


localrules:
    all,
    downloads,
    corpus,


rule all:
    default_target: True
    input:
        reporting_targets(),
        provenance_targets(),


rule downloads:
    input:
        download_targets(),


rule corpus:
    input:
        corpus_targets(),


# A model's name is a target: its branch, from the student (and its teacher) down to its scores.
for model in MODELS:

    rule:
        name:
            model
        input:
            RESULTS.model_scores(model).scores,
        localrule: True
