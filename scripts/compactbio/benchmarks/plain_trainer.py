"""Fine-tuning as a plain script on transformers' Trainer does it, with the reference code's padding.

The baseline of the benchmark: it shares nothing with the rest of the library. Named entities and sentences are padded
to the longest of a random batch, questions with their contexts to the maximal length.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import (
    AutoTokenizer,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
    default_data_collator,
)

Columns = dict[str, list]  # rows by column
IGNORED = -100


def trainer_of(
    model: PreTrainedModel, folder: Path, rows: Columns, options: dict[str, Any], seed: int, place: Path
) -> Trainer:
    """Return a Trainer for a model on the training rows of a prepared dataset.

    Args:
        model: with the task's head; its weights are trained in place.
        rows: columns of the training split, which say what to do with them; labels are ids in the model's order.
        options: hyper-parameters of a run file.
        place: a folder for what Trainer writes.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder)
    collator: Callable[[list[Any]], dict[str, Any]]
    if "words" in rows:
        encode, collator = _encode_words, DataCollatorForTokenClassification(tokenizer)
    elif "context" in rows:
        encode, collator = _encode_questions, default_data_collator
    else:
        encode, collator = _encode_sentences, DataCollatorWithPadding(tokenizer)
    arguments = TrainingArguments(
        output_dir=str(place),
        learning_rate=options["learning_rate"],
        per_device_train_batch_size=options["batch_size"],
        num_train_epochs=options["epochs"],
        lr_scheduler_type=options["schedule"],
        weight_decay=options["weight_decay"],
        max_grad_norm=options["max_gradient_norm"],
        seed=seed,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    encoded = encode(tokenizer, rows, options)
    examples: Any = [dict(zip(encoded, values, strict=True)) for values in zip(*encoded.values(), strict=True)]
    return Trainer(model=model, args=arguments, train_dataset=examples, data_collator=collator)


def _encode_words(tokenizer: PreTrainedTokenizerBase, rows: Columns, options: dict[str, Any]) -> Columns:
    """Return sentences cut at the maximal length, every piece with its word's label."""
    encoded = tokenizer(rows["words"], is_split_into_words=True, truncation=True, max_length=options["max_length"])
    labels = [
        [IGNORED if word is None else labels[word] for word in encoded.word_ids(number)]
        for number, labels in enumerate(rows["labels"])
    ]
    return {**encoded, "labels": labels}


def _encode_sentences(tokenizer: PreTrainedTokenizerBase, rows: Columns, options: dict[str, Any]) -> Columns:
    """Return sentences cut at the maximal length."""
    encoded = tokenizer(rows["sentence"], truncation=True, max_length=options["max_length"])
    return {**encoded, "labels": rows["label"]}


def _encode_questions(tokenizer: PreTrainedTokenizerBase, rows: Columns, options: dict[str, Any]) -> Columns:
    """Return windows of question and context padded to the maximal length, [CLS] where they lack the answer."""
    encoded = tokenizer(
        rows["question"],
        rows["context"],
        truncation="only_second",
        max_length=options["max_length"],
        stride=options["stride"],
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding="max_length",
    )
    offsets_of_windows, samples = encoded.pop("offset_mapping"), encoded.pop("overflow_to_sample_mapping")
    starts, ends = [], []
    for window, offsets in enumerate(offsets_of_windows):
        answers = rows["answers"][samples[window]]
        first = answers["answer_start"][0]
        last = first + len(answers["text"][0])
        context = [place for place, part in enumerate(encoded.sequence_ids(window)) if part == 1]
        inside = offsets[context[0]][0] <= first and last <= offsets[context[-1]][1]
        starts.append(max(place for place in context if offsets[place][0] <= first) if inside else 0)
        ends.append(min(place for place in context if offsets[place][1] >= last) if inside else 0)
    return {**encoded, "start_positions": starts, "end_positions": ends}
