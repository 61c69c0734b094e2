"""What fine-tuning asks of a kind of task, and the examples of one that it works on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from compactbio.finetuning.features import Feature, PieceTokenizer
from compactbio.settings.runs import FinetuningRun, Options
from compactbio.tasks.rows import Rows

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from torch import Tensor


@dataclass(frozen=True)
class Features:
    """Rows as a model takes them.

    Attributes:
        features: in the order of the rows; several of a row that is cut in windows.
        origin: where each feature comes from, as the kind's tables and metrics need it; None: one a row, in order.
        notes: counts of what was cut, split or empty.
    """

    features: list[Feature]
    origin: Any
    notes: dict[str, int]


@dataclass(frozen=True)
class Examples(Features):
    """One part (train, validation or test) of a run; `notes` count its rows and features too.

    Attributes:
        rows: as prepared.
        gold: label ids in the run's order, nested as the label column; empty for a kind without labels.
    """

    rows: Rows
    gold: list[Any]


class TaskKind(ABC):
    """A kind of task in fine-tuning.

    Attributes:
        model_class: of transformers, which puts the head on an encoder.
        configuration: what config.json of the model with its head says beside the labels.
        over_padding: whether the loss runs over padding, so that every training sequence is padded to max_length.
    """

    model_class: str
    configuration: Mapping[str, Any] = MappingProxyType({})
    over_padding: bool = False

    def under(self, quirks: Mapping[str, str]) -> TaskKind:
        """Return the kind as it is under the switches of a run file."""
        return self

    @abstractmethod
    def make_features(
        self, rows: Rows, gold: list[Any], tokenizer: PieceTokenizer, options: Options, *, has_answers: bool
    ) -> Features:
        """Return rows, whose label ids are `gold`, as features; `options` are hyper-parameters.

        Answers that stand in a column become targets where `has_answers`; the test part's do not.
        """

    def class_weights(
        self, setting: str | Sequence[float] | None, features: Sequence[Feature], classes: int
    ) -> np.ndarray | None:
        """Return a weight per class, float32 [classes]; None where all weigh the same or there are no classes."""
        return None

    @abstractmethod
    def counted(self, arrays: Mapping[str, np.ndarray], class_weights: np.ndarray | None) -> float:
        """Return what a collated micro-batch adds to the record's denominator of the loss."""

    def logits(self, output: Any) -> Tensor:
        """Return the logits in what the model returns.

        Their shape is [batch, length, ...], of a packed micro-batch [1, pieces, ...]; where the head reads first tokens
        [batch, ...] and [sequences, ...].
        """
        return output.logits

    @abstractmethod
    def summed_loss(self, logits: Tensor, tensors: Mapping[str, Any], class_weights: Tensor | None) -> Tensor:
        """Return the sum of the losses of a micro-batch, whose logits are float32."""

    @abstractmethod
    def prediction_table(self, part: Examples, logits: Sequence[np.ndarray], labels: list[str]) -> pa.Table:
        """Return a part's predictions, the columns of the record but `run`; `logits` per feature, without padding."""

    @abstractmethod
    def validation_metrics(
        self, settings: FinetuningRun, part: Examples, logits: Sequence[np.ndarray]
    ) -> dict[str, float]:
        """Return `loss` (an unweighted mean) and the scores of the standard protocol.

        `logits` are per feature; without padding, or padded to max_length where the loss runs over padding.
        """
