# Paths, look-ups and target lists that the stages share. Stage files hold rules only.
import csv
import json

from compactbio.errors import UserError
from compactbio.pretraining.sampling import check_split
from compactbio.reporting.selection import comparison_options, selection_options
from compactbio.settings import finetuning_run, load_settings, pretraining_run
from compactbio.settings import runs as settings_runs
from compactbio.settings.runs import (
    deployment_dataset,
    finetuned_datasets,
    source_of,
    stage_before,
    student_kind,
)

BASEDIR = Path(workflow.basedir)
SOURCES_TABLE = os.path.relpath(BASEDIR / "config" / "data_sources.tsv")
PUBLISHED_TABLE = os.path.relpath(BASEDIR / "config" / "published_values.tsv")


def data_source_names():
    """Return the names of the sources in config/data_sources.tsv (rows of member files left out)."""
    with open(SOURCES_TABLE, encoding="utf-8", newline="") as stream:
        return {
            row["name"]
            for row in csv.DictReader(stream, delimiter="\t")
            if not row["member"]
        }


def reserved_names():
    """Return the names of the rules and targets of this workflow, which no model may have."""
    files = [BASEDIR / "Snakefile", *(BASEDIR / "rules").glob("*.smk")]
    return {
        name
        for file in files
        for name in re.findall(
            r"^ *(?:rule|checkpoint) (\w+):",
            file.read_text(encoding="utf-8"),
            re.MULTILINE,
        )
    }


try:
    config = load_settings(
        config, source_names=data_source_names(), reserved_names=reserved_names()
    )
except UserError as error:
    raise WorkflowError(error) from None

RESULTS = config["results_dir"].rstrip("/")
DOWNLOADS = config["downloads_dir"].rstrip("/")
SCRIPTS = os.path.relpath(BASEDIR / "scripts")
LOGS = f"{RESULTS}/logs"


# ---- checkpoints and models


def source_definition(name):
    """Return the definition of a checkpoint or model by its name."""
    return source_of(config, name)


def model_folder(name):
    """Return the folder of a usable model or checkpoint: exported if it is trained here, else fetched."""
    if name in config["models"] and config["models"][name]["source"] == "train":
        return f"{RESULTS}/pretraining/{name}/model"
    return f"{RESULTS}/students/fetched/{name}"


def tokenizer_folder(tokenizer):
    """Return the checkpoint folder whose tokenizer files are used under this name."""
    return model_folder(config["tokenizers"][tokenizer]["checkpoint"])


def trained_models():
    """Return the models that this run trains, in the order of their definition: teachers included."""
    return settings_runs.trained_models(config)


def fetched_names():
    """Return the checkpoints and models that this run downloads, sorted."""
    names = {
        name
        for name in config["run"]["models"]
        if config["models"][name]["source"] != "train"
    }
    for model in map(config["models"].get, trained_models()):
        kind, value = student_kind(model)
        names.add(config["tokenizers"][model["tokenizer"]]["checkpoint"])
        if kind == "checkpoint":
            names.add(value)
        teacher = model.get("teacher")
        if teacher is not None and source_of(config, teacher)["source"] != "train":
            names.add(teacher)
    return sorted(names)


def fetch_definition(name):
    """Return what fetching a checkpoint depends on: where from, and what must arrive."""
    keys = ("source", "hub", "path", "architecture", "tokenizer", "shape")
    definition = source_of(config, name)
    wanted = {key: definition[key] for key in keys if definition.get(key) is not None}
    wanted.pop("path" if definition["source"] == "hub" else "hub", None)
    return wanted


def tokenizer_definition(name):
    """Return the definition of the tokenizer that a checkpoint or model must have."""
    return config["tokenizers"][source_of(config, name)["tokenizer"]]


def local_checkpoint_files(name):
    """Return the files of a checkpoint that is read from a folder, so that a changed one is read again."""
    definition = source_of(config, name)
    if definition["source"] != "path":
        return []
    names = (
        "config.json",
        "model.safetensors",
        "pytorch_model.bin",
        "vocab.txt",
        "tokenizer.json",
    )
    files = [Path(definition["path"]) / name for name in names]
    return [str(file) for file in files if file.is_file()]


def student_source(model):
    """Return the option of initialise_student.py that a model's student needs, and its folder."""
    kind, value = student_kind(config["models"][model])
    if kind == "teacher_layers":
        return "--teacher", model_folder(config["models"][model]["teacher"])
    if kind == "checkpoint":
        return "--checkpoint", model_folder(value)
    return "--tokenizer", tokenizer_folder(config["models"][model]["tokenizer"])


def teacher_manifest(model):
    """Return the manifest of a model's teacher; an empty list where it has none."""
    teacher = config["models"][model].get("teacher")
    return [] if teacher is None else f"{model_folder(teacher)}/manifest.json"


def global_batch_size(model, gpus):
    """Return a model's global batch size, after refusing one that so many GPUs cannot share."""
    size = pretraining_run(config, model)["optimisation"]["global_batch_size"]
    try:
        check_split(size, max(gpus, 1))
    except UserError as error:
        raise WorkflowError(
            f"models.{model}.{error} (--set-resources pretrain_model:gpu=NUMBER)"
        ) from None
    return size


# ---- corpus


def baseline_numbers():
    """Return the numbers of the baseline files that are used."""
    baseline = config["corpus"]["baseline"]
    return baseline["numbers"] or list(range(1, baseline["files"] + 1))


def baseline_batches():
    """Return the names of the batches of baseline files, "0001" and so on."""
    jobs = -(-len(baseline_numbers()) // config["corpus"]["files_per_job"])
    return [f"{number:04d}" for number in range(1, jobs + 1)]


def batch_numbers(batch):
    """Return the numbers of a batch's files, separated by commas."""
    size = config["corpus"]["files_per_job"]
    first = (int(batch) - 1) * size
    return ",".join(map(str, baseline_numbers()[first : first + size]))


def corpus_batches():
    """Return the names of the text shards of the corpus in use: one per batch or document file."""
    if config["corpus"]["source"] == "baseline":
        return baseline_batches()
    return [
        f"{number:04d}" for number in range(1, len(config["corpus"]["documents"]) + 1)
    ]


def corpus_tokenizers():
    """Return the tokenizers whose token stores the trained models read, sorted."""
    return sorted({config["models"][name]["tokenizer"] for name in trained_models()})


def token_stores(tokenizer):
    """Return the manifests of a tokenizer's token store, one per batch."""
    return [
        f"{RESULTS}/corpus/tokens/{tokenizer}/{batch}/manifest.json"
        for batch in corpus_batches()
    ]


# ---- tasks


def dataset_definition(dataset):
    """Return the definition of a dataset by its name."""
    return config["datasets"][dataset]


def task_sources():
    """Return the rows of config/data_sources.tsv that the datasets of this run are read from, sorted."""
    sources = {
        config["datasets"][dataset]["source"] for dataset in finetuned_datasets(config)
    }
    return sorted(sources - {None})


def start_folder(model, dataset):
    """Return the folder that a fine-tuning starts from: the model as it is, or what its stage leaves of it."""
    stage = stage_before(config, dataset)
    if stage is None:
        return model_folder(model)
    return f"{RESULTS}/finetuning/{model}/{stage}/model"


def start_record(model, dataset):
    """Return the declared file that is made with that folder: the model's manifest, or the stage's training.json."""
    folder = start_folder(model, dataset)
    if stage_before(config, dataset) is None:
        return f"{folder}/manifest.json"
    return f"{os.path.dirname(folder)}/training.json"


wildcard_constraints:
    model="|".join(map(re.escape, config["models"])),
    dataset="|".join(map(re.escape, config["datasets"])),
    checkpoint="|".join(map(re.escape, {**config["checkpoints"], **config["models"]})),
    tokenizer="|".join(map(re.escape, config["tokenizers"])),
    batch=r"\d{4}",
    source="[A-Za-z0-9_-]+",
