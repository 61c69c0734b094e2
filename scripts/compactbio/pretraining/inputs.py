"""What a pre-training run reads: checked together, before anything big is loaded (torch is not imported)."""

from __future__ import annotations

from argparse import ArgumentTypeError
from dataclasses import dataclass
from pathlib import Path

from compactbio.errors import UserError
from compactbio.files import MANIFEST, Manifest, read_manifests
from compactbio.pretraining.sampling import check_split
from compactbio.settings.runs import PretrainingRun, read_pretraining_run
from compactbio.training.checkpoints import fingerprint

AUTO = "auto"
TOKENS_HELP = f"positions of a micro-batch, or {AUTO} (the default): as many as the GPU's memory takes"
RECIPE = 3  # raise by hand when the arithmetic of pre-training changes: finished runs are then made again


@dataclass(frozen=True)
class RunInputs:
    """The resolved run, its folders, and the fingerprint that names its results."""

    run: PretrainingRun
    student: Path
    teacher: Path | None
    tokens: list[Path]
    digests: dict[str, str]
    fingerprint: str

    @property
    def total_steps(self) -> int:
        """Return the number of steps of the run."""
        return self.run["optimisation"]["steps"]


def read_inputs(run_file: Path, student: Path, teacher: Path | None, tokens: list[Path]) -> RunInputs:
    """Return a run's inputs after checking that they belong together.

    Raises:
        UserError: a key or folder is missing, or the tokenizers of student, teacher and corpus differ.
    """
    student, tokens = folder_of(student), [folder_of(path) for path in tokens]
    teacher = None if teacher is None else folder_of(teacher)
    run = read_pretraining_run(run_file)
    needs_teacher = run.get("teacher") is not None
    if needs_teacher and teacher is None:
        raise UserError(f"{run_file} names the teacher {run['teacher']}: give its folder with --teacher")
    if not needs_teacher:
        teacher = None
    folders = {"student": student} | ({} if teacher is None else {"teacher": teacher})
    folders |= {f"tokens/{number:04d}": folder for number, folder in enumerate(tokens, start=1)}
    read = read_manifests(list(folders.values()))
    manifests = {role: (folder, read[place]) for place, (role, folder) in enumerate(folders.items())}
    _require_one_tokenizer(manifests)
    stores = [manifest for role, (_, manifest) in manifests.items() if role.startswith("tokens/")]
    if sum(store.get("documents", 0) for store in stores) < 1:
        raise UserError(f"the token store {tokens[0]} holds no sequence: see what the corpus stage kept and dropped")
    longest = max(store["max_length"] for store in stores)
    if longest > run["max_length"]:
        raise UserError(
            f"{run_file}: max_length is {run['max_length']}, but the token store {tokens[0]} was made with {longest}: "
            "make the store again with the run's corpus.max_length"
        )
    digests = {role: manifest["digest"] for role, (_, manifest) in manifests.items()}
    return RunInputs(run, student, teacher, tokens, digests, fingerprint(run, digests, RECIPE))


def folder_of(path: Path) -> Path:
    """Return a folder, given itself or its manifest.json (which is what a rule has at hand)."""
    return path.parent if path.name == MANIFEST else path


def tokens_or_auto(text: str) -> int | None:
    """Return the value of --micro-batch-tokens: positions, None for `auto`.

    Raises:
        ArgumentTypeError: it is neither.
    """
    if text == AUTO:
        return None
    if not text.isdigit() or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} is neither a number of positions nor {AUTO}")
    return int(text)


def check_resources(run: PretrainingRun, *, processes: int, micro_batch_tokens: int | None) -> None:
    """Refuse a number of processes or a micro-batch that the run cannot be split into."""
    check_split(run["optimisation"]["global_batch_size"], processes)
    if micro_batch_tokens is not None and micro_batch_tokens < run["max_length"]:
        raise UserError(
            f"--micro-batch-tokens {micro_batch_tokens} is less than one sequence of max_length {run['max_length']}: "
            f"give at least {run['max_length']}"
        )


def _require_one_tokenizer(manifests: dict[str, tuple[Path, Manifest]]) -> None:
    """Refuse folders that were made with different vocabularies or casings."""
    first = manifests["student"]
    for role, (folder, manifest) in manifests.items():
        if "tokenizer_digest" not in manifest:
            raise UserError(f"{folder}/manifest.json names no tokenizer_digest: remake {folder}")
        if manifest["tokenizer_digest"] != first[1]["tokenizer_digest"]:
            raise UserError(
                f"the tokenizers of the student {first[0]} and of {role} {folder} differ "
                f"({first[1]['tokenizer_digest'][:12]} and {manifest['tokenizer_digest'][:12]}): "
                "every term compares student and teacher token by token, also one that reads no logits, so they and "
                "the corpus must be of one tokenizer; give the two models the same `tokenizer` and make these again"
            )
