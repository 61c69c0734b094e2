"""The program of a model's card, run as a reader would: in the folder, with a text of one's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from compactbio.card_texts import CARD


def run_program(folder: Path, monkeypatch: Any, capsys: Any, **texts: str) -> list[str]:
    """Run the program that a folder's card shows and return the lines that it prints.

    Args:
        texts: what is assigned to these names instead of the card's own texts.
    """
    [program] = re.findall(r"```python\n(.*?)```", (folder / CARD).read_text(encoding="utf-8"), re.DOTALL)
    for name, text in texts.items():
        program, replaced = re.subn(rf'^{name} = ".*"$', lambda _, n=name, t=text: f"{n} = {t!r}", program, flags=re.M)
        assert replaced == 1, f"the card assigns no text to {name}"
    monkeypatch.chdir(folder)
    capsys.readouterr()
    exec(compile(program, str(folder / CARD), "exec"), {"__name__": "card"})
    return capsys.readouterr().out.splitlines()
