"""The whole miniature in one folder: PubMed baseline, task archives, starting points, and a list of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compactbio.digests import sha256_of_file
from compactbio.errors import UserError
from compactbio.files import file_facts, read_json, replacing_folder, sha256_of_value, write_json
from compactbio.miniature.benchmark_files import make_chemprot, make_gad, make_tagged_words
from compactbio.miniature.checkpoints import STARTING_POINTS, make_wordpieces, write_checkpoint
from compactbio.miniature.compressed_files import write_tar_gz, zip_bytes
from compactbio.miniature.encoders import ENCODERS, write_encoder
from compactbio.miniature.entity_files import make_brat, make_columns
from compactbio.miniature.pubmed import AWKWARD, make_baseline
from compactbio.miniature.questions import make_bioasq
from compactbio.miniature.text_files import make_hallmarks, make_pubmedqa, make_similarities
from compactbio.miniature.vocabulary import Lexicon, make_lexicon

LISTING = "miniature.json"
NER_FOLDER = "datasets/NER/NCBI-disease"
GAD_FOLDER = "datasets/RE/GAD"
QA_FOLDER = "datasets/QA/BioASQ"
MORE = {  # what `more` makes, a folder each, and how much of it
    "pubmedqa": (make_pubmedqa, {"train": 240, "test": 60}),
    "hallmarks": (make_hallmarks, {"train": 60, "validation": 10, "test": 30}),
    "similarities": (make_similarities, {"train": 120, "validation": 30, "test": 60}),
    "brat": (make_brat, {"train": 50, "validation": 10, "test": 25}),
    "columns": (make_columns, {"train": 200, "validation": 40, "test": 100}),
}


@dataclass(frozen=True)
class Sizes:
    """How much of everything is made; the defaults are those of the demo.

    `more`: instead of its four datasets and its starting points those of MORE and of other architectures.
    """

    year: int = 2026
    files: int = 3
    citations: int = 900
    ner_train: int = 256
    ner_validation: int = 60
    ner_test: int = 120
    gad_rows: int = 320
    gad_folds: int = 2
    chemprot_train: int = 80
    chemprot_validation: int = 15
    chemprot_test: int = 40
    questions_train: int = 130
    questions_test: int = 40
    questions_other: int = 4
    checkpoints: bool = True
    more: bool = False


def make_miniature(output: Path, seed: int, sizes: Sizes) -> dict[str, Any]:
    """Write the miniature of a seed and return its listing.

    A complete one of the same seed, sizes and generator is kept as it is.

    Raises:
        UserError: `output` contains something else than a miniature.
    """
    request = {"seed": seed, "sizes": asdict(sizes), "generator": generator_digest()}
    if output.exists() and any(output.iterdir()):
        if not (output / LISTING).is_file():
            raise UserError(
                f"{output} exists without {LISTING}: it is not a miniature and will not be replaced; "
                "give another --output, or remove the folder"
            )
        listing = read_json(output / LISTING)
        there = {str(path.relative_to(output)): path.stat().st_size for path in output.rglob("*") if path.is_file()}
        complete = all(there.get(name) == facts["bytes"] for name, facts in listing["files"].items())
        if complete and {key: listing[key] for key in request} == request:
            return listing
    with replacing_folder(output) as folder:
        contents = _write(folder, seed, sizes)
        listing = {**request, **contents, "files": file_facts(folder)}
        write_json(folder / LISTING, listing)
    return listing


def generator_digest() -> str:
    """Return a digest of this package's source, so that a changed generator remakes the miniature."""
    return sha256_of_value({path.name: sha256_of_file(path) for path in Path(__file__).parent.glob("*.py")})


def _write(folder: Path, seed: int, sizes: Sizes) -> dict[str, Any]:
    """Write all files below a folder and return what they contain."""
    lexicon = make_lexicon(seed)
    baseline, texts = make_baseline(lexicon, seed, sizes.year, sizes.files, sizes.citations)
    (folder / "pubmed" / "baseline").mkdir(parents=True)
    for name, content in baseline.items():
        (folder / "pubmed" / "baseline" / name).write_bytes(content)
    contents: dict[str, Any] = {
        "pubmed": {"files": sizes.files, "citations": sizes.citations, "awkward_kinds": list(AWKWARD)},
        "datasets": _write_more(folder, lexicon, seed) if sizes.more else _write_tasks(folder, lexicon, seed, sizes),
    }
    if sizes.checkpoints and sizes.more:
        contents["checkpoints"] = {
            name: write_encoder(folder / "checkpoints" / name, encoder, texts, lexicon, seed + number)
            for number, (name, encoder) in enumerate(ENCODERS.items())
        }
    elif sizes.checkpoints:
        contents |= _write_checkpoints(folder, lexicon, texts, seed)
    return contents


def _write_tasks(folder: Path, lexicon: Lexicon, seed: int, sizes: Sizes) -> dict[str, Any]:
    """Write the two archives of task data and return the counts of each dataset."""
    sentences = {"train": sizes.ner_train, "validation": sizes.ner_validation, "test": sizes.ner_test}
    questions = {"train": sizes.questions_train, "test": sizes.questions_test}
    abstracts = {"train": sizes.chemprot_train, "validation": sizes.chemprot_validation, "test": sizes.chemprot_test}
    ner, ner_counts = make_tagged_words(lexicon, seed, sentences, NER_FOLDER)
    gad, gad_counts = make_gad(lexicon, seed, sizes.gad_rows, sizes.gad_folds, GAD_FOLDER)
    bioasq, bioasq_counts = make_bioasq(lexicon, seed, questions, sizes.questions_other, QA_FOLDER)
    chemprot, chemprot_counts = make_chemprot(lexicon, seed, abstracts)
    write_tar_gz(folder / "biobert" / "datasets.tar.gz", {**ner, **gad, **bioasq})
    (folder / "chemprot").mkdir()
    (folder / "chemprot" / "ChemProt_Corpus.zip").write_bytes(zip_bytes(chemprot))
    return {"NCBI-disease": ner_counts, "GAD": gad_counts, "ChemProt": chemprot_counts, "BioASQ-7b": bioasq_counts}


def _write_more(folder: Path, lexicon: Lexicon, seed: int) -> dict[str, Any]:
    """Write the folders of MORE and return the counts of each dataset."""
    counts = {}
    for name, (make, sizes) in MORE.items():
        files, counts[name] = make(lexicon, seed, sizes)
        for path, content in files.items():
            (folder / name / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / name / path).write_bytes(content)
    return counts


def _write_checkpoints(folder: Path, lexicon: Lexicon, texts: list[str], seed: int) -> dict[str, Any]:
    """Write the starting points and return their vocabularies and sizes."""
    vocabularies = {
        "cased": make_wordpieces(texts, lexicon, lower_case=False),
        "uncased": make_wordpieces(texts, lexicon, lower_case=True),
    }
    parameters = {
        name: write_checkpoint(folder / "checkpoints" / name, point, vocabularies[point.tokenizer], seed + number)
        for number, (name, point) in enumerate(STARTING_POINTS.items())
    }
    return {
        "tokenizers": {name: {"vocabulary_size": len(pieces)} for name, pieces in vocabularies.items()},
        "checkpoints": {
            name: {"architecture": point.architecture, "tokenizer": point.tokenizer, "parameters": parameters[name]}
            for name, point in STARTING_POINTS.items()
        },
    }
