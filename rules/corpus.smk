# Texts and token stores: from the PubMed baseline, or from documents of one's own, in shards of some files each.


if config["corpus"]["source"] == "baseline":
    AS_OF = config["corpus"]["baseline"]["as_of"] or ""

    # What it fetches lies in a cache that is no output: a shard with one failed file loses nothing else.
    rule download_baseline:
        """Fetch the PubMed baseline files of a shard."""
        output:
            manifest=RESULTS.corpus.baseline("{shard}"),
        log:
            RESULTS.log("download_baseline", "{shard}"),
        retries: 1
        localrule: True
        conda:
            "../envs/workflow.yaml"
        params:
            scripts=unrecorded(SCRIPTS),
            downloads=unrecorded(DOWNLOADS.folder),
            base_url=config["corpus"]["baseline"]["base_url"],
            year=config["corpus"]["baseline"]["year"],
            numbers=lambda wildcards: ",".join(
                map(str, shard_numbers(config, wildcards.shard))
            ),
        message:
            "fetch PubMed files of shard {wildcards.shard}"
        shell:
            "python {params.scripts:q}/download_baseline.py"
            " --base-url {params.base_url:q} --year {params.year:q}"
            " --downloads {params.downloads:q}"
            " --numbers {params.numbers:q} --output {output.manifest:q}"
            " > {log:q} 2>&1"

    rule parse_baseline:
        """Read titles and abstracts out of a shard of PubMed files."""
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
            scripts=unrecorded(SCRIPTS),
            cutoff=unrecorded(AS_OF),
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
        message:
            "parse PubMed files of shard {wildcards.shard}"
        shell:
            "python {params.scripts:q}/parse_baseline.py"
            " --text {params.text:q} --as-of={params.cutoff:q}"
            " --manifest {input.manifest:q} --output {output.text:q} --counts {output.counts:q}"
            " > {log:q} 2>&1"

else:

    rule import_documents:
        """Read a shard of a user's own documents."""
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
        params:
            scripts=unrecorded(SCRIPTS),
        message:
            "import documents of shard {wildcards.shard}"
        shell:
            "python {params.scripts:q}/import_documents.py"
            " {input.documents:q}"
            " --output {output.text:q} --counts {output.counts:q}"
            " > {log:q} 2>&1"


rule tokenize_shard:
    """Turn the texts of a shard into a token store."""
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
        scripts=unrecorded(SCRIPTS),
        tokenizer=subpath(input.tokenizer, parent=True),
        folder=subpath(output.manifest, parent=True),
        max_length=config["corpus"]["max_length"],
        definition=lambda wildcards: json.dumps(
            config["tokenizers"].get(wildcards.tokenizer)
        ),
    message:
        "tokenize shard {wildcards.shard} for tokenizer {wildcards.tokenizer}"
    shell:
        "HF_HUB_OFFLINE=1 python {params.scripts:q}/tokenize_shard.py"
        " --tokenizer {params.tokenizer:q}"
        " --name {wildcards.tokenizer:q} --definition {params.definition:q}"
        " --max-length {params.max_length:q} --threads {threads:q} --output {params.folder:q} {input.text:q}"
        " > {log:q} 2>&1"


# Its command names no shard, nor does a training's more than the first: a thousand would not fit a command line.
rule summarise_corpus:
    """Count and draw what the corpus holds."""
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
        lengths_others=[
            RESULTS.figures.figure("corpus_lengths", form) for form in ("pdf", "png")
        ],
        files=report(
            RESULTS.figures.figure("corpus_files", "svg"),
            category="5 Corpus",
            labels={"result": "Texts read and kept, by file"},
            caption="report/corpus_files.rst",
        ),
        files_others=[
            RESULTS.figures.figure("corpus_files", form) for form in ("pdf", "png")
        ],
    log:
        RESULTS.log("summarise_corpus", "summary"),
    retries: 0
    localrule: True
    conda:
        "../envs/workflow.yaml"
    params:
        notice=unrecorded(NOTICE),
        scripts=unrecorded(SCRIPTS),
        corpus=unrecorded(RESULTS.corpus.folder),
        shards=unrecorded(SHARDS),
        tokenizers=unrecorded(TOKENIZERS),
    message:
        "summarise the corpus"
    shell:
        "python {params.scripts:q}/summarise_corpus.py"
        " --corpus {params.corpus:q} --shards {params.shards:q} --tokenizers {params.tokenizers:q}"
        " --table {output.csv:q} {output.md:q}"
        " --lengths-figure {output.lengths:q} {output.lengths_others:q}"
        " --files-figure {output.files:q} {output.files_others:q} --notice={params.notice:q}"
        " > {log:q} 2>&1"
