# What a reader looks at beside the tables: figures, and pages that say what the run was. Seconds each.


rule build_figures:
    input:
        scores=RESULTS.reporting.scores,
        efficiency=RESULTS.reporting.efficiency,
        published=published_table(),
        trainings=training_files(),
        pretrainings=pretraining_metrics(),
    output:
        pictures=collect(
            RESULTS.figures.figure("{figure}", "png"),
            figure=[
                "scores",
                "scores_standard",
                "paper_and_replication",
                "score_by_parameters",
                "score_by_latency",
                "pretraining_losses",
                "learning_curves",
            ],
        ),
        scores=report(
            RESULTS.figures.figure("scores", "svg"),
            category="4 Figures",
            subcategory="1 Scores",
            labels={"figure": "Every run, beside the paper's values"},
            caption="report/scores.rst",
        ),
        scores_standard=report(
            RESULTS.figures.figure("scores_standard", "svg"),
            category="4 Figures",
            subcategory="1 Scores",
            labels={"figure": "Every run, standard protocol"},
            caption="report/scores_standard.rst",
        ),
        paper_and_replication=report(
            RESULTS.figures.figure("paper_and_replication", "svg"),
            category="4 Figures",
            subcategory="1 Scores",
            labels={"figure": "Paper against replication"},
            caption="report/paper_and_replication.rst",
        ),
        score_by_parameters=report(
            RESULTS.figures.figure("score_by_parameters", "svg"),
            category="4 Figures",
            subcategory="2 Scores against cost",
            labels={"figure": "Score against parameters"},
            caption="report/score_by_parameters.rst",
        ),
        score_by_latency=report(
            RESULTS.figures.figure("score_by_latency", "svg"),
            category="4 Figures",
            subcategory="2 Scores against cost",
            labels={"figure": "Score against latency"},
            caption="report/score_by_latency.rst",
        ),
        pretraining_losses=report(
            RESULTS.figures.figure("pretraining_losses", "svg"),
            category="4 Figures",
            subcategory="3 Trainings",
            labels={"figure": "Loss of all pre-trainings"},
            caption="report/pretraining_losses.rst",
        ),
        learning_curves=report(
            RESULTS.figures.figure("learning_curves", "svg"),
            category="4 Figures",
            subcategory="3 Trainings",
            labels={"figure": "Learning curves of fine-tuning"},
            caption="report/learning_curves.rst",
        ),
    log:
        RESULTS.log("build_figures"),
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    params:
        selection=reporting_selection(),
        baseline=config["reporting"]["baseline_model"],
        groups=json.dumps(origin_groups(config)),
        folder=subpath(output.scores, parent=True),
    shell:
        "python {SCRIPTS:q}/build_figures.py"
        " --scores {input.scores:q} --efficiency {input.efficiency:q} --trainings {input.trainings:q}"
        " --pretrainings {input.pretrainings:q}"
        " {params.selection:q}"
        " --baseline {params.baseline:q} --groups {params.groups:q} --output-dir {params.folder:q}"
        " > {log:q} 2>&1"


# What a reviewer asks beside the tables. The folder of benchmarks is read as it is then: it is no output of a rule.
rule describe_run:
    input:
        scores=RESULTS.reporting.scores,
        checks=RESULTS.reporting.checks,
        trainings=provenance_files(),
        corpus=[RESULTS.corpus.summary_csv] if TRAINED else [],
    output:
        plain=collect(
            RESULTS.reporting.page("{page}", "md"),
            page=["run", "corpus", "costs", "deviations", "environment"],
        ),
        costs_csv=RESULTS.reporting.page("costs", "csv"),
        run=report(
            RESULTS.reporting.page("run", "html"),
            category="1 What was run",
            labels={"result": "Models, runs, checks"},
            caption="report/run.rst",
        ),
        corpus=report(
            RESULTS.reporting.page("corpus", "html"),
            category="5 Corpus",
            labels={"result": "Counts"},
            caption="report/corpus.rst",
        ),
        costs=report(
            RESULTS.reporting.page("costs", "html"),
            category="6 Costs",
            labels={"result": "Time, GPU-hours, memory"},
            caption="report/costs.rst",
        ),
        deviations=report(
            RESULTS.reporting.page("deviations", "html"),
            category="7 Deviations",
            labels={"result": "Switches and configuration"},
            caption="report/deviations.rst",
        ),
        environment=report(
            RESULTS.reporting.page("environment", "html"),
            category="8 Environment",
            labels={"result": "Code, packages, hardware"},
            caption="report/environment.rst",
        ),
    log:
        RESULTS.log("describe_run"),
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    params:
        config=json.dumps(config),
        used=names_in_use(config),
        benchmarks=RESULTS.benchmarks,
        folder=subpath(output.run, parent=True),
    shell:
        "python {SCRIPTS:q}/describe_run.py"
        " --config {params.config:q} --used {params.used:q}"
        " --scores {input.scores:q} --checks {input.checks:q} --trainings {input.trainings:q}"
        " --corpus {input.corpus:q} --benchmarks {params.benchmarks:q} --output-dir {params.folder:q}"
        " > {log:q} 2>&1"
