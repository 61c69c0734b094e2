# From scores to tables, figures and a check of both. Everything here runs in seconds but the measurements.


# One job for all models: measured in turn on one machine, their times compare.
rule measure_efficiency:
    """Measure size, FLOPs, latency and memory of the models, in turn on one machine."""
    input:
        manifests=[usable_model(model).manifest for model in MODELS],
    output:
        measurements=RESULTS.reporting.efficiency,
    log:
        RESULTS.log("measure_efficiency"),
    benchmark:
        RESULTS.benchmark("measure_efficiency")
    retries: 0
    conda:
        "../envs/workflow.yaml"
    threads: 4
    resources:
        mem_mb=12000,
        runtime=60,
    params:
        scripts=unrecorded(SCRIPTS),
        models=[f"{model}={usable_model(model).folder}" for model in MODELS],
        repetitions=config["reporting"]["repetitions"],
    message:
        "measure the efficiency of the models"
    shell:
        "HF_HUB_OFFLINE=1 python {params.scripts:q}/measure_efficiency.py"
        " --models {params.models:q} --threads {threads:q}"
        " --repetitions {params.repetitions:q}"
        " --output {output.measurements:q} > {log:q} 2>&1"


# What the fine-tuned models of one dataset cost on a CPU as they are and as int8, in one job for the same reason. Their
# weights are no declared output of finetune_model: training.json holds their digest, which is compared.
rule measure_deployment:
    """Measure the fine-tuned models of one dataset on a CPU, as they are and as int8."""
    input:
        trainings=[
            finetuning.training for finetuning in deployed_finetunings().values()
        ],
        task=RESULTS.tasks.dataset(str(deployment_dataset(config))).manifest,
    output:
        measurements=RESULTS.reporting.deployment.measurements,
        provenance=RESULTS.reporting.deployment.provenance,
        int8=[
            RESULTS.reporting.deployment.int8(model)
            for model in deployed_finetunings()
        ],
    log:
        RESULTS.log("measure_deployment"),
    benchmark:
        RESULTS.benchmark("measure_deployment")
    retries: 0
    conda:
        "../envs/workflow.yaml"
    threads: 4
    resources:
        mem_mb=16000,
        runtime=120,
    params:
        notice=unrecorded(NOTICE),
        scripts=unrecorded(SCRIPTS),
        models=[
            f"{model}={finetuning.folder}"
            for model, finetuning in deployed_finetunings().items()
        ],
        task=subpath(input.task, parent=True),
        repetitions=config["reporting"]["repetitions"],
        folder=subpath(output.measurements, parent=True),
    message:
        "measure the models as they are deployed"
    shell:
        "HF_HUB_OFFLINE=1 python {params.scripts:q}/measure_deployment.py"
        " --models {params.models:q} --task {params.task:q} --threads {threads:q}"
        " --repetitions {params.repetitions:q}"
        " --notice={params.notice:q} --output-dir {params.folder:q} > {log:q} 2>&1"


rule collect_scores:
    """Bring the scores of all models into one table."""
    input:
        scores=collect(RESULTS.model_scores("{model}").scores, model=MODELS),
    output:
        scores=RESULTS.reporting.scores,
    log:
        RESULTS.log("collect_scores"),
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    params:
        scripts=unrecorded(SCRIPTS),
        scores=unrecorded(OF_MODEL.scores),
        models=MODELS,
    message:
        "collect the scores"
    shell:
        "python {params.scripts:q}/collect_scores.py"
        " --models {params.models:q} --output {output.scores:q} {params.scores:q} > {log:q} 2>&1"


rule check_results:
    """Check scores and tables against each other."""
    input:
        scores=RESULTS.reporting.scores,
        runs=collect(
            RESULTS.finetuning("{model}", "{dataset}").run,
            model=MODELS,
            dataset=DATASETS,
        ),
        classes=collect(RESULTS.model_scores("{model}").classes, model=MODELS),
        tables=RESULTS.tables.index("md"),
        published=published_table(),
    output:
        report=RESULTS.reporting.checks,
    log:
        RESULTS.log("check_results"),
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    params:
        classes=unrecorded(OF_MODEL.classes),
        scripts=unrecorded(SCRIPTS),
        runs=unrecorded(FINETUNED.run),
        tables=subpath(input.tables, parent=True),
        selection=reporting_selection(),
    message:
        "check scores and tables"
    shell:
        "python {params.scripts:q}/check_results.py"
        " --scores {input.scores:q} --runs {params.runs:q}"
        " --classes {params.classes:q} --tables {params.tables:q}"
        " {params.selection:q}"
        " --output {output.report:q} > {log:q} 2>&1"


rule compare_models:
    """Compare the models with the baseline by tests on paired units."""
    input:
        units=collect(
            RESULTS.model_scores("{model}").units,
            model=MODELS,
        ),
    output:
        comparisons=RESULTS.reporting.comparisons,
    log:
        RESULTS.log("compare_models"),
    benchmark:
        RESULTS.benchmark("compare_models")
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    threads: 2
    params:
        scripts=unrecorded(SCRIPTS),
        units=unrecorded(OF_MODEL.units),
        models=MODELS,
        options=comparison_options(config),
    message:
        "compare the models"
    shell:
        "python {params.scripts:q}/compare_models.py"
        " --units {params.units:q} --models {params.models:q} {params.options:q}"
        " --output {output.comparisons:q} > {log:q} 2>&1"


rule build_tables:
    """Write the paper's tables beside the paper's own values."""
    input:
        scores=RESULTS.reporting.scores,
        classes=collect(RESULTS.model_scores("{model}").classes, model=MODELS),
        comparisons=RESULTS.reporting.comparisons,
        efficiency=RESULTS.reporting.efficiency,
        deployment=deployment_measurements(),
        published=published_table(),
        trainings=training_files(),
    output:
        plain=[
            RESULTS.tables.table(table.name, form)
            for table in TABLES
            for form in ("csv", "md", "tex")
        ],
        first_page=RESULTS.tables.index("md"),
        verdict=RESULTS.tables.verdict,
        pages=[
            reported(record, RESULTS.tables.table(record.name, "html"), "table")
            for record in (INDEX, *TABLES)
        ],
    log:
        RESULTS.log("build_tables"),
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    params:
        classes=unrecorded(OF_MODEL.classes),
        scripts=unrecorded(SCRIPTS),
        trainings=unrecorded(FINETUNED.training),
        selection=reporting_selection(),
        baseline=config["reporting"]["baseline_model"],
        config=json.dumps(config),
        notice=NOTICE,
        folder=subpath(output.first_page, parent=True),
    message:
        "build the tables"
    shell:
        "python {params.scripts:q}/build_tables.py"
        " --scores {input.scores:q} --classes {params.classes:q} --comparisons {input.comparisons:q}"
        " --efficiency {input.efficiency:q} --deployment {input.deployment:q}"
        " --trainings {params.trainings:q}"
        " {params.selection:q}"
        " --baseline {params.baseline:q} --config {params.config:q} --notice={params.notice:q}"
        " --output-dir {params.folder:q}"
        " > {log:q} 2>&1"
