"""A small XML writer: elements in the order given, text with markup left as it is, indented or not."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape


@dataclass
class Node:
    """An element: `children` are elements, or one text that is already escaped and may contain markup."""

    name: str
    attributes: dict[str, str]
    children: list[Node | str]


def element(name: str, *children: Node | str, **attributes: str) -> Node:
    """Return an element; its text must be escaped already."""
    return Node(name, attributes, list(children))


def render(node: Node, *, indented: bool) -> str:
    """Return an element as XML, each child on its own line with two spaces a level if `indented`."""
    return "".join(_parts(node, "\n" if indented else None)) + "\n"


def _parts(node: Node, line: str | None) -> list[str]:
    """Return the pieces of an element; `line` is the break and indentation that stands before it, None for none."""
    attributes = "".join(f' {key}="{escape(value)}"' for key, value in node.attributes.items())
    if not node.children:
        return [f"<{node.name}{attributes}/>"]
    parts = [f"<{node.name}{attributes}>"]
    inner = None if line is None else f"{line}  "
    for child in node.children:
        if isinstance(child, str):
            parts.append(child)
        else:
            parts += [inner or "", *_parts(child, inner)]
    if line is not None and not isinstance(node.children[-1], str):
        parts.append(line)
    parts.append(f"</{node.name}>")
    return parts
