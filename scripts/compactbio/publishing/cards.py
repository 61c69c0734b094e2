"""The full model card, in the hub's form: how a model was made, its scores out of the tables, its cost and limits.

A sentence stands in it where the configuration, the table of sources or a manifest says so; what none of them says is
said to be not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from compactbio.card_texts import FRONT, body, tags
from compactbio.files import read_json
from compactbio.kinds import KINDS, METRIC_TITLES
from compactbio.kinds.kind import ALSO_IN_TRAIN, STANDARD
from compactbio.pretraining.model_cards import MASKED_LM, pretrained_parts
from compactbio.pretraining.training_record import read_training_record
from compactbio.provenance import Provenance, read_provenance
from compactbio.publishing.citations import PAPER
from compactbio.publishing.scores import ModelScores
from compactbio.publishing.sources import CORPUS, MODEL, PUBMED, PUBMED_ATTRIBUTION, Used
from compactbio.reporting.pages.run_costs import in_words
from compactbio.reporting.published import PAPER_MODELS
from compactbio.reporting.render import DASH, mean_and_std
from compactbio.settings.results import Results, find
from compactbio.settings.runs import PretrainingRun, read_pretraining_run
from compactbio.settings.selection import is_trained, row_of_corpus, source_of, tokenizer_checkpoint, tokenizer_name

_REPLICATED = (
    "It replicates the model of this name in *On the Effectiveness of Compact Biomedical Transformers*. It is not the "
    "authors' model."
)
_PUBMED_LIMITS = (
    "It has seen titles and abstracts of PubMed: full texts, clinical notes and languages other than English are not "
    "among them. It gives no medical advice."
)


def full_card(
    results: Results[Path],
    name: str,
    config: dict[str, Any],
    used: Sequence[Used],
    scores: ModelScores,
    notice: str = "",
) -> str:
    """Return the card of a model that was trained here or fetched, under the notice if the data call for one."""
    made = results.pretraining(name)
    run = read_pretraining_run(made.run) if is_trained(config, name) else None
    inputs = _inputs_of(name, config, used)
    corpora = [one for one in inputs if one.kind == CORPUS] if run is not None else inputs
    languages = sorted({word for one in corpora for word in one.language.split()})
    cost, record, parts = "", "", []
    if run is None:
        parts = [_fetched(results, name, inputs)]
        training = f"Not known here.{_own_page(inputs)}"
    else:
        provenance = read_provenance(made.provenance)
        parts = pretrained_parts(run, read_training_record(made.training), provenance.get("submissions", []))
        if name in PAPER_MODELS and config["reporting"]["compare_with_paper"]:
            parts.insert(1, _REPLICATED)
        training = _training_data(results, run, config)
        cost, record = _cost(provenance), _provenance(provenance)
    training += f"\n\nLanguage: {', '.join(languages) or 'not stated'}."
    sections = {
        "Intended use": "Filling masks, and above all a starting point for fine-tuning. It is a research artefact: "
        "measure it on your own data before you rely on it.",
        "Limits": _limits(results, run, config, scores),
        "Training data": training,
        "Scores": _scores_section(name, scores),
        "Cost": "\n\n".join(filter(None, [cost, "\n".join(f"- {text}" for text in scores.costs)])),
        "Licence": _licence(inputs, trained=run is not None),
        "Citation": _citation(inputs, replicated=_REPLICATED in parts),
        "Provenance": record,
    }
    parts += [f"## {title}\n\n{content}" for title, content in sections.items() if content]
    front = _front_matter(results, name, run, config, scores, languages, notice)
    return f"{FRONT}{front}\n{FRONT}\n{body(name, notice, parts)}"


def _front_matter(
    results: Results[Path],
    name: str,
    run: PretrainingRun | None,
    config: dict[str, Any],
    scores: ModelScores,
    languages: Sequence[str],
    notice: str,
) -> str:
    """Return the card's metadata as YAML: what the hub lists and searches, scores of the standard protocol included."""
    values = [
        EvalResult(
            task_type=KINDS[cell.task].hub_task,
            task_name=KINDS[cell.task].title,
            dataset_type=cell.dataset.lower(),
            dataset_name=cell.dataset,
            dataset_split="test",
            metric_type=cell.metric,
            metric_name=f"{METRIC_TITLES[cell.metric]}, {STANDARD} protocol, percent, mean over {cell.runs} run(s)",
            metric_value=round(cell.mean, 4),
        )
        for cell in scores.cells.values()
        if cell.mean is not None and cell.protocol == STANDARD and cell.metric == KINDS[cell.task].headline
    ]
    teacher = None if run is None else run["teacher"]
    base = teacher if run is None else run["student"].get("checkpoint", teacher)
    subjects = ["biomedical"] if run is not None and row_of_corpus(config) == PUBMED else []
    fills = run is not None or _manifest(results, name).get("mlm_head")
    data = ModelCardData(
        model_name=name,
        language=list(languages) or None,
        library_name="transformers",
        pipeline_tag="fill-mask" if fills else None,
        tags=tags(notice, *subjects, *([MASKED_LM] if fills else []), *(["distillation"] if teacher else [])),
        base_model=_repository(base, config),
        license="other" if run is not None else None,
        license_name="terms-of-its-inputs" if run is not None else None,
        eval_results=None if notice else values or None,  # an index shows them without the notice
    )
    return data.to_yaml()


def _manifest(results: Results[Path], name: str) -> dict[str, Any]:
    """Return the manifest of a fetched model, nothing where it is not there."""
    path = results.students.fetched(name).manifest
    found: dict[str, Any] = read_json(path) if path.is_file() else {}
    return found


def _repository(name: str | None, config: dict[str, Any]) -> str | None:
    """Return the hub repository that a checkpoint or model is fetched from, None where it is not."""
    definition = {} if name is None else source_of(config, name) or {}
    return definition["hub"]["repository"] if definition.get("source") == "hub" else None


def _fetched(results: Results[Path], name: str, inputs: Sequence[Used]) -> str:
    """Return the beginning of the card of a model that was not made here."""
    origin = _manifest(results, name).get("origin", {})
    facts = ", ".join(f"{key} {Path(value).name if key == 'path' else value}" for key, value in origin.items())
    return f"Not made here: fetched ({facts or 'not yet'}) and fine-tuned as a comparison.{_own_page(inputs)}"


def _own_page(inputs: Sequence[Used]) -> str:
    """Return where a fetched model's own card is, as a sentence after others."""
    address = next((one.url for one in inputs if one.kind == MODEL and one.url), "")
    return f" Its own card: {address}" if address else ""


def _limits(results: Results[Path], run: PretrainingRun | None, config: dict[str, Any], scores: ModelScores) -> str:
    """Return what is known of a model's limits."""
    if run is None:
        seen = "What it has seen is not known here."
    elif row_of_corpus(config) == PUBMED:
        seen = _PUBMED_LIMITS
    else:
        seen = "What its corpus (see below) does not hold is outside of what it has seen."
    teacher = " and its teacher" if run is not None and run["teacher"] else ""
    lines = [
        seen,
        f"It repeats whatever errors and biases its training data{teacher} hold. Nothing that it fills in or extracts "
        "is a fact until a person has checked it.",
    ]
    datasets = list(dict.fromkeys(cell.dataset for cell in scores.cells.values() if cell.mean is not None))
    if datasets:
        names = ", ".join(datasets)
        lines.append(f"The scores below are of copies of it, fine-tuned on {names}.{_leaks(results, datasets)}")
    return "\n".join(f"- {line}" for line in lines)


def _leaks(results: Results[Path], datasets: Sequence[str]) -> str:
    """Return how many test examples also stand in train, as a sentence after others; none where none does."""
    found = []
    for dataset in datasets:
        path = results.tasks.dataset(dataset).manifest
        count = read_json(path).get("counts", {}).get("test", {}).get(ALSO_IN_TRAIN) if path.is_file() else None
        found += [f"{dataset} {count}"] if count else []
    return f" Test examples that also stand in train: {', '.join(found)}." if found else ""


def _inputs_of(name: str, config: dict[str, Any], used: Sequence[Used]) -> list[Used]:
    """Return what of others a model is made of: the corpus, and checkpoints of its student and teachers."""
    names, waiting = set(), [name]
    while waiting:
        current = waiting.pop()
        if current in names:
            continue
        names.add(current)
        model = config["models"].get(current, {})
        if is_trained(config, current):
            names.add(tokenizer_checkpoint(config, tokenizer_name(config, current)))
            waiting += [one for one in (model.get("teacher"), model["student"].get("checkpoint")) if one]
    trained = is_trained(config, name)
    return [
        one for one in used if (one.kind == CORPUS and trained) or (one.kind == MODEL and names & set(one.used_for))
    ]


def _training_data(results: Results[Path], run: PretrainingRun, config: dict[str, Any]) -> str:
    """Return what the model was trained on, as counted in its token stores."""
    stores = [read_json(path) for path in find(results, results.corpus.token_store(run["tokenizer"], "*").manifest)]
    documents, tokens = (sum(store[key] for store in stores) for key in ("documents", "tokens"))
    baseline = config["corpus"]["baseline"]
    if config["corpus"]["source"] != "baseline":
        what = f"Own files ({', '.join(Path(path).name for path in config['corpus']['documents'])})"
    elif row_of_corpus(config) == PUBMED:
        until = f", citations that entered PubMed by {baseline['as_of']}" if baseline["as_of"] else ""
        copy = " (a local copy)" if baseline["base_url"].startswith("file://") else ""
        what = f"Titles and abstracts of the PubMed baseline of {baseline['year']}{copy}{until}"
    else:
        what = f"Titles and abstracts of {row_of_corpus(config)}"
    optimisation = run["optimisation"]
    seen = optimisation["steps"] * optimisation["global_batch_size"]
    return (
        f"{what}: {documents:,} texts, {tokens:,} tokens, each text cut to {run['max_length']}. "
        f"Training drew {seen:,} sequences of them, {seen / documents:.2f} passes."
    )


def _scores_section(name: str, scores: ModelScores) -> str:
    """Return the tables of scores by kind of task, mean and standard deviation over the runs."""
    if all(cell.mean is None for cell in scores.cells.values()):
        return f"{name} was not scored here."
    parts = ["Fine-tuned once per seed or fold; percent, mean ± sample standard deviation over the runs."]
    for task, kind in KINDS.items():
        lines = []
        places = ((cell.dataset, cell.protocol) for cell in scores.cells.values() if cell.task == task)
        for dataset, protocol in dict.fromkeys(places):
            cells = [scores.cells.get((dataset, protocol, metric)) for metric in kind.metric_names]
            shown = [mean_and_std(cell.mean, cell.std) if cell else DASH for cell in cells]
            runs = next((str(cell.runs) for cell in cells if cell and cell.runs), "0")
            lines.append(f"| {' | '.join([dataset, protocol, *shown, runs])} |")
        if lines:
            titles = ["dataset", "protocol", *(METRIC_TITLES[metric] for metric in kind.metric_names), "runs"]
            parts.append("\n".join([f"| {' | '.join(titles)} |", "|---" * len(titles) + "|", *lines]))
    parts.append("Values of one protocol do not compare with those of the other; the tables say how each counts.")
    return "\n\n".join(parts)


def _cost(record: Provenance) -> str:
    """Return what the pre-training took."""
    hardware = record["hardware"]
    gpus = ", ".join(sorted(set(hardware["gpus"]))) or "no GPU"
    tries = len(record.get("submissions", [])) or "an unknown number of"
    return (
        f"Pre-training: {in_words(record['seconds'])} in {tries} submission(s), "
        f"{record['gpu_hours']:g} GPU-hours; at its end on {hardware['processor']} x {hardware['cores']}, {gpus}."
    )


def _licence(inputs: Sequence[Used], *, trained: bool) -> str:
    """Return whose terms bind the model."""
    text = (
        "The workflow's code is under the MIT licence. The weights are made of what follows, and may be used as far as "
        "its terms allow:"
    )
    terms = (
        f"- {one.name}{f' ({one.version})' if one.version else ''}: {one.licence or 'licence not stated'}"
        for one in inputs
    )
    return "\n".join([text if trained else "That of its source:", "", *terms])


def _citation(inputs: Sequence[Used], *, replicated: bool) -> str:
    """Return what to cite, as far as that is known."""
    known = (one.citation for one in inputs if one.citation and one.name != PUBMED)
    lines = [f"- {text}" for text in dict.fromkeys([*([PAPER] if replicated else []), *known])]
    if any(one.name == PUBMED for one in inputs):
        lines += ["", PUBMED_ATTRIBUTION]
    return "\n".join(lines) or "What to cite for it is not known here."


def _provenance(record: Provenance) -> str:
    """Return by what the run can be found again."""
    code = record["code"]
    commit = code["commit"] or f"not known ({code.get('note', 'no git checkout')})"
    changed = ", with uncommitted changes" if code["dirty"] else ""
    inputs = "\n".join(f"| {name} | {digest} |" for name, digest in list(record["inputs"].items())[:8])
    more = len(record["inputs"]) - 8
    rest = f"\n\nand {more} more token stores, in provenance.json." if more > 0 else ""
    return (
        f"Fingerprint of all that decided the weights: `{record['fingerprint']}`. Commit of the workflow: "
        f"{commit}{changed}.\n\n| input | sha256 of its content |\n|---|---|\n{inputs}{rest}"
    )
