"""What records of several kinds have in common: programs of cards, layouts of a user's own rows."""

from __future__ import annotations

from compactbio.kinds.kind import Layout

LABEL_NUMBERS = """\
shares = np.exp(logits - logits.max())
for number in (-shares).argsort():
    print(labels[str(number)], round(float(shares[number] / shares.sum()), 3))
"""  # what `Usage.decode` prints of a text with one label
TEXT_OR_PAIR = """\
text = "A text of your own."
# the second text, where the model was fine-tuned on pairs
pair = ""
"""  # of the programs of cards
RECORD_ROLES = ("text", "pair", "document")
SEPARATOR = ";"  # of labels in a cell of a table


def record_layouts(roles: tuple[str, ...], described: str) -> tuple[Layout, Layout]:
    """Return the layouts of a user's own rows, whose columns have these roles; `described` says what to define."""
    files = ".\nfiles {train, [validation], test}, "
    forms = (
        ("table", "tab-separated, the names of columns first (or columns by number)"),
        ("json_lines", "an object a line"),
    )
    first, second = (
        Layout(name, "records.read_dataset", f"{form}{files}{described}", counted=("rows", "documents"), roles=roles)
        for name, form in forms
    )
    return first, second
