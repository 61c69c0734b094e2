# Fine-tuning: one job per model and dataset, whose runs (seeds, folds) share a process, and one scoring job per
# model.


rule resolve_finetuning:
    output:
        f"{RESULTS}/finetuning/{{model}}/{{dataset}}/run.yaml",
    log:
        f"{LOGS}/resolve_finetuning/{{model}}/{{dataset}}.log",
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    params:
        settings=lambda wildcards: json.dumps(
            finetuning_run(config, wildcards.model, wildcards.dataset)
        ),
    shell:
        f"python {SCRIPTS}/resolve_run.py"
        " --settings {params.settings:q} --output {output:q} > {log:q} 2>&1"


# Checkpoints are no output: Snakemake removes outputs before each try, and a try goes on from them. Nor are kept
# weights, which only some datasets have: who reads them takes training.json, which holds their digest.
rule finetune_model:
    input:
        run=f"{RESULTS}/finetuning/{{model}}/{{dataset}}/run.yaml",
        model=lambda wildcards: start_record(wildcards.model, wildcards.dataset),
        task=f"{RESULTS}/tasks/{{dataset}}/manifest.json",
    output:
        predictions=f"{RESULTS}/finetuning/{{model}}/{{dataset}}/predictions.parquet",
        metrics=f"{RESULTS}/finetuning/{{model}}/{{dataset}}/metrics.jsonl",
        training=f"{RESULTS}/finetuning/{{model}}/{{dataset}}/training.json",
        provenance=f"{RESULTS}/finetuning/{{model}}/{{dataset}}/provenance.json",
    log:
        f"{LOGS}/finetune_model/{{model}}/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/finetune_model/{{model}}/{{dataset}}.tsv"
    conda:
        "../envs/workflow.yaml"
    threads: 4
    resources:
        gpu=1,
        nodes=1,
        mem_mb=24000,
        runtime=480,
    params:
        model=lambda wildcards: start_folder(wildcards.model, wildcards.dataset),
        task=lambda wildcards, input: os.path.dirname(input.task),
        checkpoints=f"{RESULTS}/checkpoints/finetuning/{{model}}/{{dataset}}",
        output_dir=lambda wildcards, output: os.path.dirname(output.predictions),
    shell:
        f"python {SCRIPTS}/finetune_model.py"
        " --run {input.run:q} --model {params.model:q} --task {params.task:q}"
        " --checkpoints {params.checkpoints:q} --output-dir {params.output_dir:q}"
        " --max-minutes {resources.runtime} < /dev/null > {log:q} 2>&1"


rule score_model:
    input:
        predictions=expand(
            "{results}/finetuning/{{model}}/{dataset}/predictions.parquet",
            results=RESULTS,
            dataset=config["run"]["datasets"],
        ),
        runs=expand(
            "{results}/finetuning/{{model}}/{dataset}/run.yaml",
            results=RESULTS,
            dataset=config["run"]["datasets"],
        ),
        tasks=expand(
            "{results}/tasks/{dataset}/manifest.json",
            results=RESULTS,
            dataset=config["run"]["datasets"],
        ),
    output:
        scores=f"{RESULTS}/finetuning/{{model}}/scores.tsv",
        units=f"{RESULTS}/finetuning/{{model}}/units.parquet",
    log:
        f"{LOGS}/score_model/{{model}}.log",
    retries: 0
    conda:
        "../envs/workflow.yaml"
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        results=lambda wildcards, input: [os.path.dirname(path) for path in input.runs],
        tasks=lambda wildcards, input: [os.path.dirname(path) for path in input.tasks],
    shell:
        f"HF_HUB_OFFLINE=1 python {SCRIPTS}/score_model.py"
        " --model {wildcards.model:q} --results {params.results:q}"
        " --tasks {params.tasks:q} --output {output.scores:q} --units {output.units:q}"
        " > {log:q} 2>&1"
