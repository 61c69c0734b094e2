# What the rules of reporting and provenance read, and what they are given of a run. Functions only.


def reported(record, path, word):
    """Return a path that the report shows as its record says; `word` is the heading of its label."""
    return report(
        path,
        category=record.category,
        subcategory=record.subcategory,
        labels={word: record.label},
        caption=record.caption,
    )


def reporting_selection():
    """Return the options of the reporting programs: what was run and what is known."""
    return selection_options(config, PUBLISHED_TABLE)


def published_table():
    """Return the table of the paper's values where this configuration compares with them, else nothing."""
    return [PUBLISHED_TABLE] if config["reporting"]["compare_with_paper"] else []


def training_files():
    """Return training.json of every fine-tuning that is scored; metrics.jsonl is made with it."""
    return [
        RESULTS.finetuning(model, dataset).training
        for model in MODELS
        for dataset in DATASETS
    ]


def deployed_finetunings():
    """Return the fine-tunings whose models are measured for deployment, by model."""
    dataset = deployment_dataset(config)
    models = [] if dataset is None else MODELS
    return {model: RESULTS.finetuning(model, dataset) for model in models}


def deployment_measurements():
    """Return the file of those measurements where a dataset of this run is chosen for them, else nothing."""
    measurements = RESULTS.reporting.deployment.measurements
    return [measurements] if deployed_finetunings() else []


def pretraining_metrics():
    """Return metrics.jsonl of every pre-training; run.yaml and provenance.json stand beside it."""
    return [RESULTS.pretraining(model).metrics for model in TRAINED]


def provenance_files():
    """Return provenance.json of every pre-training and fine-tuning, stages included."""
    return [
        *(RESULTS.pretraining(model).provenance for model in TRAINED),
        *(
            RESULTS.finetuning(model, dataset).provenance
            for model in MODELS
            for dataset in finetuned_datasets(config)
        ),
    ]
