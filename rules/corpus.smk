# Texts and token stores: from the PubMed baseline, or from documents of one's own, in batches of files.


if config["corpus"]["source"] == "baseline":

    # What it fetches lies in a cache that is no output: a batch with one failed file loses nothing else.
    rule download_baseline:
        output:
            manifest=f"{RESULTS}/corpus/baseline/{{batch}}.json",
        log:
            f"{RESULTS}/logs/download_baseline/{{batch}}.log",
        retries: 1
        localrule: True
        conda:
            "../envs/workflow.yaml"
        params:
            base_url=config["corpus"]["baseline"]["base_url"],
            year=config["corpus"]["baseline"]["year"],
            numbers=lambda wildcards: batch_numbers(wildcards.batch),
        shell:
            f"python {SCRIPTS}/download_baseline.py"
            " --base-url {params.base_url:q} --year {params.year}"
            f" --downloads '{DOWNLOADS}'"
            " --numbers {params.numbers:q} --output {output.manifest:q}"
            " > {log:q} 2>&1"

    rule parse_baseline:
        input:
            manifest=f"{RESULTS}/corpus/baseline/{{batch}}.json",
        output:
            text=f"{RESULTS}/corpus/text/{{batch}}.parquet",
            counts=f"{RESULTS}/corpus/text/{{batch}}.counts.json",
        log:
            f"{RESULTS}/logs/parse_baseline/{{batch}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/parse_baseline/{{batch}}.tsv"
        retries: 0
        conda:
            "../envs/workflow.yaml"
        threads: 1
        resources:
            mem_mb=1000,
            runtime=30,
        params:
            text=branch(
                config["quirks"]["text"] == "reference",
                then="reference",
                otherwise="full",
            ),
            as_of=branch(
                config["corpus"]["baseline"]["as_of"] is not None,
                then=f"--as-of {config['corpus']['baseline']['as_of']}",
                otherwise="",
            ),
        shell:
            f"python {SCRIPTS}/parse_baseline.py"
            " --text {params.text} {params.as_of}"
            " --manifest {input.manifest:q} --output {output.text:q} --counts {output.counts:q}"
            " > {log:q} 2>&1"

else:

    rule import_documents:
        input:
            documents=lambda wildcards: config["corpus"]["documents"][
                int(wildcards.batch) - 1
            ],
        output:
            text=f"{RESULTS}/corpus/text/{{batch}}.parquet",
            counts=f"{RESULTS}/corpus/text/{{batch}}.counts.json",
        log:
            f"{RESULTS}/logs/import_documents/{{batch}}.log",
        retries: 0
        conda:
            "../envs/workflow.yaml"
        threads: 1
        resources:
            mem_mb=1000,
            runtime=60,
        shell:
            f"python {SCRIPTS}/import_documents.py"
            " {input.documents:q}"
            " --output {output.text:q} --counts {output.counts:q}"
            " > {log:q} 2>&1"


rule tokenize_shard:
    input:
        text=f"{RESULTS}/corpus/text/{{batch}}.parquet",
        tokenizer=lambda wildcards: f"{tokenizer_folder(wildcards.tokenizer)}/manifest.json",
    output:
        ids=f"{RESULTS}/corpus/tokens/{{tokenizer}}/{{batch}}/ids.npy",
        offsets=f"{RESULTS}/corpus/tokens/{{tokenizer}}/{{batch}}/offsets.npy",
        manifest=f"{RESULTS}/corpus/tokens/{{tokenizer}}/{{batch}}/manifest.json",
    log:
        f"{RESULTS}/logs/tokenize_shard/{{tokenizer}}/{{batch}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/tokenize_shard/{{tokenizer}}/{{batch}}.tsv"
    retries: 0
    conda:
        "../envs/workflow.yaml"
    threads: 2
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        tokenizer=subpath(input.tokenizer, parent=True),
        folder=subpath(output.manifest, parent=True),
        max_length=config["corpus"]["max_length"],
        definition=lambda wildcards: json.dumps(
            config["tokenizers"][wildcards.tokenizer]
        ),
    shell:
        f"HF_HUB_OFFLINE=1 python {SCRIPTS}/tokenize_shard.py"
        " --tokenizer {params.tokenizer:q}"
        " --name {wildcards.tokenizer:q} --definition {params.definition:q}"
        " --max-length {params.max_length} --threads {threads} --output {params.folder:q} {input.text:q}"
        " > {log:q} 2>&1"


rule summarise_corpus:
    input:
        counts=[
            f"{RESULTS}/corpus/text/{batch}.counts.json" for batch in corpus_batches()
        ],
        stores=[
            store
            for tokenizer in corpus_tokenizers()
            for store in token_stores(tokenizer)
        ],
    output:
        csv=f"{RESULTS}/corpus/summary.csv",
        md=f"{RESULTS}/corpus/summary.md",
        lengths=report(
            f"{RESULTS}/figures/corpus_lengths.svg",
            category="5 Corpus",
            labels={"result": "Lengths of the sequences"},
            caption="report/corpus_lengths.rst",
        ),
        lengths_picture=f"{RESULTS}/figures/corpus_lengths.png",
        files=report(
            f"{RESULTS}/figures/corpus_files.svg",
            category="5 Corpus",
            labels={"result": "Texts read and kept, by file"},
            caption="report/corpus_files.rst",
        ),
        files_picture=f"{RESULTS}/figures/corpus_files.png",
    log:
        f"{RESULTS}/logs/summarise_corpus/summary.log",
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    shell:
        f"python {SCRIPTS}/summarise_corpus.py"
        " --counts {input.counts:q} --stores {input.stores:q}"
        " --table {output.csv:q} {output.md:q}"
        " --lengths-figure {output.lengths:q} {output.lengths_picture:q}"
        " --files-figure {output.files:q} {output.files_picture:q}"
        " > {log:q} 2>&1"
