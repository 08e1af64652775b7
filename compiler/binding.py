"""From a call to the program's flat inputs.

    fast(ids, mask=m), fast(mask=m, input_ids=ids), fast(ids, m)    ->    [ids, m]

A way of calling (so many positional arguments, these keywords) is understood once, with `forward`'s own signature,
and remembered. After that an argument costs one check, and nothing is flattened that does not nest.
"""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch.utils._pytree import TreeSpec

from ..dialects.diagnostics import UserError, did_you_mean
from .leaves import ContiguousLeaf, FixedLeaf, Leaf, Nest, TensorLeaf
from .signature import positional_names
from .sizes import evaluate, holds


@dataclass(frozen=True)
class Plan:
    """One way of calling: which of the values (as given, then `defaults`) each argument takes."""

    defaults: tuple[object, ...]
    arguments: tuple[tuple[int, Leaf], ...]


class Binder:
    """Callable: `(args, kwargs)` of a call -> the program's inputs. Raises UserError where they do not fit.

    `conditions` on sizes are those under which the model took the way that export saw.
    """

    def __init__(
        self, forward: inspect.Signature, spec: TreeSpec, leaves: Sequence[Leaf], conditions: Sequence[str] = ()
    ):
        self.forward = forward
        self.conditions = tuple(conditions)
        self.arguments = dict(by_name(forward, spec, leaves))
        self.derived = tuple(derived_sizes(leaves))
        self.plans: dict[tuple[int | str, ...], Plan] = {}

    def __call__(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[object]:
        plan = self.plans.get((len(args), *kwargs)) or self.understand(len(args), tuple(kwargs))
        given = (*args, *kwargs.values(), *plan.defaults)
        sizes: dict[str, int] = {}
        flat: list[object] = []
        for index, argument in plan.arguments:
            argument.take(given[index], sizes, flat)
        for leaf, index, axis, expression in self.derived:
            tensor, expected = flat[index], evaluate(expression, sizes)
            if isinstance(tensor, torch.Tensor) and expected not in (None, tensor.shape[axis]):
                leaf.refuse(tensor, sizes)
        for condition in self.conditions:
            if holds(condition, sizes) is False:
                self.refuse(condition, sizes)
        return flat

    def refuse(self, condition: str, sizes: Mapping[str, int]) -> NoReturn:
        """Raise what `sizes` do not fulfil, with the arguments that set them."""
        symbols = [
            (symbol, f"'{symbol.name}' = {sizes[symbol.name]} is the size of axis {axis} of argument '{leaf.name}'")
            for leaf in tensor_leaves(self.arguments.values())
            for axis, symbol in leaf.symbols
            if re.search(rf"\b{symbol.name}\b", condition)
        ]
        raise UserError(
            f"the model takes another way for these sizes: the program was compiled for {condition}",
            details=list({symbol.name: text for symbol, text in reversed(symbols)}.values()),
            hint="compile the model with an example of such sizes, too",
        )

    def understand(self, positional: int, keywords: tuple[str, ...]) -> Plan:
        """The plan of calls with so many positional arguments and these keywords."""
        given = self.assign(positional, keywords)
        defaults: list[object] = []
        arguments: list[tuple[int, Leaf]] = []
        for name, argument in self.arguments.items():
            if (index := given.pop(name, None)) is None:
                index = positional + len(keywords) + len(defaults)
                defaults.append(self.default(name))
            arguments.append((index, argument))
        for name, index in given.items():
            arguments.append((index, FixedLeaf(name, self.default(name))))
        plan = self.plans[positional, *keywords] = Plan(tuple(defaults), tuple(arguments))
        return plan

    def assign(self, positional: int, keywords: tuple[str, ...]) -> dict[str, int]:
        """Which value goes to which parameter, as Python has it; what `*args` takes is `args.0`, `args.1`, .."""
        try:
            bound = self.forward.bind(*range(positional), **{name: positional + i for i, name in enumerate(keywords)})
        except TypeError as error:
            unknown = [name for name in keywords if name not in self.forward.parameters]
            hint = did_you_mean(unknown[0], self.forward.parameters) if unknown else ""
            raise UserError(f"forward{self.forward}: {error}", hint=hint) from None
        given: dict[str, int] = {}
        for name, value in bound.arguments.items():
            match self.forward.parameters[name].kind:
                case inspect.Parameter.VAR_POSITIONAL:
                    given |= {f"{name}.{i}": index for i, index in enumerate(value)}
                case inspect.Parameter.VAR_KEYWORD:
                    given |= value
                case _:
                    given[name] = value
        return given

    def default(self, name: str) -> object:
        """The default of parameter `name`. Raises UserError where it has none that is known."""
        parameter = self.forward.parameters.get(name)
        if parameter is not None and parameter.default not in (inspect.Parameter.empty, ...):
            return parameter.default
        if name in self.arguments:
            raise UserError(f"argument '{name}' is missing: the program was compiled with it")
        raise UserError(
            f"argument '{name}' was not given when the model was compiled, so the program has no place for it",
            hint=f"compile with an example of '{name}'; known: {', '.join(self.arguments) or 'none'}",
        )


def tensor_leaves(leaves: Iterable[Leaf]) -> Iterator[TensorLeaf]:
    """The tensors among `leaves`, nested ones too."""
    for leaf in leaves:
        match leaf:
            case TensorLeaf():
                yield leaf
            case ContiguousLeaf(leaf=inner):
                yield inner
            case Nest(leaves=inner):
                yield from tensor_leaves(inner)
            case _:
                pass


def by_name(forward: inspect.Signature, spec: TreeSpec, leaves: Sequence[Leaf]) -> Iterator[tuple[str, Leaf]]:
    """Every argument of the example call with what it must be, in the order of the program's inputs."""
    positional, keywords = spec.children()
    names = (*positional_names(forward, positional.num_children), *keywords.context)
    remaining = iter(leaves)
    for name, child in zip(names, (*positional.children(), *keywords.children()), strict=True):
        inner = tuple(next(remaining) for _ in range(child.num_leaves))
        yield name, inner[0] if child.is_leaf() else Nest(name, child, inner)


def derived_sizes(leaves: Sequence[Leaf]) -> Iterator[tuple[TensorLeaf, int, int, str]]:
    """Axes whose size is an expression in symbols: the leaf, its place among the inputs, the axis, the expression."""
    inputs = (leaf for leaf in leaves if not isinstance(leaf, FixedLeaf))
    for index, leaf in enumerate(inputs):
        if isinstance(leaf, TensorLeaf):
            symbols = dict(leaf.symbols)
            yield from (
                (leaf, index, axis, size)
                for axis, size in enumerate(leaf.sizes)
                if isinstance(size, str) and axis not in symbols
            )
