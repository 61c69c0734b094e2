"""What a term is: its function and everything that settings, schema and the step of pre-training ask about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal

from compactbio.terms.cost import Cost

if TYPE_CHECKING:
    from torch import Tensor

# what a term may read of a model: the logits (masked positions, vocabulary), a layer's hidden states, or states of a
# layer's attention: maps (after softmax, or the scaled products before it), queries, keys and values
LOGITS, HIDDEN = "logits", "hidden"
PROBABILITIES, SCORES = "probabilities", "scores"
QUERY, KEY, VALUE = "query", "key", "value"
ATTENTION_STATES = (PROBABILITIES, SCORES, QUERY, KEY, VALUE)

# the counts of a global batch that a term's sum may be divided by: see `micro_batches.collate`
Denominator = Literal["masked", "tokens", "padded_tokens", "token_pairs", "padded_pairs", "key_rows"]


@dataclass(frozen=True)
class Shape:
    """The sizes of a model that terms ask for.

    Attributes:
        attention_width: of all heads together, 0 where not known.
        vocabulary: tokens that it has logits for, 0 where not known.
    """

    layers: int
    hidden_size: int
    heads: int
    attention_width: int = 0
    vocabulary: int = 0


@dataclass(frozen=True)
class Option:
    """A number that an objective may give a term: what it is, its type, its range in JSON Schema, and its default."""

    description: str
    type: type[int] | type[float]
    range: Mapping[str, float]
    default: float | None

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a value."""
        return {"description": self.description, "type": "integer" if self.type is int else "number", **self.range}


@dataclass(frozen=True)
class Term:
    """A term under the reference's quirks; `under` returns what it is under others.

    Attributes:
        name: as objectives give it.
        function: returns the SUM over a micro-batch, a scalar; the step divides it by `denominator` over the whole
            global batch, so that neither micro-batches nor processes change the loss. It is called with the student's
            and the teacher's (m, vocabulary) logits, or labels (m,) where no teacher is needed; their hidden states
            (n, hidden); or each state in `reads` of the student's attention, then of the teacher's, and `real_tokens`
            (b, l) bool, None where nothing is padding. Options and `arguments` follow by name. A function of logits or
            hidden states with an argument `real`, (m,) or (n,) bool, is given the rows that count where a micro-batch
            of fixed shape has others; without it a GPU runs
            the objective in padded micro-batches. Labels carry -100 there.
        reads: LOGITS, HIDDEN, or states of attention.
        denominator: what its sum is divided by.
        needs_teacher: whether it compares with a teacher.
        options: what an objective may set besides weight and layers.
        arguments: of the function, by quirks rather than by options.
        over_padding: padding positions count too, so sequences are padded to max_length.
        projects: the student's states are mapped to the teacher's hidden size where the two differ.
        sound: by quirk, the fields that are different where it is `sound`.
        on_chip: arguments of the kernel that gives the term where one does, beside options and `arguments`: of
            `kernels.logits.compare_logits` for logits, of `kernels.attention_maps.compare_maps` for maps, which takes
            no others. None: `function` runs everywhere.
        mismatch: returns why the shapes of student and teacher do not fit under these options, and the fix, or None.
        title: in words, for figures.
        cost: returns the FLOPs of a forward pass for one pair of layers, of student and teacher, beyond the models'.
    """

    name: str
    function: Callable[..., Tensor]
    reads: tuple[str, ...]
    denominator: Denominator
    needs_teacher: bool = True
    options: Mapping[str, Option] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    over_padding: bool = False
    projects: bool = False
    sound: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    on_chip: Mapping[str, Any] | None = None
    mismatch: Callable[[Shape, Shape, Mapping[str, Any]], str | None] = lambda student, teacher, options: None
    cost: Callable[[Shape, Shape], tuple[Cost, Cost]] = lambda student, teacher: (Cost(), Cost())
    title: str = ""

    @property
    def words(self) -> str:
        """Return its title, or its name as words."""
        return self.title or self.name.replace("_", " ")

    @property
    def reads_attention(self) -> bool:
        """Return whether it reads states of attention, which the embeddings (layer 0) do not have."""
        return self.reads[0] in ATTENTION_STATES

    @property
    def takes_fill(self) -> bool:
        """Return whether it can leave out the fill of micro-batches of fixed shape."""
        return not self.needs_teacher or not {"real", "real_tokens"}.isdisjoint(signature(self.function).parameters)

    @property
    def is_layered(self) -> bool:
        """Return whether an objective has to give it pairs of layers."""
        return self.reads != (LOGITS,)

    @property
    def lowest_layer(self) -> int:
        """Return the lowest layer that it may read: 0 are the embeddings."""
        return 1 if self.reads_attention else 0

    def under(self, quirks: Mapping[str, str]) -> Term:
        """Return the term under a run's quirks (`reference` or `sound` each)."""
        term = self
        for quirk, changes in self.sound.items():
            if quirks[quirk] == "sound":
                term = replace(term, **changes)
        return term


def same_heads(student: Shape, teacher: Shape, options: Mapping[str, Any]) -> str | None:
    """Return a message where the numbers of attention heads differ."""
    if student.heads == teacher.heads:
        return None
    return (
        f"compares head by head, but the student has {student.heads} heads and the teacher {teacher.heads}; "
        "give them the same number or remove the term"
    )
