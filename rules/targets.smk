# What the named targets ask for, and what the jobs that make it ask of a cluster.


def download_targets():
    """Return everything that needs the network."""
    targets = [RESULTS.students.fetched(name).manifest for name in FETCHED]
    targets += [RESULTS.tasks.source(source) for source in task_sources(config)]
    if TRAINED and config["corpus"]["source"] == "baseline":
        targets += [RESULTS.corpus.baseline(shard) for shard in corpus_shards(config)]
    return targets


def corpus_targets():
    """Return the token stores and the summary of the corpus; nothing where no model is trained."""
    if not TRAINED:
        return []
    stores = [
        store
        for tokenizer in corpus_tokenizers(config)
        for store in token_stores(tokenizer)
    ]
    return [*stores, RESULTS.corpus.summary_md]


def reporting_targets():
    """Return what `all` asks for: tables, figures, pages on the run and the checks of the results."""
    return [
        RESULTS.tables.index("md"),
        RESULTS.figures.figure(FIGURES[0].name, "svg"),
        RESULTS.reporting.page(PAGES[0].name, "md"),
        RESULTS.reporting.checks,
        *([RESULTS.corpus.summary_md] if TRAINED else []),
    ]


def provenance_targets():
    """Return what `all` asks for beside the results: the research object, over citations and model cards."""
    return [RESULTS.research_object]


def asked_for(known):
    """Return what a rule's jobs ask for, options of the command line and profile included; numbers only."""
    asked = {}
    for name in ("runtime", "mem_mb", "gpu", "nodes", "_cores"):
        resource = known.resources.get(name)
        given = None if resource is None else str(resource.raw)
        if given is not None and given.isdigit():
            asked["threads" if name == "_cores" else name] = int(given)
    return asked


def demands():
    """Return what the jobs of each rule that is sent to a cluster ask for."""
    return {
        known.name: asked_for(known)
        for known in workflow.rules
        if not workflow.is_local(known)
        and {"runtime", "mem_mb"} <= asked_for(known).keys()
    }


def missing_downloads():
    """Return how many of the things that need the network are missing, and of how many."""
    targets = download_targets()
    return [sum(not Path(target).is_file() for target in targets), len(targets)]
