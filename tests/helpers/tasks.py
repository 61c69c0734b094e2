"""Tiny benchmark files in their official layouts."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

from compactbio.tasks.data_sources import COLUMNS

EVALUATED = ["false", "CPR:3", "CPR:4", "CPR:5", "CPR:6", "CPR:9"]

NER = {
    "task": "ner",
    "layout": "tagged_words",
    "source": None,
    "folder": "ner",
    "files": {"train": "train.tsv", "validation": "devel.tsv", "test": "test.tsv"},
    "labels": ["O", "B", "I"],
}
GAD = {"task": "re", "layout": "gad", "source": None, "folder": "gad", "labels": ["0", "1"], "folds": [1, 2]}
PLAIN = {
    "task": "re",
    "layout": "sentences",
    "source": None,
    "folder": "plain",
    "files": {"train": "train.tsv", "test": "test.tsv"},
    "labels": ["no", "yes"],
}
JSON_LINES = {
    "task": "re",
    "layout": "json_lines",
    "source": None,
    "folder": "json",
    "files": {"train": "train.txt", "validation": "dev.txt", "test": "test.txt"},
    "labels": ["AGONIST", "ANTAGONIST", "SUBSTRATE"],
}
CHEMPROT = {"task": "re", "layout": "chemprot", "source": None, "folder": "chemprot", "labels": EVALUATED}
BIOASQ = {
    "task": "qa",
    "layout": "bioasq",
    "source": None,
    "folder": "qa",
    "files": {"train": "train.json", "test": "test.json", "golden": "golden.json"},
}
SQUAD = {
    "task": "qa",
    "layout": "squad",
    "source": None,
    "folder": "qa",
    "files": {"train": "train.json", "test": "test.json"},
}


def write(path: Path, content: str | bytes) -> Path:
    """Write a file and its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_ner(root: Path, **splits: str) -> Path:
    """Write a NER set under root/ner; a split is given as "word/label word/label | word/label ..."."""
    default = {"train": "Cold/O agglutinin/B disease/I ./O | None/O", "devel": "Flu/B", "test": "None/O | Gout/B"}
    for split, text in {**default, **splits}.items():
        lines = []
        for sentence in text.split(" | "):
            lines += [item.replace("/", "\t") for item in sentence.split()] + [""]
        write(root / "ner" / f"{split}.tsv", "\n".join(lines) + "\n")
    return root


def write_gad(root: Path, folds: int = 2) -> Path:
    """Write folds under root/gad: three train rows and two test rows each."""
    for fold in range(1, folds + 1):
        rows = [f'@GENE$ causes "@DISEASE$" {fold}{n}\t{n % 2}\n' for n in range(3)]
        write(root / "gad" / str(fold) / "train.tsv", "".join(rows))
        write(
            root / "gad" / str(fold) / "test.tsv",
            f"index\tsentence\tlabel\n0\tno @GENE$ {fold}\t0\n1\t@DISEASE$ by @GENE$ {fold}\t1\n",
        )
        write(root / "gad" / str(fold) / "dev.tsv", "")
    return root


def write_json_lines(root: Path, **splits: str) -> Path:
    """Write SciBERT's JSON lines under root/json, three for training and one each for the other splits."""
    default = {
        "train": [("<< A >> blocks [[ B ]].", "ANTAGONIST"), ("[[ B ]] é << C >>", "SUBSTRATE"), ("x", "AGONIST")],
        "dev": [("<< D >>", "AGONIST")],
        "test": [("x", "AGONIST")],
    }
    for split, rows in default.items():
        lines = [json.dumps({"text": text, "label": label, "metadata": []}) for text, label in rows]
        write(root / "json" / f"{split}.txt", splits.get(split, "\n".join(lines) + "\n"))
    return root


def chemprot_files() -> dict[str, str]:
    """Return the official tables of three splits: one abstract each, made to hold every awkward case.

    Sentence 1 (title): aspirin, COX-1 with CPR:4 given twice under two names, and COX-2 without relation.
    Sentence 2: ibuprofen inside "ibuprofen receptor" (a pair that overlaps), and a CPR:2 relation (not evaluated)
    of ibuprofen to the p53 of the same sentence. A CPR:9 relation crosses from aspirin to p53.
    """
    title = "Aspirin acts on COX-1 and COX-2."
    abstract = "The ibuprofen receptor binds p53 at 4 nM (i.p.)."
    text = f"{title}\t{abstract}"

    def mention(number: int, kind: str, surface: str) -> str:
        start = text.index(surface)
        return f"1\tT{number}\t{kind}\t{start}\t{start + len(surface)}\t{surface}\n"

    entities = (
        mention(1, "CHEMICAL", "Aspirin")
        + mention(2, "CHEMICAL", "ibuprofen")
        + mention(3, "GENE-Y", "COX-1")
        + mention(4, "GENE-N", "COX-2")
        + mention(5, "GENE-Y", "ibuprofen receptor")
        + mention(6, "GENE-Y", "p53")
    )
    relations = (
        "1\tCPR:4\tY \tINHIBITOR\tArg1:T1\tArg2:T3\n"
        "1\tCPR:4\tY \tANTAGONIST\tArg1:T1\tArg2:T3\n"
        "1\tCPR:9\tY \tSUBSTRATE\tArg1:T1\tArg2:T3\n"
        "1\tCPR:2\tN \tREGULATOR\tArg1:T2\tArg2:T6\n"
        "1\tCPR:9\tY \tSUBSTRATE\tArg1:T1\tArg2:T6\n"
    )
    gold = "1\tCPR:4\tArg1:T1\tArg2:T3\n1\tCPR:9\tArg1:T1\tArg2:T3\n1\tCPR:9\tArg1:T1\tArg2:T6\n"
    files = {}
    for part, ending in (("training", ""), ("development", ""), ("test", "_gs")):
        files[f"chemprot_{part}_abstracts{ending}.tsv"] = f"1\t{title}\t{abstract}\n"
        files[f"chemprot_{part}_entities{ending}.tsv"] = entities
        files[f"chemprot_{part}_relations{ending}.tsv"] = relations
        files[f"chemprot_{part}_gold_standard.tsv"] = gold
    return files


def write_chemprot(root: Path) -> Path:
    """Write the tables under root/chemprot."""
    for name, content in chemprot_files().items():
        write(root / "chemprot" / name, content)
    return root


def squad_json(rows: list[tuple[str, str, str, list[tuple[str, int]]]]) -> str:
    """Return SQuAD's form of (id, question, context, answers) rows, a paragraph each."""
    paragraphs = [
        {
            "context": context,
            "qas": [
                {
                    "id": row,
                    "question": question,
                    "answers": [{"text": text, "answer_start": start} for text, start in answers],
                }
            ],
        }
        for row, question, context, answers in rows
    ]
    return json.dumps({"version": "1", "data": [{"title": "t", "paragraphs": paragraphs}]})


def write_bioasq(root: Path) -> Path:
    """Write a BioASQ set under root/qa: two train questions, two test questions, four golden ones."""
    train = [
        ("aa_1_001", "Which gene?", "It is TP53 here.", [("TP53", 6)]),
        ("aa_1_002", "Which gene?", "TP53 again.", [("TP53", 0)]),
        ("bb_001", "Which drug?", "Take naïve aspirin.", [("aspirin", 11)]),
    ]
    test = [
        ("cc_001", "What?", "Nothing.", []),
        ("dd_001", "Who?", "Carnitine does.", []),
        ("cc_002", "What?", "An ENZYME.", []),
    ]
    golden = {
        "questions": [
            {"id": "cc", "type": "factoid", "body": "What?", "exact_answer": [["enzyme", "catalyst"]]},
            {"id": "yy", "type": "yesno", "body": "Is it?", "exact_answer": "yes"},
            {"id": "dd", "type": "factoid", "body": "Who?", "exact_answer": [["water"], ["ice"]]},
            {"id": "ee", "type": "factoid", "body": "Unasked?", "exact_answer": ["one", "uno"]},
        ]
    }
    write(root / "qa" / "train.json", squad_json(train))
    write(root / "qa" / "test.json", squad_json(test))
    write(root / "qa" / "golden.json", json.dumps(golden))
    return root


def write_tar(path: Path, files: dict[str, str | bytes], *members: tarfile.TarInfo) -> Path:
    """Write a tar.gz of {name: content} and of further members without content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        for member in members:
            archive.addfile(member)
    return path


def zip_of(files: dict[str, str | bytes]) -> bytes:
    """Return a zip archive of {name: content}."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def write_sources(path: Path, *rows: dict[str, str]) -> Path:
    """Write a table of sources, in which what a row does not say is empty, and return its path."""
    lines = [COLUMNS, *([row.get(name, "") for name in COLUMNS] for row in rows)]
    return write(path, "".join("\t".join(line) + "\n" for line in lines))
