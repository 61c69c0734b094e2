# The configuration, and look-ups that the stages share. Stage files hold rules only.
import json

from compactbio.downloads.hub import published_files
from compactbio.errors import UserError
from compactbio.pretraining.sampling import check_split
from compactbio.reporting.options import comparison_options, selection_options
from compactbio.reporting.report_records import FIGURES, INDEX, PAGES, made_tables
from compactbio.settings.runs import finetuning_run, pretraining_run
from compactbio.settings.load import (
    load_settings,
    merge,
    read_configuration,
    rule_names,
)
from compactbio.settings.results import Downloads, Results
from compactbio.settings.selection import (
    shard_numbers,
    corpus_shards,
    corpus_tokenizers,
    deployment_dataset,
    described_models,
    fetch_definition,
    fetched_names,
    finetuned_datasets,
    is_trained,
    names_in_use,
    origin_groups,
    source_of,
    stage_before,
    student_kind,
    task_sources,
    tokenizer_checkpoint,
    tokenizer_name,
    trained_models,
)
from compactbio.tasks.data_sources import read_sources
from compactbio.tasks.generated_data import generated_notice
from compactbio.workflow_log import print_briefly

SOURCES_TABLE = os.path.relpath(BASEDIR / "config" / "data_sources.tsv")
PUBLISHED_TABLE = os.path.relpath(BASEDIR / "config" / "published_values.tsv")


try:
    SOURCES = read_sources(Path(SOURCES_TABLE))
    if workflow.modifier.skip_configfile:
        # a module is given the other workflow's `config`, in place of what `configfile:` names
        config = merge(read_configuration(()), config)
    config = load_settings(
        config,
        source_names=SOURCES,
        reserved_names=rule_names(),
    )
except UserError as error:
    raise WorkflowError(error) from None

# what everything made from generated data says; no parameter of a job but those of tables, figures and pages
NOTICE = generated_notice(config, SOURCES)
RESULTS = Results(config["results_dir"].rstrip("/"))
DOWNLOADS = Downloads(config["downloads_dir"].rstrip("/"))
SCRIPTS = os.path.relpath(BASEDIR / "scripts")
MODELS, DATASETS = config["run"]["models"], config["run"]["datasets"]
TRAINED, FETCHED = trained_models(config), fetched_names(config)
PRETRAINED, FINETUNED = (
    RESULTS.pretraining("{model}"),
    RESULTS.finetuning("{model}", "{dataset}"),
)
TABLES = made_tables(
    {config["datasets"][dataset]["task"] for dataset in DATASETS},
    benchmark=bool(config.get("benchmark")),
)
OF_MODEL = RESULTS.model_scores("{model}")
SHARDS, TOKENIZERS = len(corpus_shards(config)), corpus_tokenizers(config)


def unrecorded(value):
    """Return a parameter that changes no result, so that another value makes nothing again.

    Snakemake records no parameter that derives from outputs. A command may use parameters only: in a module of another
    workflow it does not see the names of this one.
    """
    return lambda wildcards, output: value


# ---- checkpoints and models


def usable_model(name):
    """Return a model or checkpoint that others read: exported if it is trained here, else fetched."""
    if is_trained(config, name):
        return RESULTS.pretraining(name).model
    return RESULTS.students.fetched(name)


def tokenizer_of(tokenizer):
    """Return the model whose tokenizer files are used under this name: of `tokenizers`, or of a checkpoint itself."""
    return usable_model(tokenizer_checkpoint(config, tokenizer))


def local_checkpoint_files(name):
    """Return the files of a checkpoint that is read from a folder, so that a changed one is read again."""
    definition = source_of(config, name)
    if definition["source"] != "path":
        return []
    return [str(file) for file in published_files(Path(definition["path"]))]


def student_source(model):
    """Return the option of initialise_student.py that a model's student needs, and the model that it names."""
    kind, value = student_kind(config["models"][model])
    if kind == "teacher_layers":
        return "--teacher", usable_model(config["models"][model]["teacher"])
    if kind == "checkpoint":
        return "--checkpoint", usable_model(value)
    return "--tokenizer", tokenizer_of(tokenizer_name(config, model))


def teacher_manifest(model):
    """Return the manifest of a model's teacher; an empty list where it has none."""
    teacher = config["models"][model].get("teacher")
    return [] if teacher is None else usable_model(teacher).manifest


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


# ---- environments


def in_containers():
    """Return whether jobs run in the image (--sdm apptainer); else no rule has one, whose path no folder's name breaks."""
    chosen = workflow.deployment_settings.deployment_method
    return any(method.name == "APPTAINER" for method in chosen)


def container_image():
    """Return the image of all rules, after refusing a start without it or at a place that Apptainer cannot take."""
    image = os.path.relpath(BASEDIR / "envs" / "compactbio.sif")
    if not os.path.isfile(image):
        raise WorkflowError(
            f"{image} is not there: build it with `apptainer build envs/compactbio.sif envs/container.def`"
        )
    if not re.fullmatch(r"[\w./-]+", image):
        raise WorkflowError(
            f"{image}: --sdm apptainer needs a checkout whose path has letters, digits, . _ - only"
        )
    return image


# ---- corpus and tasks


def token_stores(tokenizer):
    """Return the manifests of a tokenizer's token stores, one per shard."""
    return [
        RESULTS.corpus.token_store(tokenizer, shard).manifest
        for shard in corpus_shards(config)
    ]


def own_files(definition):
    """Return the files of a dataset that are a user's own, one by one where a folder of them is named."""
    paths = [
        os.path.join(definition["folder"], file)
        for file in definition.get("files", {}).values()
        if not definition["source"] or os.path.isabs(file)
    ]
    return [
        file
        for path in paths
        for file in (
            [entry.path for entry in sorted(os.scandir(path), key=lambda e: e.name)]
            if os.path.isdir(path)
            else [path]
        )
    ]


def start_folder(model, dataset):
    """Return the folder that a fine-tuning starts from: the model as it is, or what its stage leaves of it."""
    stage = stage_before(config, dataset)
    if stage is None:
        return usable_model(model).folder
    return RESULTS.finetuning(model, stage).model.folder


def start_record(model, dataset):
    """Return the declared file that is made with that folder: the model's manifest, or the stage's training.json."""
    stage = stage_before(config, dataset)
    if stage is None:
        return usable_model(model).manifest
    return RESULTS.finetuning(model, stage).training


wildcard_constraints:
    model="|".join(map(re.escape, config["models"])),
    dataset="|".join(map(re.escape, config["datasets"])),
    checkpoint="|".join(map(re.escape, {**config["checkpoints"], **config["models"]})),
    tokenizer="|".join(
        map(
            re.escape,
            {**config["tokenizers"], **config["checkpoints"], **config["models"]},
        )
    ),
    shard=r"\d{4}",
    source="|".join(map(re.escape, SOURCES)),
