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
        f"python {SCRIPTS}/measure_efficiency.py"
        " --models {params.models:q} --threads {threads}"
        " --repetitions {params.repetitions}"
        " --output {output.measurements:q} > {log:q} 2>&1"


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
        published=published_table(),
    output:
        report=report(
            f"{RESULTS}/reporting/checks.txt",
            category="Checks",
            labels={"check": "results"},
            caption="report/checks.rst",
        ),
    log:
        f"{RESULTS}/logs/check_results/all.log",
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    params:
        selection=reporting_selection(),
    shell:
        f"python {SCRIPTS}/check_results.py"
        " --scores {input.scores:q} --runs {input.runs:q}"
        " {params.selection:q}"
        " --output {output.report:q} > {log:q} 2>&1"


rule build_tables:
    input:
        scores=f"{RESULTS}/reporting/scores.tsv",
        efficiency=f"{RESULTS}/reporting/efficiency.json",
        published=published_table(),
        trainings=training_files(),
    output:
        plain=collect(
            f"{RESULTS}/tables/{{table}}.{{form}}",
            table=["ner", "re", "qa", "summary", "finetuning", "sizes", "efficiency"],
            form=["csv", "md", "tex"],
        ),
        explanation=f"{RESULTS}/tables/index.md",
        explanation_page=report(
            f"{RESULTS}/tables/index.html",
            category="Tables",
            labels={"table": "What the tables are; deviations"},
            caption="report/index.rst",
        ),
        ner=report(
            f"{RESULTS}/tables/ner.html",
            category="Tables",
            labels={"table": "Named-entity recognition"},
            caption="report/ner.rst",
        ),
        re=report(
            f"{RESULTS}/tables/re.html",
            category="Tables",
            labels={"table": "Relation extraction"},
            caption="report/re.rst",
        ),
        qa=report(
            f"{RESULTS}/tables/qa.html",
            category="Tables",
            labels={"table": "Question answering"},
            caption="report/qa.rst",
        ),
        summary=report(
            f"{RESULTS}/tables/summary.html",
            category="Tables",
            labels={"table": "Summary"},
            caption="report/summary.rst",
        ),
        finetuning=report(
            f"{RESULTS}/tables/finetuning.html",
            category="Tables",
            labels={"table": "Fine-tuning"},
            caption="report/finetuning.rst",
        ),
        sizes=report(
            f"{RESULTS}/tables/sizes.html",
            category="Tables",
            labels={"table": "Model sizes"},
            caption="report/sizes.rst",
        ),
        efficiency=report(
            f"{RESULTS}/tables/efficiency.html",
            category="Tables",
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
        " --scores {input.scores:q} --efficiency {input.efficiency:q} --trainings {input.trainings:q}"
        " {params.selection:q}"
        " --baseline {params.baseline:q} --quirks {params.quirks:q} --output-dir {params.folder:q}"
        " > {log:q} 2>&1"


rule build_figures:
    input:
        scores=f"{RESULTS}/reporting/scores.tsv",
        efficiency=f"{RESULTS}/reporting/efficiency.json",
        published=published_table(),
        trainings=training_files(),
    output:
        pictures=collect(
            f"{RESULTS}/figures/{{figure}}.png",
            figure=[
                "scores",
                "scores_standard",
                "score_by_parameters",
                "learning_curves",
            ],
        ),
        scores=report(
            f"{RESULTS}/figures/scores.svg",
            category="Figures",
            labels={"figure": "Every run, beside the paper's values"},
            caption="report/scores.rst",
        ),
        scores_standard=report(
            f"{RESULTS}/figures/scores_standard.svg",
            category="Figures",
            labels={"figure": "Every run, standard protocol"},
            caption="report/scores_standard.rst",
        ),
        score_by_parameters=report(
            f"{RESULTS}/figures/score_by_parameters.svg",
            category="Figures",
            labels={"figure": "Score against parameters"},
            caption="report/score_by_parameters.rst",
        ),
        learning_curves=report(
            f"{RESULTS}/figures/learning_curves.svg",
            category="Figures",
            labels={"figure": "Learning curves of fine-tuning"},
            caption="report/learning_curves.rst",
        ),
    log:
        f"{RESULTS}/logs/build_figures/all.log",
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    params:
        selection=reporting_selection(),
        baseline=config["reporting"]["baseline_model"],
        groups=json.dumps(
            {model: model_group(model) for model in config["run"]["models"]}
        ),
        folder=subpath(output.scores, parent=True),
    shell:
        f"python {SCRIPTS}/build_figures.py"
        " --scores {input.scores:q} --efficiency {input.efficiency:q} --trainings {input.trainings:q}"
        " {params.selection:q}"
        " --baseline {params.baseline:q} --groups {params.groups:q} --output-dir {params.folder:q}"
        " > {log:q} 2>&1"
