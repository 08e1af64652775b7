"""`gossamer::neuron_step`: one step of a population, its equations those of `dialects/neurons.py`.

    inputs [..]   states [..]   parameters [..]        all of one shape, or parameters that spread over it

    spikes, v, .. = neuron_step([x], [v], [beta], [1.0, 0.0, 1.0], "lif exponential gt subtract next",
                                "decay threshold leak gain", "atan 2.0", False)

Parameters are named in the order tensors, then numbers. Inputs are added to the state one after another, as a recurrent
layer does: (state + x) + y. Where a spike resets in the next step, what fired is found again from v. A model that never
fires gives v for spikes. The gradient is that of the equations, with a surrogate for the spike; `detached`: none flows
through the reset. The backward pass computes the step again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from ...dialects.neurons import DYNAMICS, Compare, Discretisation, Model, Reset, When
from ..spiking.equations import FIRED, Firing, Step
from .surrogates import Spike

Tensor = torch.Tensor


@cache
def read_step(neuron: str) -> Step:
    """The step that a text tells: `"lif exponential gt subtract next"`, or `"li euler"` of what never fires."""
    model, way, *firing = neuron.split()
    dynamics = DYNAMICS[Model(model), Discretisation(way)]
    return Step(dynamics, Firing(Compare(firing[0]), Reset(firing[1]), When(firing[2])) if firing else None)


@dataclass(frozen=True)
class Terms:
    """Inputs that are added one after another: `v + gain * Terms((x, y))` is (v + gain x) + gain y."""

    values: Sequence[Tensor]

    def __rmul__(self, factor: Any) -> "Terms":
        return Terms([factor * value for value in self.values])

    def __radd__(self, state: Tensor) -> Tensor:
        for value in self.values:
            state = state + value
        return state


def advance(
    step: Step, inputs: Sequence[Tensor], state: Mapping[str, Tensor], values: Mapping[str, Any], how: Mapping[str, Any]
) -> list[Tensor]:
    """What fired, and the states after a step; `how` are `where` and `fires` of the equations."""
    names: dict[str, Any] = dict(state)
    if FIRED in step.states:
        names[FIRED] = step.above(names["v"], step.level(values)).detach()
    x = inputs[0] if len(inputs) == 1 else Terms(inputs)
    fired = step(names, values, x, **how)
    spikes = names["v"] if fired is None else fired.to(inputs[0].dtype)
    return [spikes, *(names[name] for name in step.dynamics.states)]


@torch.library.custom_op("gossamer::neuron_step", mutates_args=())
def neuron_step(
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    parameters: Sequence[Tensor],
    constants: Sequence[float],
    neuron: str,
    names: str,
    surrogate: str,
    detached: bool,
) -> list[Tensor]:
    """See above; gives what fired and the states after the step."""
    step = read_step(neuron)
    state = dict(zip(step.dynamics.states, states, strict=True))
    values = dict(zip(names.split(), (*parameters, *constants), strict=True))
    results = advance(step, inputs, state, values, {"where": torch.where})
    given = [*inputs, *states, *parameters]
    return [result.clone() if any(result is other for other in (*given, *results[:i])) else result
            for i, result in enumerate(results)]  # fmt: skip


@neuron_step.register_fake
def _(inputs: Sequence[Tensor], *operands: Any) -> list[Tensor]:
    return neuron_step._init_fn(inputs, *operands)


def differentiable(step: Step, surrogate: str, detached: bool) -> dict[str, Any]:
    """`where` and `fires` through which a gradient flows, unless it is `detached` for the reset."""

    def fires(v: Tensor, level: Any) -> Tensor:
        return Spike.apply(v - level, step.above(v, level), surrogate)  # pyright: ignore[reportReturnType]

    def where(fired: Tensor, one: Any, other: Any) -> Tensor:
        if fired.dtype is torch.bool or detached:
            return torch.where(fired.bool(), one, other)
        return (1 - fired) * other + fired * one

    return {"where": where, "fires": fires}


def keep_inputs(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    """Save what the backward pass reads."""
    ctx.counts = [len(part) for part in inputs[:3]]
    ctx.save_for_backward(*(tensor for part in inputs[:3] for tensor in part))
    ctx.options = inputs[3:]


def backward(ctx: Any, gradients: Sequence[Tensor | None]) -> tuple[Any, ...]:
    """The gradients of inputs, states and parameters."""
    constants, neuron, names, surrogate, detached = ctx.options
    step, (first, second, _) = read_step(neuron), ctx.counts
    with torch.enable_grad():
        again = [t.detach().requires_grad_(t.is_floating_point()) for t in ctx.saved_tensors]
        inputs, states, parameters = again[:first], again[first : first + second], again[first + second :]
        values = dict(zip(names.split(), (*parameters, *constants), strict=True))
        state = dict(zip(step.dynamics.states, states, strict=True))
        results = advance(step, inputs, state, values, differentiable(step, surrogate, detached))
        pairs = [(r, g) for r, g in zip(results, gradients, strict=True) if g is not None and r.requires_grad]
        wanted = [tensor for tensor in again if tensor.requires_grad]
        results, gradients = [r for r, _ in pairs], [g for _, g in pairs]
        found = iter(torch.autograd.grad(results, wanted, gradients, allow_unused=True))
    flat = [next(found) if tensor.requires_grad else None for tensor in again]
    parts = flat[:first], flat[first : first + second], flat[first + second :]
    return (*parts, None if constants else [], None, None, None, None)


neuron_step.register_autograd(backward, setup_context=keep_inputs)
