# Checkpoints as they are published, in one form; and each trained model as it is before its first step.


rule fetch_checkpoint:
    input:
        files=lambda wildcards: local_checkpoint_files(wildcards.checkpoint),
    output:
        manifest=f"{RESULTS}/students/fetched/{{checkpoint}}/manifest.json",
    log:
        f"{RESULTS}/logs/fetch_checkpoint/{{checkpoint}}.log",
    retries: 1
    localrule: True
    conda:
        "../envs/workflow.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        definition=lambda wildcards: json.dumps(fetch_definition(wildcards.checkpoint)),
        tokenizer=lambda wildcards: json.dumps(
            tokenizer_definition(wildcards.checkpoint)
        ),
        folder=subpath(output.manifest, parent=True),
    shell:
        f"python {SCRIPTS}/fetch_checkpoint.py"
        " --name {wildcards.checkpoint:q}"
        " --definition {params.definition:q} --tokenizer-definition {params.tokenizer:q}"
        f" --cache '{DOWNLOADS}/hub' --lock '{DOWNLOADS}/revisions.lock.json'"
        " --output {params.folder:q}"
        " > {log:q} 2>&1"


# Local, since it takes seconds: the source is read, some layers are kept, the rest is written again.
rule initialise_student:
    input:
        run=f"{RESULTS}/pretraining/{{model}}/run.yaml",
        source=lambda wildcards: f"{student_source(wildcards.model)[1]}/manifest.json",
    output:
        manifest=f"{RESULTS}/students/initialised/{{model}}/manifest.json",
    log:
        f"{RESULTS}/logs/initialise_student/{{model}}.log",
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
        f"python {SCRIPTS}/initialise_student.py"
        " --run {input.run:q}"
        " {params.option} {params.source:q} --output {params.folder:q}"
        " > {log:q} 2>&1"
