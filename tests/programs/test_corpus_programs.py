"""The corpus's programs from baseline files to token store and summary, as the rules start them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from helpers.corpus import awkward_records, plain_parse, write_baseline
from helpers.mirror import serving

from compactbio.corpus.tokens import TokenStore
from compactbio.settings.results import Corpus
from compactbio.students.tokenizers import save_tokenizer, tokenizer_of_vocabulary

SCRIPTS = Path(__file__).parents[2] / "scripts"


def start(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPTS / f"{program}.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    done = start(program, *arguments)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    letters = [chr(code) for code in range(33, 127)]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    tokens += ["plain", "words", "vitro"]
    save_tokenizer(tokenizer_of_vocabulary({token: n for n, token in enumerate(tokens)}, lower_case=True), folder)
    return folder


@pytest.fixture
def baseline(tmp_path) -> Path:
    folder = tmp_path / "baseline"
    folder.mkdir()
    for number in (1, 2):
        write_baseline(folder / f"pubmed26n{number:04d}.xml.gz", awkward_records(number, 60))
    return folder


def download(base_url: str, numbers: str, folder: Path) -> tuple[subprocess.CompletedProcess[str], Path]:
    output = folder / "batch.json"
    options = ("--base-url", base_url, "--year", 2026, "--numbers", numbers, "--output", output)
    done = start("download_baseline", *options, "--downloads", folder / "cache", "--tries", 2, "--first-wait", 0.01)
    return done, output


@pytest.mark.parametrize("mode", ["full", "reference"])
def test_from_server_to_summary(tmp_path, baseline, tokenizer, mode):
    with serving(baseline) as server:
        done, manifest = download(server.url, "1-2", tmp_path)
    assert done.returncode == 0, done.stderr

    corpus = Corpus(tmp_path)
    text, counts = corpus.text("0001"), corpus.counts("0001")
    run("parse_baseline", "--text", mode, "--manifest", manifest, "--output", text, "--counts", counts)
    rows = plain_parse(sorted(baseline.glob("*.gz")), mode)
    assert pq.read_schema(text).names == ["pmid", "text"]
    assert pq.read_table(text)["text"].to_pylist() == [row[1] for row in rows]
    assert json.loads(counts.read_text())["settings"] == {"text": mode, "as_of": None}

    stores = [corpus.token_store("tiny", shard).folder for shard in ("0001", "0002")]
    definition = {"vocabulary_size": 196, "lower_case": True, "golden": {"text": "Plain", "ids": [2, 193, 3]}}
    for store in stores:
        run("tokenize_shard", "--tokenizer", tokenizer, "--output", store, "--max-length", 24,
            "--definition", json.dumps(definition), "--name", "tiny", text)  # fmt: skip
    store = TokenStore(stores)
    assert len(store) == 2 * len(rows)

    from transformers import AutoTokenizer

    plain = AutoTokenizer.from_pretrained(tokenizer)
    expected = [plain(row[1], truncation=True, max_length=24)["input_ids"] for row in rows]
    assert [ids.tolist() for ids in store.gather(np.arange(len(rows)))] == expected
    assert store.truncated == 2 * sum(len(plain(row[1])["input_ids"]) > 24 for row in rows) > 0
    assert store.special_ids == {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}

    tables = (tmp_path / "summary.csv", tmp_path / "summary.md")
    figures = [tmp_path / f"{name}.{form}" for name in ("lengths", "files") for form in ("svg", "pdf", "png")]
    shutil.copy(counts, corpus.counts("0002"))
    options = ("--lengths-figure", *figures[:3], "--files-figure", *figures[3:])
    which = ("--corpus", tmp_path, "--shards", 2, "--tokenizers", "tiny")
    run("summarise_corpus", *which, "--table", *tables, *options)
    assert f"| citations read | {2 * 120:,} |" in tables[1].read_text()
    assert "tokenizer tiny" in tables[0].read_text()
    assert all(figure.stat().st_size > 1000 for figure in figures)
    files = figures[3].read_text()
    assert f"read ({2 * 120:,})" in files and f"kept ({2 * len(rows):,})" in files


def test_a_failed_file_costs_its_batch_nothing_but_itself(tmp_path, baseline):
    with serving(baseline) as server:
        server.faults["pubmed26n0001.xml.gz"] = ["503"] * 9
        done, manifest = download(server.url, "1-3", tmp_path)
        assert done.returncode == 1
        assert "2 of 3 files" in done.stderr
        assert "the 2026 baseline, 2 files (1-2)" in done.stderr
        assert "Traceback" not in done.stderr
        listed = json.loads(manifest.read_text())
        assert [file["name"] for file in listed["files"]] == ["pubmed26n0002.xml.gz"]
        output = ("--output", tmp_path / "o.parquet", "--counts", tmp_path / "c.json")
        refused = start("parse_baseline", "--text", "full", "--manifest", manifest, *output)
        assert refused.returncode == 1
        assert "run download_baseline again" in refused.stderr

        server.faults.clear()
        server.requests.clear()
        done, manifest = download(server.url, "1-2", tmp_path)
        assert done.returncode == 0, done.stderr
        assert not any(name.startswith("pubmed26n0002") for name, _ in server.requests)


def test_parse_baseline_by_hand(tmp_path, baseline):
    files = sorted(baseline.glob("*.gz"))
    output, counts = tmp_path / "out" / "o.parquet", tmp_path / "out" / "c.json"
    run("parse_baseline", "--text", "full", "--as-of", "2021-06-15", "--output", output, "--counts", counts, *files)
    written = json.loads(counts.read_text())
    assert written["citations"] == 120
    assert written["dropped"]["entered_after_as_of"] > 0
    run("parse_baseline", "--text", "full", "--as-of", "", "--output", output, "--counts", counts, *files)
    assert json.loads(counts.read_text())["settings"]["as_of"] is None  # as the rule says it where no date is set
    refused = start(
        "parse_baseline", "--text", "full", "--as-of", "June", "--output", output, "--counts", counts, *files
    )
    assert refused.returncode == 2
    assert "argument --as-of: invalid" in refused.stderr


def test_list_baseline_prints_the_block_and_nothing_else(tmp_path, baseline):
    done = run("list_baseline", "--base-url", f"file://{baseline}")
    assert yaml.safe_load(done.stdout)["corpus"]["baseline"] == {
        "base_url": f"file://{baseline}/",
        "year": 2026,
        "files": 2,
        "numbers": None,
    }
    refused = start("list_baseline", "--base-url", f"file://{baseline}", "--year", 2025)
    assert refused.returncode == 1
    assert "no files of the 2025 baseline" in refused.stderr


def test_import_documents(tmp_path):
    (tmp_path / "notes.txt").write_text("one\n\ntwo\n")
    output, counts = tmp_path / "o.parquet", tmp_path / "c.json"
    run("import_documents", tmp_path / "notes.txt", "--output", output, "--counts", counts)
    assert pq.read_table(output).to_pydict() == {"pmid": [1, 3], "text": ["one", "two"]}
    assert json.loads(counts.read_text())["kind"] == "documents"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocabulary_size": 7}, "tokenizers.tiny.vocabulary_size"),
        ({"lower_case": False}, "tokenizers.tiny.lower_case"),
        ({"golden": {"text": "Plain", "ids": [2, 3]}}, "tokenizers.tiny.golden"),
    ],
)
def test_another_tokenizer_than_configured_is_refused(tmp_path, tokenizer, changes, message):
    pq.write_table(pa.table({"text": ["plain words"]}), tmp_path / "t.parquet")
    definition = {"vocabulary_size": 196, "lower_case": True, "golden": None} | changes
    done = start("tokenize_shard", "--tokenizer", tokenizer, "--output", tmp_path / "s", "--name", "tiny",
                 "--definition", json.dumps(definition), tmp_path / "t.parquet")  # fmt: skip
    assert done.returncode == 1
    assert message in done.stderr
    assert not (tmp_path / "s").exists()
