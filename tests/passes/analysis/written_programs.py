"""Programs that are written call by call: any overload can stand in them, also those that export takes apart.

    written(row(lambda x, m: call("native_layer_norm.default", rows(x, m), (6,), None, None, 1e-5), ..))

The functions of such rows get values of the program for parameters, and make calls with `call`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from gossamer.compiler.frontends.types import type_of
from gossamer.dialects.aten import Effects, EffectsAttr
from gossamer.dialects.template import Argument, Template
from gossamer.passes.packing import CallWriter
from gossamer.runtime.calls import arguments, overload
from gossamer.tests.passes.analysis.fact_programs import Program, Row
from torch import Tensor
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Region, SSAValue


@dataclass(frozen=True)
class Value:
    """A value of the program being written, and what it is for one draw of the inputs."""

    value: SSAValue
    sample: Tensor


def call(name: str, *args: Any, effects: Effects | None = None, **kwargs: Any) -> Any:
    """A call of `aten.name`, written after those that make its operands. Lists of tensors are tuples."""
    writer, samples = CallWriter(), dict[SSAValue, Tensor]()

    def written(argument: Any) -> Argument:
        if isinstance(argument, Value):
            samples[argument.value] = argument.sample
            return writer.ref(argument.value)
        return tuple(map(written, argument)) if isinstance(argument, tuple) else argument

    template = Template(tuple(map(written, args)), tuple((key, written(item)) for key, item in kwargs.items()))
    positional, options = arguments(template, [samples[operand] for operand in writer.operands])
    torch_op = overload(f"aten.{name}")
    assert torch_op is not None, name
    given = torch_op(*positional, **options)
    results: Sequence[Tensor] = [given] if isinstance(given, Tensor) else list(given)
    op = writer.call(f"aten.{name}", template, list(map(type_of, results)), unpack=not isinstance(given, Tensor))
    if effects is not None:
        op.properties["effects"] = EffectsAttr(effects)
    for result in op.results:
        result.name_hint = name.split(".")[0].strip("_")
    block = writer.operands[0].owner if isinstance(writer.operands[0].owner, Block) else writer.operands[0].owner.parent
    assert isinstance(block, Block)
    block.add_op(op)
    values = tuple(map(Value, op.results, results))
    return values[0] if isinstance(given, Tensor) else values


def rows(x: Value, m: Value) -> Value:
    """`x` with 0 where the mask over its first axis does not hold."""
    for _ in range(x.sample.dim() - m.sample.dim()):
        m = call("unsqueeze.default", m, m.sample.dim())
    return call("mul.Tensor", x, m)


def relu(x: Value) -> Value:
    return call("relu.default", x)


def hidden(x: Value, m: Value) -> Value:
    """`x` with -inf where the mask does not hold."""
    return call("masked_fill.Scalar", x, call("logical_not.default", m), -torch.inf)


def written(row: Row) -> Program:
    """The program of a row."""
    samples = [source.draw("sparse") for _, source in row.inputs]
    block = Block(arg_types=list(map(type_of, samples)))
    for (name, _), value in zip(row.inputs, block.args, strict=True):
        value.name_hint = name
    result = row.function(*map(Value, block.args, samples))
    block.add_op(ReturnOp(result.value))
    function = FuncOp("forward", (list(block.arg_types), [result.value.type]), Region(block))
    return Program(ModuleOp([function]), {})


def takes_a_tensor(target: str) -> bool:
    """Has torch an overload of that name that takes a tensor? Families are registered at large."""
    if target == "*":
        return False
    _, name, form = target.split(".")
    overload = getattr(getattr(torch.ops.aten, name, None), form, None)
    return overload is not None and any("Tensor" in str(a.type) for a in overload._schema.arguments)
