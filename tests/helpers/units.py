"""Units of models whose truth is known: full-size sets as score_model writes them, and small ones for simulations."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy.stats import norm

from compactbio.reporting.statistics.paired_units import DatasetUnits
from compactbio.scoring.units import RunUnits, Units, write_units

# Test examples (of all folds) and the gold entities or positives in them, as counted in the real test sets.
SIZES = {
    "NCBI-disease": ("ner", 940, 960),
    "BC5CDR-disease": ("ner", 4797, 4424),
    "BC5CDR-chem": ("ner", 4797, 5385),
    "BC2GM": ("ner", 5038, 6325),
    "JNLPBA": ("ner", 3856, 6241),
    "GAD": ("re", 5330, 2801),
    "ChemProt": ("re", 15653, 3444),
    "BioASQ-7b": ("qa", 162, 162),
}
FOLDS = {"GAD": 10}


def counts_of_labels(generator: np.random.Generator, gold: np.ndarray, recall: float) -> np.ndarray:
    """Correct, predicted and gold of each example; about as many are found wrongly as are missed."""
    correct = generator.binomial(gold, np.clip(recall, 0, 1))
    wrong = generator.binomial(1, np.clip((1 - recall) * gold.mean(), 0, 1), len(gold))
    return np.stack([correct, correct + wrong, gold], axis=1)


def counts_of_answers(generator: np.random.Generator, questions: int, right: float) -> np.ndarray:
    """Strict, lenient and reciprocal rank of each question."""
    rank = np.where(generator.random(questions) < right, generator.integers(1, 6, questions), 0)
    return np.stack([rank == 1, rank > 0, np.divide(1, rank, out=np.zeros(questions), where=rank > 0)], axis=1)


class Simulation:
    """Data sets of two models whose expected scores are known, for coverage and false positives.

    Of an example with one gold entity each run finds it if difficulty + taste + quality + noise > 0, all normal: the
    difficulty is shared by all, the taste by a model's runs, the quality by a run's examples. Nothing is found
    wrongly, so that F1 is 2a / (1 + a) of the accuracy a.
    """

    DIFFICULTY, TASTE, NOISE = 1.5, 0.7, 0.5
    LEVEL = 1.5

    def __init__(self, runs: int, quality: float, examples: int = 250, folds: int = 1) -> None:
        """Take the number of runs (of each fold, if folds are given), their scatter, and the size of the test set."""
        self.runs, self.quality, self.examples, self.folds = runs, quality, examples, folds

    def draw(self, generator: np.random.Generator, shifts: dict[str, float]) -> DatasetUnits:
        """Return the units of a new test set and new runs of models that lie `shifts` above the level."""
        units = DatasetUnits("ner", "simulated", [self.examples] * self.folds)
        units.counts = {("standard", model): [] for model in shifts}
        for _ in range(self.folds):
            difficulty = generator.normal(self.LEVEL, self.DIFFICULTY, (self.examples, 1))
            for model, shift in shifts.items():
                taste = generator.normal(0, self.TASTE, (self.examples, 1))
                noise = generator.normal(0, self.NOISE, (self.examples, self.runs))
                right = difficulty + taste + shift + generator.normal(0, self.quality, self.runs) + noise > 0
                counts = np.stack([2 * right, right + 1], axis=2).astype(np.float32)
                units.counts["standard", model].append(counts)
        return units

    def truth(self, shift: float) -> float:
        """Return the expected F1 of a run on infinitely many examples."""
        scatter = norm(0, self.quality).ppf(np.linspace(0.0005, 0.9995, 1000)) if self.quality else np.zeros(1)
        spread = np.sqrt(self.DIFFICULTY**2 + self.TASTE**2 + self.NOISE**2)
        accuracy = norm.cdf((self.LEVEL + shift + scatter) / spread)
        return float((2 * accuracy / (1 + accuracy)).mean())


def run_units(dataset: str, model: str, runs: int, level: float) -> list[RunUnits]:
    """A model's runs on a dataset, whose quality scatters around `level`; the same at every call."""
    task, examples, positives = SIZES[dataset]
    folds = FOLDS.get(dataset, 0)
    made = []
    for number in range(folds or runs):
        fold = number + 1 if folds else 0
        size = examples // max(folds, 1)
        gold = np.random.default_rng(fold).poisson(positives / examples, size)  # the same for all models
        gold = np.minimum(gold, 1) if task == "re" else gold
        generator = np.random.default_rng([number, *map(ord, model)])
        quality = level + generator.normal(0, 0.005)
        for protocol in ("standard",) if task == "re" else ("reference", "standard"):
            if task == "qa":
                counts = counts_of_answers(generator, size, quality)
            else:
                counts = counts_of_labels(generator, gold, quality)
            units = Units([str(example) for example in range(size)], counts)
            made.append(RunUnits(task, dataset, model, f"run{number}", fold, protocol, units))
    return made


def write_full_size(root: Path, models: list[str], runs: int = 10) -> list[Path]:
    """The units.parquet of models on all datasets under a results folder; each model is worse than the one before."""
    paths = []
    for number, model in enumerate(models):
        units = [unit for dataset in SIZES for unit in run_units(dataset, model, runs, 0.86 - 0.004 * number)]
        paths.append(root / "finetuning" / model / "units.parquet")
        write_units(paths[-1], units)
    return paths


if __name__ == "__main__":  # PYTHONPATH=scripts:tests python tests/helpers/units.py FOLDER: ten models, for measuring
    for made in write_full_size(Path(sys.argv[1]), [f"model{number}" for number in range(10)]):
        sys.stdout.write(f"{made}\n")
