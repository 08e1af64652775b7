"""A model of one step, run over time as one scan: a graph that does not grow with the number of steps.

    for t in range(steps):                       states, ys = scan(step, states, xs)
        y = model(x[t])              ->              region: states, y = model(x), states of neurons in and out
        ys.append(y)

    run = gossamer.snn.over_time(model)          run(x), x [steps, batch, ..]: what the model gives, stacked
    torch.export.export(run, (x,), dynamic_shapes=({0: torch.export.Dim.AUTO},))

Neurons of snnTorch, Norse and SpikingJelly are called without their states (`init_hidden`, or a state of None): a run
starts from the states after a reset, and leaves what the modules hold as it is. Buffers are read, not written. In eager
mode it is a loop.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ...dialects.diagnostics import UserError
from .adapters import norse, snntorch, spikingjelly
from .adapters.neurons import carried, over_steps
from .adapters.registry import dotted

LIBRARIES = {
    "snntorch._neurons.neurons.SpikingNeuron": snntorch,
    "norse.torch.module.snn.SNN": norse,
    "spikingjelly.activation_based.neuron.": spikingjelly,
}
"""Whose neurons are known, by how the name of a class of theirs begins."""


def library_of(module: nn.Module) -> Any:
    """The adapter of a neuron; None of what is none."""
    names = [dotted(cls) for cls in type(module).__mro__]
    return next((lib for start, lib in LIBRARIES.items() if any(n.startswith(start) for n in names)), None)


def neurons(model: nn.Module) -> dict[nn.Module, Callable[..., Any]]:
    """The neurons of a model, each with its step. Raises UserError that names one without equations."""
    found = {}
    for name, module in model.named_modules():
        if (library := library_of(module)) is None:
            continue
        if reason := library.refusal(module):
            raise UserError(
                f"the neurons `{name or 'self'}` ({type(module).__name__}) cannot be read exactly: {reason}"
            )
        found[module] = library.neuron(module)
    return found


class OverTime(nn.Module):
    """See above. Made by `over_time`."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        vars(self)["steps"] = neurons(model)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy has steps of its own neurons."""
        return type(self), (self.model,), {"training": self.training}

    def forward(self, x: Tensor) -> Any:
        with self.stepping():
            if not torch.compiler.is_compiling():
                return self.loop(x)
            with carried({}) as first:
                example = self.step(x[0])
            modules, counts = list(first.starts), [len(start) for start in first.starts.values()]
            states = [torch.full(t.shape, value, dtype=t.dtype, device=t.device)
                      for start in first.starts.values() for t, value in start]  # fmt: skip
            weights = dict(self.weights())

            def step(states: Sequence[Tensor], x: Tensor, more: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
                before = dict(zip(modules, split(states, counts), strict=True))
                with carried(before) as after:
                    y = self.step(x, dict(zip(weights, more, strict=True)))
                return [state for module in modules for state in after.after[module]], pytree.tree_leaves(y)

            _, outputs = over_steps(step, states, x, list(weights.values()))
            return pytree.tree_unflatten(list(outputs), pytree.tree_structure(example))

    def loop(self, x: Tensor) -> Any:
        """The same as a loop."""
        before: Mapping[nn.Module, Sequence[Tensor]] = {}
        results = []
        for item in x:
            with carried(before) as states:
                results.append(self.step(item))
            before = states.after
        if not results:
            raise UserError("there are no steps to run: the first axis, of steps, is empty")
        return pytree.tree_map(lambda *values: torch.stack(values), *results)

    def step(self, x: Tensor, weights: Mapping[str, Tensor] | None = None) -> Any:
        """What the model gives in one step; of a model that gives `(y, state)`, y."""
        model = vars(self)["_modules"]["model"]  # as it is: torch wraps what is got by name, and loses what is shared
        y = model(x) if weights is None else torch.func.functional_call(model, dict(weights), (x,))
        if isinstance(y, tuple) and "state" in inspect.signature(type(model).forward).parameters:
            return y[0]
        return y

    def order(self, x: Tensor) -> tuple[str, ...]:
        """The names of the neurons in the order in which a step calls them."""
        names = self.names()
        with torch.no_grad(), self.stepping(), carried({}) as first:
            self.step(x[0])
        return tuple(names[module] for module in first.starts)

    def names(self) -> dict[nn.Module, str]:
        """A name of each module: `layers_1` for `layers.1`."""
        names = {module: name.replace(".", "_") or "neurons" for name, module in self.model.named_modules()}
        return {module: f"layer_{name}" if name[:1].isdigit() else name for module, name in names.items()}

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Parameters and buffers that the step reads: not the states that neurons hold."""
        yield from self.model.named_parameters()
        held = {name for module_name, module in self.model.named_modules() if module in vars(self)["steps"]
                for name in (f"{module_name}.{b}".lstrip(".") for b in module._non_persistent_buffers_set)}  # fmt: skip
        yield from ((name, buffer) for name, buffer in self.model.named_buffers() if name not in held)

    @contextmanager
    def stepping(self) -> Iterator[None]:
        """Let neurons run their steps as ops."""
        held = [(vars(module), vars(module).get("forward")) for module in vars(self)["steps"]]
        try:
            for module, forward in vars(self)["steps"].items():
                vars(module)["forward"] = forward
            yield
        finally:
            for living, forward in held:
                living.pop("forward")
                living.update({} if forward is None else {"forward": forward})


def split(states: Sequence[Tensor], counts: Sequence[int]) -> list[list[Tensor]]:
    """States in groups of those sizes."""
    rest = iter(states)
    return [[next(rest) for _ in range(count)] for count in counts]


def over_time(model: nn.Module) -> OverTime:
    """`model`, which takes one step [batch, ..], over [steps, batch, ..].

    Raises UserError where it has neurons that cannot be read exactly.
    """
    return OverTime(model)
