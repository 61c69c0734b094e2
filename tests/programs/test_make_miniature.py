"""make_miniature.py: the same bytes twice, starting points that load, and what config/demo.yaml says of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers.configurations import CONFIG, ROOT, read
from helpers.miniature import SMALL, write_small_miniature

from compactbio.errors import UserError
from compactbio.miniature.assembly import LISTING, Sizes, make_miniature
from compactbio.miniature.checkpoints import STARTING_POINTS
from compactbio.miniature.encoders import ENCODERS
from compactbio.students.tokenizers import build_tokenizer, check_tokenizer


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """The second miniature and its listing."""
    folder = tmp_path_factory.mktemp("more") / "miniature"
    return folder, make_miniature(folder, 0, Sizes(more=True))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("program") / "miniature"
    flags = [part for name, value in SMALL.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, str(ROOT / "scripts" / "make_miniature.py"), "--output", str(folder), *flags]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_seed_gives_the_same_bytes_in_another_process(written: Path, tmp_path: Path) -> None:
    write_small_miniature(tmp_path / "again", checkpoints=True)
    assert contents(tmp_path / "again") == contents(written)
    write_small_miniature(tmp_path / "other", seed=1)
    changed = contents(tmp_path / "other")
    assert all(changed[name] != contents(written)[name] for name in changed if name.endswith(("gz", "zip")))


def test_a_complete_miniature_is_kept_and_an_incomplete_one_remade(tmp_path: Path) -> None:
    write_small_miniature(tmp_path / "data")
    listing = tmp_path / "data" / LISTING
    before = listing.stat().st_mtime_ns
    write_small_miniature(tmp_path / "data")
    assert listing.stat().st_mtime_ns == before
    (tmp_path / "data" / "biobert" / "datasets.tar.gz").unlink()
    write_small_miniature(tmp_path / "data")
    assert listing.stat().st_mtime_ns != before
    assert (tmp_path / "data" / "biobert" / "datasets.tar.gz").is_file()


def test_a_folder_of_something_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("important")
    with pytest.raises(UserError, match="will not be replaced"):
        write_small_miniature(tmp_path)
    assert (tmp_path / "thesis.txt").is_file()


def test_results_beside_the_miniature_are_not_touched(tmp_path: Path) -> None:
    """The demo keeps the miniature inside its results folder."""
    (tmp_path / "tables").mkdir()
    write_small_miniature(tmp_path / "miniature")
    assert (tmp_path / "tables").is_dir()


@pytest.mark.parametrize("name", STARTING_POINTS)
def test_starting_points_have_the_published_forms(written: Path, name: str) -> None:
    import torch
    from safetensors.torch import load_file

    folder = written / "checkpoints" / name
    config = json.loads((folder / "config.json").read_text())
    tokens = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    assert config["vocab_size"] == len(tokens) == len(set(tokens))
    if STARTING_POINTS[name].old_form:
        assert {path.name for path in folder.iterdir()} == {"config.json", "pytorch_model.bin", "vocab.txt"}
        assert "model_type" not in config
        weights = torch.load(folder / "pytorch_model.bin", weights_only=True)
    else:
        assert config["model_type"] == STARTING_POINTS[name].architecture
        assert (folder / "tokenizer.json").is_file()
        weights = load_file(folder / "model.safetensors")
    assert any(weight.shape[0] == len(tokens) for weight in weights.values())


def test_demo_configuration_states_what_is_generated(tmp_path: Path) -> None:
    """A change of the generator or of its sizes must be followed in config/demo.yaml: this says with what."""
    listing = make_miniature(tmp_path / "data", 0, Sizes())
    demo = read("demo.yaml")
    assert demo["corpus"]["baseline"]["files"] == listing["pubmed"]["files"]
    assert {name: entry["vocabulary_size"] for name, entry in demo["tokenizers"].items()} == {
        name: entry["vocabulary_size"] for name, entry in listing["tokenizers"].items()
    }
    for name, entry in demo["tokenizers"].items():
        vocabulary = tmp_path / "data" / "checkpoints" / Path(demo["checkpoints"][entry["checkpoint"]]["path"]).name
        check_tokenizer(build_tokenizer(vocabulary / "vocab.txt", entry["lower_case"]), entry, name)
    stated = {name: demo["datasets"][name].get("counts") for name in demo["run"]["datasets"]}
    assert stated == {**listing["datasets"], "GAD": None}
    for name, checkpoint in demo["checkpoints"].items():
        generated = listing["checkpoints"][Path(checkpoint["path"]).name]
        for key in ("architecture", "tokenizer"):
            assert checkpoint[key] == generated[key], name
        shape = STARTING_POINTS[Path(checkpoint["path"]).name].shape
        sizes = {*checkpoint["shape"].values()}
        assert sizes <= {*shape.values()}, name


def test_the_second_miniature_is_the_same_bytes_in_another_process(more: tuple[Path, dict], tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "scripts" / "make_miniature.py"),
        "--more",
        "--output",
        str(tmp_path / "data"),
    ]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=120, env=environment)
    assert contents(tmp_path / "data") == contents(more[0])


def test_its_configuration_states_what_is_generated(more: tuple[Path, dict]) -> None:
    folder, listing = more
    config = yaml.safe_load((CONFIG / "demo_more.yaml").read_text(encoding="utf-8"))
    assert config["corpus"]["baseline"]["files"] <= listing["pubmed"]["files"]
    for name in config["run"]["datasets"]:
        entry = config["datasets"][name]
        generated = listing["datasets"][Path(entry["folder"]).name]
        assert entry["counts"] == generated, name
        assert {Path(entry["folder"].format(mirror=folder)).is_dir()} == {True}
    sources = [*config["checkpoints"].values(), config["models"]["ALBERT"]]
    assert {Path(entry["path"]).name for entry in sources} == {*listing["checkpoints"]}
    for entry in sources:
        assert entry["architecture"] in ("auto", listing["checkpoints"][Path(entry["path"]).name]["architecture"])


@pytest.mark.parametrize("name", ENCODERS)
def test_its_starting_points_load_and_their_tokenizers_lose_nothing(more: tuple[Path, dict], name: str) -> None:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    folder = more[0] / "checkpoints" / name
    files = {path.name for path in folder.iterdir()}
    assert ({"vocab.json", "merges.txt"} <= files) == (name == "roberta") == ("tokenizer.json" not in files)
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.config.model_type == ENCODERS[name].architecture
    assert model.config.vocab_size == len(tokenizer)
    assert model.config.pad_token_id == tokenizer.pad_token_id != tokenizer.mask_token_id
    rows = json.loads((more[0] / "pubmedqa" / "ori_pqal.json").read_text())
    for row in [*rows.values()][:50]:
        ids = tokenizer(row["QUESTION"], row["CONTEXTS"][0]).input_ids
        assert tokenizer.unk_token_id not in ids and ids.count(tokenizer.sep_token_id) >= 2
        text = row["CONTEXTS"][0] if name != "albert" else row["CONTEXTS"][0].lower()
        again = tokenizer.decode(
            tokenizer(text, add_special_tokens=False).input_ids, clean_up_tokenization_spaces=False
        )
        assert again.strip() == text


def test_its_spans_are_where_brat_says_and_its_tags_are_legal(more: tuple[Path, dict]) -> None:
    from seqeval.metrics.sequence_labeling import get_entities
    from seqeval.scheme import IOBES, Entities

    found = 0
    for path in (more[0] / "brat" / "train").glob("*.ann"):
        text = path.with_suffix(".txt").read_text()
        for line in path.read_text().splitlines():
            if line.startswith("T"):
                _, place, surface = line.split("\t")
                kind, _, spans = place.partition(" ")
                parts = [text[int(start) : int(end)] for start, end in (span.split() for span in spans.split(";"))]
                assert " ".join(parts) == surface
                found += len(parts) == 1 and kind != "Gene"
    assert found == more[1]["datasets"]["brat"]["train"]["entities"]
    blocks = (more[0] / "columns" / "test.txt").read_text().strip().split("\n\n")[1:]
    tags = [[line.split(" ")[3] for line in block.split("\n")] for block in blocks]
    strict = sum(len(one) for one in Entities(tags, IOBES).entities)
    assert strict == len(get_entities(tags)) == more[1]["datasets"]["columns"]["test"]["entities"]
