"""Stand-ins for the authors' files: the same names and calls, the formulas restated, so that tests need no clone."""

from __future__ import annotations

import hashlib
from pathlib import Path

WRAPPER = """
class DistillationWrapper(nn.Module):
    def __init__(self, student, teacher):
        super().__init__()
        self.student, self.teacher = student, teacher
        {extra}

    def forward(self, input_ids, attention_mask, labels):
        from compactbio.benchmarks import reference

        wanted = {{"output_hidden_states": True, "output_attentions": True}}
        ours = self.student(input_ids=input_ids, attention_mask=attention_mask, **wanted)
        with torch.no_grad():
            theirs = self.teacher(input_ids=input_ids, attention_mask=attention_mask, **wanted)
        return MaskedLMOutput(loss=reference.{formula}(ours, theirs, labels, attention_mask{argument}))


def initializeStudent(save_path):
    full = ts.AutoModel.from_pretrained("teacher")
    config = full.config.to_dict() | {{"num_hidden_layers": full.config.num_hidden_layers // 2}}
    half = ts.BertModel(config=ts.BertConfig.from_dict(config))
    half.embeddings = full.embeddings
    for number in range(len(half.encoder.layer)):
        half.encoder.layer[number] = full.encoder.layer[2 * number + {first}]
    half.save_pretrained(save_path)
"""
NER = """
def load_and_preprocess_dataset(folder, tokenizer):
    sentences, labels = [], []
    for block in open(folder + "test.tsv", encoding="utf-8").read().strip().split("\\n\\n"):
        pairs = [line.split("\\t") for line in block.split("\\n")]
        sentences.append([word for word, _ in pairs])
        labels.append([label for _, label in pairs])
    names = ["B", "I", "O"]
    encoded = tokenizer.batch_encode_plus(sentences, is_split_into_words=True, max_length=512)
    of_pieces = [
        [-100 if word is None else names.index(labels[row][word]) for word in encoded.word_ids(row)]
        for row in range(len(sentences))
    ]

    def compute_metrics(pair):
        logits, gold = pair
        found = np.argmax(logits, axis=2)
        rows = [[(a, b) for a, b in zip(*row) if b != -100] for row in zip(found, gold)]
        return load_metric("seqeval").compute(
            predictions=[[names[a] for a, _ in row] for row in rows],
            references=[[names[b] for _, b in row] for row in rows],
        )

    test = {"input_ids": encoded["input_ids"], "labels": of_pieces}
    return test, test, test, compute_metrics, names
"""
QA = """
def load_and_preprocess_train_dataset(path, tokenizer, max_length, stride):
    rows = [
        (entry["question"], paragraph["context"], answer["text"], answer["answer_start"])
        for document in json.load(open(path, encoding="utf-8"))["data"]
        for paragraph in document["paragraphs"]
        for entry in paragraph["qas"]
        for answer in entry["answers"]
    ]
    made = {"input_ids": [], "attention_mask": [], "start_positions": [], "end_positions": []}
    for question, context, text, first in rows:  # none is longer than a window
        encoded = tokenizer(question, context, max_length=max_length, padding="max_length")
        made["input_ids"].append(encoded["input_ids"])
        made["attention_mask"].append(encoded["attention_mask"])
        made["start_positions"].append(encoded.char_to_token(first, sequence_index=1))
        made["end_positions"].append(encoded.char_to_token(first + len(text) - 1, sequence_index=1))
    return rows, made
"""


def write_authors(folder: Path, *, fault: tuple[str, str] = ("", "")) -> dict[str, str]:
    """Write the files, `fault[0]` in them replaced by `fault[1]`, and return their digests by name."""
    linear = "self.fit_dense = nn.Linear(student.config.hidden_size, teacher.config.hidden_size)"
    files = {
        "CompactBioBERT-Distillation.py": WRAPPER.format(extra="", formula="compact", argument="", first=1),
        "DistilBioBERT-Distillation.py": WRAPPER.format(extra="", formula="distil", argument="", first=0),
        "TinyBioBERT-Distillation.py": WRAPPER.format(
            extra=linear, formula="tiny", argument=", self.fit_dense", first=0
        ),
        "ner.py": NER,
        "qa.py": QA,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        changed = content.replace(*fault) if fault[0] else content
        (folder / name).write_text(changed, encoding="utf-8")
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files}
