# From scores to tables, figures and a check of both. Everything here runs in seconds but the measurements.


# One job for all models: measured in turn on one machine, their times compare.
rule measure_efficiency:
    input:
        manifests=[
            f"{model_folder(model)}/manifest.json" for model in config["run"]["models"]
        ],
    output:
        measurements=f"{RESULTS}/reporting/efficiency.json",
    log:
        f"{RESULTS}/logs/measure_efficiency/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_efficiency/all.tsv"
    retries: 0
    conda:
        "../envs/workflow.yaml"
    threads: 4
    resources:
        mem_mb=12000,
        runtime=60,
    params:
        models=[f"{model}={model_folder(model)}" for model in config["run"]["models"]],
        repetitions=config["reporting"]["repetitions"],
    shell:
        f"HF_HUB_OFFLINE=1 python {SCRIPTS}/measure_efficiency.py"
        " --models {params.models:q} --threads {threads}"
        " --repetitions {params.repetitions}"
        " --output {output.measurements:q} > {log:q} 2>&1"


# What the fine-tuned models of one dataset cost on a CPU as they are and as int8, in one job for the same reason. Their
# weights are no declared output of finetune_model: training.json holds their digest, which is compared.
rule measure_deployment:
    input:
        trainings=[
            f"{folder}/training.json" for folder in deployment_folders().values()
        ],
        task=f"{RESULTS}/tasks/{deployment_dataset(config)}/manifest.json",
    output:
        measurements=f"{RESULTS}/reporting/deployment/measurements.json",
        provenance=f"{RESULTS}/reporting/deployment/provenance.json",
        int8=[
            f"{RESULTS}/reporting/deployment/{model}/model.int8.onnx"
            for model in deployment_folders()
        ],
    log:
        f"{RESULTS}/logs/measure_deployment/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_deployment/all.tsv"
    retries: 0
    conda:
        "../envs/workflow.yaml"
    threads: 4
    resources:
        mem_mb=16000,
        runtime=120,
    params:
        models=[f"{model}={folder}" for model, folder in deployment_folders().items()],
        task=subpath(input.task, parent=True),
        repetitions=config["reporting"]["repetitions"],
        folder=subpath(output.measurements, parent=True),
    shell:
        f"HF_HUB_OFFLINE=1 python {SCRIPTS}/measure_deployment.py"
        " --models {params.models:q} --task {params.task:q} --threads {threads}"
        " --repetitions {params.repetitions}"
        " --output-dir {params.folder:q} > {log:q} 2>&1"


rule collect_scores:
    input:
        scores=collect(
            f"{RESULTS}/finetuning/{{model}}/scores.tsv", model=config["run"]["models"]
        ),
    output:
        scores=f"{RESULTS}/reporting/scores.tsv",
    log:
        f"{RESULTS}/logs/collect_scores/all.log",
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    shell:
        f"python {SCRIPTS}/collect_scores.py"
        " --output {output.scores:q} {input.scores:q} > {log:q} 2>&1"


rule check_results:
    input:
        scores=f"{RESULTS}/reporting/scores.tsv",
        runs=collect(
            f"{RESULTS}/finetuning/{{model}}/{{dataset}}/run.yaml",
            model=config["run"]["models"],
            dataset=config["run"]["datasets"],
        ),
        tables=f"{RESULTS}/tables/index.md",
        published=published_table(),
    output:
        report=f"{RESULTS}/reporting/checks.txt",
    log:
        f"{RESULTS}/logs/check_results/all.log",
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    params:
        tables=subpath(input.tables, parent=True),
        selection=reporting_selection(),
    shell:
        f"python {SCRIPTS}/check_results.py"
        " --scores {input.scores:q} --runs {input.runs:q} --tables {params.tables:q}"
        " {params.selection:q}"
        " --output {output.report:q} > {log:q} 2>&1"


rule compare_models:
    input:
        units=collect(
            f"{RESULTS}/finetuning/{{model}}/units.parquet",
            model=config["run"]["models"],
        ),
    output:
        comparisons=f"{RESULTS}/reporting/comparisons.tsv",
    log:
        f"{RESULTS}/logs/compare_models/all.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_models/all.tsv"
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    threads: 2
    params:
        options=comparison_options(config),
    shell:
        f"python {SCRIPTS}/compare_models.py"
        " --units {input.units:q} {params.options:q}"
        " --output {output.comparisons:q} > {log:q} 2>&1"


rule build_tables:
    input:
        scores=f"{RESULTS}/reporting/scores.tsv",
        comparisons=f"{RESULTS}/reporting/comparisons.tsv",
        efficiency=f"{RESULTS}/reporting/efficiency.json",
        deployment=deployment_measurements(),
        published=published_table(),
        trainings=training_files(),
    output:
        plain=collect(
            f"{RESULTS}/tables/{{table}}.{{form}}",
            table=[
                "ner",
                "re",
                "qa",
                "comparisons",
                "replication",
                "summary",
                "finetuning",
                "sizes",
                "efficiency",
            ],
            form=["csv", "md", "tex"],
        ),
        explanation=f"{RESULTS}/tables/index.md",
        explanation_page=report(
            f"{RESULTS}/tables/index.html",
            category="3 Tables",
            labels={"table": "What the tables are; deviations"},
            caption="report/index.rst",
        ),
        replication=report(
            f"{RESULTS}/tables/replication.html",
            category="2 Replication",
            labels={"table": "The paper's values and ours"},
            caption="report/replication.rst",
        ),
        comparisons=report(
            f"{RESULTS}/tables/comparisons.html",
            category="3 Tables",
            labels={"table": "Comparisons with the baseline"},
            caption="report/comparisons.rst",
        ),
        ner=report(
            f"{RESULTS}/tables/ner.html",
            category="3 Tables",
            labels={"table": "Named-entity recognition"},
            caption="report/ner.rst",
        ),
        re=report(
            f"{RESULTS}/tables/re.html",
            category="3 Tables",
            labels={"table": "Relation extraction"},
            caption="report/re.rst",
        ),
        qa=report(
            f"{RESULTS}/tables/qa.html",
            category="3 Tables",
            labels={"table": "Question answering"},
            caption="report/qa.rst",
        ),
        summary=report(
            f"{RESULTS}/tables/summary.html",
            category="3 Tables",
            labels={"table": "Summary"},
            caption="report/summary.rst",
        ),
        finetuning=report(
            f"{RESULTS}/tables/finetuning.html",
            category="3 Tables",
            labels={"table": "Fine-tuning"},
            caption="report/finetuning.rst",
        ),
        sizes=report(
            f"{RESULTS}/tables/sizes.html",
            category="3 Tables",
            labels={"table": "Model sizes"},
            caption="report/sizes.rst",
        ),
        efficiency=report(
            f"{RESULTS}/tables/efficiency.html",
            category="3 Tables",
            labels={"table": "Efficiency"},
            caption="report/efficiency.rst",
        ),
    log:
        f"{RESULTS}/logs/build_tables/all.log",
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    params:
        selection=reporting_selection(),
        baseline=config["reporting"]["baseline_model"],
        quirks=json.dumps(config["quirks"]),
        folder=subpath(output.explanation, parent=True),
    shell:
        f"python {SCRIPTS}/build_tables.py"
        " --scores {input.scores:q} --comparisons {input.comparisons:q}"
        " --efficiency {input.efficiency:q} --deployment {input.deployment:q}"
        " --trainings {input.trainings:q}"
        " {params.selection:q}"
        " --baseline {params.baseline:q} --quirks {params.quirks:q} --output-dir {params.folder:q}"
        " > {log:q} 2>&1"
