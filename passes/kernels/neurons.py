"""The equations of neurons (`dialects/neurons.py`) as arithmetic on one neuron: op by op in the order of their text.

    v = leak + decay * (v - leak)     ->     %a = arith.subf %v, %leak
                                             %b = arith.mulf %decay, %a
                                             %c = arith.addf %leak, %b

Nothing is fused or reordered: each rounds as numpy's does. A shift by as many bits as there are, or more, is one by all
but one, as it is numpy's.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from xdsl.dialects import arith
from xdsl.dialects.builtin import Float32Type, FloatAttr, IntegerAttr, IntegerType, i1, i32
from xdsl.ir import SSAValue

from ...dialects.neurons import Compare, Dynamics, Reset, When, assignments

FLOATS = {ast.Add: arith.AddfOp, ast.Sub: arith.SubfOp, ast.Mult: arith.MulfOp, ast.Div: arith.DivfOp}
INTEGERS = {ast.Add: arith.AddiOp, ast.Sub: arith.SubiOp, ast.Mult: arith.MuliOp}
"""Operators by the type of numbers."""


@dataclass(frozen=True)
class Numbers:
    """Arithmetic on numbers of one type."""

    element: Float32Type | IntegerType

    @property
    def whole(self) -> bool:
        return isinstance(self.element, IntegerType)

    def constant(self, value: float) -> SSAValue:
        """The same number everywhere."""
        if isinstance(self.element, IntegerType):
            return arith.ConstantOp(IntegerAttr(int(value), self.element)).result
        return arith.ConstantOp(FloatAttr(value, self.element)).result

    def evaluate(self, text: str, names: Mapping[str, SSAValue]) -> SSAValue:
        """An expression of `names`."""
        return self.node(ast.parse(text, mode="eval").body, names)

    def node(self, node: ast.expr, names: Mapping[str, SSAValue]) -> SSAValue:
        match node:
            case ast.Name(name):
                return names[name]
            case ast.Constant(value) if isinstance(value, int | float):
                return self.constant(value)
            case ast.BinOp(left, ast.RShift(), right):
                return self.shift(self.node(left, names), self.node(right, names))
            case ast.BinOp(left, operator, right):
                table = INTEGERS if self.whole else FLOATS
                return table[type(operator)](self.node(left, names), self.node(right, names)).result
            case ast.Call(ast.Name("max"), [a, b]):
                return self.greater(self.node(a, names), self.node(b, names))
            case _:
                raise TypeError(f"no arithmetic for {ast.unparse(node)}")

    def shift(self, value: SSAValue, by: SSAValue) -> SSAValue:
        """value >> by"""
        assert isinstance(self.element, IntegerType)
        bits = self.element.width.data
        fits = arith.CmpiOp(by, self.constant(bits), "ult").result
        return arith.ShRSIOp(value, arith.SelectOp(fits, by, self.constant(bits - 1)).result).result

    def greater(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """The greater of two integers."""
        return arith.SelectOp(arith.CmpiOp(a, b, "sgt").result, a, b).result

    def above(self, a: SSAValue, b: SSAValue, compare: Compare) -> SSAValue:
        """a > b, or a >= b; never where one is NaN."""
        predicate = str(compare)
        if self.whole:
            return arith.CmpiOp(a, b, f"s{predicate}").result
        return arith.CmpfOp(a, b, f"o{predicate}").result

    def nonzero(self, value: SSAValue) -> SSAValue:
        """Is it not zero? NaN is not."""
        zero = self.constant(0)
        return arith.CmpiOp(value, zero, "ne").result if self.whole else arith.CmpfOp(value, zero, "une").result


@dataclass(frozen=True)
class Neuron:
    """One neuron's step; the firing is empty where the model never fires."""

    dynamics: Dynamics
    numbers: Numbers
    compare: Compare | None = None
    reset: Reset = Reset.NONE
    when: When = When.NOW
    refractory: int = 0

    @property
    def late(self) -> bool:
        """Does it need to know whether it fired in the last step?"""
        return self.compare is not None and self.when in (When.NEXT, When.BEFORE) and self.reset is not Reset.NONE

    def step(
        self, names: dict[str, SSAValue], fired: SSAValue | None, rest: SSAValue | None
    ) -> tuple[SSAValue | None, SSAValue | None]:
        """Write a step: `names` (states, parameters and x) hold what comes of it. Gives what fired, and the rest."""
        numbers = self.numbers
        if fired is not None and self.when is When.BEFORE:
            names["v"] = arith.SelectOp(fired, self.reset_value(names), names["v"]).result
        before = names["v"]
        for name, value in assignments(self.dynamics.charge):
            names[name] = numbers.evaluate(value, names)
        if self.compare is None:
            return None, None
        if fired is not None and self.when is When.NEXT:
            names["v"] = arith.SelectOp(fired, self.reset_value(names), names["v"]).result
        spike = numbers.above(names["v"], numbers.evaluate(self.dynamics.level, names), self.compare)
        if rest is not None:
            spike, rest = self.refrain(names, before, spike, rest)
        if self.when is When.NOW and self.reset is not Reset.NONE:
            names["v"] = arith.SelectOp(spike, self.reset_value(names), names["v"]).result
        for name, value in assignments(self.dynamics.jump):
            names[name] = arith.SelectOp(spike, numbers.evaluate(value, names), names[name]).result
        return spike, rest

    def refrain(
        self, names: dict[str, SSAValue], before: SSAValue, spike: SSAValue, rest: SSAValue
    ) -> tuple[SSAValue, SSAValue]:
        """While it rests v stays, and it does not fire."""
        zero, one, steps = (arith.ConstantOp(IntegerAttr(value, i32)).result for value in (0, 1, self.refractory))
        resting = arith.CmpiOp(rest, zero, "sgt").result
        names["v"] = arith.SelectOp(resting, before, names["v"]).result
        awake = arith.XOrIOp(resting, arith.ConstantOp(IntegerAttr(1, i1)).result).result
        spike = arith.AndIOp(spike, awake).result
        left = arith.SelectOp(resting, arith.SubiOp(rest, one).result, rest).result
        return spike, arith.SelectOp(spike, steps, left).result

    def reset_value(self, names: Mapping[str, SSAValue]) -> SSAValue:
        """What v becomes where it fired."""
        if self.reset is Reset.SUBTRACT:
            return self.numbers.evaluate(f"v - ({self.dynamics.level})", names)
        return names["reset"] if self.reset is Reset.VALUE else self.numbers.constant(0)
