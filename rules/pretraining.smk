# Students trained: one resolved run file, one training, one exported model each.


rule resolve_run:
    """Write all settings of a model's pre-training into one file."""
    output:
        run=RESULTS.pretraining("{model}").run,
    log:
        RESULTS.log("resolve_run", "{model}"),
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    params:
        scripts=unrecorded(SCRIPTS),
        settings=lambda wildcards: json.dumps(pretraining_run(config, wildcards.model)),
    message:
        "resolve the pre-training of {wildcards.model}"
    shell:
        "python {params.scripts:q}/resolve_run.py"
        " --settings {params.settings:q} --output {output.run:q}"
        " > {log:q} 2>&1"


# No `retries` here: the profile says how many time limits a training may take. What resources say changes where and
# how fast it runs, never its numbers; `gpu` is the job's total, and without `nodes` SLURM may spread it over nodes.
# They stand here and not in a profile, since --set-resources on a command line replaces a profile's whole block.
# Checkpoints are no output: outputs are deleted before each try.
rule pretrain_model:
    """Distil a student, or train it on by masked language modelling; goes on from its last checkpoint."""
    input:
        run=RESULTS.pretraining("{model}").run,
        student=RESULTS.students.initialised("{model}").manifest,
        teacher=lambda wildcards: teacher_manifest(wildcards.model),
        tokens=lambda wildcards: token_stores(tokenizer_name(config, wildcards.model)),
    output:
        training=RESULTS.pretraining("{model}").training,
        provenance=RESULTS.pretraining("{model}").provenance,
    log:
        RESULTS.log("pretrain_model", "{model}"),
    benchmark:
        RESULTS.benchmark("pretrain_model", "{model}")
    conda:
        "../envs/workflow.yaml"
    threads: 8
    resources:
        gpu=1,
        nodes=1,
        mem_mb=32000,
        runtime=1440,
        micro_batch_tokens="auto",
    params:
        scripts=unrecorded(SCRIPTS),
        shards=unrecorded(SHARDS),
        checkpoint_every_steps=unrecorded(
            config["pretraining"]["checkpoint_every_steps"]
        ),
        checkpoint_every_minutes=unrecorded(
            config["pretraining"]["checkpoint_every_minutes"]
        ),
        log_every_steps=unrecorded(config["pretraining"]["log_every_steps"]),
        checkpoints=RESULTS.checkpoints.pretraining("{model}"),
        rank_logs=RESULTS.rank_logs("pretrain_model", "{model}"),
        batch=lambda wildcards, resources: global_batch_size(
            wildcards.model, resources.gpu
        ),
    message:
        "pre-train {wildcards.model}"
    shell:
        "python {params.scripts:q}/launch.py"
        " --gpus {resources.gpu:q} --nodes {resources.nodes:q} --global-batch-size {params.batch:q}"
        " --run-state {params.checkpoints:q}/state.json --rank-logs {params.rank_logs:q} --"
        " {params.scripts:q}/pretrain_model.py"
        " --run {input.run:q} --student {input.student:q}"
        " --teacher {input.teacher:q} --tokens {input.tokens[0]:q} --shards {params.shards:q} --checkpoints {params.checkpoints:q}"
        " --output {output.training:q} --provenance {output.provenance:q}"
        " --max-minutes {resources.runtime:q} --micro-batch-tokens {resources.micro_batch_tokens:q}"
        " --checkpoint-every-steps {params.checkpoint_every_steps:q}"
        " --checkpoint-every-minutes {params.checkpoint_every_minutes:q}"
        " --log-every-steps {params.log_every_steps:q}"
        " > {log:q} 2>&1 < /dev/null"


# Local, since it takes seconds: weights are read from the last checkpoint and written in the common form.
rule export_model:
    """Write a pre-trained model in the form that transformers reads."""
    input:
        run=RESULTS.pretraining("{model}").run,
        training=RESULTS.pretraining("{model}").training,
        student=RESULTS.students.initialised("{model}").manifest,
    output:
        manifest=RESULTS.pretraining("{model}").model.manifest,
        metrics=RESULTS.pretraining("{model}").metrics,
    log:
        RESULTS.log("export_model", "{model}"),
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    resources:
        mem_mb=4000,
        runtime=15,
    params:
        notice=unrecorded(NOTICE),
        scripts=unrecorded(SCRIPTS),
        folder=subpath(output.manifest, parent=True),
    message:
        "export {wildcards.model}"
    shell:
        "python {params.scripts:q}/export_model.py"
        " --run {input.run:q} --training {input.training:q}"
        " --student {input.student:q} --output {params.folder:q}"
        " --metrics {output.metrics:q} --notice={params.notice:q}"
        " > {log:q} 2>&1"
