# Fine-tuning: one job per model and dataset, whose runs (seeds, folds) share a process, and one scoring job per
# model.


rule resolve_finetuning:
    """Write all settings of a model's fine-tuning on a dataset into one file."""
    output:
        RESULTS.finetuning("{model}", "{dataset}").run,
    log:
        RESULTS.log("resolve_finetuning", "{model}", "{dataset}"),
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    params:
        scripts=unrecorded(SCRIPTS),
        settings=lambda wildcards: json.dumps(
            finetuning_run(config, wildcards.model, wildcards.dataset)
        ),
    message:
        "resolve the fine-tuning of {wildcards.model} on {wildcards.dataset}"
    shell:
        "python {params.scripts:q}/resolve_run.py"
        " --settings {params.settings:q} --output {output:q} > {log:q} 2>&1"


# Checkpoints are no output: Snakemake removes outputs before each try, and a try goes on from them. Nor are kept
# weights, which only some datasets have: who reads them takes training.json, which holds their digest.
rule finetune_model:
    """Fine-tune a model on a dataset, all its runs, and predict; goes on from its last checkpoint."""
    input:
        run=RESULTS.finetuning("{model}", "{dataset}").run,
        model=lambda wildcards: start_record(wildcards.model, wildcards.dataset),
        task=RESULTS.tasks.dataset("{dataset}").manifest,
    output:
        predictions=RESULTS.finetuning("{model}", "{dataset}").predictions,
        metrics=RESULTS.finetuning("{model}", "{dataset}").metrics,
        training=RESULTS.finetuning("{model}", "{dataset}").training,
        provenance=RESULTS.finetuning("{model}", "{dataset}").provenance,
    log:
        RESULTS.log("finetune_model", "{model}", "{dataset}"),
    benchmark:
        RESULTS.benchmark("finetune_model", "{model}", "{dataset}")
    conda:
        "../envs/workflow.yaml"
    threads: 4
    resources:
        gpu=1,
        nodes=1,
        mem_mb=24000,
        runtime=480,
        runs_at_once="auto",
    params:
        notice=unrecorded(NOTICE),
        scripts=unrecorded(SCRIPTS),
        model=lambda wildcards: start_folder(wildcards.model, wildcards.dataset),
        task=lambda wildcards, input: os.path.dirname(input.task),
        checkpoints=RESULTS.checkpoints.finetuning("{model}", "{dataset}"),
        output_dir=lambda wildcards, output: os.path.dirname(output.predictions),
    message:
        "fine-tune {wildcards.model} on {wildcards.dataset}"
    shell:
        "python {params.scripts:q}/finetune_model.py"
        " --run {input.run:q} --model {params.model:q} --task {params.task:q}"
        " --checkpoints {params.checkpoints:q} --output-dir {params.output_dir:q}"
        " --notice={params.notice:q} --max-minutes {resources.runtime:q}"
        " --runs-at-once {resources.runs_at_once:q} --memory-mb {resources.mem_mb:q} < /dev/null > {log:q} 2>&1"


rule score_model:
    """Score the predictions of a model on every dataset."""
    input:
        predictions=[
            RESULTS.finetuning("{model}", dataset).predictions for dataset in DATASETS
        ],
        runs=[RESULTS.finetuning("{model}", dataset).run for dataset in DATASETS],
        tasks=[RESULTS.tasks.dataset(dataset).manifest for dataset in DATASETS],
    output:
        scores=RESULTS.model_scores("{model}").scores,
        classes=RESULTS.model_scores("{model}").classes,
        units=RESULTS.model_scores("{model}").units,
    log:
        RESULTS.log("score_model", "{model}"),
    retries: 0
    conda:
        "../envs/workflow.yaml"
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        scripts=unrecorded(SCRIPTS),
        results=lambda wildcards, input: [os.path.dirname(path) for path in input.runs],
        tasks=lambda wildcards, input: [os.path.dirname(path) for path in input.tasks],
    message:
        "score {wildcards.model}"
    shell:
        "HF_HUB_OFFLINE=1 python {params.scripts:q}/score_model.py"
        " --model {wildcards.model:q} --results {params.results:q}"
        " --tasks {params.tasks:q} --output {output.scores:q}"
        " --classes {output.classes:q} --units {output.units:q}"
        " > {log:q} 2>&1"
