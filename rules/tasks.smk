# Benchmark data: fetched as their owners publish them, then brought into one form per kind of task.


rule fetch_task_data:
    output:
        manifest=f"{RESULTS}/tasks/sources/{{source}}.json",
    log:
        f"{LOGS}/fetch_task_data/{{source}}.log",
    retries: 1
    localrule: True
    conda:
        "../envs/workflow.yaml"
    params:
        url=lambda wc: config["data_urls"].get(wc.source, ""),
    shell:
        f"python {SCRIPTS}/fetch_task_data.py"
        f" --table '{SOURCES_TABLE}' --cache '{DOWNLOADS}/tasks'"
        " --source {wildcards.source} --url {params.url:q} --output {output.manifest:q} > {log:q} 2>&1"


# Files of a user's own are inputs, so that an edited file is prepared again. What only fine-tuning reads is left
# out of the definition, so that changing it prepares nothing again.
rule prepare_task:
    input:
        source=lambda wc: [
            f"{RESULTS}/tasks/sources/{source}.json"
            for source in [dataset_definition(wc.dataset)["source"]]
            if source
        ],
        own=lambda wc: [
            f"{definition['folder']}/{file}"
            for definition in [dataset_definition(wc.dataset)]
            for file in definition.get("files", {}).values()
            if not definition["source"]
        ],
    output:
        manifest=f"{RESULTS}/tasks/{{dataset}}/manifest.json",
    log:
        f"{LOGS}/prepare_task/{{dataset}}.log",
    retries: 0
    conda:
        "../envs/workflow.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        definition=lambda wc: json.dumps(
            {
                key: value
                for key, value in dataset_definition(wc.dataset).items()
                if key not in ("finetuning", "positive_labels", "validation_fraction")
            }
        ),
        data=lambda wc, input: str(input.source) or ".",
        folder=lambda wc, output: os.path.dirname(output.manifest),
    shell:
        f"python {SCRIPTS}/prepare_task.py"
        " --dataset {wildcards.dataset} --definition {params.definition:q}"
        " --data {params.data:q} --output {params.folder:q} > {log:q} 2>&1"
