# Checkpoints as they are published, in one form; and each trained model as it is before its first step.


rule fetch_checkpoint:
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
        definition=lambda wildcards: json.dumps(
            fetch_definition(config, wildcards.checkpoint)
        ),
        tokenizer=lambda wildcards: json.dumps(
            config["tokenizers"][source_of(config, wildcards.checkpoint)["tokenizer"]]
        ),
        folder=subpath(output.manifest, parent=True),
    shell:
        "python {SCRIPTS:q}/fetch_checkpoint.py"
        " --name {wildcards.checkpoint:q}"
        " --definition {params.definition:q} --tokenizer-definition {params.tokenizer:q}"
        " --cache {DOWNLOADS.hub:q} --lock {DOWNLOADS.revisions:q}"
        " --output {params.folder:q}"
        " > {log:q} 2>&1"


# Local, since it takes seconds: the source is read, some layers are kept, the rest is written again.
rule initialise_student:
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
        option=lambda wildcards: student_source(wildcards.model)[0],
        source=subpath(input.source, parent=True),
        folder=subpath(output.manifest, parent=True),
    shell:
        "python {SCRIPTS:q}/initialise_student.py"
        " --run {input.run:q}"
        " {params.option:q} {params.source:q} --output {params.folder:q}"
        " > {log:q} 2>&1"
