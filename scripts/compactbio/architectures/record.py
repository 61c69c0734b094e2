"""What the library must know about an architecture beyond what transformers' auto classes know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PretrainedConfig, PreTrainedModel

Schema = Mapping[str, Any]

# Forms of the values in a shape, as JSON Schema has them.
SIZE: Schema = {"type": "integer", "minimum": 1}
PROBABILITY: Schema = {"type": "number", "minimum": 0, "exclusiveMaximum": 1}
POSITIVE: Schema = {"type": "number", "exclusiveMinimum": 0}
NAME: Schema = {"type": "string"}
SWITCH: Schema = {"type": "boolean"}


def meaning(description: str, form: Schema = SIZE) -> Schema:
    """Return the form of a shape's value with what the value is."""
    return {"description": description, **form}


EMBEDDINGS, LAYERS, POOLER, HEAD = PARTS = ("embeddings", "layers", "pooler", "head")  # of a model with a head


class Borders(Protocol):
    """Keeps the embeddings of sequences in one packed row apart.

    Attributes:
        positions: (1, tokens), of each token in its sequence, from 0, in the packed micro-batch at hand; None: it is
            padded.
    """

    positions: Tensor | None


class BlockKernels(Protocol):
    """What computes parts of a layer in fewer passes over memory."""

    def normed(
        self, dense: Any, states: Tensor, residual: Tensor | None, norm: nn.Module, dropout: nn.Module | None
    ) -> Tensor:
        """Return norm(dropout(dense(states)) + residual), where all but the norm may be missing."""

    def activated(self, dense: Any, states: Tensor, activation: Any) -> Tensor:
        """Return activation(dense(states)) of a linear layer."""


# the forward pass of a part of a layer, of its module, the kernels, and the module's arguments
BlockPart = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The keys of a configuration that hold a model's sizes; BERT's are the names that all architectures answer to."""

    width: str = "hidden_size"
    depth: str = "num_hidden_layers"
    heads: str = "num_attention_heads"
    positions: str = "max_position_embeddings"


COMMON_SIZES = Sizes()


@dataclass(frozen=True)
class PositionIds:
    """The ids by which a model's table of positions is read.

    Attributes:
        first: of a sequence's first token. Where it is not 0, the id before it is padding's.
    """

    first: int

    def packed(self, places: Tensor) -> Tensor:
        """Return the ids of tokens at these places in their sequences, which count from 0."""
        return places + self.first if self.first else places

    def padded(self, ids: Tensor, real: Tensor | None) -> Tensor | None:
        """Return the ids for token ids (b, length), the position ids that a model makes itself where it is None.

        A model whose ids do not begin at 0 looks for padding among token ids, and would take for it what was drawn in
        place of a masked token, or a row of cut embeddings.

        Args:
            real: (b, length) bool, not padding, which stands behind; None where nothing is padding.
        """
        if not self.first:
            return None
        import torch

        behind = torch.arange(self.first, self.first + ids.shape[1], device=ids.device).expand(ids.shape)
        return behind if real is None else behind.masked_fill(~real, self.first - 1)


def whole_width(shape: Mapping[str, Any], sizes: Sizes) -> str:
    """Return the key of the width that attention works in: that of hidden states."""
    return sizes.width


def from_zero(configuration: Mapping[str, Any]) -> int:
    """Return the id of a first position where ids are places."""
    return 0


def square_pooler(configuration: Mapping[str, Any]) -> int:
    """Return the parameters of a pooler that is a square layer with bias."""
    width = configuration[COMMON_SIZES.width]
    return width * (width + 1)


def no_pooler(configuration: Mapping[str, Any]) -> int:
    """Return the parameters of an architecture without pooler."""
    return 0


def square_layer(shape: Mapping[str, Any]) -> int:
    """Return about how many parameters a layer has whose feed-forward part is four times as wide as hidden states."""
    return 12 * int(shape[COMMON_SIZES.width]) ** 2


def learned_positions(shape: Mapping[str, Any]) -> int:
    """Return how many embeddings of positions a model has, of a shape by the names that all answer to."""
    return int(shape[COMMON_SIZES.positions])


def sees_all(attention: Any) -> int | None:
    """Return None, where every token sees its whole sequence."""
    return None


def reads_first_token(configuration: Mapping[str, Any]) -> bool:
    """Return False, where heads of whole texts read the first token's state rather than the mean of all."""
    return False


def any_layers(layers: Sequence[int]) -> str | None:
    """Return None, where a student may have any of its teacher's layers in any order."""
    return None


def keep_depth(configuration: PretrainedConfig, layers: Sequence[int]) -> None:
    """Make a configuration that of a model of these layers, where all layers are alike."""
    setattr(configuration, COMMON_SIZES.depth, len(layers))


def no_block_parts(layer: Any) -> Mapping[nn.Module, BlockPart]:
    """Return nothing, where blocks neither end in a normalisation nor begin with an activation that kernels know."""
    return {}


def no_borders(model: PreTrainedModel, max_length: int) -> Borders | None:
    """Return nothing, where a token's embedding is a function of this token and its position."""
    return None


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One architecture.

    Attributes:
        name: transformers' `model_type`, which is the configuration's `architecture`.
        title: for messages.
        encoder: name of the encoder inside classes with a head, and so the prefix of its weights.
        layers: path of the list of layers inside the encoder.
        attention: path of self-attention inside a layer.
        shape: configuration keys that models.<name>.student.shape may hold, with the form of their values.
        usual: what transformers takes for sizes, and others of these keys, that a shape leaves out.
        dropouts: configuration keys of the dropout of hidden states and of attention maps.
        mlm_logits: returns the masked-language-model head's logits (m, vocabulary) of hidden states (m, hidden).
        logits_layer: path in the model of the linear layer, with a bias, that the head ends with; None: it has none.
        embeddings: names of the encoder's modules before its layers.
        behind: names of the encoder's modules behind its layers, which count as layers.
        projections: names of the query, key and value projections inside self-attention; None: it has one for all.
        attention_dropout: path of the probability with which a self-attention module drops values of its maps.
        head_size: name of the size of a head in a self-attention module.
        reach: returns how many tokens on each side a self-attention module lets a token see; None: all.
        sizes: the keys of its sizes, where they are named otherwise than BERT's.
        attention_width: returns the key of the width that attention works in.
        token_types: whether the model takes token types.
        first_position: returns the id of a sequence's first position from a configuration, or a part of one.
        norms_of_its_own: whether its normalisations may be of another class than torch's LayerNorm.
        fits_fp16: whether activations stay in fp16's range, which ends at 65,504.
        pooler: returns the number of the pooler's parameters from a whole configuration.
        pools_mean: returns, from a whole configuration, whether heads of whole texts read the mean of all states.
        layer_parameters: returns about how many parameters a layer has, of a shape by the common names.
        position_embeddings: returns how many there are, of such a shape.
        former_keys: keys of older config.json files that transformers still takes.
        refused_layers: returns why these layers of a teacher, counted from 0, make no student, and some that do.
        keep_layers: makes a teacher's configuration that of a student of these layers.
        finish_layer: returns the layer's output from the layer, attention's output and the layer's input, all tensors
            (1, m, hidden), so that a last layer can be computed for some positions only; None: it is not worth it.
        block_parts: returns the modules of a layer in which blocks end, or that an activation ends, and their forward
            passes by way of functions for both, so that kernels can take their place.
        embeddings_end: paths of the normalisation, and of the dropout behind it, with which embeddings end where blocks
            have such ends.
        borders: returns what keeps packed sequences of at most `max_length` tokens apart, where embeddings see their
            neighbours' tokens.
        packs: whether its sequences can be packed and its word embeddings cut; else they are padded and whole.
    """

    name: str
    title: str
    encoder: str
    layers: str
    attention: str
    shape: Mapping[str, Schema]
    usual: Mapping[str, int]
    dropouts: tuple[str, ...]
    mlm_logits: Callable[[PreTrainedModel, Tensor], Tensor]
    logits_layer: str | None = None
    embeddings: tuple[str, ...] = (EMBEDDINGS,)
    behind: tuple[str, ...] = ()
    projections: tuple[str, str, str] | None = None
    attention_dropout: str = "dropout.p"
    head_size: str = "attention_head_size"
    reach: Callable[[Any], int | None] = sees_all
    sizes: Sizes = COMMON_SIZES
    attention_width: Callable[[Mapping[str, Any], Sizes], str] = whole_width
    token_types: bool = True
    first_position: Callable[[Mapping[str, Any]], int] = from_zero
    norms_of_its_own: bool = False
    fits_fp16: bool = True
    pooler: Callable[[Mapping[str, Any]], int] = square_pooler
    pools_mean: Callable[[Mapping[str, Any]], bool] = reads_first_token
    layer_parameters: Callable[[Mapping[str, Any]], int] = square_layer
    position_embeddings: Callable[[Mapping[str, Any]], int] = learned_positions
    former_keys: tuple[str, ...] = ()
    refused_layers: Callable[[Sequence[int]], str | None] = any_layers
    keep_layers: Callable[[PretrainedConfig, Sequence[int]], None] = keep_depth
    finish_layer: Callable[[nn.Module, Tensor, Tensor], Tensor] | None = None
    block_parts: Callable[[Any], Mapping[nn.Module, BlockPart]] = no_block_parts
    embeddings_end: tuple[str, str] = ("embeddings.LayerNorm", "embeddings.dropout")
    borders: Callable[[PreTrainedModel, int], Borders | None] = no_borders
    packs: bool = True

    @property
    def stack(self) -> str:
        """Path of the encoder's module that returns the last hidden states, before any pooler: "" for the encoder."""
        return self.layers.rpartition(".")[0]

    def part_of(self, weight: str) -> str:
        """Return the part of a model (one of `PARTS`) that a weight belongs to, by its name in any class."""
        root = weight.removeprefix(f"{self.encoder}.").split(".")[0]
        layers = (self.layers.split(".")[0], *self.behind)
        parts = {**dict.fromkeys(self.embeddings, EMBEDDINGS), **dict.fromkeys(layers, LAYERS), POOLER: POOLER}
        return parts.get(root, HEAD)

    def common_names(self, shape: Mapping[str, Any]) -> dict[str, Any]:
        """Return a shape with its sizes under the names that all architectures answer to."""
        common = {own: getattr(COMMON_SIZES, size) for size, own in vars(self.sizes).items()}
        return {common.get(key, key): value for key, value in shape.items()}

    def attention_sizes(self, shape: Mapping[str, Any]) -> tuple[tuple[str, int], tuple[str, int]]:
        """Return key and value of the width that attention works in, and of its heads, also where a shape is silent."""
        width, heads = self.attention_width(shape, self.sizes), self.sizes.heads
        return (width, shape.get(width, self.usual[width])), (heads, shape.get(heads, self.usual[heads]))

    def positions(self, shape: Mapping[str, Any]) -> int:
        """Return how long a sequence may be."""
        return shape.get(self.sizes.positions, self.usual[self.sizes.positions]) - self.first_position(shape)

    def position_ids(self, model: PreTrainedModel) -> PositionIds:
        """Return what gives a model's position ids."""
        return PositionIds(self.first_position(model.config.to_dict()))

    def attention_modules(self, model: PreTrainedModel) -> list[nn.Module]:
        """Return a model's self-attention modules, first layer first."""
        return [layer.get_submodule(self.attention) for layer in self.layers_of(model)]

    def dropout_of(self, attention: nn.Module) -> float:
        """Return the dropout of a self-attention module's maps in training."""
        return float(attrgetter(self.attention_dropout)(attention))

    def set_dropout(self, attention: nn.Module, probability: float) -> None:
        """Give a self-attention module's maps this dropout."""
        *path, name = self.attention_dropout.split(".")
        setattr(reduce(getattr, path, attention), name, probability)

    def head_sizes(self, model: PreTrainedModel) -> list[int]:
        """Return the sizes of a model's attention heads, first layer first."""
        return [int(getattr(module, self.head_size)) for module in self.attention_modules(model)]

    def reaches(self, model: PreTrainedModel) -> list[int | None]:
        """Return how many tokens on each side a token sees in each layer, first layer first; None: all."""
        return [self.reach(module) for module in self.attention_modules(model)]

    def layers_of(self, model: PreTrainedModel) -> list[nn.Module]:
        """Return a model's layers, first layer first."""
        return list(model.base_model.get_submodule(self.layers).children())
