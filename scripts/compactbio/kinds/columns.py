"""From the columns of a record to the schema of a file; pyarrow and datasets are imported at the first use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from compactbio.kinds.kind import ColumnType, Kind

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

LABEL = "label"


def arrow_schema(columns: Mapping[str, ColumnType]) -> pa.Schema:
    """Return the Arrow schema of columns, none of which holds ids of labels."""
    import pyarrow as pa

    def arrow(kind: ColumnType) -> pa.DataType:
        if isinstance(kind, list):
            return pa.list_(arrow(kind[0]))
        if isinstance(kind, dict):
            return pa.struct([(name, arrow(inner)) for name, inner in kind.items()])
        return pa.type_for_alias(kind)

    return pa.schema([(name, arrow(kind)) for name, kind in columns.items()])


def features(kind: Kind, labels: Sequence[str]) -> datasets.Features:
    """Return the columns of a prepared dataset; ids of labels are places in `labels`."""
    from datasets import ClassLabel, Features, List, Value

    def feature(kind: ColumnType) -> Any:
        if isinstance(kind, list):
            return List(feature(kind[0]))
        if isinstance(kind, dict):
            return {name: feature(inner) for name, inner in kind.items()}
        return ClassLabel(names=list(labels)) if kind == LABEL else Value(kind)

    return Features({name: feature(column) for name, column in kind.columns.items()})
