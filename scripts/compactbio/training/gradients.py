"""Gradients in one flat buffer: where they stay in place, so that a captured pass may add to them, and one sum a step
over all processes takes them together.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed
from torch import Tensor, nn

ALIGNMENT = 64  # values: what follows a gradient begins where vector instructions can read


def share_weights(module: nn.Module) -> None:
    """Give all processes the weights of the first, should files of theirs have been others."""
    with torch.no_grad():
        for value in [*module.parameters(), *module.buffers()]:
            torch.distributed.broadcast(value.data, src=0)


class Gradients:
    """The gradients of a module's parameters, each in its `.grad`: apart from each other, or views of a buffer.

    Parameters that got no gradient in the first pass have none afterwards: an optimizer leaves them alone.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = parameters
        self.buffer: Tensor | None = None

    def flatten(self) -> None:
        """Put the gradients that there are into a buffer, once."""
        if self.buffer is not None:
            return
        having = [one for one in self.parameters if one.grad is not None]
        sizes = [-(-one.numel() // ALIGNMENT) * ALIGNMENT for one in having]
        self.buffer = torch.zeros(sum(sizes), dtype=having[0].dtype, device=having[0].device)
        for one, part in zip(having, self.buffer.split(sizes), strict=True):
            view = part[: one.numel()].view(one.shape)
            assert one.grad is not None
            view.copy_(one.grad)
            one.grad = view

    def add_of(self, loss: Tensor) -> None:
        """Add the gradients of a loss, a scalar."""
        if self.buffer is None or self.buffer.device.type == "cpu":
            loss.backward()
        else:
            self.add_at_once(loss)

    def add_at_once(self, loss: Tensor) -> None:
        """Add them by a few kernels, not by one for each parameter: MobileBERT has 1,100. No bit differs."""
        found = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        own, others = [], []
        for one, gradient in zip(self.parameters, found, strict=True):
            if one.grad is None:
                one.grad = gradient
            elif gradient is not None and gradient.stride() != one.grad.stride():
                one.grad.add_(gradient)  # among the others it would have torch add all of them one by one
            elif gradient is not None:
                own.append(one.grad)
                others.append(gradient)
        if own:  # all others may have been added in the pass itself (see `half_copies`)
            torch._foreach_add_(own, others)

    def kept(self) -> list[Tensor | None]:
        """Return copies of the gradients, for `restore`."""
        return [None if one.grad is None else one.grad.clone() for one in self.parameters]

    def restore(self, kept: list[Tensor | None]) -> None:
        """Set the gradients to what they were; to 0 where they were none and now have their place in the buffer."""
        for one, before in zip(self.parameters, kept, strict=True):
            if one.grad is not None and self.buffer is not None:
                if before is None:
                    one.grad.zero_()
                else:
                    one.grad.copy_(before)
            else:
                one.grad = before

    def sum_over_processes(self) -> None:
        """Add up the gradients of all processes, in each of them."""
        self.flatten()
        torch.distributed.all_reduce(self.buffer)

    def clip(self, limit: float) -> Tensor:
        """Scale the gradients down to a norm of at most `limit`; return their norm before that, unread."""
        having = [one.grad for one in self.parameters if one.grad is not None]
        if having[0].device.type == "cpu":
            # on a CPU the norm can be read without waiting: gradients within the limit are not multiplied by 1
            norm = torch.nn.utils.get_total_norm(having)
            if not norm <= limit:
                torch.nn.utils.clip_grads_with_norm_(self.parameters, limit, norm)
            return norm
        if self.buffer is None:
            return torch.nn.utils.clip_grad_norm_(self.parameters, limit)
        norm = torch.linalg.vector_norm(self.buffer)
        self.buffer.mul_((limit / (norm + 1e-6)).clamp_(max=1.0))
        return norm

    def clear(self) -> None:
        """Begin a new step."""
        if self.buffer is not None:
            self.buffer.zero_()
            return
        for one in self.parameters:
            one.grad = None
