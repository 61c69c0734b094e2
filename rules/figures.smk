# What a reader looks at beside the tables: figures, and pages that say what the run was. Seconds each.


rule build_figures:
    """Draw the figures."""
    input:
        scores=RESULTS.reporting.scores,
        efficiency=RESULTS.reporting.efficiency,
        published=published_table(),
        trainings=training_files(),
        pretrainings=pretraining_metrics(),
    output:
        others=[
            RESULTS.figures.figure(figure.name, form)
            for figure in FIGURES
            for form in ("pdf", "png")
        ],
        other_terms=[
            RESULTS.figures.losses(model, form)
            for model in TRAINED
            for form in ("pdf", "png")
        ],
        drawings=[
            reported(figure, RESULTS.figures.figure(figure.name, "svg"), "figure")
            for figure in FIGURES
        ],
        terms=[
            report(
                RESULTS.figures.losses(model, "svg"),
                category="4 Figures",
                subcategory="4 Terms of the losses",
                labels={"model": model},
                caption="report/pretraining_terms.rst",
            )
            for model in TRAINED
        ],
    log:
        RESULTS.log("build_figures"),
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    params:
        scripts=unrecorded(SCRIPTS),
        trainings=unrecorded(FINETUNED.training),
        figures=unrecorded(RESULTS.figures.folder),
        pretrainings=unrecorded(PRETRAINED.metrics),
        trained=TRAINED,
        selection=reporting_selection(),
        baseline=config["reporting"]["baseline_model"],
        groups=json.dumps(origin_groups(config)),
        notice=NOTICE,
    message:
        "draw the figures"
    shell:
        "python {params.scripts:q}/build_figures.py"
        " --scores {input.scores:q} --efficiency {input.efficiency:q} --trainings {params.trainings:q}"
        " --pretrainings {params.pretrainings:q} --trained {params.trained:q}"
        " {params.selection:q}"
        " --baseline {params.baseline:q} --groups {params.groups:q} --notice={params.notice:q}"
        " --output-dir {params.figures:q}"
        " > {log:q} 2>&1"


# What a reviewer asks beside the tables. The folder of benchmarks is read as it is then: it is no output of a rule.
rule describe_run:
    """Write pages on costs, environment and deviations of the run."""
    input:
        scores=RESULTS.reporting.scores,
        checks=RESULTS.reporting.checks,
        trainings=provenance_files(),
        corpus=[RESULTS.corpus.summary_csv] if TRAINED else [],
    output:
        plain=[RESULTS.reporting.page(page.name, "md") for page in PAGES],
        costs_csv=RESULTS.reporting.page("costs", "csv"),
        pages=[
            reported(page, RESULTS.reporting.page(page.name, "html"), "result")
            for page in PAGES
        ],
    log:
        RESULTS.log("describe_run"),
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    params:
        scripts=unrecorded(SCRIPTS),
        pretrainings=unrecorded(PRETRAINED.provenance),
        finetunings=unrecorded(FINETUNED.provenance),
        config=json.dumps(config),
        used=names_in_use(config),
        benchmarks=RESULTS.benchmarks,
        notice=NOTICE,
        folder=subpath(output.costs_csv, parent=True),
    message:
        "describe the run"
    shell:
        "python {params.scripts:q}/describe_run.py"
        " --config {params.config:q} --used {params.used:q}"
        " --scores {input.scores:q} --checks {input.checks:q}"
        " --pretrainings {params.pretrainings:q} --trainings {params.finetunings:q}"
        " --corpus {input.corpus:q} --benchmarks {params.benchmarks:q}"
        " --notice={params.notice:q} --output-dir {params.folder:q}"
        " > {log:q} 2>&1"
