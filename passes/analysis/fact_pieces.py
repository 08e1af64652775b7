"""Rules of ops that choose and put together: the result is one of several tensors at each position.

    where(c, a, b)             c: a                  not c: b
    masked_fill(x, m, v)       m: v                  not m: x
    cat([a, b], 1)             i1 < 3: a at i1       i1 >= 3: b at i1 - 3
    constant_pad(x, v)         inside: x at i - 1    outside: v
    tril(x)                    i1 >= i2: x           else 0

For a fill f the result is active where the chosen tensor may differ from f: `or` over the pieces of (chosen and
active).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from xdsl.ir import SSAValue

from .calls import argument, integers, shape
from .fact_fills import Fill, Number, filled, ones, represents
from .fact_integers import FULLS, ONES, ZEROS, constant_of
from .fact_moves import offset
from .fact_rules import Known, Part, register_rule, trailing
from .fact_scope import Call, is_small, position
from .index_arithmetic import quotient, remainder
from .indices import Axis, Index, Var, product
from .predicates import (
    ALWAYS,
    NEVER,
    Predicate,
    at_least,
    axes,
    conjunction,
    disjunction,
    equal,
    inside,
)


@dataclass(frozen=True)
class Piece:
    """Where `when` holds, the result is `source` (a tensor or a number) read at `at`."""

    when: Predicate
    source: SSAValue | float
    at: tuple[Index, ...] = ()


Pieces = Callable[[Call], Sequence[Piece] | None]


def choose(pieces: Pieces, rows: bool = False) -> Callable[[Call, Known], Iterator[Part]]:
    """The rule of an op that is made of pieces; with `rows`, a piece that is one row itself is a fill."""

    def rule(call: Call, known: Known) -> Iterator[Part]:
        found = pieces(call) or ()
        own = {row: None for piece in found if rows and (row := own_row(call, piece)) is not None}
        for fill in {**candidates(call, known, found), **own}:
            parts = [piece_part(call, known, piece, fill) for piece in found]
            predicate = disjunction(piece.when & part.predicate for piece, part in zip(found, parts, strict=True))
            needs = frozenset[Var]().union(*(part.needs for part in parts))
            yield Part(predicate, fill, all(part.exact for part in parts), needs=needs)

    return rule


def candidates(call: Call, known: Known, pieces: Iterable[Piece]) -> dict[Fill, None]:
    """The numbers that may stand where the result is inactive."""
    fills: dict[Fill, None] = {}
    for piece in pieces:
        if not isinstance(piece.source, SSAValue):
            fills |= dict.fromkeys(constant_fill(call, piece.source))
            continue
        fills |= {part.fill: None for part in known.of(piece.source) if isinstance(part.fill, Number)}
    return fills


def own_row(call: Call, piece: Piece) -> Fill | None:
    """The piece as a fill, where it is the same at all positions that the choice depends on."""
    read = {atom for index in piece.at for atom in index.atoms()}
    used = axes(piece.when)
    if not isinstance(piece.source, SSAValue) or not used or any(Axis(axis) in read for axis in used):
        return None
    return trailing(call, piece.source, call.rank) if piece.at == call.aligned(piece.source) else None


def constant_fill(call: Call, value: float) -> Iterator[Fill]:
    if represents(call.element, value):
        yield Number(value)


def piece_part(call: Call, known: Known, piece: Piece, fill: Fill) -> Part:
    """Where a piece differs from `fill`: all its facts with that fill at once."""
    if not isinstance(piece.source, SSAValue):
        return Part(NEVER if fill == Number(piece.source) else ALWAYS, fill)
    if not isinstance(fill, Number) and fill == own_row(call, piece):
        return Part(NEVER, fill)
    found = list(known.read(call, piece.source, piece.at, fill))
    return Part(
        conjunction(part.predicate for part in found),
        fill,
        all(part.exact for part in found),
        needs=frozenset[Var]().union(*(part.needs for part in found)),
    )


# -- choices ------------------------------------------------------------------------------------------------------


def operand_piece(call: Call, when: Predicate, place: int, name: str = "") -> Piece | None:
    """An argument that broadcasts to the result, or a number."""
    value, literal = call.tensor(place, name), call.literal(place, name)
    if value is None:
        return None if literal is None else Piece(when, float(literal))
    at = call.aligned(value)
    return None if at is None else Piece(when, value, at)


def either(call: Call, condition: int, yes: int, no: int) -> list[Piece] | None:
    """Argument `yes` where argument `condition` is not zero, else argument `no`."""
    mask = call.tensor(condition)
    truth = call.truth(mask) if mask is not None else None
    if truth is None or not is_small(truth):
        return None
    pieces = [operand_piece(call, truth, yes), operand_piece(call, ~truth, no)]
    return [piece for piece in pieces if piece is not None] if None not in pieces else None


def where(call: Call) -> list[Piece] | None:
    return either(call, 0, 1, 2)


def masked_fill(call: Call) -> list[Piece] | None:
    return either(call, 1, 2, 0)


def triangle(sign: int) -> Pieces:
    """tril (sign 1) and triu (sign -1)"""

    def pieces(call: Call) -> list[Piece] | None:
        shift = call.literal(1, "diagonal", 0)
        if not isinstance(shift, int):
            return None
        kept = at_least((position(call.rank - 2) - position(call.rank - 1) + shift) * sign, call.ranges)
        return [Piece(kept, call.source(), call.scope.positions(call.result)), Piece(~kept, 0.0)]

    return pieces


# -- pieces along an axis -----------------------------------------------------------------------------------------


def shifted(call: Call, axis: int, by: Index) -> tuple[Index, ...]:
    """The positions of the result with `by` taken off on `axis`."""
    return tuple(i - by if k == axis else i for k, i in enumerate(call.scope.positions(call.result)))


def listed(call: Call) -> list[SSAValue]:
    """The tensors of the first argument, a list."""
    given = argument(call.op, 0, "tensors")
    return [item for item in given if isinstance(item, SSAValue)] if isinstance(given, tuple) else []


def cat(call: Call) -> list[Piece] | None:
    axis = call.axis(1, default=0)
    if axis is None:
        return None
    pieces, start = list[Piece](), Index()
    for value in listed(call):
        if shape(value) == (0,) and call.rank != 1:
            continue
        size = call.scope.sizes(value)[axis]
        pieces.append(Piece(inside(position(axis) - start, size, call.ranges), value, shifted(call, axis, start)))
        start += size
    return pieces


def stack(call: Call) -> list[Piece] | None:
    axis = call.axis(1, default=0)
    if axis is None:
        return None
    positions = call.scope.positions(call.result)
    at = (*positions[:axis], *positions[axis + 1 :])
    one = Index.of(1)
    return [Piece(inside(position(axis) - k, one, call.ranges), value, at) for k, value in enumerate(listed(call))]


def pad(call: Call) -> list[Piece] | None:
    """Axes from the last, (before, after) each; negative ones cut."""
    has_mode = call.target == "aten.pad.default"
    widths, value = integers(call.op, 1, "pad"), argument(call.op, 3 if has_mode else 2, "value") or 0
    if widths is None or not isinstance(value, int | float):
        return None
    if has_mode and argument(call.op, 2, "mode", "constant") != "constant":
        return None
    at, kept = list(call.scope.positions(call.result)), ALWAYS
    for pair in range(len(widths) // 2):
        axis = call.rank - 1 - pair
        at[axis] = position(axis) - widths[2 * pair]
        kept &= inside(at[axis], call.scope.sizes(call.source())[axis], call.ranges)
    return [Piece(kept, call.source(), tuple(at)), Piece(~kept, float(value))]


def slice_scatter(call: Call) -> list[Piece] | None:
    axis, step, written = call.axis(2, default=0), call.literal(5, "step", 1), call.tensor(1, "src")
    if axis is None or written is None or not isinstance(step, int):
        return None
    start = offset(call, 3, "start", call.sizes[axis])
    if start is None:
        return None
    moved, step_size = position(axis) - start, Index.of(step)
    at = [quotient(moved, step_size, call.ranges) if k == axis else i
          for k, i in enumerate(call.scope.positions(call.result))]  # fmt: skip
    hit = inside(at[axis], call.scope.sizes(written)[axis], call.ranges)
    hit &= equal(remainder(moved, step_size, call.ranges), 0, call.ranges)
    return [Piece(hit, written, tuple(at)), Piece(~hit, call.source(), call.scope.positions(call.result))]


def select_scatter(call: Call) -> list[Piece] | None:
    axis, written = call.axis(2), call.tensor(1, "src")
    index = None if axis is None else offset(call, 3, "index", call.sizes[axis])
    if axis is None or written is None or index is None:
        return None
    positions = call.scope.positions(call.result)
    hit = equal(position(axis), index, call.ranges)
    return [Piece(hit, written, (*positions[:axis], *positions[axis + 1 :])), Piece(~hit, call.source(), positions)]


def index_fill(call: Call) -> list[Piece] | None:
    """A whole slice at each listed position: known when one position is."""
    axis, index, value = call.axis(1), call.tensor(2, "index"), call.literal(3, "value")
    if axis is None or index is None or value is None or product(list(call.scope.sizes(index))).number != 1:
        return None
    hit = equal(position(axis), call.scope.number(index), call.ranges)
    return [Piece(hit, float(value)), Piece(~hit, call.source(), call.scope.positions(call.result))]


def im2col(call: Call) -> list[Piece] | None:
    """unfold: [n, c*kh*kw, windows]; outside of the image 0."""
    lists = [integers(call.op, k, name) for k, name in enumerate(("kernel_size", "dilation", "padding", "stride"), 1)]
    if len(call.scope.sizes(call.source())) != 4 or any(found is None or len(found) != 2 for found in lists):
        return None
    kernel, dilation, padding, stride = (found for found in lists if found is not None)
    height, width = call.scope.sizes(call.source())[2:]
    if height.number is None or width.number is None:
        return None
    across = (width.number + 2 * padding[1] - dilation[1] * (kernel[1] - 1) - 1) // stride[1] + 1
    window, inner = position(2), remainder(position(1), Index.of(kernel[0] * kernel[1]), call.ranges)
    corner = quotient(window, Index.of(across), call.ranges), remainder(window, Index.of(across), call.ranges)
    tap = quotient(inner, Index.of(kernel[1]), call.ranges), remainder(inner, Index.of(kernel[1]), call.ranges)
    row, column = (corner[k] * stride[k] + tap[k] * dilation[k] - padding[k] for k in range(2))
    kept = inside(row, height, call.ranges) & inside(column, width, call.ranges)
    channel = quotient(position(1), Index.of(kernel[0] * kernel[1]), call.ranges)
    return [Piece(kept, call.source(), (position(0), channel, row, column)), Piece(~kept, 0.0)]


# -- constants ------------------------------------------------------------------------------------------------------


def constant(call: Call, known: Known) -> Iterator[Part]:
    """A tensor that is one number everywhere."""
    value = constant_of(call)
    if value is None or value != value:
        return
    row = next(constant_fill(call, float(value)), None) or filled(value, ones(shape(call.result)), call.element)
    if row is not None:
        yield Part(NEVER, row)


PIECES: dict[str, Pieces] = {
    "where.self": where, "where.ScalarOther": where, "where.ScalarSelf": where, "where.Scalar": where,
    "masked_fill.Scalar": masked_fill, "masked_fill.Tensor": masked_fill,
    "tril.default": triangle(1), "triu.default": triangle(-1), "cat.default": cat, "stack.default": stack,
    "pad.default": pad, "constant_pad_nd.default": pad, "slice_scatter.default": slice_scatter,
    "select_scatter.default": select_scatter, "index_fill.int_Scalar": index_fill, "im2col.default": im2col,
}  # fmt: skip
for _target, _pieces in PIECES.items():
    register_rule(choose(_pieces, rows=_pieces in (where, masked_fill)), f"aten.{_target}")
register_rule(constant, *(f"aten.{name}.default" for name in (*ZEROS.split(), *ONES.split(), *FULLS)))
