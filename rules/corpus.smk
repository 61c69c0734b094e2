# Texts and token stores: from the PubMed baseline, or from documents of one's own, in shards of some files each.


if config["corpus"]["source"] == "baseline":
    AS_OF = config["corpus"]["baseline"]["as_of"] or ""

    # What it fetches lies in a cache that is no output: a shard with one failed file loses nothing else.
    rule download_baseline:
        output:
            manifest=RESULTS.corpus.baseline("{shard}"),
        log:
            RESULTS.log("download_baseline", "{shard}"),
        retries: 1
        localrule: True
        conda:
            "../envs/workflow.yaml"
        params:
            base_url=config["corpus"]["baseline"]["base_url"],
            year=config["corpus"]["baseline"]["year"],
            numbers=lambda wildcards: ",".join(
                map(str, shard_numbers(config, wildcards.shard))
            ),
        shell:
            "python {SCRIPTS:q}/download_baseline.py"
            " --base-url {params.base_url:q} --year {params.year:q}"
            " --downloads {DOWNLOADS.folder:q}"
            " --numbers {params.numbers:q} --output {output.manifest:q}"
            " > {log:q} 2>&1"

    rule parse_baseline:
        input:
            manifest=RESULTS.corpus.baseline("{shard}"),
        output:
            text=RESULTS.corpus.text("{shard}"),
            counts=RESULTS.corpus.counts("{shard}"),
        log:
            RESULTS.log("parse_baseline", "{shard}"),
        benchmark:
            RESULTS.benchmark("parse_baseline", "{shard}")
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
            # what a finished shard is recorded with: an option and its value, which the command takes from AS_OF
            as_of=branch(
                config["corpus"]["baseline"]["as_of"] is not None,
                then=f"--as-of {config['corpus']['baseline']['as_of']}",
                otherwise="",
            ),
        shell:
            "python {SCRIPTS:q}/parse_baseline.py"
            " --text {params.text:q} --as-of {AS_OF:q}"
            " --manifest {input.manifest:q} --output {output.text:q} --counts {output.counts:q}"
            " > {log:q} 2>&1"

else:

    rule import_documents:
        input:
            documents=lambda wildcards: config["corpus"]["documents"][
                int(wildcards.shard) - 1
            ],
        output:
            text=RESULTS.corpus.text("{shard}"),
            counts=RESULTS.corpus.counts("{shard}"),
        log:
            RESULTS.log("import_documents", "{shard}"),
        retries: 0
        conda:
            "../envs/workflow.yaml"
        threads: 1
        resources:
            mem_mb=1000,
            runtime=60,
        shell:
            "python {SCRIPTS:q}/import_documents.py"
            " {input.documents:q}"
            " --output {output.text:q} --counts {output.counts:q}"
            " > {log:q} 2>&1"


rule tokenize_shard:
    input:
        text=RESULTS.corpus.text("{shard}"),
        tokenizer=lambda wildcards: tokenizer_of(wildcards.tokenizer).manifest,
    output:
        ids=RESULTS.corpus.token_store("{tokenizer}", "{shard}").ids,
        offsets=RESULTS.corpus.token_store("{tokenizer}", "{shard}").offsets,
        manifest=RESULTS.corpus.token_store("{tokenizer}", "{shard}").manifest,
    log:
        RESULTS.log("tokenize_shard", "{tokenizer}", "{shard}"),
    benchmark:
        RESULTS.benchmark("tokenize_shard", "{tokenizer}", "{shard}")
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
        "HF_HUB_OFFLINE=1 python {SCRIPTS:q}/tokenize_shard.py"
        " --tokenizer {params.tokenizer:q}"
        " --name {wildcards.tokenizer:q} --definition {params.definition:q}"
        " --max-length {params.max_length:q} --threads {threads:q} --output {params.folder:q} {input.text:q}"
        " > {log:q} 2>&1"


# Its command names no shard, nor does a training's more than the first: a thousand would not fit a command line.
rule summarise_corpus:
    input:
        counts=[RESULTS.corpus.counts(shard) for shard in corpus_shards(config)],
        stores=[
            store
            for tokenizer in corpus_tokenizers(config)
            for store in token_stores(tokenizer)
        ],
    output:
        csv=RESULTS.corpus.summary_csv,
        md=RESULTS.corpus.summary_md,
        lengths=report(
            RESULTS.figures.figure("corpus_lengths", "svg"),
            category="5 Corpus",
            labels={"result": "Lengths of the sequences"},
            caption="report/corpus_lengths.rst",
        ),
        lengths_picture=RESULTS.figures.figure("corpus_lengths", "png"),
        files=report(
            RESULTS.figures.figure("corpus_files", "svg"),
            category="5 Corpus",
            labels={"result": "Texts read and kept, by file"},
            caption="report/corpus_files.rst",
        ),
        files_picture=RESULTS.figures.figure("corpus_files", "png"),
    log:
        RESULTS.log("summarise_corpus", "summary"),
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    shell:
        "python {SCRIPTS:q}/summarise_corpus.py"
        " --corpus {RESULTS.corpus.folder:q} --shards {SHARDS:q} --tokenizers {TOKENIZERS:q}"
        " --table {output.csv:q} {output.md:q}"
        " --lengths-figure {output.lengths:q} {output.lengths_picture:q}"
        " --files-figure {output.files:q} {output.files_picture:q} --notice {NOTICE:q}"
        " > {log:q} 2>&1"
