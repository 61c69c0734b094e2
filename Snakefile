# From the PubMed baseline to the tables of "On the Effectiveness of Compact Biomedical Transformers".
# This file only wires things together; README.md says how to use it, config/config.yaml what it makes.
import os
import re
import sys
import tempfile
from pathlib import Path
from zipfile import ZipFile

from snakemake.settings.types import ExecMode
from snakemake.sourcecache import LocalGitFile, LocalSourceFile
from snakemake.utils import min_version

min_version("9.27")  # the version that was tried; envs/requirements.txt pins it


# As a module this file may be read from a git repository, of which Snakemake reads single files. The programs need the
# whole tree, which is unpacked once for each commit.
def local_folder(source):
    """Return the folder of the workflow's files; `source` is the folder that Snakemake reads them from."""
    if isinstance(source, LocalSourceFile):
        return Path(source)
    import git

    local = isinstance(source, LocalGitFile)
    repository = git.Repo(source.repo_path) if local else source.hosted_repo.repo
    commit = repository.commit(source.ref).hexsha
    folder = Path(".snakemake", "compactbio", commit)
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as unpacked:
            packed = Path(unpacked, "tree.zip")
            with packed.open("wb") as file:
                repository.archive(file, commit, format="zip")
            # a zip file stays inside of its folder in every Python, a tar file from 3.11.4 on
            with ZipFile(packed) as archive:
                archive.extractall(Path(unpacked, "tree"))
            try:
                Path(unpacked, "tree").rename(folder)
            except OSError:
                if not folder.is_dir():  # unless another process has just made it
                    raise
    return folder


BASEDIR = local_folder(workflow.current_basedir)


configfile: BASEDIR / "config" / "config.yaml"


sys.path.insert(0, str(BASEDIR.resolve() / "scripts"))
RULES = BASEDIR.resolve() / "rules"


include: RULES / "common.smk"


if in_containers():

    container: container_image()


include: RULES / "reporting_inputs.smk"
include: RULES / "targets.smk"
include: RULES / "students.smk"
include: RULES / "corpus.smk"
include: RULES / "pretraining.smk"
include: RULES / "tasks.smk"
include: RULES / "finetuning.smk"
include: RULES / "reporting.smk"
include: RULES / "provenance.smk"
include: RULES / "figures.smk"
include: RULES / "preflight.smk"


if workflow.modifier.is_main_snakefile():

    report: "rules/report/workflow.rst"


rule all:
    """Make tables, figures, report pages and checks: the whole study."""
    default_target: True
    input:
        reporting_targets(),
        provenance_targets(),
    localrule: True


rule downloads:
    """Fetch everything that needs the network."""
    input:
        download_targets(),
    localrule: True


rule corpus:
    """Make the token stores of all tokenizers, and the summary of the corpus."""
    input:
        corpus_targets(),
    localrule: True


# A model's name is a target: its branch, from the student (and its teacher) down to its scores.
for model in MODELS:

    rule:
        """Make one model's branch: its student and teacher, training, fine-tuning and scores."""
        name:
            model
        input:
            RESULTS.model_scores(model).scores,
        localrule: True


# A line when a job starts and one when it ends, with the time left. `--printshellcmds` or `--verbose` ask for
# Snakemake's own listing of each job instead, in which a message would stand for files and resources.
if workflow.output_settings.printshellcmds or workflow.output_settings.verbose:
    for known in workflow.rules:
        known.message = None
elif workflow.exec_mode == ExecMode.DEFAULT:
    print_briefly(
        logger,
        [rule.name for rule in workflow.rules if not rule.shellcmd],
        dry_run=workflow.output_settings.dryrun,
    )
