"""The programs of reporting, on a full-size synthetic score set."""

import csv
import importlib
import json
import os
import subprocess
import sys
import time

import pytest
from helpers.reporting import DATASETS, MODELS, efficiency_file, write_pretraining, write_results
from PIL import Image

from compactbio.reporting.report_records import made_tables
from compactbio.settings.load import CONFIG_FOLDER, settings_of_files

ARGUMENTS = ["--models", *MODELS, "--datasets", *(f"{name}:{task}" for name, (task, _) in DATASETS.items())]


def run(request, program, *arguments):
    command = [sys.executable, f"scripts/{program}.py", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        command, cwd=request.config.rootpath, env=environment, capture_output=True, text=True, check=False
    )


def start_here(monkeypatch, program, *arguments):
    """Run a program's main function in this process: its heavy imports are paid once for all tests."""
    monkeypatch.setattr(sys, "argv", [program, *map(str, arguments)])
    importlib.import_module(program).main()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    root = write_results(tmp_path_factory.mktemp("results"))
    efficiency_file(root / "reporting" / "efficiency.json")
    return root


@pytest.fixture(scope="module")
def collected(request, results):
    path = results / "reporting" / "scores.tsv"
    paths = sorted((results / "finetuning").glob("*/scores.tsv"))
    done = run(request, "collect_scores", "--output", path, *paths)
    assert done.returncode == 0, done.stderr
    return path


def build(request, *arguments, output):
    return run(
        request,
        "build_tables",
        *("--published", "config/published_values.tsv", "--baseline", "BioBERT-v1.1", "--output-dir", output),
        *arguments,
    )


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_tables_of_all_models_and_datasets(request, results, collected, tmp_path):
    start = time.monotonic()
    config = json.dumps(settings_of_files([CONFIG_FOLDER / "sound.yaml"]))
    efficiency = ("--efficiency", results / "reporting" / "efficiency.json")
    done = build(request, "--scores", collected, *efficiency, "--config", config, *ARGUMENTS, output=tmp_path / "t")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - start < 20  # a second on an idle core
    names = {path.name for path in (tmp_path / "t").iterdir()}
    made = made_tables({"ner", "re", "qa"}, benchmark=False)
    assert names == {f"{table.name}.{form}" for table in made for form in ("csv", "md", "tex", "html")} | {
        "index.md",
        "index.html",
        "verdict.rst",
    }
    assert "not run" in (tmp_path / "t" / "finetuning.md").read_text(encoding="utf-8")
    rows = rows_of(tmp_path / "t" / "ner.csv")
    # 5 datasets x 2 protocols x 12 models x (precision, recall, F1, entities)
    assert len(rows) == 5 * 2 * 12 * 4
    assert sum(row["difference"] != "" for row in rows) == 7
    cell = next(
        r
        for r in rows
        if (r["dataset"], r["model"], r["protocol"], r["metric"]) == ("BC2GM", "BioMobileBERT", "reference", "f1")
    )
    values = [
        100 * float(line["value"])
        for line in csv.DictReader(collected.open(encoding="utf-8"), delimiter="\t")
        if (line["dataset"], line["model"], line["protocol"], line["metric"])
        == ("BC2GM", "BioMobileBERT", "reference", "f1")
    ]
    assert float(cell["mean"]) == pytest.approx(sum(values) / 3, rel=1e-12)
    assert float(cell["difference"]) == pytest.approx(sum(values) / 3 - 85.26)
    index = (tmp_path / "t" / "index.md").read_text(encoding="utf-8")
    assert "372 of the 372 runs" in index and "| quirks.text " in index
    assert "[First page](index.md)" in (tmp_path / "t" / "ner.md").read_text(encoding="utf-8")


def test_tables_so_far_accept_gaps(request, results, tmp_path):
    partial = tmp_path / "partial"
    write_results(partial, {"BioBERT-v1.1": 0}, {"BC2GM": DATASETS["BC2GM"]})
    waiting = partial / "finetuning" / "TinyBERT" / "BC2GM"
    waiting.mkdir(parents=True)
    (waiting / "predictions.parquet").touch()
    done = build(request, "--results", partial, *ARGUMENTS, output=tmp_path / "t")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "t" / "ner.md").read_text(encoding="utf-8")
    assert "– = fine-tuned, not scored yet: TinyBERT" in text
    assert "not run" in text
    assert {row["model"] for row in rows_of(tmp_path / "t" / "finetuning.csv")} == {"BioBERT-v1.1"}
    reasons = {row["reason"] for row in rows_of(tmp_path / "t" / "re.csv")}
    assert reasons == {"not run"}
    assert build(request, "--results", partial, output=tmp_path / "u").returncode == 0  # what is there decides the rows


def test_tables_of_nothing_are_dashes(request, tmp_path):
    (tmp_path / "empty").mkdir()
    done = build(request, "--results", tmp_path / "empty", *ARGUMENTS, output=tmp_path / "t")
    assert done.returncode == 0, done.stderr
    assert "– = not run: all models." in (tmp_path / "t" / "qa.md").read_text(encoding="utf-8")
    done = build(request, "--results", tmp_path / "empty", output=tmp_path / "u")
    assert done.returncode == 1
    assert "there are no scores yet" in done.stderr


def test_tables_so_far_of_a_configuration(request, tmp_path):
    """`make tables`: rows, baseline, results folder and whether the paper's values stand beside come from there."""
    models = {"BioBERT-v1.1": 0, "DistilBioBERT": 0}
    write_results(tmp_path / "results", models, {"NCBI-disease": DATASETS["NCBI-disease"]})
    config = {
        "results_dir": str(tmp_path / "results"),
        "run": {"models": [*models, "TinyBERT"], "datasets": ["NCBI-disease", "GAD"]},
        "corpus": {"baseline": {"base_url": "file://{mirror}/pubmed"}},  # no mirror is needed for tables
        "reporting": {"baseline_model": "DistilBioBERT"},
    }
    own, apart = tmp_path / "own.yaml", tmp_path / "apart.yaml"
    own.write_text(json.dumps(config))
    apart.write_text(json.dumps({"reporting": {"compare_with_paper": False}}))
    tables = tmp_path / "results" / "tables_so_far"
    for files, compared in (([own], True), ([own, apart], False)):
        done = run(request, "build_tables", "--configfile", *files)
        assert done.returncode == 0, done.stderr
        rows = rows_of(tables / "ner.csv")
        assert {row["model"] for row in rows} == {"BioBERT-v1.1", "DistilBioBERT", "TinyBERT"}
        assert any(row["published"] or row["difference"] for row in rows) == compared
    assert {row["reason"] for row in rows_of(tables / "re.csv")} == {"not run"}
    done = run(request, "show_tables", "--configfile", own, "--only", "summary")
    assert done.returncode == 0, done.stderr
    assert "DistilBioBERT" in done.stdout
    done = run(request, "build_tables", "--configfile", own, "--results", tmp_path / "none")
    assert done.returncode == 1
    assert "nothing was run for it yet" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "{"], "--config is not JSON"),
        (["--datasets", "BC2GM"], "'BC2GM' is not NAME:TASK"),
        (["--datasets", "BC2GM:ner", "BC2GM:ner"], "BC2GM is given twice"),
        (["--efficiency", "nowhere.json"], "nowhere.json does not exist"),
    ],
)
def test_bad_arguments_of_build_tables(request, collected, tmp_path, arguments, message):
    done = build(request, "--scores", collected, *arguments, output=tmp_path / "t")
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_tables_are_shown_in_a_terminal(request, collected, tmp_path):
    assert build(request, "--scores", collected, *ARGUMENTS, output=tmp_path / "tables").returncode == 0
    done = run(request, "show_tables", tmp_path / "tables")
    assert done.returncode == 0, done.stderr
    assert max(len(line) for line in done.stdout.splitlines() if str(tmp_path) not in line) <= 120
    assert "<u>" not in done.stdout
    assert "index.md" in done.stdout
    done = run(request, "show_tables", tmp_path / "nothing")
    assert done.returncode == 1
    assert "build the tables first" in done.stderr


def test_figures_are_drawn_and_are_the_same_each_time(monkeypatch, request, results, collected, tmp_path):
    arguments = [
        *("--scores", collected, "--efficiency", results / "reporting" / "efficiency.json"),
        *("--published", request.config.rootpath / "config" / "published_values.tsv"),
        *(
            "--baseline",
            "BioBERT-v1.1",
            "--groups",
            json.dumps({"DistilBioBERT": "distilled", "BioTinyBERT": "continual"}),
        ),
        *("--models", "BioBERT-v1.1", "DistilBioBERT", "BioTinyBERT", "--datasets", "BC2GM:ner", "GAD:re"),
        *("--trainings", *sorted((results / "finetuning").glob("*BioBERT*/*/training.json"))),
        *("--pretrainings", write_pretraining(tmp_path / "BioTinyBERT-v1.1")),
    ]
    for name in ("a", "b"):
        start_here(monkeypatch, "build_figures", *arguments, "--output-dir", tmp_path / name)
    figures = ("scores", "scores_standard", "score_by_parameters", "score_by_latency", "learning_curves")
    figures += ("paper_and_replication", "pretraining_losses")
    figures += ("pretraining/BioTinyBERT-v1.1",)
    names = {f"{figure}.{form}" for figure in figures for form in ("svg", "pdf", "png")}
    assert {str(path.relative_to(tmp_path / "a")) for path in (tmp_path / "a").rglob("*.*")} == names
    for name in names:
        content = (tmp_path / "a" / name).read_bytes()
        assert content == (tmp_path / "b" / name).read_bytes()
        if name.endswith(".pdf"):  # drawn, not painted, in TrueType fonts that it holds
            assert b"/FontFile2" in content and b"/Type3" not in content and b"/Subtype /Image" not in content
        if name.endswith(".png"):
            assert Image.open(tmp_path / "a" / name).info["dpi"] == pytest.approx((300, 300), abs=0.1)
    svg = (tmp_path / "a" / "scores.svg").read_text(encoding="utf-8")
    assert all(text in svg for text in ("BC2GM", "DistilBioBERT", "published (paper)"))
    curves = (tmp_path / "a" / "learning_curves.svg").read_text(encoding="utf-8")
    assert "validation F1, %" in curves and "BioTinyBERT" not in curves
    latency = (tmp_path / "a" / "score_by_latency.svg").read_text(encoding="utf-8")
    assert "CPU latency of one sequence, ms" in latency and "no faster model scores as high" in latency
    terms = (tmp_path / "a" / "pretraining" / "BioTinyBERT-v1.1.svg").read_text(encoding="utf-8")
    assert "BioTinyBERT-v1.1: loss and its weighted terms by step" in terms and "KL divergence of logits" in terms
    agreement = (tmp_path / "a" / "paper_and_replication.svg").read_text(encoding="utf-8")
    assert "BC2GM" in agreement and "DistilBioBERT" in agreement and "BioTinyBERT" not in agreement


def test_figures_without_scores_say_so(monkeypatch, tmp_path):
    empty = tmp_path / "scores.tsv"
    empty.write_text("task\tdataset\tmodel\trun\tprotocol\tmetric\tvalue\n", encoding="utf-8")
    arguments = (
        "--scores",
        empty,
        "--models",
        "A",
        "--datasets",
        "N:ner",
        "--baseline",
        "A",
        "--output-dir",
        tmp_path / "f",
    )
    start_here(monkeypatch, "build_figures", *arguments)
    assert "not run" in (tmp_path / "f" / "scores.svg").read_text(encoding="utf-8")
    assert "no training" in (tmp_path / "f" / "learning_curves.svg").read_text(encoding="utf-8")


def test_efficiency_of_tiny_models(monkeypatch, tmp_path):
    from transformers import BertConfig, BertForMaskedLM, DistilBertConfig, DistilBertForMaskedLM

    bert = BertConfig(
        vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=128,
    )  # fmt: skip
    distil = DistilBertConfig(vocab_size=100, dim=32, n_layers=2, n_heads=2, hidden_dim=64, max_position_embeddings=64)
    models = {"bert": BertForMaskedLM(bert), "distil": DistilBertForMaskedLM(distil)}
    for name, model in models.items():
        model.save_pretrained(tmp_path / name)
    output = tmp_path / "efficiency.json"
    start_here(
        monkeypatch,
        "measure_efficiency",
        *("--models", *(f"{name}={tmp_path / name}" for name in models), "--output", output, "--device", "cpu"),
        *("--repetitions", 2, "--warmup", 1, "--batch-size", 2, "--flop-lengths", 64, 128),
    )
    content = json.loads(output.read_text(encoding="utf-8"))
    assert content["settings"]["sequence_length"] == 64  # the shortest model's positions
    assert content["settings"]["threads"] == content["hardware"]["cpu_threads"] == 1
    for name, model in models.items():
        facts = content["models"][name]
        encoder = sum(parameter.numel() for parameter in model.base_model.parameters())
        assert facts["parameters"]["encoder"] == encoder
        assert facts["weights_bytes"] == (tmp_path / name / "model.safetensors").stat().st_size
        assert len(facts["cpu"]["latency_milliseconds"]["values"]) == 2
        # activations beside the weights: at least one hidden state (2 sequences x 64 tokens x 32), at most some twenty
        assert 1 < (facts["peak_memory_bytes"] - 4 * encoder) / (2 * 64 * 32 * 4) < 20
    # a layer, n tokens: 2 n (4 h h + 2 h f) in the dense layers, 2 * 2 n n h in the attention; h = 32, f = 64
    layers = [2 * (2 * n * (4 * 32 * 32 + 2 * 32 * 64) + 4 * n * n * 32) for n in (64, 128)]
    pooler = 2 * 32 * 32
    assert content["models"]["bert"]["flops"] == {"64": layers[0] + pooler, "128": layers[1] + pooler}
    assert content["models"]["distil"]["flops"] == {"64": layers[0]}


@pytest.mark.parametrize(("device", "claims"), [("auto", 1), ("cpu", 0)])
def test_efficiency_is_measured_on_a_gpu_that_nothing_else_is_at(monkeypatch, tmp_path, device, claims):
    import measure_efficiency

    claimed = []
    monkeypatch.setattr(measure_efficiency, "weight_files", lambda _: None)
    monkeypatch.setattr(measure_efficiency, "claim_gpu", lambda: claimed.append(True))
    monkeypatch.setattr(measure_efficiency, "import_models", lambda: 1 / 0)  # torch comes behind it
    with pytest.raises(ZeroDivisionError):
        arguments = ("--models", f"a={tmp_path}", "--output", tmp_path / "x.json", "--device", device)
        start_here(monkeypatch, "measure_efficiency", *arguments)
    assert claimed == [True] * claims


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "A"], "'A' is not NAME=FOLDER"),
        (["--models", "A=nowhere"], "there is no folder nowhere"),
        (["--models", "A=config", "--repetitions", "0"], "--repetitions must be at least 1"),
        (["--models", "A=config"], "holds no .safetensors file"),
    ],
)
def test_bad_arguments_of_measure_efficiency(request, tmp_path, arguments, message):
    done = run(request, "measure_efficiency", *arguments, "--output", tmp_path / "x.json")
    assert done.returncode == 1
    assert message in done.stderr


@pytest.mark.parametrize(
    "program",
    [
        *("collect_scores", "build_tables", "build_figures", "measure_efficiency", "check_results"),
        *("describe_run", "show_tables", "measure_deployment"),
    ],
)
def test_help_needs_no_heavy_library(request, program):
    code = (
        "import sys, runpy; sys.path.insert(0, 'scripts'); sys.argv = ['x', '--help']\n"
        f"try: runpy.run_path('scripts/{program}.py', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'torch', 'transformers', 'pandas', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=request.config.rootpath, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
