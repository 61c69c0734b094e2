"""The switches of fine-tuning: which run files name them, and that results of one value are not taken for another's."""

from __future__ import annotations

import pytest
import torch
from helpers.configurations import read
from helpers.finetuning import NER_LABELS, ner_rows, qa_rows, run_settings, write_dataset, write_model

from compactbio.finetuning.examples import Dataset
from compactbio.finetuning.features import PieceTokenizer
from compactbio.finetuning.runs.one_run import OneRun
from compactbio.finetuning.runs.planning import plan_runs
from compactbio.finetuning.runs.records import read_epochs
from compactbio.settings.load import load_settings, merge
from compactbio.settings.runs import FinetuningRun, finetuning_run
from compactbio.training.processes import start_accelerator

OF_FINETUNING = ("decayed_norms", "qa_loss_over_padding", "finetuning_seeds")


def configuration(**values: str) -> dict:
    """The paper's configuration with switches of fine-tuning, `sound` where none is given."""
    return load_settings(merge(read(), {"quirks": dict.fromkeys(OF_FINETUNING, "sound") | values}))


def marks(run: FinetuningRun, tmp_path) -> list[str]:
    """The fingerprints of a run file's runs."""
    return [planned.fingerprint for planned in plan_runs(run, {"model": "m", "dataset": "d"}, tmp_path)]


def test_a_run_file_without_reference_switches_is_that_of_before_there_were_any():
    for name in ("NCBI-disease", "GAD", "BioASQ-7b"):
        assert not {"quirks", "shared_seed"} & finetuning_run(configuration(), "BioMobileBERT", name).keys()


def test_the_loss_over_padding_concerns_question_answering_alone(tmp_path):
    sound, reference = configuration(), configuration(qa_loss_over_padding="reference")
    for name in ("NCBI-disease", "GAD"):
        assert finetuning_run(sound, "TinyBERT", name) == finetuning_run(reference, "TinyBERT", name)
    before, after = (finetuning_run(config, "TinyBERT", "BioASQ-7b") for config in (sound, reference))
    assert after == before | {"quirks": {"qa_loss_over_padding": "reference"}}
    assert not set(marks(before, tmp_path)) & set(marks(after, tmp_path))


def test_a_run_under_the_loss_over_padding_trains_validates_and_predicts(tmp_path):
    torch.set_num_threads(1)
    model = write_model(tmp_path / "model")
    splits = {"train": qa_rows(40, 1), "validation": qa_rows(8, 2), "test": qa_rows(6, 3)}
    task = write_dataset(tmp_path / "qa", "qa", splits, [])
    losses, tables = {}, {}
    for value in ("reference", "sound"):
        settings = run_settings("qa", [], epochs=2, batch_size=8, best_epoch_by="loss")
        settings |= {"quirks": {"qa_loss_over_padding": value}}
        dataset = Dataset(task, settings, PieceTokenizer(model))
        run = OneRun(settings, model, dataset, 1, 0, start_accelerator("fp32"))
        assert (run.length, run.grouped) == ((32, False) if value == "reference" else (None, True))
        assert run.train(tmp_path / value, deadline=None, stop=None).step == run.total_steps == 10
        (tmp_path / value / "out").mkdir()
        run.store(tmp_path / value / "out", tmp_path / value / "metrics.jsonl")
        lines = read_epochs(tmp_path / value / "out")
        losses[value] = [line["loss"] for line in lines] + [line["validation"]["loss"] for line in lines]
        tables[value] = run.predictions()
    assert all(over > under for over, under in zip(losses["reference"], losses["sound"], strict=True))
    assert tables["reference"].schema == tables["sound"].schema and len(tables["reference"]) == len(tables["sound"])


@pytest.mark.parametrize("dataset", ["NCBI-disease", "GAD", "BioASQ-7b"])
def test_seeds_as_the_authors_are_named_with_the_seed_that_all_runs_share(dataset, tmp_path):
    sound, reference = (
        finetuning_run(configuration(finetuning_seeds=value), "TinyBERT", dataset) for value in ("sound", "reference")
    )
    assert reference == sound | {"quirks": {"finetuning_seeds": "reference"}, "shared_seed": 42}
    assert not set(marks(sound, tmp_path)) & set(marks(reference, tmp_path))
    # a seed that is added costs its own run only; another first seed costs all
    more = [*reference["runs"], {"run": "seed9", "seed": 9, "fold": reference["runs"][0]["fold"]}]
    assert marks({**reference, "runs": more}, tmp_path)[:-1] == marks(reference, tmp_path)
    assert not set(marks({**reference, "shared_seed": 43}, tmp_path)) & set(marks(reference, tmp_path))


def test_runs_with_a_shared_seed_differ_in_the_head_alone(tmp_path):
    torch.set_num_threads(1)
    model = write_model(tmp_path / "model")
    splits = {"train": ner_rows(40, 1), "test": ner_rows(6, 3)}
    task = write_dataset(tmp_path / "ner", "ner", splits, NER_LABELS)

    def one(seed: int, **changes: object) -> OneRun:
        settings = run_settings("ner", NER_LABELS, epochs=1, validation_fraction=0.2)
        settings |= changes
        dataset = Dataset(task, settings, PieceTokenizer(model))
        return OneRun(settings, model, dataset, seed, 0, start_accelerator("fp32"))

    def trained(run: OneRun, place: str) -> torch.Tensor:
        run.train(tmp_path / place, deadline=None, stop=None)
        return torch.nn.utils.parameters_to_vector(run.step.model.parameters()).detach()

    first, second = one(1, shared_seed=1), one(2, shared_seed=1)
    weights = {name: value.clone() for name, value in first.step.model.state_dict().items()}
    differing = {
        name for name, value in second.step.model.state_dict().items() if not torch.equal(value, weights[name])
    }
    assert differing == {"classifier.weight"}  # its bias starts at zero
    assert [len(run.validation_part.rows) for run in (first, second)] == [8, 8]
    assert first.validation_part.rows["id"] == second.validation_part.rows["id"]
    of_first = trained(first, "first")
    assert torch.equal(
        of_first, trained(one(1), "own")
    )  # the first seed's run is the one that it is without the switch
    # with the same head nothing else is left that differs; by its own seed, order and dropout do
    for run, same in ((second, True), (one(2), False)):
        run.step.model.load_state_dict(weights)
        assert torch.equal(of_first, trained(run, f"second-{same}")) is same


def test_how_a_gpu_calculates_names_no_result(tmp_path):
    config = configuration()
    plain = finetuning_run(config, "TinyBERT", "GAD")
    config["run"]["deterministic"] = True
    repeated = finetuning_run(config, "TinyBERT", "GAD")
    assert "deterministic" not in plain and repeated == plain | {"deterministic": True}
    assert marks(plain, tmp_path) == marks(repeated, tmp_path)
