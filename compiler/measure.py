"""A compiled model and the eager one on the same inputs: results, times, differences.

Both start from the same random seed, on copies of the inputs, and leave buffers as they were.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map_only

from ..dialects.template import Ref
from .check import Values, compare, describe, results
from .compiled import CompiledModel
from .entry import entry_function
from .example import Example
from .inputs import with_inputs


@contextmanager
def untouched(tensors: Iterable[torch.Tensor]) -> Iterator[None]:
    """Put `tensors` back as they were at the end."""
    kept = [(tensor, tensor.clone()) for tensor in tensors]
    try:
        yield
    finally:
        for tensor, before in kept:
            tensor.copy_(before)


@dataclass(frozen=True)
class Call:
    """Something to run: `function(*inputs)`; `buffers` are tensors that it may write."""

    function: Callable[..., Any]
    inputs: Sequence[Any]
    buffers: Sequence[torch.Tensor]

    def once(self) -> tuple[Any, float]:
        """What it gives, and the seconds it took."""
        inputs = tree_map_only(torch.Tensor, torch.Tensor.clone, tuple(self.inputs))
        with torch.no_grad(), untouched(self.buffers):
            torch.manual_seed(0)
            start = time.perf_counter()
            result = self.function(*inputs)
            return result, time.perf_counter() - start

    def repeated(self, times: int) -> tuple[Any, float]:
        """What it gives the first time, and the seconds of that; with more `times`, the median of so many more."""
        result, seconds = self.once()
        return result, statistics.median(self.once()[1] for _ in range(times)) if times > 1 else seconds


def compiled_call(compiled: CompiledModel, inputs: Sequence[object]) -> Call:
    """The program on its flat inputs."""
    return Call(lambda *flat: compiled.program(flat), inputs, [*compiled.buffers()])


def eager_call(compiled: CompiledModel, example: Example, given: Mapping[str, object]) -> Call:
    """The user's model on the example, with what is `given` by name in place."""

    def call(args: tuple, kwargs: dict) -> list[object]:
        return program_results(compiled, example.model(*args, **kwargs))

    return Call(call, with_inputs(compiled, example, given), [*compiled.buffers()])


def program_results(compiled: CompiledModel, result: object) -> list[object]:
    """Those leaves of what the model gives that are results of the program, in its order."""
    places = [Ref(index) for index in range(len(entry_function(compiled.module).function_type.outputs))]
    leaves = zip(tree_leaves(compiled.assemble(places)), tree_leaves(result), strict=True)
    found = {place.index: value for place, value in leaves if isinstance(place, Ref)}
    return [found[place.index] for place in places]


def differences(compiled: CompiledModel, expected: Values, found: Values, inputs: Values) -> list[str]:
    """What differs by more than a reordered sum may, where somebody reads it; by result."""
    exact = "gossamer.exact" in compiled.module.attributes
    compared = (
        (name, compare(before, after, exact=exact, rows=rows))
        for name, before, after, rows in results(compiled.module, expected, found, inputs)
    )
    return [f"{name}: {how}" for name, how in compared if how]


def show(value: object) -> tuple[str, str]:
    """Type and numbers of a result in a few words."""
    if not isinstance(value, torch.Tensor):
        return type(value).__name__, str(value)
    if not value.numel() or value.is_complex():
        return describe(value), ""
    numbers = value.double()
    return describe(value), f"{numbers.min():.4g} .. {numbers.max():.4g}, mean {numbers.mean():.4g}"
