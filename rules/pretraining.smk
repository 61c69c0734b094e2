# Students trained: one resolved run file, one training, one exported model each.


rule resolve_run:
    output:
        run=RESULTS.pretraining("{model}").run,
    log:
        RESULTS.log("resolve_run", "{model}"),
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    params:
        settings=lambda wildcards: json.dumps(pretraining_run(config, wildcards.model)),
    shell:
        "python {SCRIPTS:q}/resolve_run.py"
        " --settings {params.settings:q} --output {output.run:q}"
        " > {log:q} 2>&1"


# No `retries` here: the profile says how many time limits a training may take. What resources say changes where and
# how fast it runs, never its numbers; `gpu` is the job's total, and without `nodes` SLURM may spread it over nodes.
# They stand here and not in a profile, since --set-resources on a command line replaces a profile's whole block.
# Checkpoints are no output: outputs are deleted before each try.
rule pretrain_model:
    input:
        run=RESULTS.pretraining("{model}").run,
        student=RESULTS.students.initialised("{model}").manifest,
        teacher=lambda wildcards: teacher_manifest(wildcards.model),
        tokens=lambda wildcards: token_stores(
            config["models"][wildcards.model]["tokenizer"]
        ),
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
        checkpoints=RESULTS.checkpoints.pretraining("{model}"),
        rank_logs=RESULTS.rank_logs("pretrain_model", "{model}"),
        batch=lambda wildcards, resources: global_batch_size(
            wildcards.model, resources.gpu
        ),
    shell:
        "python {SCRIPTS:q}/launch.py"
        " --gpus {resources.gpu:q} --nodes {resources.nodes:q} --global-batch-size {params.batch:q}"
        " --run-state {params.checkpoints:q}/state.json --rank-logs {params.rank_logs:q} --"
        " {SCRIPTS:q}/pretrain_model.py"
        " --run {input.run:q} --student {input.student:q}"
        " --teacher {input.teacher:q} --tokens {input.tokens[0]:q} --shards {SHARDS:q} --checkpoints {params.checkpoints:q}"
        " --output {output.training:q} --provenance {output.provenance:q}"
        " --max-minutes {resources.runtime:q} --micro-batch-tokens {resources.micro_batch_tokens:q}"
        " --checkpoint-every-steps {config[pretraining][checkpoint_every_steps]:q}"
        " --checkpoint-every-minutes {config[pretraining][checkpoint_every_minutes]:q}"
        " --log-every-steps {config[pretraining][log_every_steps]:q}"
        " > {log:q} 2>&1 < /dev/null"


# Local, since it takes seconds: weights are read from the last checkpoint and written in the common form.
rule export_model:
    input:
        run=RESULTS.pretraining("{model}").run,
        training=RESULTS.pretraining("{model}").training,
        student=RESULTS.students.initialised("{model}").manifest,
    output:
        manifest=RESULTS.pretraining("{model}").model.manifest,
        metrics=RESULTS.pretraining("{model}").metrics,
        figure=report(
            RESULTS.figures.losses("{model}", "svg"),
            category="4 Figures",
            subcategory="4 Terms of the losses",
            labels={"model": "{model}"},
            caption="report/pretraining_terms.rst",
        ),
        bitmap=RESULTS.figures.losses("{model}", "png"),
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
        folder=subpath(output.manifest, parent=True),
    shell:
        "python {SCRIPTS:q}/export_model.py"
        " --run {input.run:q} --training {input.training:q}"
        " --student {input.student:q} --output {params.folder:q}"
        " --metrics {output.metrics:q} --figure {output.figure:q} --figure {output.bitmap:q}"
        " --notice {NOTICE:q}"
        " > {log:q} 2>&1"
