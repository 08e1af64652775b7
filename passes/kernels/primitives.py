"""The elementwise calls that a chain may be made of, and how each is written for one element.

    aten.sigmoid_backward.default(%g, %s)    ->    (g * (1 - s)) * s

Each rounds as ATen's own code does, which was compiled with contraction: `tanh_backward` is g (1 - t t), rounded once
less. Whether a primitive has this machine's bits is for whoever allows it to find out (`compiler/exact_primitives.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xdsl.dialects import arith
from xdsl.dialects.builtin import TensorType, f32, i1
from xdsl.ir import Attribute, Operation, SSAValue

from ...dialects.aten import CallOp, dims, tensor_of
from ...dialects.template import Argument, Ref
from . import tanh
from .writing import fma, real

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


def negative(a: SSAValue) -> SSAValue:
    """-a"""
    return minus(real(-0.0), a)


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
    return product(g, fma(negative(t), t, real(1.0)))


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
    library: "Library | None" = None


@dataclass(frozen=True)
class Library:
    """A library's function that torch calls, by name: how a kernel declares it, and calls it for a buffer of so many
    numbers, which then holds the results.

    `guess` writes what it gives in another way, faster: as a number, and a truth value where that is in doubt. Whether
    all is in doubt that the library may say otherwise must be tried, for all x of `sizes`.
    """

    name: str
    declared: Callable[[], Sequence[Operation]]
    call: Callable[[SSAValue, SSAValue], None]
    guess: Callable[[SSAValue], tuple[SSAValue, SSAValue]]
    sizes: tuple[float, float]


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
    "aten.neg.default": Primitive("x", negative),
    "aten.reciprocal.default": Primitive("x", lambda a: quotient(real(1.0), a)),
    "aten.pow.Tensor_Scalar": Primitive("xe", power),
    "aten.relu.default": Primitive("x", lambda a: choice(comparison("olt")(a, real(0.0)), real(0.0), a)),
    "aten.threshold_backward.default": Primitive(
        "xxs", lambda g, a, limit: choice(comparison("ole")(a, limit), real(0.0), g)
    ),
    "aten.tanh.default": Primitive(
        "x", tanh.one, Library(tanh.LIBRARY, tanh.library_functions, tanh.all_of, tanh.guess, tanh.SIZES)
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
"""What a chain may be made of. Other functions that libraries compute in their own way (exp, erf) are not among it."""


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


def library_of(op: CallOp) -> Library | None:
    """The library's function that a call of a primitive is for."""
    return PRIMITIVES[op.target.data].library


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
