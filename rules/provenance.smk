# What a finished run says of itself: its sources and how to cite them, a card of each model, and a research object
# (Workflow Run Crate) over all of it, whose root is the results folder.


rule write_citations:
    input:
        sources=SOURCES_TABLE,
        fetched=[
            f"{RESULTS}/students/fetched/{name}/manifest.json"
            for name in fetched_names()
        ],
    output:
        plain=f"{RESULTS}/reporting/citations.md",
        bibtex=f"{RESULTS}/reporting/citations.bib",
        page=report(
            f"{RESULTS}/reporting/citations.html",
            category="8 Environment",
            labels={"result": "Sources, licences, citations"},
            caption="report/citations.rst",
        ),
    log:
        f"{LOGS}/write_citations/all.log",
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    params:
        config=json.dumps(config),
        selection=sources_selection(),
    shell:
        f"python {SCRIPTS}/write_citations.py"
        " --config {params.config:q} --sources {input.sources:q} {params.selection:q}"
        " --output {output.plain:q} --output {output.bibtex:q} --output {output.page:q}"
        " > {log:q} 2>&1"


# Cards of the models that are scored, and of teachers that are trained for them.
rule write_model_cards:
    input:
        sources=SOURCES_TABLE,
        tables=f"{RESULTS}/tables/index.md",
        fetched=[
            f"{RESULTS}/students/fetched/{name}/manifest.json"
            for name in fetched_names()
        ],
        trained=[
            f"{RESULTS}/pretraining/{model}/model/manifest.json"
            for model in trained_models()
        ],
    output:
        cards=[
            f"{RESULTS}/reporting/model_cards/{model}.md"
            for model in models_with_cards()
        ],
    log:
        f"{LOGS}/write_model_cards/all.log",
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    params:
        config=json.dumps(config),
        selection=sources_selection(),
        models=models_with_cards(),
        folder=lambda wildcards, output: os.path.dirname(output.cards[0]),
    shell:
        f"python {SCRIPTS}/write_model_cards.py"
        " --config {params.config:q} --sources {input.sources:q} {params.selection:q}"
        " --models {params.models:q} --output-dir {params.folder:q}"
        " > {log:q} 2>&1"


# Last of all: it describes what the other rules have left.
rule write_provenance:
    input:
        results=reporting_targets(),
        cards=rules.write_model_cards.output.cards,
        citations=rules.write_citations.output.plain,
        sources=SOURCES_TABLE,
    output:
        crate=f"{RESULTS}/ro-crate-metadata.json",
        workflow=f"{RESULTS}/workflow/Snakefile",
        configuration=f"{RESULTS}/reporting/configuration.yaml",
    log:
        f"{LOGS}/write_provenance/all.log",
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    params:
        config=json.dumps(config),
        selection=sources_selection(),
    shell:
        f"python {SCRIPTS}/write_provenance.py"
        " --config {params.config:q} --sources {input.sources:q} {params.selection:q}"
        " > {log:q} 2>&1"
