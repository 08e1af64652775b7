"""Small programs to hold facts against: each a function, what its arguments are drawn from, and what is expected.

    row(lambda x, m: x * m[:, None], "0 on axes [0] unless nz(%m); needs finite %x")
    row(lambda x, w: F.linear(x, w), .., w=weight(3, 6))

Many rows are imported as one model, which takes as long as importing one, and taken apart again.
"""

import inspect
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from gossamer.compiler.frontends.torch_export import Imported, import_model
from gossamer.dialects.aten import ParameterOp, WeightOp
from torch import Tensor
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, Region, SSAValue


@dataclass(frozen=True)
class Input:
    """What an argument is drawn from: real numbers, truth values, or integers below `high`; or a weight."""

    sizes: tuple[int, ...]
    kind: str = "real"
    high: int = 0

    def draw(self, manner: str) -> Tensor:
        """Fresh numbers. `sparse`: slices of zeros; `wild`: NaN, Inf, -0.0; `none`, `all`: masks that are constant."""
        if self.kind == "mask":
            return {"none": torch.zeros, "all": torch.ones}.get(manner, torch.rand)(self.sizes) > 0.5
        if self.kind == "integer":
            return torch.randint(0, self.high if manner != "none" else 1, self.sizes)
        tensor = torch.randn(self.sizes)
        for axis, size in enumerate(self.sizes if manner == "sparse" or self.kind == "weight" else ()):
            tensor.index_fill_(axis, torch.nonzero(torch.rand(size) < 0.4).flatten(), 0.0)
        if manner == "wild" and self.kind == "real":
            kinds = torch.randint(0, 10, self.sizes)
            for kind, value in enumerate((math.nan, math.inf, -math.inf, -0.0)):
                tensor[kinds == kind] = value
        return tensor


MANNERS = ("sparse", "sparse", "wild", "none", "all")


def real(*sizes: int) -> Input:
    return Input(sizes)


def mask(*sizes: int) -> Input:
    return Input(sizes, "mask")


def below(high: int, *sizes: int) -> Input:
    return Input(sizes, "integer", high)


def weight(*sizes: int) -> Input:
    return Input(sizes, "weight")


@dataclass(frozen=True)
class Row:
    """A function, what its arguments are drawn from, and the facts of its result as they read."""

    function: Callable[..., Any]
    facts: tuple[str, ...]
    inputs: tuple[tuple[str, Input], ...]


USUAL = {"x": real(4, 6), "y": real(4, 6), "z": real(4, 6), "m": mask(4), "n": mask(4)}
"""What arguments of these names are, unless a row says otherwise."""


def row(function: Callable[..., Any], *facts: str, **inputs: Input) -> Row:
    """A row whose parameters are drawn from `inputs`, else from `USUAL`."""
    names = inspect.signature(function).parameters
    return Row(function, facts, tuple((name, inputs.get(name) or USUAL[name]) for name in names))


@dataclass(frozen=True)
class Program:
    """An imported function of one result."""

    module: ModuleOp
    weights: dict[str, Tensor]

    @property
    def function(self) -> FuncOp:
        return next(op for op in self.module.ops if isinstance(op, FuncOp))

    @property
    def result(self) -> SSAValue:
        last = self.function.body.block.last_op
        assert last is not None
        return last.operands[0]


class Together(torch.nn.Module):
    """Many functions as one model: they are exported at once, which takes as long as exporting one."""

    def __init__(self, rows: Sequence[Row]):
        super().__init__()
        self.rows = rows
        for number, row in enumerate(rows):
            for name, source in row.inputs:
                if source.kind == "weight":
                    self.register_parameter(f"{name}_{number}", torch.nn.Parameter(source.draw("sparse"), False))

    def forward(self, *args: Tensor) -> tuple[Tensor, ...]:
        given, results, weights = iter(args), list[Tensor](), dict(self.named_parameters())
        for number, row in enumerate(self.rows):
            own = (weights[f"{n}_{number}"] if s.kind == "weight" else next(given) for n, s in row.inputs)
            results.append(row.function(*own))
        return tuple(results)


def arguments_of(row: Row) -> list[tuple[str, Input]]:
    """Inputs that are no weights."""
    return [(name, source) for name, source in row.inputs if source.kind != "weight"]


def programs(rows: Sequence[Row], dynamic_shapes: object = None) -> list[Program]:
    """The rows imported, each as a program of its own whose values are called as its parameters are."""
    args = [source.draw("sparse") for row in rows for _, source in arguments_of(row)]
    imported = import_model(Together(rows).eval(), args, dynamic_shapes=dynamic_shapes)
    given = iter(imported.function.body.block.args)
    last = imported.function.body.block.last_op
    assert last is not None
    return [
        outlined(imported, [(name, next(given)) for name, _ in arguments_of(row)], result)
        for row, result in zip(rows, last.operands, strict=True)
    ]


NUMBER = re.compile(r"[._]\d+$")


def outlined(imported: Imported, arguments: Sequence[tuple[str, SSAValue]], result: SSAValue) -> Program:
    """The part of a program that makes one result of some arguments. Values lose the numbers that tell them apart."""
    needed, open_values = set[Operation](), [result]
    while open_values:
        owner = open_values.pop().owner
        if isinstance(owner, Operation) and owner not in needed:
            needed.add(owner)
            open_values += owner.operands
    block = Block(arg_types=[value.type for _, value in arguments])
    mapper: dict[SSAValue, SSAValue] = {}
    for (name, value), argument in zip(arguments, block.args, strict=True):
        mapper[value], argument.name_hint = argument, name
    weights: dict[str, Tensor] = {}
    for op in imported.function.body.block.ops:
        if op in needed:
            block.add_op(own := op.clone(mapper))
            for value in own.results:
                value.name_hint = NUMBER.sub("", value.name_hint or "") or None
            if isinstance(own, ParameterOp):
                weights[own.weight.string_value()] = imported.weights[own.weight.string_value()]
                own.value.name_hint = own.weight.string_value().rpartition("_")[0]
    block.add_op(ReturnOp(mapper[result]))
    function = FuncOp("forward", (list(block.arg_types), [result.type]), Region(block))
    function.attributes |= {name: imported.function.attributes[name] for name in ("aten.symbols",)}
    declared = [op.clone() for op in imported.module.ops if isinstance(op, WeightOp) and op.sym_name.data in weights]
    return Program(ModuleOp([*declared, function]), weights)
