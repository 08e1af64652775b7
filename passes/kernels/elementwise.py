"""A chain of elementwise calls as one loop: each element is read once, and only what is yielded is written.

    %a = aten.mul.Tensor(%x0, 0.5)            for i in this part's share of size, in vectors, as LLVM sees fit:
    %b = aten.mul.Tensor(%a, %x1)      ->         y0[i] = (x0[i] * 0.5) * x1[i]
    kernel.yield %b

Every call rounds as ATen's own code does, and nothing else is fused or reordered. That code was compiled with
contraction: `tanh_backward` is g (1 - t t), rounded once less. Whether a primitive has this machine's bits is for
whoever allows it to find out (`compiler/exact_primitives.py`). Truth values are bytes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from xdsl.builder import ImplicitBuilder
from xdsl.dialects import arith, func, llvm, memref
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    ArrayAttr,
    FunctionType,
    IntegerAttr,
    MemRefType,
    ModuleOp,
    StringAttr,
    TensorType,
    f32,
    i1,
    i8,
)
from xdsl.ir import Attribute, Block, Region, SSAValue

from ...dialects.aten import CallOp, dims, tensor_of
from ...dialects.kernel import ARGUMENTS, MapOp, YieldOp
from ...dialects.template import Argument, Ref
from .writing import INDEX, add, each, lesser, load, number, real, share, times

FUNCTION = "map"
"""The function's name."""
UNIT = 16
"""Elements that are not divided among threads: a line of memory."""
LARGEST = 3.4028234663852886e38
"""The largest f32."""


def plus(a: SSAValue, b: SSAValue) -> SSAValue:
    """a + b"""
    return arith.AddfOp(a, b).result


def minus(a: SSAValue, b: SSAValue) -> SSAValue:
    """a - b"""
    return arith.SubfOp(a, b).result


def product(a: SSAValue, b: SSAValue) -> SSAValue:
    """a b"""
    return arith.MulfOp(a, b).result


def quotient(a: SSAValue, b: SSAValue) -> SSAValue:
    """a / b"""
    return arith.DivfOp(a, b).result


def choice(condition: SSAValue, a: SSAValue, b: SSAValue) -> SSAValue:
    """a where `condition` holds, else b"""
    return arith.SelectOp(condition, a, b).result


def comparison(predicate: str) -> Callable[..., SSAValue]:
    """How two numbers are compared."""
    return lambda a, b: arith.CmpfOp(a, b, predicate).result


def power(a: SSAValue, exponent: float) -> SSAValue:
    """a a, or (a a) a"""
    return product(a, a) if exponent == 2 else product(product(a, a), a)


def tanh_backward(g: SSAValue, t: SSAValue) -> SSAValue:
    """g (1 - t t), the bracket rounded once"""
    return product(g, llvm.FMAOp(minus(real(-0.0), t), t, real(1.0)).res)


def sigmoid_backward(g: SSAValue, s: SSAValue) -> SSAValue:
    """(g (1 - s)) s"""
    return product(product(g, minus(real(1.0), s)), s)


def dropout_backward(g: SSAValue, mask: SSAValue, p: float) -> SSAValue:
    """g times 1 / (1 - p) where `mask` holds, else times 0"""
    return product(product(choice(mask, real(1.0), real(0.0)), quotient(real(1.0), real(1 - p))), g)


@dataclass(frozen=True)
class Primitive:
    """A call that can be part of a chain: the kinds of its arguments, and how it is written for one element.

    x: numbers. m: truth values. a: numbers, or a number. s: a number. e: 2 or 3. p: a probability.
    """

    kinds: str
    write: Callable[..., SSAValue]


COMPARISONS = ("gt", "ge", "lt", "le", "eq", "ne")
"""Calls that give truth values."""

PRIMITIVES: dict[str, Primitive] = {
    "aten.add.Tensor": Primitive("xa", plus),
    "aten.add.Scalar": Primitive("xs", plus),
    "aten.sub.Tensor": Primitive("xa", minus),
    "aten.sub.Scalar": Primitive("xs", minus),
    "aten.rsub.Scalar": Primitive("xs", lambda a, b: minus(b, a)),
    "aten.mul.Tensor": Primitive("xa", product),
    "aten.mul.Scalar": Primitive("xs", product),
    "aten.div.Tensor": Primitive("xa", quotient),
    "aten.div.Scalar": Primitive("xs", quotient),
    "aten.neg.default": Primitive("x", lambda a: minus(real(-0.0), a)),
    "aten.reciprocal.default": Primitive("x", lambda a: quotient(real(1.0), a)),
    "aten.pow.Tensor_Scalar": Primitive("xe", power),
    "aten.relu.default": Primitive("x", lambda a: choice(comparison("olt")(a, real(0.0)), real(0.0), a)),
    "aten.threshold_backward.default": Primitive(
        "xxs", lambda g, a, limit: choice(comparison("ole")(a, limit), real(0.0), g)
    ),
    "aten.tanh_backward.default": Primitive("xx", tanh_backward),
    "aten.sigmoid_backward.default": Primitive("xx", sigmoid_backward),
    "gossamer.dropout_backward.default": Primitive("xmp", dropout_backward),
    "aten.where.self": Primitive("mxx", choice),
    "aten.where.ScalarOther": Primitive("mxs", choice),
    "aten.where.ScalarSelf": Primitive("msx", choice),
    "aten.masked_fill.Scalar": Primitive("xms", lambda a, mask, value: choice(mask, value, a)),
    **{
        f"aten.{name}.{form}": Primitive(f"x{kind}", comparison(predicate))
        for name, predicate in zip(COMPARISONS, ("ogt", "oge", "olt", "ole", "oeq", "une"), strict=True)
        for form, kind in (("Tensor", "x"), ("Scalar", "s"))
    },
}
"""What a chain may be made of. Functions that libraries compute in their own way (tanh, exp, erf) are not among it."""


def is_primitive(op: CallOp, allowed: Sequence[str] = tuple(PRIMITIVES)) -> bool:
    """Is `op` a call of a table's primitive, on f32 of one static shape?"""
    primitive, args = PRIMITIVES.get(op.target.data), op.template.data.args
    if primitive is None or op.target.data not in allowed or len(args) != len(primitive.kinds):
        return False
    if any(pair != ("alpha", 1) for pair in op.template.data.kwargs) or not isinstance(op.result_types[0], TensorType):
        return False
    shape = dims(op.results[0].type)
    if not all(isinstance(size, int) for size in shape) or element(op.results[0]) not in (f32, i1):
        return False
    return all(fits(kind, argument, op, shape) for kind, argument in zip(primitive.kinds, args, strict=True))


def element(value: SSAValue) -> Attribute:
    """The type of a tensor's elements."""
    return tensor_of(value).element_type


def fits(kind: str, argument: Argument, op: CallOp, shape: Sequence[object]) -> bool:
    """Is `argument` of that kind?"""
    match argument:
        case Ref(index):
            value = op.operands[index]
            wanted = {"x": f32, "a": f32, "m": i1}.get(kind)
            if wanted is None or not isinstance(value.type, TensorType):
                return False
            return element(value) == wanted and dims(value.type) == shape
        case bool():
            return False
        case int() | float():
            limits = {"a": (-LARGEST, LARGEST), "s": (-LARGEST, LARGEST), "e": (2, 3), "p": (0, 1)}.get(kind)
            if limits is None or not limits[0] <= argument <= limits[1]:
                return False
            return kind != "e" or argument in limits
        case _:
            return False


def elementwise_kernel(op: MapOp, name: str) -> ModuleOp:
    """The kernel of a map."""
    block = op.meaning.block
    last = block.last_op
    assert isinstance(last, YieldOp)
    buffers = {f"x{index}": buffer(value) for index, value in enumerate(block.args)}
    buffers |= {f"y{index}": buffer(value) for index, value in enumerate(last.values)}
    arguments: dict[str, Attribute] = {"size": INDEX, **buffers}
    body = Block(arg_types=[*arguments.values(), INDEX, INDEX])
    for value, hint in zip(body.args, [*arguments, "part", "parts"], strict=True):
        value.name_hint = hint
    size, *given, part, parts = body.args
    with ImplicitBuilder(body):
        units = arith.DivUIOp(add(size, number(UNIT - 1)), number(UNIT)).result
        first, end = (times(share(units, at, parts), number(UNIT)) for at in (part, add(part, number(1))))

        def one(at: SSAValue) -> None:
            inside: dict[SSAValue, SSAValue] = {}
            for value, source in zip(block.args, given, strict=False):
                inside[value] = read(source, at)
            for call in op.calls():
                inside[call.results[0]] = PRIMITIVES[call.target.data].write(*written(call, inside))
            for value, target in zip(last.values, given[len(block.args) :], strict=True):
                write(inside[value], target, at)

        each(first, lesser(end, size), number(1), one)
        func.ReturnOp()
    kinds = FunctionType.from_lists([*arguments.values(), INDEX, INDEX], [])
    names = ArrayAttr([StringAttr(name) for name in arguments])
    return ModuleOp([func.FuncOp(FUNCTION, kinds, Region(body))], {ARGUMENTS: names}, StringAttr(name))


def buffer(value: SSAValue) -> MemRefType:
    """Where the elements of a tensor lie."""
    return MemRefType(i8 if element(value) == i1 else f32, (DYNAMIC_INDEX,))


def read(source: SSAValue, at: SSAValue) -> SSAValue:
    """An element."""
    assert isinstance(source.type, MemRefType)
    if source.type.element_type == f32:
        return load(source, at)
    zero = arith.ConstantOp(IntegerAttr(0, i8)).result
    return arith.CmpiOp(memref.LoadOp.get(source, [at]).res, zero, "ne").result


def write(value: SSAValue, target: SSAValue, at: SSAValue) -> None:
    """Store an element."""
    memref.StoreOp.get(value if value.type == f32 else arith.ExtUIOp(value, i8).result, target, [at])


def written(call: CallOp, inside: dict[SSAValue, SSAValue]) -> list[Any]:
    """The arguments of a call as its primitive takes them."""
    found: list[Any] = []
    for kind, argument in zip(PRIMITIVES[call.target.data].kinds, call.template.data.args, strict=True):
        if isinstance(argument, Ref):
            found.append(inside[call.operands[argument.index]])
        else:
            assert isinstance(argument, int | float)
            found.append(argument if kind in "ep" else real(float(argument)))
    return found
