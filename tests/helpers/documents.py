"""The documents of the project, and the commands that stand in them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from helpers.configurations import CONFIG, ROOT

PAGES = ("README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))
DOCUMENTS = ("CHANGELOG.md", "results/README.md", *PAGES)
PROGRAMS = (  # what a command in the middle of a text begins with
    *("apptainer", "bash", "conda", "docker", "make", "mkdocs", "pip", "pre-commit", "pytest", "python", "sbatch"),
    *("snakedeploy", "snakemake", "source", "squeue"),
)
# a yaml, a listing and so on say what they are; a block that says nothing has commands
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Command:
    """A command, and the document where it stands first."""

    text: str
    document: str

    @property
    def words(self) -> list[str]:
        """Return its words as a shell has them, variables before the program left out."""
        words = shlex.split(self.text)
        return words[next(number for number, word in enumerate(words) if "=" not in word) :]


def commands() -> list[Command]:
    """Return every command of the pages and of the first lines of configurations, each once."""
    found: dict[str, Command] = {}
    for name in PAGES:
        text = (ROOT / name).read_text()
        spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", BLOCK.sub("", text))]
        lines = [line for language, block in BLOCK.findall(text) if language in ("", "bash") for line in _lines(block)]
        for line in (*lines, *(span for span in spans if span.split(" ")[0] in PROGRAMS and " " in span)):
            found.setdefault(line, Command(line, name))
    for path in sorted(CONFIG.rglob("*.yaml")):
        for line in re.findall(r"^#   ((?:snakemake|python) .*?)(?:  .*)?$", path.read_text(), re.MULTILINE):
            found.setdefault(line, Command(line, str(path.relative_to(ROOT))))
    return list(found.values())


def _lines(block: str) -> list[str]:
    """Return the commands of a block, continued lines joined, remarks left out."""
    joined = re.sub(r" *\\\n *", " ", block)
    return [line for line in (re.sub(r"(^| +)# .*", "", line).strip() for line in joined.splitlines()) if line]
