# What a finished run says of itself: its sources and how to cite them, a card of each model, and a research object
# (Workflow Run Crate) over all of it, whose root is the results folder.


rule write_citations:
    """Write sources, licences and citations of what was used."""
    input:
        sources=SOURCES_TABLE,
        fetched=[RESULTS.students.fetched(name).manifest for name in FETCHED],
    output:
        plain=RESULTS.reporting.citations("md"),
        bibtex=RESULTS.reporting.citations("bib"),
        page=report(
            RESULTS.reporting.citations("html"),
            category="8 Environment",
            labels={"result": "Sources, licences, citations"},
            caption="report/citations.rst",
        ),
    log:
        RESULTS.log("write_citations"),
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    params:
        scripts=unrecorded(SCRIPTS),
        results=unrecorded(RESULTS.folder),
        config=json.dumps(config),
        notice=NOTICE,
    message:
        "write the citations"
    shell:
        "python {params.scripts:q}/write_citations.py"
        " --config {params.config:q} --sources {input.sources:q} --results {params.results:q}"
        " --notice={params.notice:q} > {log:q} 2>&1"


# Cards of the models that are scored, and of teachers that are trained for them.
rule write_model_cards:
    """Write a card for each model."""
    input:
        sources=SOURCES_TABLE,
        tables=RESULTS.tables.index("md"),
        fetched=[RESULTS.students.fetched(name).manifest for name in FETCHED],
        trained=[RESULTS.pretraining(model).model.manifest for model in TRAINED],
    output:
        cards=[
            RESULTS.reporting.model_card(model) for model in described_models(config)
        ],
    log:
        RESULTS.log("write_model_cards"),
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    params:
        scripts=unrecorded(SCRIPTS),
        results=unrecorded(RESULTS.folder),
        config=json.dumps(config),
        notice=NOTICE,
    message:
        "write the model cards"
    shell:
        "python {params.scripts:q}/write_model_cards.py"
        " --config {params.config:q} --sources {input.sources:q} --results {params.results:q}"
        " --notice={params.notice:q} > {log:q} 2>&1"


# Last of all: it describes what the other rules have left.
rule write_provenance:
    """Describe the finished results as a research object."""
    input:
        results=reporting_targets(),
        cards=rules.write_model_cards.output.cards,
        citations=rules.write_citations.output.plain,
        sources=SOURCES_TABLE,
    output:
        crate=RESULTS.research_object,
        workflow=RESULTS.workflow,
        configuration=RESULTS.reporting.configuration,
    log:
        RESULTS.log("write_provenance"),
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    params:
        scripts=unrecorded(SCRIPTS),
        results=unrecorded(RESULTS.folder),
        config=json.dumps(config),
        notice=NOTICE,
    message:
        "write the research object"
    shell:
        "python {params.scripts:q}/write_provenance.py"
        " --config {params.config:q} --sources {input.sources:q} --results {params.results:q}"
        " --notice={params.notice:q} > {log:q} 2>&1"
