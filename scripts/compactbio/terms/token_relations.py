"""Terms on relations between the tokens of a sequence: scaled dot products of queries, keys and values.

Wang et al. 2020 (MiniLM, arXiv 2002.10957): attention transfer, softmax(Q K^T / sqrt(d_k)), and value relations,
softmax(V V^T / sqrt(d_k)), by KL(teacher || student), averaged over heads and tokens, of the last layers. Wang et al.
2021 (MiniLMv2, arXiv 2012.15828): the vectors of all heads are joined and split anew into relation heads, so that
teacher and student may differ in heads as well as in width; their objective is the query, key and value relations.

Queries and keys are those that attention multiplies, since MiniLM's "scaled dot-product of queries and keys" is the
attention distribution: where positions are rotations of them (ModernBERT), after it. Relations run over all tokens of a
sequence, as in the papers, also in a layer that sees a window only.

Shapes: b sequences, a heads, r relation heads, l padded length, d size of a head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from compactbio.terms.cost import Cost
from compactbio.terms.term import KEY, QUERY, VALUE, Option, Shape, Term, same_heads

if TYPE_CHECKING:
    from torch import Tensor


def relation_kl(
    student: Tensor, teacher: Tensor, real_tokens: Tensor | None, *, relation_heads: int | None = None
) -> Tensor:
    """Return `pair_relation_kl` of vectors (b, a, l, d) with themselves."""
    return pair_relation_kl(student, student, teacher, teacher, real_tokens, relation_heads=relation_heads)


def pair_relation_kl(
    student: Tensor,
    student_other: Tensor,
    teacher: Tensor,
    teacher_other: Tensor,
    real_tokens: Tensor | None,
    *,
    relation_heads: int | None = None,
) -> Tensor:
    """Return KL(teacher || student) of relations of vectors (b, a, l, d), summed over rows, averaged over heads.

    Padding keys have no probability and rows of padding queries do not count. Dropout has no part in it.

    Args:
        student, teacher: whose tokens are the rows.
        student_other, teacher_other: whose tokens are the keys.
        real_tokens: (b, l) bool, None where nothing is padding.
        relation_heads: r; None: the models' own heads, as many in both.
    """
    import torch
    import torch.nn.functional as F

    with torch.autocast(student.device.type, enabled=False):
        student_log = _log_relations(student, student_other, real_tokens, relation_heads)
        teacher_log = _log_relations(teacher, teacher_other, real_tokens, relation_heads)
        rows = F.kl_div(student_log, teacher_log, reduction="none", log_target=True).sum(-1)  # (b, r, l)
    if real_tokens is not None:
        rows = rows * real_tokens[:, None, :]
    return rows.sum() / rows.shape[1]


def _log_relations(rows: Tensor, keys: Tensor, real_tokens: Tensor | None, heads: int | None) -> Tensor:
    """Return log softmax(rows keys^T / sqrt(d)) in fp32 (fp64 as it is), (b, r, l, l), the lowest number at padding."""
    import torch

    rows, keys = (
        _split(one, heads).to(torch.promote_types(one.dtype, torch.float32))  # half precision rounds the products
        for one in (rows, keys)
    )
    scores = torch.matmul(rows, keys.transpose(2, 3)) * rows.shape[-1] ** -0.5
    if real_tokens is not None:
        scores = scores.masked_fill(~real_tokens[:, None, None, :], torch.finfo(scores.dtype).min)
    return scores.log_softmax(-1)


def _split(vectors: Tensor, heads: int | None) -> Tensor:
    """Return vectors (b, a, l, d) joined over their heads and split into others; None: as they are."""
    if heads is None:
        return vectors
    return vectors.transpose(1, 2).flatten(2).unflatten(-1, (heads, -1)).transpose(1, 2)


def _equal_heads(student: Shape, teacher: Shape, options: Mapping[str, Any]) -> str | None:
    """Return a message where neither the models nor the relations have heads that can be compared."""
    heads = options["relation_heads"]
    if heads is None:
        message = same_heads(student, teacher, options)
        return message and f"{message}, or set relation_heads"
    for side, width in (("student", student.attention_width), ("teacher", teacher.attention_width)):
        if width % heads:
            return f"the {side}'s {width} values of a token cannot be split into relation_heads = {heads}"
    return None


def _product(student: Shape, teacher: Shape) -> tuple[Cost, Cost]:
    """Return the cost of a vector product for each pair of tokens."""
    return Cost(pair=2.0 * student.attention_width), Cost(pair=2.0 * teacher.attention_width)


_SHARED: dict[str, Any] = {
    "denominator": "tokens",
    "options": {
        "relation_heads": Option(
            "Heads that states are split into anew; the models' own where it is left out.", int, {"minimum": 1}, None
        )
    },
    "mismatch": _equal_heads,
    "cost": _product,
}
_KL = "KL divergence of"
TERMS = (
    Term(
        "query_key_relation_kl", pair_relation_kl, (QUERY, KEY), title="KL divergence of query-key products", **_SHARED
    ),
    Term("query_relation_kl", relation_kl, (QUERY,), title=f"{_KL} query relations", **_SHARED),
    Term("key_relation_kl", relation_kl, (KEY,), title=f"{_KL} key relations", **_SHARED),
    Term("value_relation_kl", relation_kl, (VALUE,), title=f"{_KL} value relations", **_SHARED),
)
