"""`gossamer::moe_experts`: a mixture of experts, each run on the tokens that were routed to it.

    hidden [T, D]   experts [T, K]   weights [T, K]        up, down: one [E, ..] tensor, or E tensors

    result[t] = sum over k of  weights[t, k] * down_e(activation(up_e(hidden[t]))),  e = experts[t, k]

An index that is no expert (E and beyond) is a token dropped. The kernel loops over experts that were hit, ascending,
on their rows in the order slot, token: products, roundings and sums are those of the loop that transformers' eager
experts run. The backward pass recomputes the expert (as activation checkpointing does) and is an op too: it depends on
values as the forward pass does.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F  # noqa: N812

from .activations import ACTIVATIONS

Tensor = torch.Tensor


class Hit(NamedTuple):
    """An expert that was hit: the rows of `hidden` that it reads, and their columns in `experts`."""

    expert: int
    tokens: Tensor
    slots: Tensor


def hits(experts: Tensor, count: int) -> Iterator[Hit]:
    """Experts that were hit, ascending; the rows of each by slot, then by token."""
    keys = experts.t().reshape(-1)
    order = keys.argsort(stable=True)
    ends = torch.bincount(keys, minlength=count)[:count].cumsum(0).tolist()
    for expert, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        if start < end:
            pairs = order[start:end]
            yield Hit(expert, pairs % experts.shape[0], pairs // experts.shape[0])


def each(weights: Sequence[Tensor], dim: int) -> Sequence[Tensor]:
    """One tensor of `dim` axes for each expert."""
    stacked = len(weights) == 1 and weights[0].dim() == dim + 1
    return weights[0].unbind() if stacked else weights


class Experts:
    """The weights of all experts, each a view."""

    def __init__(self, up: Sequence[Tensor], up_bias: Sequence[Tensor], down: Sequence[Tensor],
                 down_bias: Sequence[Tensor], transposed: bool):  # fmt: skip
        self.up, self.down = each(up, 2), each(down, 2)
        self.up_bias, self.down_bias = each(up_bias, 1), each(down_bias, 1)
        self.transposed = transposed

    def project(self, x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], expert: int) -> Tensor:
        """`x` through one of the two layers of `expert`."""
        bias = biases[expert] if biases else None
        if not self.transposed:
            return F.linear(x, weights[expert], bias)
        product = x @ weights[expert]
        return product if bias is None else product + bias

    def inner(self, x: Tensor, expert: int) -> Tensor:
        """The up projection."""
        return self.project(x, self.up, self.up_bias, expert)

    def outer(self, x: Tensor, expert: int) -> Tensor:
        """The down projection, in its own dtype."""
        return self.project(x.to(self.down[expert].dtype), self.down, self.down_bias, expert)


@torch.library.custom_op("gossamer::moe_experts", mutates_args=())
def moe_experts(
    hidden: Tensor,
    experts: Tensor,
    weights: Tensor,
    up: Sequence[Tensor],
    up_bias: Sequence[Tensor],
    down: Sequence[Tensor],
    down_bias: Sequence[Tensor],
    activation: str,
    parameters: Sequence[float],
    transposed: bool,
    scale: float,
) -> Tensor:
    """See above. Layers are `x @ w.T + b`, or `transposed` `x @ w + b`; what an expert gives is times `scale`."""
    of, activate = Experts(up, up_bias, down, down_bias, transposed), ACTIVATIONS[activation].forward
    result = torch.zeros_like(hidden)
    for expert, tokens, slots in hits(experts, len(of.up)):
        rows = of.outer(activate(of.inner(hidden[tokens], expert), *parameters), expert)
        rows = rows * weights[tokens, slots, None]
        if scale != 1.0:
            rows *= scale
        result.index_add_(0, tokens, rows.to(result.dtype))
    return result


@moe_experts.register_fake
def _(hidden: Tensor, *_: object, **__: object) -> Tensor:
    return torch.empty_like(hidden)


@torch.library.custom_op("gossamer::moe_experts_backward", mutates_args=())
def moe_experts_backward(
    gradient: Tensor,
    hidden: Tensor,
    experts: Tensor,
    weights: Tensor,
    up: Sequence[Tensor],
    up_bias: Sequence[Tensor],
    down: Sequence[Tensor],
    down_bias: Sequence[Tensor],
    activation: str,
    parameters: Sequence[float],
    transposed: bool,
    scale: float,
    trained: bool,
) -> list[Tensor]:
    """Gradients of hidden and weights; where the experts are `trained`, also of up, up_bias, down and down_bias."""
    of = Experts(up, up_bias, down, down_bias, transposed)
    activate, derive = ACTIVATIONS[activation].forward, ACTIVATIONS[activation].backward
    operands = [hidden, weights, *((*up, *up_bias, *down, *down_bias) if trained else ())]
    gradients = [torch.zeros_like(operand) for operand in operands]
    ends = [2 + len(up), 2 + len(up) + len(up_bias), 2 + len(up) + len(up_bias) + len(down)]
    own = trained and Experts(
        gradients[2 : ends[0]],
        gradients[ends[0] : ends[1]],
        gradients[ends[1] : ends[2]],
        gradients[ends[2] :],
        transposed,
    )
    for expert, tokens, slots in reversed(list(hits(experts, len(of.up)))):
        x, weight = hidden[tokens], weights[tokens, slots, None]
        before = of.inner(x, expert)
        after = activate(before, *parameters).to(of.down[expert].dtype)
        rows = of.outer(after, expert)
        given = gradient[tokens].to(torch.result_type(rows, weight))
        given = given if scale == 1.0 else given * scale
        gradients[1][tokens, slots] = (given * rows).sum(-1).to(weights.dtype)
        down_given = (given * weight).to(rows.dtype)
        up_given = derive(back(down_given, of.down[expert], transposed).to(before.dtype), before, *parameters)
        gradients[0].index_add_(0, tokens, back(up_given, of.up[expert], transposed))
        if own:
            own.down[expert].copy_(outer_product(down_given, after, transposed))
            own.up[expert].copy_(outer_product(up_given, x, transposed))
            for biases, rows_given in ((own.up_bias, up_given), (own.down_bias, down_given)):
                if biases:
                    biases[expert].copy_(rows_given.sum(0))
    return gradients


def back(gradient: Tensor, weight: Tensor, transposed: bool) -> Tensor:
    """The gradient of a layer's input."""
    return gradient @ (weight.t() if transposed else weight)


def outer_product(gradient: Tensor, x: Tensor, transposed: bool) -> Tensor:
    """The gradient of a layer's weight."""
    return x.t() @ gradient if transposed else gradient.t() @ x


@moe_experts_backward.register_fake
def _(
    gradient: Tensor,
    hidden: Tensor,
    experts: Tensor,
    weights: Tensor,
    up: Sequence[Tensor],
    up_bias: Sequence[Tensor],
    down: Sequence[Tensor],
    down_bias: Sequence[Tensor],
    activation: str,
    parameters: Sequence[float],
    transposed: bool,
    scale: float,
    trained: bool,
) -> list[Tensor]:
    parts = (*up, *up_bias, *down, *down_bias) if trained else ()
    return [torch.empty_like(operand) for operand in (hidden, weights, *parts)]


def keep_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Save what the backward pass reads."""
    hidden, experts, weights, *layers = inputs[:7]
    ctx.counts = [len(layer) for layer in layers]
    ctx.save_for_backward(hidden, experts, weights, *(tensor for layer in layers for tensor in layer))
    ctx.options = inputs[7:]
    ctx.trained = any(tensor.requires_grad for layer in layers for tensor in layer)


def split(tensors: Sequence[Any], counts: Sequence[int]) -> list[list[Any]]:
    """`tensors` in groups of those sizes."""
    rest = iter(tensors)
    return [[next(rest) for _ in range(count)] for count in counts]


def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    """The gradients of all operands."""
    hidden, experts, weights, *flat = ctx.saved_tensors
    operands = hidden, experts, weights, *split(flat, ctx.counts)
    found = torch.ops.gossamer.moe_experts_backward(gradient, *operands, *ctx.options, ctx.trained)
    parts = split(found[2:], ctx.counts) if ctx.trained else [[None] * count for count in ctx.counts]
    no_gradients = (None, None if ctx.options[1] else [], None, None)  # torch takes an empty list for one of tensors
    return found[0], None, found[1], *parts, *no_gradients


moe_experts.register_autograd(backward, setup_context=keep_inputs)
