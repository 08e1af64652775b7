"""What adapters of spiking neurons share.

`Neuron`     what the op `gossamer::neuron_step` is told of a module: its equations, its parameters, its surrogate
`STATES`     the states of neurons that a model over time carries from step to step itself, by module
`over_steps` a function of one step over all of them, as one `scan` where torch traces
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ....dialects.diagnostics import UserError
from ....runtime.custom_ops import neuron_step
from .registry import reads


@dataclass(frozen=True)
class Neuron:
    """The text is that of the op: `"lif exponential gt subtract next"`."""

    text: str
    parameters: Mapping[str, Tensor | float]
    surrogate: str = "none"
    detached: bool = False

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Parameters that are tensors."""
        return {name: value for name, value in self.parameters.items() if isinstance(value, Tensor)}

    def __call__(
        self, inputs: Sequence[Tensor], states: Sequence[Tensor], tensors: Sequence[Tensor] | None = None
    ) -> list[Tensor]:
        """Spikes, and the states after a step; `tensors` stand for the parameters that are tensors."""
        own = self.tensors
        numbers = {name: float(value) for name, value in self.parameters.items() if name not in own}
        values = list(own.values() if tensors is None else tensors)
        names = " ".join([*own, *numbers])
        how = self.text, names, self.surrogate, self.detached
        return neuron_step(list(inputs), list(states), values, list(numbers.values()), *how)


def number(value: Any) -> Tensor | float:
    """A parameter: a number where it is one and is not trained, else the tensor."""
    if not isinstance(value, Tensor):
        return float(value)
    return value if value.numel() > 1 or value.requires_grad else float(value)


def reads_all(*functions: object) -> str:
    """A digest of the texts of several functions (see `reads`)."""
    return hashlib.sha256(" ".join(map(reads, functions)).encode()).hexdigest()[:12]


@dataclass
class States:
    """States by module: `before` a step, `after` it. A module that has none yet starts from `starts`: the shape, type
    and value of each."""

    before: dict[nn.Module, Sequence[Tensor]] = field(default_factory=dict)
    after: dict[nn.Module, Sequence[Tensor]] = field(default_factory=dict)
    starts: dict[nn.Module, Sequence[tuple[Tensor, float]]] = field(default_factory=dict)

    def take(self, module: nn.Module, like: Sequence[Tensor], values: Sequence[float]) -> Sequence[Tensor]:
        """The states of a module before the step, which are `like` those tensors and start from `values`."""
        if module in self.after:
            raise UserError(
                f"a {type(module).__name__} is called twice in one step: the model has a loop over time of its own",
                hint="give the model of one step: gossamer.snn.over_time(step_model) runs it over [steps, batch, ..]",
            )
        if module not in self.before:
            self.starts[module] = list(zip(like, values, strict=True))
            return [torch.full_like(x, value) for x, value in self.starts[module]]
        return self.before[module]


STATES: list[States] = []
"""The innermost model over time last."""


@contextmanager
def carried(before: Mapping[nn.Module, Sequence[Tensor]]) -> Iterator[States]:
    """Let neurons take their states from `before`."""
    STATES.append(States(dict(before)))
    try:
        yield STATES[-1]
    finally:
        STATES.pop()


def over_steps(
    step: Callable[..., tuple[Sequence[Tensor], Sequence[Tensor]]],
    states: Sequence[Tensor],
    xs: Tensor,
    more: Sequence[Tensor] = (),
) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """`states, outputs = step(states, x, more)` for x along axis 0: the last states, and the outputs stacked."""
    if torch.compiler.is_compiling():
        from torch._higher_order_ops.scan import scan_op

        def body(*operands: Tensor) -> list[Tensor]:
            count = len(states)
            after, outputs = step(operands[:count], operands[count], operands[count + 1 :])
            return [*(t.clone() for t in after), *(t.clone() for t in outputs)]

        results = scan_op(body, list(states), [xs], tuple(more))
        return results[: len(states)], results[len(states) :]
    collected = []
    for x in xs:
        states, outputs = step(states, x, more)
        collected.append(outputs)
    if not collected:
        raise UserError("there are no steps to run: the first axis, of steps, is empty")
    return states, [torch.stack(values) for values in zip(*collected, strict=True)]
