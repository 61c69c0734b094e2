# Checkpoints as they are published, in one form; and each trained model as it is before its first step.


rule fetch_checkpoint:
    """Fetch a published checkpoint, or read one from a folder."""
    input:
        files=lambda wildcards: local_checkpoint_files(wildcards.checkpoint),
    output:
        manifest=RESULTS.students.fetched("{checkpoint}").manifest,
    log:
        RESULTS.log("fetch_checkpoint", "{checkpoint}"),
    retries: 1
    localrule: True
    conda:
        "../envs/workflow.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        scripts=unrecorded(SCRIPTS),
        cache=unrecorded(DOWNLOADS.hub),
        lock=unrecorded(DOWNLOADS.revisions),
        definition=lambda wildcards: json.dumps(
            fetch_definition(config, wildcards.checkpoint)
        ),
        tokenizer=lambda wildcards: json.dumps(
            config["tokenizers"].get(
                source_of(config, wildcards.checkpoint)["tokenizer"]
            )
        ),
        folder=subpath(output.manifest, parent=True),
    message:
        "fetch checkpoint {wildcards.checkpoint}"
    shell:
        "python {params.scripts:q}/fetch_checkpoint.py"
        " --name {wildcards.checkpoint:q}"
        " --definition {params.definition:q} --tokenizer-definition {params.tokenizer:q}"
        " --cache {params.cache:q} --lock {params.lock:q}"
        " --output {params.folder:q}"
        " > {log:q} 2>&1"


# Local, since it takes seconds: the source is read, some layers are kept, the rest is written again.
rule initialise_student:
    """Make a model as it is before its first step."""
    input:
        run=RESULTS.pretraining("{model}").run,
        source=lambda wildcards: student_source(wildcards.model)[1].manifest,
    output:
        manifest=RESULTS.students.initialised("{model}").manifest,
    log:
        RESULTS.log("initialise_student", "{model}"),
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    resources:
        mem_mb=4000,
        runtime=15,
    params:
        scripts=unrecorded(SCRIPTS),
        option=lambda wildcards: student_source(wildcards.model)[0],
        source=subpath(input.source, parent=True),
        folder=subpath(output.manifest, parent=True),
    message:
        "initialise the student of {wildcards.model}"
    shell:
        "python {params.scripts:q}/initialise_student.py"
        " --run {input.run:q}"
        " {params.option:q} {params.source:q} --output {params.folder:q}"
        " > {log:q} 2>&1"
