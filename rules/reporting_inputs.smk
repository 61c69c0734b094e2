# What the rules of reporting and provenance read, and what they are told of a run. Functions only.


def reporting_selection():
    """Return the options that tell the reporting programs what was run and what is known."""
    return selection_options(config, PUBLISHED_TABLE)


def published_table():
    """Return the table of the paper's values where this configuration compares with them, else nothing."""
    return [PUBLISHED_TABLE] if config["reporting"]["compare_with_paper"] else []


def training_files():
    """Return training.json of every fine-tuning that is scored; metrics.jsonl is made with it."""
    return [
        f"{RESULTS}/finetuning/{model}/{dataset}/training.json"
        for model in config["run"]["models"]
        for dataset in config["run"]["datasets"]
    ]


def deployment_folders():
    """Return the folders of the fine-tunings whose models are measured for deployment, by model."""
    dataset = deployment_dataset(config)
    models = [] if dataset is None else config["run"]["models"]
    return {model: f"{RESULTS}/finetuning/{model}/{dataset}" for model in models}


def deployment_measurements():
    """Return the file of those measurements where a dataset of this run is chosen for them, else nothing."""
    measurements = f"{RESULTS}/reporting/deployment/measurements.json"
    return [measurements] if deployment_folders() else []


def pretraining_metrics():
    """Return metrics.jsonl of every pre-training; run.yaml and provenance.json stand beside it."""
    return [
        f"{RESULTS}/pretraining/{model}/metrics.jsonl" for model in trained_models()
    ]


def provenance_files():
    """Return provenance.json of every pre-training and fine-tuning, stages included."""
    folders = [f"{RESULTS}/pretraining/{model}" for model in trained_models()]
    folders += [
        f"{RESULTS}/finetuning/{model}/{dataset}"
        for model in config["run"]["models"]
        for dataset in finetuned_datasets(config)
    ]
    return [f"{folder}/provenance.json" for folder in folders]


def names_in_use():
    """Return the models, checkpoints, datasets and tokenizers that take part in this run, sorted."""
    sources = {*config["run"]["models"], *trained_models(), *fetched_names()}
    tokenizers = {source_of(config, name)["tokenizer"] for name in sources}
    return sorted({*sources, *tokenizers, *finetuned_datasets(config)})


def model_group(model):
    """Return how a model came to be, for the figures: distilled, continual or given."""
    definition = config["models"][model]
    if definition["source"] == "train" and definition.get("teacher") is not None:
        return "distilled"
    return "continual" if definition["source"] == "train" else "given"


# ---- provenance


def sources_selection():
    """Return the options that tell the provenance programs where the results lie and what was made or fetched."""
    return [
        *("--results", RESULTS),
        *("--trained", *trained_models()),
        *("--fetched", *fetched_names()),
    ]


def models_with_cards():
    """Return the models that a card is written of: those of the run, and the teachers trained for them."""
    return sorted({*config["run"]["models"], *trained_models()})
