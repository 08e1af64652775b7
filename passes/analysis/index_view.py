"""Seeing through the ops that make a mask: each value as an expression in its own indices.

    %a = aten.arange(%s)                x0
    %q = aten.unsqueeze(%a, 1)          x0                       over [q, 1]
    %c = aten.le(%k, %q)                (x1 <= x0)
    %m = aten.index(%mask, [%b, %k])    %mask[x0, x3]

Rules stand in tables by call target. A value no rule sees through is an element of itself.
"""

from collections.abc import Callable
from dataclasses import dataclass

from xdsl.dialects.builtin import IntegerType, TensorType
from xdsl.ir import Attribute, OpResult, SSAValue

from ...dialects.aten import CallOp, tensor_of
from ..solvers.index_expr import TRUE, Apply, Axis, Constant, Element, Expr, apply, substitute
from ..solvers.sizes import Size
from .calls import Value, argument, integer, rank, shape
from .row_shapes import axis_of, permutation


@dataclass(frozen=True)
class Source:
    """A value that is read element by element; named and ordered by where it stands in the program."""

    value: SSAValue
    number: int

    def __str__(self) -> str:
        return f"%{self.value.name_hint or self.number}"


class IndexView:
    """Expressions of the values of one function, each computed once."""

    def __init__(self) -> None:
        self.known: dict[SSAValue, Expr] = {}
        self.sources: dict[SSAValue, Source] = {}

    def of(self, value: SSAValue) -> Expr:
        """The element of `value` at indices x0, x1, .."""
        if value not in self.known:
            self.known[value] = self.look(value)
        return self.known[value]

    def look(self, value: SSAValue) -> Expr:
        op = value.owner
        if isinstance(value, OpResult) and isinstance(op, CallOp) and op.effects is None and len(op.results) == 1:
            rule = RULES.get(op.target.data)
            expression = rule(self, op) if rule else None
            if expression is not None:
                return expression
        return self.element(value)

    def element(self, value: SSAValue) -> Expr:
        """`value` as a leaf."""
        source = self.sources.setdefault(value, Source(value, len(self.sources)))
        return Element(source, tuple(Axis(k) for k in range(rank(value))), is_bool(value.type))

    def broadcast(self, argument: Value, to: tuple[Size, ...]) -> Expr | None:
        """An operand or literal as it reads at the indices of a result of shape `to`."""
        if isinstance(argument, bool | int | float):
            return Constant(argument)
        if not isinstance(argument, SSAValue) or not isinstance(argument.type, TensorType):
            return None
        sizes = shape(argument)
        start = len(to) - len(sizes)
        return substitute(
            self.of(argument), lambda k: Constant(0) if sizes[k] == 1 and to[start + k] != 1 else Axis(start + k)
        )


def is_bool(type: Attribute) -> bool:
    """A tensor of truth values?"""
    return isinstance(type, TensorType) and type.element_type == IntegerType(1)


Rule = Callable[[IndexView, CallOp], Expr | None]


def function(name: str, positions: tuple[int, ...] = (0, 1), reverse: bool = False) -> Rule:
    """An elementwise op as a function of its first arguments."""

    def rule(view: IndexView, op: CallOp) -> Expr | None:
        if dict(op.template.data.kwargs).get("alpha", 1) != 1 or (reverse and len(op.template.data.args) > 2):
            return None
        to = shape(op.results[0])
        parts = [view.broadcast(argument(op, p, ""), to) for p in positions]
        if any(part is None for part in parts):
            return None
        return apply(name, *(p for p in (reversed(parts) if reverse else parts) if p is not None))

    return rule


def integers_only(name: str) -> Rule:
    """Bitwise ops are logic on truth values only."""

    def rule(view: IndexView, op: CallOp) -> Expr | None:
        return function(name, (0,) if name == "not" else (0, 1))(view, op) if is_bool(op.results[0].type) else None

    return rule


def cast(view: IndexView, op: CallOp) -> Expr | None:
    """To bool: not zero. From an integer: the same number, if it fits. A float or a narrow integer may become zero."""
    source = view.of(op.operands[0])
    if is_bool(op.results[0].type):
        return apply("nz", source)
    before = tensor_of(op.operands[0]).element_type
    if before == tensor_of(op.results[0]).element_type:
        return source
    after = tensor_of(op.results[0]).element_type
    if not isinstance(before, IntegerType) or (isinstance(after, IntegerType) and after.width.data < before.width.data):
        return None
    return apply("number", source)


def same(view: IndexView, op: CallOp) -> Expr | None:
    return view.of(op.operands[0])


def arange(_view: IndexView, op: CallOp) -> Expr | None:
    """start + x0 * step, for literal starts and steps"""
    names = {"aten.arange.default": (0, 1), "aten.arange.start": (None, 1), "aten.arange.start_step": (None, None)}
    start, step = names[op.target.data]
    start = integer(op, 0, "start") if start is None else start
    step = integer(op, 2, "step", 1) if step is None else step
    if start is None or step is None:
        return None
    return apply("add", apply("mul", Axis(0), Constant(step)) if step != 1 else Axis(0), Constant(start))


def filled(position: int | None, value: float | bool | None = None) -> Rule:
    """A constant tensor; its value stands at `position` or is given."""

    def rule(_view: IndexView, op: CallOp) -> Expr | None:
        given = value if position is None else argument(op, position, "fill_value")
        if not isinstance(given, bool | int | float):
            return None
        return Constant(bool(given)) if is_bool(op.results[0].type) else Constant(given)

    return rule


def moved(view: IndexView, op: CallOp) -> Expr | None:
    """permute: axis k of the result is axis order[k] of the operand"""
    order = permutation(op)
    return None if order is None else substitute(view.of(op.operands[0]), lambda k: Axis(order.index(k)))


def expanded(view: IndexView, op: CallOp) -> Expr | None:
    return view.broadcast(op.operands[0], shape(op.results[0]))


def reshaped(view: IndexView, op: CallOp) -> Expr | None:
    """Seen from the first tensor up the chain of reshapes that has the same axes but for those of size one."""
    after = shape(op.results[0])
    kept = [k for k, size in enumerate(after) if size != 1]
    source = op.operands[0]
    while [size for size in shape(source) if size != 1] != [after[k] for k in kept]:
        if not isinstance(source.owner, CallOp) or source.owner.target.data not in CHAIN:
            return None
        source = source.owner.operands[0]
    position = iter(kept)
    to = [next(position) if size != 1 else None for size in shape(source)]
    return substitute(view.of(source), lambda k: Constant(0) if (axis := to[k]) is None else Axis(axis))


def selected(view: IndexView, op: CallOp) -> Expr | None:
    axis, index = axis_of(op), integer(op, 2, "index")
    if axis is None or index is None or index < 0:
        return None
    return substitute(
        view.of(op.operands[0]), lambda k: Constant(index) if k == axis else Axis(k - 1 if k > axis else k)
    )


def sliced(view: IndexView, op: CallOp) -> Expr | None:
    axis, start, step = axis_of(op), integer(op, 2, "start", 0), integer(op, 4, "step", 1)
    if axis is None or step is None or argument(op, 2, "start") not in (None, start) or (start or 0) < 0:
        return None
    index = apply("add", apply("mul", Axis(axis), Constant(step)) if step != 1 else Axis(axis), Constant(start or 0))
    return substitute(view.of(op.operands[0]), lambda k: index if k == axis else Axis(k))


def indexed(view: IndexView, op: CallOp) -> Expr | None:
    """x[[i, j, ..]]: every axis indexed by a tensor that is itself seen through"""
    indices = argument(op, 1, "indices")
    if not isinstance(indices, tuple) or len(indices) != rank(op.operands[0]):
        return None
    to = shape(op.results[0])
    reads = [view.broadcast(i, to) for i in indices]
    if any(read is None or not isinstance(read, Axis | Constant | Apply) for read in reads):
        return None
    return substitute(view.of(op.operands[0]), lambda k: reads[k] or TRUE)


def masked_fill(view: IndexView, op: CallOp) -> Expr | None:
    to = shape(op.results[0])
    x, mask, value = (view.broadcast(argument(op, k, ""), to) for k in range(3))
    return None if x is None or mask is None or value is None else apply("where", mask, value, x)


SAME = "alias clone contiguous detach lift_fresh_copy"
CASTS = "aten._to_copy.default aten.to.dtype aten.to.dtype_layout aten.to.device aten.type_as.default"
RESHAPES = (
    "view.default reshape.default _unsafe_view.default unsqueeze.default squeeze.dim squeeze.dims squeeze.default"
)
CHAIN = {f"aten.{name}" for name in RESHAPES.split()} | {"aten.clone.default", "aten.contiguous.default"}
FILLED: dict[str, Rule] = {
    "zeros.default": filled(None, 0), "zeros_like.default": filled(None, 0), "new_zeros.default": filled(None, 0),
    "ones.default": filled(None, 1), "ones_like.default": filled(None, 1), "new_ones.default": filled(None, 1),
    "full.default": filled(1), "full_like.default": filled(1), "new_full.default": filled(2),
    "scalar_tensor.default": filled(0),
}  # fmt: skip

RULES: dict[str, Rule] = {
    **{f"aten.{name}.default": same for name in SAME.split()},
    **dict.fromkeys(CASTS.split(), cast),
    **{f"aten.{name}": reshaped for name in RESHAPES.split()},
    **{f"aten.{name}": rule for name, rule in FILLED.items()},
    **dict.fromkeys(("aten.arange.default", "aten.arange.start", "aten.arange.start_step"), arange),
    **{f"aten.{n}.{k}": function(n) for n in "lt le gt ge eq ne add sub mul".split() for k in ("Tensor", "Scalar")},
    **{f"aten.bitwise_{n}.Tensor": integers_only(n) for n in ("and", "or")},
    **{f"aten.__{n}__.Tensor": integers_only(n) for n in ("and", "or")},
    **{f"aten.logical_{n}.default": function(n) for n in ("and", "or")},
    "aten.logical_not.default": function("not", (0,)),
    "aten.bitwise_not.default": integers_only("not"),
    "aten.rsub.Scalar": function("sub", reverse=True),
    "aten.where.self": function("where", (0, 1, 2)),
    "aten.where.ScalarOther": function("where", (0, 1, 2)),
    "aten.where.ScalarSelf": function("where", (0, 1, 2)),
    "aten.masked_fill.Scalar": masked_fill,
    "aten.expand.default": expanded,
    "aten.transpose.int": moved,
    "aten.permute.default": moved,
    "aten.select.int": selected,
    "aten.slice.Tensor": sliced,
    "aten.index.Tensor": indexed,
}
