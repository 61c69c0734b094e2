"""Every program that writes files, on inputs as small as they can be: each reads what the one before it has written.

A writer is started in a folder of its own; what it reads lies in another, which nothing changes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml
from helpers import pretraining as tiny
from helpers import provenance as chain
from helpers.configurations import ROOT
from helpers.corpus import awkward_records, write_baseline
from helpers.finetuning import NER_LABELS, run_settings
from helpers.reporting import DATASETS, deployment_file, efficiency_file, write_results
from helpers.students import DEFINITION, definition, random_model, write_published
from helpers.tasks import NER, write_ner, write_sources, write_tar
from helpers.units import run_units

MODELS = ("BioBERT-v1.1", "DistilBioBERT")
LOAD = 0  # how many times large the inputs are, for the measurement of memory; 0: as small as they can be
FEW = {"NCBI-disease": DATASETS["NCBI-disease"], "GAD": DATASETS["GAD"]}


@dataclass
class Writer:
    """A program with its options, as started in an empty folder, or in a copy of one that is there `before`."""

    name: str
    options: list[str]
    before: Path | None = None

    @property
    def program(self) -> str:
        """The file of the program: a name may say more after a space."""
        return str(ROOT / "scripts" / f"{self.name.split()[0]}.py")


Made = dict[str, Path]  # what each writer before has written, by its name
Build = Callable[[Path, Made], Writer]


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _writer(name: str, *options: object, before: Path | None = None) -> Writer:
    return Writer(name, [str(part) if isinstance(part, Path) else _text(part) for part in options], before)


def sized(small: int, each: int) -> int:
    """Return a size: `small`, or under load so many times `each`."""
    return LOAD * each if LOAD else small


def models() -> list[str]:
    """Return the models that are compared."""
    return [*MODELS, *(f"Model{number}" for number in range(2, sized(2, 4)))]


def _selection() -> list[str]:
    """Return the options that say what is compared."""
    datasets = (f"{name}:{task}" for name, (task, _) in FEW.items())
    return ["--models", *models(), "--datasets", *datasets, "--baseline", MODELS[0]]


def _yaml(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(value))
    return path


def baseline(world: Path) -> Path:
    """Two files of the baseline."""
    folder = world / "baseline"
    if not folder.is_dir():
        folder.mkdir(parents=True)
        for number in (1, 2):
            write_baseline(folder / f"pubmed26n{number:04d}.xml.gz", awkward_records(number, sized(30, 1000)))
    return folder


def download_baseline(world: Path, made: Made, url: str = "") -> Writer:
    options = ("--base-url", url or baseline(world).as_uri() + "/", "--year", "2026", "--numbers", "1-2")
    patience = ("--tries", "2", "--first-wait", "0.01")
    return _writer("download_baseline", *options, "--downloads", "cache", "--output", "batch.json", *patience)


def parse_baseline(world: Path, made: Made) -> Writer:
    files = sorted(baseline(world).glob("*.gz"))
    outputs = ("--output", "corpus/text.parquet", "--counts", "corpus/counts.json")
    return _writer("parse_baseline", *files, "--text", "full", "--as-of", "", *outputs)


def import_documents(world: Path, made: Made) -> Writer:
    own = world / "own.txt"
    own.write_text("a cell of another gene\n" * sized(2, 20_000))
    return _writer("import_documents", own, "--output", "corpus/text.parquet", "--counts", "corpus/counts.json")


def fetch_checkpoint(world: Path, made: Made) -> Writer:
    published = write_published(world / "published", random_model("bert", "AutoModelForMaskedLM"))
    entry = definition("bert", published)
    options = ("--definition", entry, "--tokenizer-definition", DEFINITION)
    return _writer("fetch_checkpoint", "--name", "tiny", *options, *("--cache", "c", "--lock", "l", "--output", "out"))


def _pretraining_run(world: Path) -> Path:
    settings = {"student": {"teacher_layers": [0, 2]}, "teacher": "tiny", "tokenizer": "tiny"}
    objective = [{"term": "mlm", "weight": 1.0}, {"term": "logit_kl", "weight": 1.0, "temperature": 2.0}]
    return _yaml(world / "pretraining" / "run.yaml", tiny.run_settings(objective, steps=3, warmup_steps=1, **settings))


def initialise_student(world: Path, made: Made) -> Writer:
    teacher = made["fetch_checkpoint"] / "out"
    return _writer("initialise_student", "--run", _pretraining_run(world), "--teacher", teacher, "--output", "student")


def tokenize_shard(world: Path, made: Made) -> Writer:
    text, model = made["parse_baseline"] / "corpus/text.parquet", made["fetch_checkpoint"] / "out"
    return _writer("tokenize_shard", text, "--tokenizer", model, "--output", "tokens/0001", "--max-length", "24")


def pretrain_model(world: Path, made: Made) -> Writer:
    inputs = ("--student", made["initialise_student"] / "student", "--teacher", made["fetch_checkpoint"] / "out")
    inputs += ("--tokens", made["tokenize_shard"] / "tokens/0001")
    outputs = ("--checkpoints", "checkpoints", "--output", "training.json", "--provenance", "provenance.json")
    often = ("--checkpoint-every-steps", "1", "--log-every-steps", "1", "--micro-batch-tokens", "240")
    return _writer("pretrain_model", "--run", _pretraining_run(world), *inputs, *outputs, *often)


def export_model(world: Path, made: Made) -> Writer:
    training, student = made["pretrain_model"] / "training.json", made["initialise_student"] / "student"
    outputs = ("--output", "model", "--metrics", "metrics.jsonl")
    return _writer(
        "export_model", "--run", _pretraining_run(world), "--training", training, "--student", student, *outputs
    )


def fetch_task_data(world: Path, made: Made) -> Writer:
    archive = write_tar(world / "genes.tar.gz", {"d/a.tsv": "A" * sized(1, 2**22), "d/b.tsv": "B"})
    table = write_sources(world / "sources.tsv", {"name": "s", "version": "1"}, {"name": "s", "member": "d/a.tsv"})
    options = ("--source", "s", "--table", table, "--url", archive.as_uri())
    return _writer("fetch_task_data", *options, "--cache", "cache", "--output", "source.json")


def prepare_task(world: Path, made: Made) -> Writer:
    splits = {
        "train": "a/O cell/B gene/I | tnf/B is/O | the/O naive/B cell/I",
        "devel": "naive/O gene/B",
        "test": "cell/B | a/O gene/B",
    }
    splits = {name: " | ".join([text] * sized(1, 200)) for name, text in splits.items()}
    write_ner(world / "benchmarks", **splits)
    options = ("--dataset", "toy", "--definition", NER, "--data", world / "benchmarks", "--output", "toy")
    return _writer("prepare_task", *options)


def finetune_model(world: Path, made: Made) -> Writer:
    settings = run_settings("ner", NER_LABELS, epochs=1 if LOAD else 2, batch_size=32 if LOAD else 2, max_length=16)
    settings["runs"] = [{"run": f"seed{seed}", "seed": seed, "fold": 0} for seed in (1, 2)]
    run = _yaml(world / "finetuning" / "run.yaml", settings)
    inputs = ("--model", made["export_model"] / "model", "--task", made["prepare_task"] / "toy")
    return _writer("finetune_model", "--run", run, *inputs, "--checkpoints", "checkpoints", "--output-dir", "out")


def score_model(world: Path, made: Made) -> Writer:
    folder = world / "scored" / "toy"
    _yaml(folder / "run.yaml", yaml.safe_load((world / "finetuning" / "run.yaml").read_text()))
    predictions = made["finetune_model"] / "out" / "predictions.parquet"
    (folder / "predictions.parquet").write_bytes(predictions.read_bytes())
    options = ("--model", "tiny", "--results", folder, "--tasks", made["prepare_task"] / "toy")
    outputs = ("--output", "scores.tsv", "--classes", "classes.tsv", "--units", "units.parquet")
    return _writer("score_model", *options, *outputs)


def _results(world: Path) -> Path:
    """Scores and units of all models on two datasets."""
    from compactbio.scoring.units import write_units

    root = world / "results"
    if not root.is_dir():
        write_results(root, dict.fromkeys(models(), 0.0), FEW)
        for number, model in enumerate(models()):
            units = [one for name in FEW for one in run_units(name, model, 2, 0.85 - 0.05 / len(models()) * number)]
            write_units(root / "finetuning" / model / "units.parquet", units)
        efficiency_file(root / "reporting" / "efficiency.json", dict.fromkeys(models(), 0.0))
        deployment_file(root / "reporting" / "deployment.json", dict.fromkeys(models(), 0.0))
    return root


def collect_scores(world: Path, made: Made) -> Writer:
    tables = [_results(world) / "finetuning" / model / "scores.tsv" for model in models()]
    return _writer("collect_scores", "--output", "reporting/scores.tsv", *tables)


def compare_models(world: Path, made: Made) -> Writer:
    units = [_results(world) / "finetuning" / model / "units.parquet" for model in models()]
    options = ("--baseline", MODELS[0], "--resamples", "50", "--seed", "1", "--output", "comparisons.tsv")
    return _writer("compare_models", "--units", *units, *options)


def build_tables(world: Path, made: Made) -> Writer:
    scores, reporting = made["collect_scores"] / "reporting/scores.tsv", _results(world) / "reporting"
    options = ("--scores", scores, "--comparisons", made["compare_models"] / "comparisons.tsv")
    options += ("--efficiency", reporting / "efficiency.json", "--deployment", reporting / "deployment.json")
    return _writer("build_tables", *options, *_selection(), "--output-dir", "tables")


def build_figures(world: Path, made: Made) -> Writer:
    scores, efficiency = made["collect_scores"] / "reporting/scores.tsv", _results(world) / "reporting/efficiency.json"
    return _writer(
        "build_figures", "--scores", scores, "--efficiency", efficiency, *_selection(), "--output-dir", "drawn"
    )


def resolve_run(world: Path, made: Made) -> Writer:
    return _writer("resolve_run", "--settings", {"model": "A", "seed": 1}, "--output", "deep/run.yaml")


def summarise_corpus(world: Path, made: Made) -> Writer:
    from compactbio.settings.results import Corpus

    corpus, shards = Corpus(world / "corpus"), sized(1, 8)
    for number in range(1, shards + 1):
        store = corpus.token_store("tiny", f"{number:04d}").manifest
        for source, target in (
            (made["parse_baseline"] / "corpus/counts.json", corpus.counts(f"{number:04d}")),
            *((file, store.with_name(file.name)) for file in (made["tokenize_shard"] / "tokens/0001").iterdir()),
        ):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    figures = ("--lengths-figure", "a.svg", "a.png", "--files-figure", "b.svg", "b.png")
    return _writer(
        "summarise_corpus",
        *("--corpus", corpus.folder, "--shards", str(shards), "--tokenizers", "tiny"),
        *("--table", "s.csv", "s.md", *figures),
    )


def _publishing(name: str, world: Path, before: Path) -> Writer:
    sources = chain.write_sources(world / "described" / "sources.tsv")
    options = ("--config", chain.CONFIGURATION, "--sources", sources, "--results", "results")
    return _writer(name, *options, before=before)


def write_citations(world: Path, made: Made) -> Writer:
    before = world / "described" / "tree"
    if not before.is_dir():
        chain.write_chain(before)
    return _publishing("write_citations", world, before)


def write_model_cards(world: Path, made: Made) -> Writer:
    return _publishing("write_model_cards", world, made["write_citations"])


def write_provenance(world: Path, made: Made) -> Writer:
    return _publishing("write_provenance", world, made["write_model_cards"])


WRITERS: tuple[Build, ...] = (  # each after those whose results it reads
    download_baseline,
    parse_baseline,
    import_documents,
    fetch_checkpoint,
    initialise_student,
    tokenize_shard,
    summarise_corpus,
    pretrain_model,
    export_model,
    fetch_task_data,
    prepare_task,
    finetune_model,
    score_model,
    collect_scores,
    compare_models,
    build_tables,
    build_figures,
    resolve_run,
    write_citations,
    write_model_cards,
    write_provenance,
)
