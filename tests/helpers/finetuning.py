"""Tiny models, tokenizers and prepared datasets for the tests of fine-tuning."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from compactbio.kinds import KINDS
from compactbio.kinds.columns import features

WORDS = ["alpha", "beta", "gamma", "delta", "is", "in", "of", "the", "who", "binds", "blocks", "gene", "cell"]
PIECES = ["flu", "##x", "##y", "ab", "##c", "##d", "##e", "@", "$", "disease", "-", ".", "?", ",", "(", ")"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *PIECES]
NER_LABELS = ["O", "B", "I"]
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SHAPES: dict[str, dict[str, Any]] = {
    "bert": {**SMALL, "intermediate_size": 64},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
    "electra": {**SMALL, "intermediate_size": 64, "embedding_size": 16},
    "mobilebert": {**SMALL, "intermediate_size": 32, "embedding_size": 32, "intra_bottleneck_size": 32},
    "modernbert": {
        **SMALL,
        "intermediate_size": 64,
        "local_attention": 8,
        "classifier_pooling": "mean",
        "pad_token_id": 0,
        **dict.fromkeys(("bos_token_id", "cls_token_id"), 2),
        **dict.fromkeys(("eos_token_id", "sep_token_id"), 3),
    },
    "roberta": {**SMALL, "intermediate_size": 64, "type_vocab_size": 1, "pad_token_id": 0},  # that of VOCABULARY
}


def write_tokenizer(folder: Path, *, model_max_length: int = 64) -> None:
    """Write an uncased WordPiece tokenizer of VOCABULARY, made without the project's own code."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.WordPiece({token: index for index, token in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": model_max_length}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def write_model(
    folder: Path, *, architecture: str = "bert", masked_lm: bool = False, seed: int = 7, **changes: Any
) -> Path:
    """Write a tiny model (2 layers x 32, and `changes` of its shape) with its tokenizer and return its folder."""
    import torch
    import transformers

    torch.manual_seed(seed)
    size = {"vocab_size": len(VOCABULARY), "max_position_embeddings": 64}
    config = transformers.AutoConfig.for_model(architecture, **SHAPES[architecture] | size | changes)
    kind = transformers.AutoModelForMaskedLM if masked_lm else transformers.AutoModel
    kind.from_config(config).save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def write_dataset(folder: Path, task: str, splits: dict[str, dict[str, list]], labels: list[str]) -> Path:
    """Write a prepared dataset with the columns that the tasks stage writes."""
    import datasets

    datasets.disable_progress_bars()
    typed = features(KINDS[task], labels)
    made = {name: datasets.Dataset.from_dict(columns, features=typed) for name, columns in splits.items()}
    datasets.DatasetDict(made).save_to_disk(str(folder / "data"))
    return folder


def ner_rows(count: int, seed: int) -> dict[str, list]:
    """Return sentences in which `flux` and a following `flux` are an entity: B, then I."""
    draw = random.Random(seed)
    words, labels = [], []
    for _ in range(count):
        sentence = [draw.choice(WORDS) for _ in range(draw.randint(3, 9))]
        place = draw.randrange(len(sentence))
        size = draw.randint(1, 2)
        words.append(sentence[:place] + ["flux"] * size + sentence[place:])
        labels.append([0] * place + [1, 2][:size] + [0] * (len(sentence) - place))
    return {"id": list(range(count)), "words": words, "labels": labels}


def re_rows(count: int, seed: int, fold: int = 0) -> dict[str, list]:
    """Return sentences whose label is 1 exactly where they say `binds`."""
    draw = random.Random(seed)
    labels = [draw.randint(0, 1) for _ in range(count)]
    sentences = [
        f"@gene$ {'binds' if label else 'blocks'} {draw.choice(WORDS[:4])} {'the ' * draw.randint(0, 6)}cell ."
        for label in labels
    ]
    return {"id": list(range(count)), "fold": [fold] * count, "sentence": sentences, "label": labels}


def qa_rows(count: int, seed: int) -> dict[str, list]:
    """Return contexts whose answer is the word after `is`, two rows a question."""
    draw = random.Random(seed)
    rows: dict[str, list] = {name: [] for name in ("id", "question_id", "snippet", "question", "context", "answers")}
    for number in range(count):
        before = " ".join(draw.choice(["the", "of", "in", "cell"]) for _ in range(draw.randint(1, 8)))
        answer = draw.choice(WORDS[:4])
        context = f"{before} is {answer} in the cell"
        rows["id"].append(f"q{number // 2}_{number % 2:03d}")
        rows["question_id"].append(f"q{number // 2}")
        rows["snippet"].append(number % 2)
        rows["question"].append("who binds ?")
        rows["context"].append(context)
        rows["answers"].append({"text": [answer], "answer_start": [len(before) + 4]})
    return rows


def run_settings(task: str, labels: list[str], **changes: Any) -> dict[str, Any]:
    """Return the content of a run.yaml; `changes` to hyper-parameters or, by their names, to top-level keys."""
    hyperparameters: dict[str, Any] = {
        "learning_rate": 3.0e-3,
        "batch_size": 16,
        "epochs": 3,
        "schedule": "cosine",
        "warmup_fraction": 0.0,
        "weight_decay": 0.01,
        "max_gradient_norm": 1.0,
        "max_length": 32,
        "precision": "fp32",
    }
    hyperparameters |= {"ner": {"labelled_pieces": "all"}, "re": {}, "qa": {"stride": 4}}.get(task, {})
    settings: dict[str, Any] = {
        "model": "tiny",
        "dataset": "toy",
        "task": task,
        "labels": labels,
        "positive_labels": labels[1:] if task == "re" else [],
        "validation_fraction": None,
        "runs": [{"run": "seed1", "seed": 1, "fold": 0}],
        "hyperparameters": hyperparameters,
    }
    for key, value in changes.items():
        (settings if key in settings else hyperparameters)[key] = value
    return settings
