"""MobileBERT (Sun et al. 2020): thin layers between bottlenecks, and embeddings that see the tokens beside theirs.

Its NoNorm scales without normalising; whether its scales decay as weights do is the quirk `decayed_norms`. So nothing
bounds activations, and fp16 does not hold them: huggingface/transformers issue 11327 has a loss of NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from compactbio.architectures import bert
from compactbio.architectures.record import (
    NAME,
    SWITCH,
    Architecture,
    BlockKernels,
    BlockPart,
    Sizes,
    meaning,
    no_pooler,
    square_pooler,
)

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel


def _attention_width(shape: Mapping[str, Any], sizes: Sizes) -> str:
    """Return the key of the width that attention works in: the bottleneck's, where there is one."""
    return "intra_bottleneck_size" if shape.get("use_bottleneck", True) else sizes.width


def _pooler(configuration: Mapping[str, Any]) -> int:
    """Return the parameters of the pooler, whose layer a switch leaves out, as the published model does."""
    return (square_pooler if configuration.get("classifier_activation", True) else no_pooler)(configuration)


def _borders(model: PreTrainedModel, max_length: int) -> TrigramBorders | None:
    """Return what keeps packed sequences apart, where embeddings are made of three tokens'."""
    return TrigramBorders(model, max_length) if model.config.trigram_input else None


class TrigramBorders:
    """Keeps embeddings of packed sequences apart, where a token's holds those of its neighbours.

    As in a batch padded to `max_length`, nothing stands before a first token, and [PAD] behind a last one, unless
    the sequence is of that length: then nothing does.
    """

    def __init__(self, model: PreTrainedModel, max_length: int) -> None:
        self.model = model
        self.max_length = max_length
        self.positions: Tensor | None = None  # (1, tokens), of the packed micro-batch at hand; None: it is padded
        transformation = model.base_model.get_submodule("embeddings.embedding_transformation")
        transformation.register_forward_pre_hook(self._separate)

    def _separate(self, module: nn.Module, arguments: tuple[Tensor]) -> tuple[Tensor] | None:
        """Replace the neighbours of first and last tokens in [next, own, previous], (1, tokens, 3 x width)."""
        import torch

        if self.positions is None:
            return None
        following, own, previous = arguments[0].chunk(3, dim=-1)
        first = (self.positions == 0)[..., None]
        last = first.roll(-1, dims=1)
        table: Any = self.model.get_input_embeddings()
        pad = table.weight[table.padding_idx].detach()
        full = (self.positions == self.max_length - 1)[..., None]
        behind = torch.where(full, torch.zeros_like(pad), pad)
        following = torch.where(last, behind, following)
        return (torch.cat([following, own, previous.masked_fill(first, 0.0)], dim=-1),)


def _narrowed(part: Any, kernels: BlockKernels, states: Tensor) -> Tensor:
    """Return what a layer's bottleneck makes of its input."""
    return kernels.normed(part.dense, states, None, part.LayerNorm, None)


def _end_of_layer(part: Any, kernels: BlockKernels, states: Tensor, residual: Tensor, around: Tensor) -> Tensor:
    """Return a layer's output, behind the last feed-forward part and the bottleneck's way back."""
    states = bert.end_of_block(part, kernels, states, residual)
    return part.bottleneck(states, around) if part.use_bottleneck else states


def _block_parts(layer: Any) -> Mapping[nn.Module, BlockPart]:
    """Return the ends of attention, of the feed-forward parts, whose beginnings too, and of the bottleneck's ways."""
    further = list(getattr(layer, "ffn", ()))
    ends = [layer.attention.output, *(one.output for one in further)]
    inner = [layer.intermediate, *(one.intermediate for one in further)]
    narrowed = []
    if layer.use_bottleneck:
        ends.append(layer.output.bottleneck)
        narrowed = list(layer.bottleneck.children())
    return {
        **dict.fromkeys(ends, bert.end_of_block),
        **dict.fromkeys(inner, bert.inner_states),
        **dict.fromkeys(narrowed, _narrowed),
        layer.output: _end_of_layer,
    }


ARCHITECTURE = Architecture(
    name="mobilebert",
    title="MobileBERT",
    encoder="mobilebert",
    layers="encoder.layer",
    attention="attention.self",
    projections=("query", "key", "value"),
    shape={
        **bert.ARCHITECTURE.shape,
        "embedding_size": meaning("Values of a word piece's embedding."),
        "intra_bottleneck_size": meaning("Values of a hidden state between the bottlenecks of a layer."),
        "num_feedforward_networks": meaning("Feed-forward parts of a layer."),
        "trigram_input": meaning("Whether a token's embedding holds those of the tokens beside it.", SWITCH),
        "use_bottleneck": meaning("Whether layers work between bottlenecks.", SWITCH),
        "use_bottleneck_attention": meaning("Whether attention reads the bottleneck's values alone.", SWITCH),
        "key_query_shared_bottleneck": meaning("Whether keys and queries share a bottleneck.", SWITCH),
        "normalization_type": meaning("no_norm, or layer_norm.", NAME),
        "classifier_activation": meaning("Whether the pooler has a layer.", SWITCH),
    },
    usual={
        "hidden_size": 512,
        "num_hidden_layers": 24,
        "num_attention_heads": 4,
        "intra_bottleneck_size": 128,
        "max_position_embeddings": 512,
    },
    dropouts=bert.ARCHITECTURE.dropouts,
    mlm_logits=bert.mlm_logits,
    attention_width=_attention_width,
    norms_of_its_own=True,
    fits_fp16=False,
    pooler=_pooler,
    block_parts=_block_parts,
    borders=_borders,  # no finish_layer: one of its 24 thin layers is less than 3 % of a step
)
