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
from torch.nn import functional

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
    tokens, slots = order % experts.shape[0], order // experts.shape[0]
    start = 0
    for expert, found in enumerate(torch.bincount(keys, minlength=count)[:count].tolist()):
        if found:
            yield Hit(expert, tokens[start : start + found], slots[start : start + found])
        start += found


class Layer(NamedTuple):
    """One layer of all experts, `x @ w.T + b` or `transposed` `x @ w + b`; each of its parts stacked or a list."""

    weights: Sequence[Tensor]
    biases: Sequence[Tensor]
    transposed: bool

    def __call__(self, x: Tensor, expert: int) -> Tensor:
        """`x` through the layer of `expert`."""
        weight, bias = self.weight(expert), self.bias(expert)
        if not self.transposed:
            return functional.linear(x, weight, bias)
        product = x @ weight
        return product if bias is None else product + bias

    def experts(self) -> int:
        """How many there are."""
        return len(self.weights[0] if self.weights[0].dim() == 3 else self.weights)

    def weight(self, expert: int) -> Tensor:
        stacked = self.weights[0].dim() == 3
        return self.weights[0][expert] if stacked else self.weights[expert]

    def bias(self, expert: int) -> Tensor | None:
        if not self.biases:
            return None
        stacked = self.biases[0].dim() == 2
        return self.biases[0][expert] if stacked else self.biases[expert]

    def back(self, gradient: Tensor, expert: int) -> Tensor:
        """The gradient of what `expert` read."""
        weight = self.weight(expert)
        return gradient @ (weight.t() if self.transposed else weight)

    def learn(self, gradient: Tensor, x: Tensor, expert: int) -> None:
        """Write the gradients of weight and bias into this layer, which holds those of another."""
        self.weight(expert).copy_(x.t() @ gradient if self.transposed else gradient.t() @ x)
        if (bias := self.bias(expert)) is not None:
            bias.copy_(gradient.sum(0))


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
    inner, outer = Layer(up, up_bias, transposed), Layer(down, down_bias, transposed)
    activate = ACTIVATIONS[activation].forward
    result = torch.zeros_like(hidden)
    for expert, tokens, slots in hits(experts, inner.experts()):
        rows = outer(activate(inner(hidden[tokens], expert), *parameters).to(down[0].dtype), expert)
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
    inner, outer = Layer(up, up_bias, transposed), Layer(down, down_bias, transposed)
    activate, derive = ACTIVATIONS[activation].forward, ACTIVATIONS[activation].backward
    parts = (up, up_bias, down, down_bias) if trained else ((), (), (), ())
    gradients = [torch.zeros_like(operand) for operand in (hidden, weights, *(t for part in parts for t in part))]
    own = split(gradients[2:], [len(part) for part in parts])
    for expert, tokens, slots in reversed(list(hits(experts, inner.experts()))):
        x, weight = hidden[tokens], weights[tokens, slots, None]
        before = inner(x, expert)
        after = activate(before, *parameters).to(down[0].dtype)
        rows = outer(after, expert)
        given = gradient[tokens].to(torch.result_type(rows, weight))
        given = given if scale == 1.0 else given * scale
        gradients[1][tokens, slots] = (given * rows).sum(-1).to(weights.dtype)
        outer_given = (given * weight).to(rows.dtype)
        inner_given = derive(outer.back(outer_given, expert).to(before.dtype), before, *parameters)
        gradients[0].index_add_(0, tokens, inner.back(inner_given, expert))
        if trained:
            Layer(own[0], own[1], transposed).learn(inner_given, x, expert)
            Layer(own[2], own[3], transposed).learn(outer_given, after, expert)
    return gradients


@moe_experts_backward.register_fake
def _(_: Tensor, hidden: Tensor, experts: Tensor, weights: Tensor, *rest: Any) -> list[Tensor]:
    layers = [tensor for part in rest[:4] for tensor in part] if rest[-1] else []
    return [torch.empty_like(operand) for operand in (hidden, weights, *layers)]


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
