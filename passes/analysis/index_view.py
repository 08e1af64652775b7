"""Seeing through the ops that make a mask: each value as an expression in its own indices.

    %a = aten.arange(%s)                x0
    %q = aten.unsqueeze(%a, 1)          x0                       over [q, 1]
    %c = aten.le(%k, %q)                (x1 <= x0)
    %m = aten.index(%mask, [%b, %k])    %mask[x0, x3]

Rules stand in tables by call target. A value no rule sees through is an element of itself; so is every value of a
function that writes in place. Constants are what the element type holds of them (`index_values.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from xdsl.dialects.builtin import TensorType, i1
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, Operation, OpResult, SSAValue

from ...dialects.aten import CallOp, ScalarType, tensor_of
from ..solvers.index_expr import Axis, Constant, Element, Expr, apply, substitute
from ..solvers.sizes import Size
from .calls import Value, argument, integer, rank, shape
from .element_types import FLOATS, held, literal_type, promoted, ui8, whole
from .index_values import Limits, as_held, converted, fits, is_exact, limits, lossless, settled
from .memory import is_functional
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
        self.functional: dict[Operation | None, bool] = {}

    def of(self, value: SSAValue) -> Expr:
        """The element of `value` at indices x0, x1, .."""
        if value not in self.known:
            self.known[value] = self.look(value)
        return self.known[value]

    def look(self, value: SSAValue) -> Expr:
        op = value.owner
        if isinstance(value, OpResult) and isinstance(op, CallOp) and self.is_plain(op):
            rule = RULES.get(op.target.data)
            expression = rule(self, op) if rule else None
            if expression is not None:
                return as_held(expression, element_type(value))
        return self.element(value)

    def is_plain(self, op: CallOp) -> bool:
        """One tensor made of tensors and numbers, in a function that writes none of them in place."""
        function = op.parent_op()
        if function not in self.functional:
            self.functional[function] = not isinstance(function, FuncOp) or is_functional(function)
        typed = all(isinstance(v.type, TensorType | ScalarType) for v in (*op.operands, *op.results))
        return self.functional[function] and op.effects is None and len(op.results) == 1 and typed

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
        return spread_out(self.of(argument), shape(argument), to)

    def limits(self, e: Expr, sizes: tuple[Size, ...]) -> Limits | None:
        """The least and greatest value of `e` over a tensor of these sizes, if it is always an integer."""
        return limits(e, sizes, lambda leaf: element_type(leaf.source.value))  # pyright: ignore

    def exact(self, value: SSAValue, *, truth: bool = False) -> Expr:
        """`value` as an expression that has its very values (its zeros, with `truth`)."""
        e, sizes = self.of(value), shape(value)
        exact = is_exact(e, lambda part: self.limits(part, sizes), element_type(value), truth=truth)
        return e if exact else self.element(value)

    def truth(self, argument: Value, to: tuple[Size, ...]) -> Expr | None:
        """Where an operand is not zero."""
        if not isinstance(argument, SSAValue) or not isinstance(argument.type, TensorType):
            return None
        e = spread_out(self.exact(argument, truth=True), shape(argument), to)
        return converted(e, element_type(argument), i1, None)

    def operand(self, argument: Value, type: Attribute, to: tuple[Size, ...]) -> Expr | None:
        """An operand or literal with its very values in an op on elements of `type`; None where they are not known."""
        if isinstance(argument, bool | int | float):
            value = lossless(argument, type)
            return None if value is None else Constant(value)
        if not isinstance(argument, SSAValue) or not isinstance(argument.type, TensorType):
            return None
        e, sizes = self.exact(argument), shape(argument)
        before, found = element_type(argument), self.limits(e, sizes)
        if isinstance(e, Constant) and before != type and lossless(e.value, type) is None:
            return None
        changed = converted(e, before, type, found)
        if changed is None or not is_exact(changed, lambda part: self.limits(part, sizes), type):
            return None
        return spread_out(changed, sizes, to)


def spread_out(e: Expr, sizes: tuple[Size, ...], to: tuple[Size, ...]) -> Expr:
    """An expression over a tensor of these sizes as it reads at the indices of a result of shape `to`."""
    start = len(to) - len(sizes)
    return substitute(e, lambda k: Constant(0) if sizes[k] == 1 and to[start + k] != 1 else Axis(start + k))


def is_bool(type: Attribute) -> bool:
    """A tensor of truth values?"""
    return isinstance(type, TensorType) and type.element_type == i1


def element_type(value: SSAValue) -> Attribute:
    """The element type of a tensor."""
    return tensor_of(value).element_type


Rule = Callable[[IndexView, CallOp], Expr | None]


def common_type(arguments: list[Value]) -> Attribute | None:
    """The type in which an elementwise op computes."""
    operands: list[tuple[Attribute, int | None]] = []
    for given in arguments:
        if isinstance(given, SSAValue) and isinstance(given.type, TensorType):
            operands.append((element_type(given), rank(given)))
        elif isinstance(given, bool | int | float):
            operands.append((literal_type(given), None))
        else:
            return None
    return promoted(operands)


def comparison(name: str) -> Rule:
    """a < b, .. in the type that both have in common."""

    def rule(view: IndexView, op: CallOp) -> Expr | None:
        to, given = shape(op.results[0]), [argument(op, k, "") for k in range(2)]
        type = common_type(given)
        if type is None:
            return None
        a, b = (view.operand(item, type, to) for item in given)
        a, b = a or beside(view, given[0], b, type, to), b or beside(view, given[1], a, type, to)
        return None if a is None or b is None else apply(name, a, b)

    return rule


def beside(view: IndexView, given: Value, other: Expr | None, type: Attribute, to: tuple[Size, ...]) -> Expr | None:
    """Integers that a float type rounds, as they compare with a constant so small that they stay on its sides."""
    room = whole(type)
    if not isinstance(other, Constant) or type not in FLOATS or room is None or not isinstance(given, SSAValue):
        return None
    before = element_type(given)
    return view.operand(given, before, to) if before not in FLOATS and room[0] < other.value < room[1] else None


def arithmetic(name: str, reverse: bool = False) -> Rule:
    """a + b, a - b, a * b. On truth values a sum is `or`, a product `and`."""

    def rule(view: IndexView, op: CallOp) -> Expr | None:
        to, type = shape(op.results[0]), element_type(op.results[0])
        given = [argument(op, 0, "self"), argument(op, 1, "other")]
        if name != "mul" and argument(op, 2, "alpha", 1) != 1:
            return None
        a, b = (view.operand(item, type, to) for item in (reversed(given) if reverse else given))
        if a is None or b is None or (type == i1 and name == "sub"):
            return None
        if type == i1:
            return apply({"add": "or", "mul": "and"}[name], a, b)
        made = apply(name, a, b)
        return settled(made, type, view.limits(made, to))

    return rule


def logic(name: str, positions: tuple[int, ...] = (0, 1)) -> Rule:
    """and, or, not of what is not zero."""

    def rule(view: IndexView, op: CallOp) -> Expr | None:
        parts = [view.truth(argument(op, k, ""), shape(op.results[0])) for k in positions]
        return None if any(part is None for part in parts) else apply(name, *(p for p in parts if p is not None))

    return rule


def truth_values_only(rule: Rule) -> Rule:
    """Bitwise ops are logic on truth values only."""
    return lambda view, op: rule(view, op) if is_bool(op.results[0].type) else None


def part(view: IndexView, given: Value, type: Attribute, to: tuple[Size, ...]) -> Expr | None:
    """An operand or literal that is put among elements of `type` as it is."""
    if isinstance(given, bool | int | float):
        value = held(given, type)
        return None if value is None else Constant(value)
    if not isinstance(given, SSAValue) or not isinstance(given.type, TensorType):
        return None
    e = view.of(given)
    changed = converted(e, element_type(given), type, view.limits(e, shape(given)))
    return None if changed is None else spread_out(changed, shape(given), to)


def where(view: IndexView, op: CallOp) -> Expr | None:
    """a where c holds, else b"""
    to, type = shape(op.results[0]), element_type(op.results[0])
    condition = view.truth(argument(op, 0, "condition"), to)
    a, b = (part(view, argument(op, k, name), type, to) for k, name in ((1, "self"), (2, "other")))
    return None if condition is None or a is None or b is None else apply("where", condition, a, b)


def masked_fill(view: IndexView, op: CallOp) -> Expr | None:
    """value where mask holds, else x"""
    to, type = shape(op.results[0]), element_type(op.results[0])
    mask = view.truth(argument(op, 1, "mask"), to)
    x, value = (part(view, argument(op, k, name), type, to) for k, name in ((0, "self"), (2, "value")))
    return None if x is None or mask is None or value is None else apply("where", mask, value, x)


def cast(view: IndexView, op: CallOp) -> Expr | None:
    """To bool: not zero. From an integer: the same number, if it fits. A float or a narrow integer may become zero."""
    (source, *_), type = op.operands, element_type(op.results[0])
    before = element_type(source)
    if before == type:
        return view.of(source)
    e = view.exact(source, truth=True)
    changed = converted(e, before, type, view.limits(e, shape(source)))
    return apply("number", changed) if before == i1 and changed is not None else changed


def same(view: IndexView, op: CallOp) -> Expr | None:
    return view.of(op.operands[0])


def arange(view: IndexView, op: CallOp) -> Expr | None:
    """start + x0 * step, for literal starts and steps"""
    names = {"aten.arange.default": (0, 1), "aten.arange.start": (None, 1), "aten.arange.start_step": (None, None)}
    start, step = names[op.target.data]
    start = integer(op, 0, "start") if start is None else start
    step = integer(op, 2, "step", 1) if step is None else step
    if start is None or step is None:
        return None
    e = apply("add", apply("mul", Axis(0), Constant(step)) if step != 1 else Axis(0), Constant(start))
    return e if fits(view.limits(e, shape(op.results[0])), element_type(op.results[0])) else None


def filled(position: int | None, value: float | bool | None = None) -> Rule:
    """A constant tensor; its value stands at `position` or is given."""

    def rule(_view: IndexView, op: CallOp) -> Expr | None:
        given = value if position is None else argument(op, position, "fill_value")
        found = held(given, element_type(op.results[0])) if isinstance(given, bool | int | float) else None
        return None if found is None else Constant(found)

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
    if "?" in after:
        return None
    while [size for size in shape(source) if size != 1] != [after[k] for k in kept]:
        if not isinstance(source.owner, CallOp) or source.owner.target.data not in CHAIN:
            return None
        source = source.owner.operands[0]
    position = iter(kept)
    to = [next(position) if size != 1 else None for size in shape(source)]
    return substitute(view.of(source), lambda k: Constant(0) if (axis := to[k]) is None else Axis(axis))


def selected(view: IndexView, op: CallOp) -> Expr | None:
    """x[.., index, ..]; a negative one counts from an end that is known"""
    axis, index = axis_of(op), integer(op, 2, "index")
    if axis is None or index is None:
        return None
    size = shape(op.operands[0])[axis]
    at = index if index >= 0 else index + size if isinstance(size, int) else -1
    if at < 0:
        return None
    return substitute(view.of(op.operands[0]), lambda k: Constant(at) if k == axis else Axis(k - 1 if k > axis else k))


def sliced(view: IndexView, op: CallOp) -> Expr | None:
    axis, start, step = axis_of(op), integer(op, 2, "start", 0), integer(op, 4, "step", 1)
    if axis is None or step is None or argument(op, 2, "start") not in (None, start) or (start or 0) < 0:
        return None
    index = apply("add", apply("mul", Axis(axis), Constant(step)) if step != 1 else Axis(axis), Constant(start or 0))
    return substitute(view.of(op.operands[0]), lambda k: index if k == axis else Axis(k))


def indexed(view: IndexView, op: CallOp) -> Expr | None:
    """x[[i, j, ..]]: every axis indexed by integers that are seen through, and count from the front"""
    indices, to = argument(op, 1, "indices"), shape(op.results[0])
    if not isinstance(indices, tuple) or len(indices) != rank(op.operands[0]):
        return None
    reads: list[Expr] = []
    for index in indices:
        if not isinstance(index, SSAValue) or element_type(index) in (i1, ui8):
            return None
        e = view.exact(index)
        found = view.limits(e, shape(index))
        if found is None or found[0] < 0:
            return None
        reads.append(spread_out(e, shape(index), to))
    return substitute(view.of(op.operands[0]), reads.__getitem__)


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
    **{f"aten.{n}.{k}": comparison(n) for n in "lt le gt ge eq ne".split() for k in ("Tensor", "Scalar")},
    **{f"aten.{n}.{k}": arithmetic(n) for n in "add sub mul".split() for k in ("Tensor", "Scalar")},
    "aten.rsub.Scalar": arithmetic("sub", reverse=True),
    **{f"aten.bitwise_{n}.Tensor": truth_values_only(logic(n)) for n in ("and", "or")},
    **{f"aten.__{n}__.Tensor": truth_values_only(logic(n)) for n in ("and", "or")},
    **{f"aten.logical_{n}.default": logic(n) for n in ("and", "or")},
    "aten.logical_not.default": logic("not", (0,)),
    "aten.bitwise_not.default": truth_values_only(logic("not", (0,))),
    "aten.where.self": where,
    "aten.where.Scalar": where,
    "aten.where.ScalarOther": where,
    "aten.where.ScalarSelf": where,
    "aten.masked_fill.Scalar": masked_fill,
    "aten.expand.default": expanded,
    "aten.transpose.int": moved,
    "aten.permute.default": moved,
    "aten.select.int": selected,
    "aten.slice.Tensor": sliced,
    "aten.index.Tensor": indexed,
}
