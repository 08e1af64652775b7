"""One call packed onto a domain that is an input, by the pieces that the passes use.

packed(example, flow, space)     gather every operand that carries rows, the compact call, scatter every result
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import torch
from gossamer.compiler.frontends.types import type_of
from gossamer.dialects.aten import CallOp, tensor_of, tensor_type
from gossamer.dialects.layout import DOMAIN_AXES, OTHER_AXES, Layout
from gossamer.dialects.sparse import DomainOp, GatherOp, ScatterOp
from gossamer.dialects.template import Argument, Ref, Template
from gossamer.passes.analysis.rows import Flow
from gossamer.passes.packing import write_compact
from gossamer.passes.solvers.reshaping import factor_sizes
from gossamer.tests.passes.row_examples import Tensor, make, tensors
from xdsl.dialects.builtin import ModuleOp, TensorType, i1
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, SSAValue

SYMBOLS: dict[int, int | str] = {2: "s0", 3: "s1", 6: "s0*s1", 12: "4*s1", 24: "4*s0*s1"}
"""Sizes by name, for types as a dynamic export has them."""


def described(value: torch.Tensor, symbolic: bool) -> TensorType:
    """The type of `value`; sizes by name where that is asked for."""
    sizes = [SYMBOLS.get(size, size) if symbolic else size for size in value.shape]
    known = type_of(value)
    assert isinstance(known, TensorType)
    return tensor_type(known.element_type, sizes)


Space = tuple[int | str, ...]


@dataclass
class Example:
    """A call alone in a function: its op, its inputs and what it gives."""

    function: FuncOp
    op: CallOp
    inputs: list[torch.Tensor]
    results: list[torch.Tensor]


def example(target: str, args: tuple[Any, ...], kwargs: dict[str, Any], symbolic: bool) -> Example:
    """The call of `target` on new tensors."""
    wanted = list(dict.fromkeys(id(t) for argument in (*args, *kwargs.values()) for t in tensors(argument)))
    numbers = {name: k for k, name in enumerate(wanted)}
    made: dict[int, torch.Tensor] = {}

    def written(argument: Any) -> Argument:
        if isinstance(argument, Tensor):
            index = numbers[id(argument)]
            made.setdefault(index, make(argument))
            return Ref(index)
        return tuple(map(written, argument)) if isinstance(argument, tuple) else argument

    template = Template(tuple(map(written, args)), tuple((k, written(v)) for k, v in kwargs.items()))
    inputs = [made[k] for k in range(len(wanted))]
    namespace, name, overload = target.split(".")
    call = getattr(getattr(getattr(torch.ops, namespace), name), overload)

    def value(argument: Argument) -> Any:
        if isinstance(argument, Ref):
            return inputs[argument.index]
        if isinstance(argument, tuple):
            return [value(item) for item in argument]
        text = getattr(argument, "text", None)
        return argument if text is None else torch.device("cpu") if text == "device" else getattr(torch, text[6:])

    given = call(*(value(a) for a in template.args), **{k: value(a) for k, a in template.kwargs})
    results = [given] if isinstance(given, torch.Tensor) else list(given)
    types = [described(r, symbolic) for r in results]
    block = Block(arg_types=[described(x, symbolic) for x in inputs])
    op = CallOp(target, template, block.args, types, unpack=not isinstance(given, torch.Tensor))
    block.add_op(op)
    block.add_op(ReturnOp(*op.results))
    function = FuncOp("forward", (block.arg_types, types))
    function.body.detach_block(function.body.block)
    function.body.add_block(block)
    return Example(function, op, inputs, results)


def layouts(shape: Sequence[int]) -> Iterator[Layout]:
    """Every way in which one or two axes of a tensor can be the domain's, whole or as factors of an axis of 6."""
    rank = len(shape)
    for count in (1, 2):
        for axes in permutations(range(rank), count):
            names = iter(OTHER_AXES)
            yield Layout(tuple((DOMAIN_AXES[axes.index(k)],) if k in axes else (next(names),) for k in range(rank)))
    for axis, size in enumerate(shape):
        for factors in ("ij", "ia", "ai") if size == 6 else ("ia", "ai") if size == 4 else ():
            names = iter("bcdefgh")
            yield Layout(tuple(tuple(factors) if k == axis else (next(names),) for k in range(rank)))


def space_of(layout: Layout, sizes: Sequence[int | str], shape: Sequence[int]) -> Space | None:
    """Sizes of the domain's axes under `layout`; a factor that shares its axis has 2 positions, or what is left."""
    space: dict[str, int | str] = {}
    for factors, size, number in zip(layout.axes, sizes, shape, strict=True):
        for factor in factors:
            if factor in DOMAIN_AXES:
                shared = 3 if factor == "j" else 2
                space[factor] = size if len(factors) == 1 else SYMBOLS[shared] if isinstance(size, str) else shared
        if len(factors) > 1 and number % 2:
            return None
    return tuple(space[name] for name in sorted(space))


def numbers(space: Sequence[int | str]) -> tuple[int, ...]:
    """Sizes by number again."""
    values = {name: number for number, name in SYMBOLS.items() if isinstance(name, str)}
    return tuple(size if isinstance(size, int) else values[size] for size in space)


def selected(layout: Layout, shape: Sequence[int], mask: torch.Tensor) -> torch.Tensor:
    """For each element of a full tensor, is its position active?"""
    sizes = factor_sizes(layout, shape, mask.shape)
    assert sizes is not None
    where = [DOMAIN_AXES.index(name) for name in layout.names if name in DOMAIN_AXES]
    flags = mask.permute(where)
    for place, name in enumerate(layout.names):
        if name not in DOMAIN_AXES:
            flags = flags.unsqueeze(place)
    factors = [size if isinstance(size, int) else 0 for size in (sizes[name] for name in layout.names)]
    return flags.expand(factors).reshape(tuple(shape))


def packed(given: Example, flow: Flow, space: Space) -> ModuleOp | None:
    """The function that takes a mask too and gives each result packed and put back; None where there is no code."""
    block = Block(arg_types=[*(v.type for v in given.op.operands), tensor_type(i1, space)])
    *values, mask = block.args
    moved: dict[SSAValue, SSAValue] = dict(zip(given.op.operands, values, strict=True))
    op = given.op.clone({old: moved[old] for old in given.op.operands})
    block.add_op(op)
    active = DomainOp(mask, space)
    gathers = {k: GatherOp(values[k], active.domain, layout) for k, layout in enumerate(flow.operands) if layout}
    code = write_compact(op, flow, active.domain, {k: gather.compact for k, gather in gathers.items()})
    if code is None:
        return None
    scatters = [
        ScatterOp(compact, active.domain, layout, tensor_of(result))
        for compact, layout, result in zip(code.results, flow.results, op.results, strict=True)
    ]
    block.add_ops([active, *gathers.values(), *code.ops, *scatters, ReturnOp(*(s.full for s in scatters))])
    op.detach()
    op.erase()
    function = FuncOp("forward", (block.arg_types, [s.full.type for s in scatters]))
    function.body.detach_block(function.body.block)
    function.body.add_block(block)
    return ModuleOp([function])


def masks(space: Sequence[int]) -> Iterator[torch.Tensor]:
    """None, all, one, and some of the positions."""
    total = math.prod(space)
    yield torch.zeros(tuple(space), dtype=torch.bool)
    yield torch.ones(tuple(space), dtype=torch.bool)
    if total:
        yield (torch.arange(total) == torch.randint(0, total, ())).reshape(tuple(space))
    yield torch.rand(tuple(space)) < 0.5
