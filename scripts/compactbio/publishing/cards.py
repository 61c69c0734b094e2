"""The full model card, in the hub's form: how a model was made, its scores out of the tables, its cost and limits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from compactbio.files import read_json
from compactbio.kinds import KINDS, METRIC_TITLES
from compactbio.kinds.kind import STANDARD
from compactbio.pretraining.export import model_card
from compactbio.pretraining.training_record import read_training_record
from compactbio.provenance import Provenance, read_provenance
from compactbio.publishing.citations import PAPER
from compactbio.publishing.scores import ModelScores
from compactbio.publishing.sources import CORPUS, MODEL, PUBMED, PUBMED_ATTRIBUTION, Used
from compactbio.reporting.render import DASH, mean_and_std
from compactbio.settings.results import Results, find
from compactbio.settings.runs import PretrainingRun, read_pretraining_run
from compactbio.settings.selection import is_trained, source_of

_FRONT = "---\n"
_USE = """\
Fill-mask, and above all a starting point for fine-tuning on biomedical English text (entities, relations, questions)
where a model of BERT's size is too slow or too large. It is a research artefact of a replication: measure it on your
own data before you rely on it."""
_LIMITS = """\
- {corpus}
- It repeats whatever errors and biases its corpus{teacher} hold. It gives no medical advice, and nothing that it
  fills in or extracts is a fact until a person has checked it.
- The scores below are of fine-tuned copies on public benchmarks, some of whose test sentences also stand in train
  (the workflow's tables count them)."""

_CORPUS_LIMITS = {
    "baseline": "It has seen titles and abstracts of PubMed: full texts, clinical notes and languages other than\n"
    "  English are outside of that.",
    "documents": "What its corpus (see below) does not hold is outside of what it has seen.",
}


def full_card(
    results: Results[Path], name: str, config: dict[str, Any], used: Sequence[Used], scores: ModelScores
) -> str:
    """Return the card of a model that was trained here or fetched."""
    made = results.pretraining(name)
    run = read_pretraining_run(made.run) if is_trained(config, name) else None
    if run is None:
        body, training, cost, record = _fetched(results, name, used), "", "", ""
    else:
        body = model_card(run, read_training_record(made.training)).split(_FRONT, 2)[2].strip()
        training = _training_data(results, run, config)
        provenance = read_provenance(made.provenance)
        cost, record = _cost(provenance), _provenance(provenance)
    inputs = _inputs_of(name, config, used)
    teacher = " and its teacher" if run is not None and run["teacher"] else ""
    sections = {
        "Intended use": _USE,
        "Limits": _LIMITS.format(corpus=_CORPUS_LIMITS[config["corpus"]["source"]], teacher=teacher),
        "Training data": training,
        "Scores": _scores_section(name, scores),
        "Cost": "\n\n".join(filter(None, [cost, "\n".join(f"- {text}" for text in scores.costs)])),
        "Licence": _licence(inputs, trained=run is not None),
        "Citation": _citation(inputs),
        "Provenance": record,
    }
    text = "\n\n".join(f"## {title}\n\n{content}" for title, content in sections.items() if content)
    return f"{_FRONT}{_front_matter(name, run, config, scores)}\n{_FRONT}\n{body}\n\n{text}\n"


def _front_matter(name: str, run: PretrainingRun | None, config: dict[str, Any], scores: ModelScores) -> str:
    """Return the card's metadata as YAML: what the hub lists and searches, scores of the standard protocol included."""
    results = [
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
    data = ModelCardData(
        model_name=name,
        language="en",
        library_name="transformers",
        pipeline_tag="fill-mask",
        license="other",
        license_name="terms-of-its-inputs",
        tags=["biomedical", "masked-language-modelling", *(["distillation"] if teacher else [])],
        base_model=_repository(base, config),
        eval_results=results or None,
    )
    return data.to_yaml()


def _repository(name: str | None, config: dict[str, Any]) -> str | None:
    """Return the hub repository that a checkpoint or model is fetched from, None where it is not."""
    definition = {} if name is None else source_of(config, name) or {}
    return definition["hub"]["repository"] if definition.get("source") == "hub" else None


def _fetched(results: Results[Path], name: str, used: Sequence[Used]) -> str:
    """Return the beginning of the card of a model that was not made here."""
    manifest = results.students.fetched(name).manifest
    origin = read_json(manifest)["origin"] if manifest.is_file() else {}
    facts = ", ".join(f"{key} {Path(value).name if key == 'path' else value}" for key, value in origin.items())
    address = next((one.url for one in used if one.kind == MODEL and name in one.used_for and one.url), "")
    where = f" Its own card: {address}" if address else ""
    return f"# {name}\n\nNot made here: fetched ({facts}) and fine-tuned as a comparison.{where}"


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
            names.add(config["tokenizers"][model["tokenizer"]]["checkpoint"])
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
    if config["corpus"]["source"] == "baseline":
        until = f", citations that entered PubMed by {baseline['as_of']}" if baseline["as_of"] else ""
        copy = " (a local copy)" if baseline["base_url"].startswith("file://") else ""
        what = f"Titles and abstracts of the PubMed baseline of {baseline['year']}{copy}{until}"
    else:
        what = f"Documents of the user's own ({', '.join(config['corpus']['documents'])})"
    optimisation = run["optimisation"]
    seen = optimisation["steps"] * optimisation["global_batch_size"]
    return (
        f"{what}: {documents:,} texts, {tokens:,} word pieces, each text cut to {run['max_length']}. "
        f"Training drew {seen:,} sequences of them, {seen / documents:.2f} passes."
    )


def _scores_section(name: str, scores: ModelScores) -> str:
    """Return the tables of scores by kind of task, mean and standard deviation over the runs."""
    if all(cell.mean is None for cell in scores.cells.values()):
        return f"{name} was not scored: it is a teacher of other models here."
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
    parts.append(
        "`reference` scores as the paper's scripts do, `standard` as the field does; values of one do not compare with "
        "values of the other."
    )
    return "\n\n".join(parts)


def _cost(record: Provenance) -> str:
    """Return what the pre-training took."""
    hardware = record["hardware"]
    gpus = ", ".join(sorted(set(hardware["gpus"]))) or "no GPU"
    tries = len(record.get("submissions", [])) or "an unknown number of"
    return (
        f"Pre-training: {record['seconds'] / 3600:.2f} hours in {tries} submission(s), "
        f"{record['gpu_hours']:g} GPU-hours; at its end on {hardware['processor']} x {hardware['cores']}, {gpus}."
    )


def _licence(inputs: Sequence[Used], *, trained: bool) -> str:
    """Return whose terms bind the model; of a folder on this machine the last part, since a card is read elsewhere."""
    text = (
        "The workflow's code is under the MIT licence. The weights are made of what follows, and may be used as far as "
        "its terms allow:"
    )
    terms = (
        f"- {one.name if one.url else f'a local folder {Path(one.name).name}'} ({one.version or 'no version'}): "
        f"{one.licence or 'licence not stated'}"
        for one in inputs
    )
    return "\n".join([text if trained else "That of its source:", "", *terms])


def _citation(inputs: Sequence[Used]) -> str:
    """Return what to cite."""
    cited = dict.fromkeys([PAPER, *(one.citation for one in inputs if one.citation and one.name != PUBMED)])
    lines = [f"- {text}" for text in cited]
    if any(one.name == PUBMED for one in inputs):
        lines += ["", PUBMED_ATTRIBUTION]
    return "\n".join(lines)


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
