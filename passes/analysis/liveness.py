"""Which rows of each value does anybody read with effect? Backwards from the results.

    return %y  {sparse.dont_care = "mask"}        %y: rows where mask != 0
    %y = aten.linear(%x, %w)                      %x: the same rows
    %p = aten.select(%x, 1, 0)                    %x: those, or position 0
    %a = aten.sdpa(%q, %k, %v, %m)                %q: the same rows; %k, %v: the rows that %m does not hide
    %z = aten.mul(%x, %m)                         %x: rows where m != 0 (and %x is finite elsewhere)

A value is either needed whole, or its rows are live under a predicate over a domain's axes, in some layout.
Values that flow into each other belong to one group, which gets one domain: the union of what its members need.
An attention whose hidden keys count for nothing only on a condition (see `attention.py`) that its group cannot give
is refused, and all is done again without it. Linear in the number of ops for each of those. Don't-care liveness:
research on dynamic sparsity, section 3.1 L.
"""

from collections.abc import Iterable

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, StringAttr, TensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import SSAValue

from ...dialects.aten import CallOp
from ...dialects.layout import Layout
from ..solvers.index_expr import apply
from .calls import rank, shape
from .live import WHOLE, Live, Liveness
from .live_rules import RULES, SIZES_ONLY, by_rows


def liveness(function: FuncOp, *, exact: bool = False) -> Liveness:
    """Liveness of every value of `function`. `exact` refuses rows that are dead only if they are finite."""
    found = walk(function, Liveness(exact=exact))
    while broken := found.broken():
        found = walk(function, Liveness(exact=exact, refused=found.refused | broken))
    return found


def walk(function: FuncOp, found: Liveness) -> Liveness:
    """`found`, filled backwards from the results."""
    for op in reversed(list(function.body.block.ops)):
        if isinstance(op, ReturnOp):
            for value, seed in zip(op.operands, dont_care(function), strict=True):
                found.need(value, seed and seed_live(found, value, seed), op)
        elif isinstance(op, CallOp) and not op.regions and op.effects is None:
            visit(found, op)
        else:
            for value in (v for o in op.walk() for v in o.operands):
                found.need(value, WHOLE, op)
    return found


def dont_care(function: FuncOp) -> list[SSAValue | None]:
    """For each result the argument whose zeros mark rows that nobody reads."""
    arguments = {name: arg for name, arg in zip(names(function.arg_attrs), function.args, strict=False) if name}
    marks = [attrs.data.get("sparse.dont_care") for attrs in dictionaries(function.res_attrs)]
    found: list[SSAValue | None] = [arguments.get(m.data) if isinstance(m, StringAttr) else None for m in marks]
    return found or [None] * len(function.function_type.outputs)


def dictionaries(attributes: ArrayAttr[DictionaryAttr] | None) -> Iterable[DictionaryAttr]:
    """Argument or result attributes; none where there are none."""
    return attributes.data if attributes is not None else ()


def names(attributes: ArrayAttr[DictionaryAttr] | None) -> list[str | None]:
    """The `aten.name` of each argument or result."""
    given = [attrs.data.get("aten.name") for attrs in dictionaries(attributes)]
    return [name.data if isinstance(name, StringAttr) else None for name in given]


def seed_live(found: Liveness, value: SSAValue, mask: SSAValue) -> Live:
    """The first axes of `value` are those of `mask`; rows where it is zero are nobody's concern."""
    axes = rank(mask)
    return Live(
        Layout.leading(axes, rank(value)),
        apply("nz", found.view.of(mask)),
        shape(value)[:axes],
        found.group(),
    )


def visit(found: Liveness, op: CallOp) -> None:
    """Pass what the results need on to the operands."""
    if op.target.data in SIZES_ONLY:
        return
    states = [found.states.get(r, WHOLE) for r in op.results if r in found.states or is_number(r)]
    if not states:
        return
    state = merged(found, states)
    needs = None
    if (rule := RULES.get(op.target.data)) is not None:
        needs = rule(found, op, state)
    if needs is None:
        needs = by_rows(op, state)
    for operand, need in zip(op.operands, needs or [WHOLE] * len(op.operands), strict=True):
        found.need(operand, need, op)


def is_number(result: SSAValue) -> bool:
    """Is this a number that somebody reads, made of whatever the op reads (`x.sum().item()`)?"""
    return not isinstance(result.type, TensorType) and bool(result.uses)


def merged(found: Liveness, states: list[Live | None]) -> Live | None:
    """What several results need together; they must be laid out alike."""
    first, *others = states
    for other in others:
        if first is None or other is None or first.layout != other.layout:
            return WHOLE
        found.parents[found.root(other.group)] = found.root(first.group)
        first = first | other
    return first
