# Benchmark data: fetched as their owners publish them, then brought into one form per kind of task.


rule fetch_task_data:
    """Fetch the files of a benchmark."""
    output:
        manifest=RESULTS.tasks.source("{source}"),
    log:
        RESULTS.log("fetch_task_data", "{source}"),
    retries: 1
    localrule: True
    conda:
        "../envs/workflow.yaml"
    params:
        scripts=unrecorded(SCRIPTS),
        sources_table=unrecorded(SOURCES_TABLE),
        cache=unrecorded(DOWNLOADS.tasks),
        url=lambda wc: config["data_urls"].get(wc.source, ""),
    message:
        "fetch {wildcards.source}"
    shell:
        "python {params.scripts:q}/fetch_task_data.py"
        " --table {params.sources_table:q} --cache {params.cache:q}"
        " --source {wildcards.source:q} --url {params.url:q} --output {output.manifest:q} > {log:q} 2>&1"


# Files of a user's own are inputs, so that an edited file is prepared again. What only fine-tuning reads is left
# out of the definition, so that changing it prepares nothing again.
rule prepare_task:
    """Bring a dataset into the one form of its kind of task."""
    input:
        source=lambda wc: [
            RESULTS.tasks.source(source)
            for source in [config["datasets"][wc.dataset]["source"]]
            if source
        ],
        own=lambda wc: own_files(config["datasets"][wc.dataset]),
    output:
        manifest=RESULTS.tasks.dataset("{dataset}").manifest,
    log:
        RESULTS.log("prepare_task", "{dataset}"),
    retries: 0
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        scripts=unrecorded(SCRIPTS),
        definition=lambda wc: json.dumps(
            {
                key: value
                for key, value in config["datasets"][wc.dataset].items()
                if key
                not in (
                    "finetuning",
                    "positive_labels",
                    "validation_fraction",
                    "described_by",
                )
            }
        ),
        data=lambda wc, input: str(input.source) or ".",
        folder=lambda wc, output: os.path.dirname(output.manifest),
    message:
        "prepare {wildcards.dataset}"
    shell:
        "HF_HUB_OFFLINE=1 python {params.scripts:q}/prepare_task.py"
        " --dataset {wildcards.dataset:q} --definition {params.definition:q}"
        " --data {params.data:q} --output {params.folder:q} > {log:q} 2>&1"
