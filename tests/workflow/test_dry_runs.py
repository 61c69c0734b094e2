"""Every shipped configuration makes a DAG, without network and within seconds; a changed number moves one branch."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from helpers.configurations import CONFIG, ROOT

from workflow.conftest import jobs_of, run_snakemake, touch_mirror

_OWN = ("baseline_2022", "own_corpus", "own_data", "own_ner", "own_spans", "own_texts", "real_input", "bioasq_yesno")
OWN_MIRROR = ["demo_more.yaml", *(f"examples/{name}.yaml" for name in _OWN)]
SHIPPED = sorted(str(path.relative_to(CONFIG)) for path in CONFIG.rglob("*.yaml") if path.name != "schema.yaml")


def dry_run(folder: Path, *arguments: str) -> dict[str, int]:
    """Return the jobs per rule of a dry run that must succeed."""
    return jobs_of(run_snakemake(folder, "--quiet", "rules", "--dry-run", *arguments))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configurations_make_a_dag(tmp_path: Path, name: str) -> None:
    arguments = ["--configfile", str(CONFIG / name)]
    if name in OWN_MIRROR:
        arguments += ["--config", f"mirror={tmp_path / 'mirror'}"]
    touch_mirror(tmp_path / "mirror")
    begin = time.perf_counter()
    jobs = dry_run(tmp_path, *arguments)
    assert time.perf_counter() - begin < 60
    assert jobs["all"] == 1


def test_the_paper_in_numbers(tmp_path: Path) -> None:
    jobs = dry_run(tmp_path)
    assert jobs["pretrain_model"] == jobs["export_model"] == jobs["initialise_student"] == 7
    assert jobs["finetune_model"] == 12 * 8
    assert jobs["score_model"] == 12
    assert jobs["measure_deployment"] == 1
    assert jobs["download_baseline"] == jobs["parse_baseline"] == 67  # 1,334 files, 20 a job
    assert jobs["tokenize_shard"] == 2 * 67


def test_published_models_need_no_corpus(tmp_path: Path) -> None:
    jobs = dry_run(tmp_path, "--configfile", str(CONFIG / "released.yaml"))
    assert not {"download_baseline", "parse_baseline", "tokenize_shard", "pretrain_model"} & set(jobs)
    assert jobs["fetch_checkpoint"] == 12


def test_the_student_of_a_modern_encoder_is_distilled_and_the_published_ones_need_no_corpus(tmp_path: Path) -> None:
    modern = str(CONFIG / "modern.yaml")
    jobs = dry_run(tmp_path, "--configfile", modern)
    assert jobs["pretrain_model"] == jobs["initialise_student"] == jobs["export_model"] == 1
    assert (jobs["tokenize_shard"], jobs["fetch_checkpoint"]) == (67, 14)  # 13 models as published, and the teacher
    published = dry_run(tmp_path, "BioClinical-ModernBERT-base", "SciBERT", "--configfile", modern)
    assert not {"download_baseline", "parse_baseline", "tokenize_shard", "pretrain_model"} & set(published)
    assert published["score_model"] == 2


def test_a_dataset_beside_the_papers_is_chosen_by_name(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "results_dir: results/own\nrun: {models: [BioBERT-v1.1], datasets: [ChemProt-13]}\n"
    )
    jobs = dry_run(tmp_path, "--configfile", "own.yaml")
    assert jobs["fetch_task_data"] == jobs["prepare_task"] == jobs["finetune_model"] == 1
    assert "measure_deployment" not in jobs  # its dataset is not run


def test_files_of_a_folder_are_inputs_one_by_one(tmp_path: Path) -> None:
    """So that an edited one is prepared again: a folder's own time does not move with it."""
    names = {f"{split}/{name}" for split in ("train", "test") for name in ("1.txt", "1.ann")}
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    dataset = {"task": "ner", "layout": "brat", "source": None, "folder": ".", "labels": ["O", "B", "I"]}
    dataset |= {"files": {"train": "train", "test": "test"}, "types": ["Gene"]}
    run = {"models": ["BioBERT-v1.1"], "datasets": ["mine"], "seeds": [1]}
    own = {"results_dir": "results/own", "run": run, "datasets": {"mine": dataset}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    target = "results/own/tasks/mine/manifest.json"
    done = run_snakemake(tmp_path, target, "--dry-run", "--printshellcmds", "--configfile", "own.yaml")
    [inputs] = re.findall(r"^rule prepare_task:\n    input: (.+)$", done.stdout, re.MULTILINE)
    assert set(inputs.split(", ")) == {f"./{name}" for name in names}


def test_a_stage_is_fetched_prepared_and_trained_with_a_models_branch(tmp_path: Path) -> None:
    files = [str(CONFIG / name) for name in ("released.yaml", "examples/squad_stage.yaml")]
    jobs = dry_run(tmp_path, "TinyBioBERT", "--configfile", *files)
    assert jobs["finetune_model"] == jobs["prepare_task"] == 3  # BioASQ, SQuAD, and BioASQ after it
    assert (jobs["score_model"], jobs["fetch_task_data"]) == (1, 2)


def test_a_model_is_a_target_and_runs_its_branch_only(tmp_path: Path) -> None:
    jobs = dry_run(tmp_path, "TinyBioBERT")
    assert jobs["pretrain_model"] == 1
    assert jobs["finetune_model"] == 8
    assert jobs["tokenize_shard"] == 67
    assert "build_tables" not in jobs


def test_a_student_has_token_stores_of_its_teachers_own_tokenizer(tmp_path: Path) -> None:
    target = "BioMed-RoBERTa-6L"
    commands = longest_commands(tmp_path, target, "--configfile", str(CONFIG / "examples" / "own_tokenizer.yaml"))
    results = "results/own_tokenizer"
    tokenize = commands["tokenize_shard"]
    assert f"--tokenizer {results}/students/fetched/biomed-roberta --name biomed-roberta --definition null" in tokenize
    assert f"--output {results}/corpus/tokens/biomed-roberta/00" in tokenize
    assert f"--tokens {results}/corpus/tokens/biomed-roberta/0001/manifest.json" in commands["pretrain_model"]
    assert f"--teacher {results}/students/fetched/biomed-roberta" in commands["initialise_student"]


def test_downloads_gather_what_needs_the_network(tmp_path: Path) -> None:
    jobs = dry_run(tmp_path, "downloads")
    assert set(jobs) == {"downloads", "download_baseline", "fetch_checkpoint", "fetch_task_data", "total"}


def planned_paths(folder: Path, *arguments: str) -> set[str]:
    """Return every file of the results that the jobs of a dry run read, write and log to."""
    done = run_snakemake(folder, "--dry-run", "--printshellcmds", *arguments)  # which lists each job
    listed = re.findall(r"^    (?:input|output|log|benchmark): (.+)$", done.stdout, re.MULTILINE)
    return {path for line in listed for path in line.split(", ") if path.startswith("results/")}


def test_a_folder_of_results_is_renamed_in_one_line(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    for name in ("rules", "scripts", "config"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", checkout)
    tree = checkout / "scripts" / "compactbio" / "settings" / "results.py"
    lines = tree.read_text().splitlines(keepends=True)
    [line] = [number for number, text in enumerate(lines) if '"finetuning"' in text]
    lines[line] = lines[line].replace('"finetuning"', '"tuned"')
    tree.write_text("".join(lines))
    released = ["--configfile", str(CONFIG / "released.yaml")]
    before = planned_paths(tmp_path, *released)
    after = planned_paths(tmp_path, "--snakefile", str(checkout / "Snakefile"), *released)
    assert len([path for path in before if "/finetuning/" in path]) > 100
    assert after == {path.replace("/finetuning/", "/tuned/") for path in before}


def longest_commands(folder: Path, *arguments: str) -> dict[str, str]:
    """Return each rule's longest command in a dry run."""
    printed = run_snakemake(folder, "--dry-run", "--printshellcmds", *arguments).stdout
    blocks = re.findall(r"^(?:local)?rule (\w+):\n(?:    .*\n)*?Shell command: (.*)$", printed, re.MULTILINE)
    longest: dict[str, str] = {}
    for rule, command in blocks:
        longest[rule] = max(command, longest.get(rule, ""), key=len)
    return longest


def test_commands_of_the_paper_are_far_from_what_a_system_takes(tmp_path: Path) -> None:
    """An argument may have 131,071 bytes; from 65,534 on, Snakemake writes a command into a file and starts that."""
    commands = longest_commands(tmp_path)
    assert len(commands) >= 25
    # Snakemake quotes an empty value as nothing, which leaves its option without one: two take lists, empty ones too
    bare = {option for command in commands.values() for option in re.findall(r" (--[\w-]+)  ", command)}
    assert bare <= {"--teacher", "--url"}
    assert {rule: len(command) for rule, command in commands.items() if len(command) > 20_000} == {}
    # nor does one name a file of every fine-tuning: of 12 models on 8 datasets here
    assert {rule for rule, command in commands.items() if command.count("results/finetuning/") > 2 * 12} == set()


def test_no_command_grows_with_the_corpus(tmp_path: Path) -> None:
    lengths = []
    for files in (20, 200):
        changes = {
            "corpus": {"files_per_job": 1, "baseline": {"files": files}},
            "run": {"models": ["BioDistilBERT-cased"]},
        }
        changes["reporting"] = {"baseline_model": "BioDistilBERT-cased"}
        (tmp_path / "own.yaml").write_text(yaml.safe_dump(changes))
        lengths.append(longest_commands(tmp_path, "--configfile", "own.yaml"))
    few, many = lengths
    assert {"summarise_corpus", "pretrain_model", "tokenize_shard", "describe_run"} <= few.keys() == many.keys()
    assert {rule: many[rule] for rule in few if len(many[rule]) > len(few[rule]) + 2} == {}  # of a number's digits


HUB_MODEL = {
    "source": "hub",
    "hub": {"repository": "a/b", "revision": "main"},
    "architecture": "bert",
    "tokenizer": "cased",
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modles": {}}, "unknown key `modles`"),
        ({"run": {"models": ["NoBERT"]}}, "`NoBERT` is not defined"),
        *(
            ({"models": {name: HUB_MODEL}}, f"models.{name}: the name is taken by a target or rule")
            for name in ("corpus", "import_documents")  # a target, a rule that this run does not have
        ),
    ],
    ids=lambda value: value.partition(":")[0] if isinstance(value, str) else "",
)
def test_a_faulty_configuration_ends_with_its_key(tmp_path: Path, change: dict, message: str) -> None:
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text(yaml.safe_dump(change))
    done = run_snakemake(tmp_path, "--dry-run", "--configfile", str(faulty))
    assert done.returncode != 0
    printed = done.stdout + done.stderr
    assert message in printed
    assert "Traceback" not in printed


def test_a_batch_that_the_gpus_cannot_share_is_refused(tmp_path: Path) -> None:
    done = run_snakemake(tmp_path, "TinyBioBERT", "--dry-run", "--set-resources", "pretrain_model:gpu=5")
    assert done.returncode != 0
    message = "models.TinyBioBERT.optimisation.global_batch_size: 192 sequences cannot be split over 5 processes"
    assert message in done.stdout + done.stderr


@pytest.mark.parametrize("profile", ["slurm", "workstation", "demo"])
def test_one_resource_on_the_command_line_leaves_the_others(tmp_path: Path, profile: str) -> None:
    """The option replaces a profile's whole block, so what a training needs stands in its rule."""
    target = "results/finetuning/TinyBioBERT/GAD/training.json"
    options = ["--profile", str(ROOT / "profiles" / profile), "--configfile", str(CONFIG / "config.yaml")]
    options += ["--printshellcmds", "--dry-run"]
    options += ["--set-resources", "pretrain_model:micro_batch_tokens=8192", "finetune_model:runs_at_once=2"]
    done = run_snakemake(tmp_path, target, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    wanted = {
        "pretrain_model": {"mem_mb": "32000", "runtime": "1440", "micro_batch_tokens": "8192"},
        "finetune_model": {"mem_mb": "24000", "runtime": "480", "runs_at_once": "2"},
    }
    for rule, values in wanted.items():
        printed = done.stdout.partition(f"rule {rule}:")[2]
        resources = dict(re.findall(r"(\w+)=(\d+)", printed[printed.index("resources:") :].splitlines()[0]))
        assert ({"gpu": "1", "nodes": "1"} | values).items() <= resources.items()
    assert "--runs-at-once 2 --memory-mb 24000" in done.stdout


def test_no_machine_is_named_in_tracked_files() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: the list of tracked files is not known")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in listed:
        text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
        assert not re.search(r"/(root|home/\w+|work)/\w", text), name
