"""Ops that say which rows count: masks of masks, and what hides rows by one.

A mask over the first axes of a value hides rows of it: (b, s) those of (b, s, 8), and (b,) whole sequences.
"""

from collections.abc import Sequence

from .model import Type
from .op import Op
from .shapes import broadcast, floats, number


def logic(types: Sequence[Type], parameter: str) -> Type | None:
    """m & n"""
    if any(type.kind != "bool" for type in types):
        return None
    dims = types[0].dims if len(types) == 1 else broadcast(types[0].dims, types[1].dims)
    return Type("bool", dims, all(type.mask for type in types)) if dims else None


def any_of(types: Sequence[Type], parameter: str) -> Type | None:
    """m.any(axis)"""
    dims = types[0].dims
    return Type("bool", dims[:-1], types[0].mask) if types[0].kind == "bool" and len(dims) == 2 else None


def flipped(types: Sequence[Type], parameter: str) -> Type | None:
    """m in another order"""
    return types[0] if types[0].kind != "float" and len(types[0].dims) > int(parameter) else None


def rows(types: Sequence[Type], parameter: str) -> Type | None:
    """f(x, m), m a mask over the first axes of x; further floats are broadcast to x"""
    x, m, *others = types
    covers = 0 < len(m.dims) < len(x.dims) and x.dims[: len(m.dims)] == m.dims
    fits = all(other.kind == "float" and broadcast(x.dims, other.dims) == x.dims for other in others)
    return floats(x.dims) if x.kind == "float" and covers and fits else None


def truth(types: Sequence[Type], parameter: str) -> Type | None:
    """As `rows`, of a mask that is no float."""
    return rows(types, parameter) if types[1].kind != "float" else None


def sequences(types: Sequence[Type], parameter: str) -> Type | None:
    """f(x, m): one row for each sequence"""
    x, m = types[:2]
    fits = len(x.dims) == 3 and x.dims[:2] == m.dims and x.kind == "float"
    return floats((x.dims[0], x.dims[2])) if fits else None


def columns(types: Sequence[Type], parameter: str) -> Type | None:
    """f(x, m), m a mask over the last axis of x"""
    x, m = types
    return floats(x.dims) if x.kind == "float" and m.kind != "float" and m.dims == x.dims[-1:] else None


def whole(types: Sequence[Type], parameter: str) -> Type | None:
    """f(x, m), a mask as large as x"""
    x, m = types
    return floats(x.dims) if x.kind == "float" and m.kind == "bool" and broadcast(x.dims, m.dims) == x.dims else None


def chosen(types: Sequence[Type], parameter: str) -> Type | None:
    """The sum of the rows that a mask chooses."""
    found = truth(types, parameter)
    return floats(types[0].dims[len(types[1].dims) :]) if found else None


def embedded(types: Sequence[Type], parameter: str) -> Type | None:
    """A row for each whole number."""
    ids = types[0]
    return floats((*ids.dims, parameter)) if ids.kind == "int" else None


LOGIC = {
    "not": Op("~{0}", logic),
    "and": Op("{0} & {1}", logic, 2),
    "or": Op("{0} | {1}", logic, 2),
    "any": Op("{0}.any(1)", any_of, weight=0.3),
    "flip mask": Op("{0}.flip({p})", flipped, parameters=("0", "1"), weight=0.3),
}
FILLS = ("0.0", "1.0", "-1e4", 'float("-inf")')
CLEARED = "torch.where({1}{rows} != 0, {0} * {1}{rows}, 0.0)"

HIDING = {
    "times rows": Op("{0} * {1}{rows}", rows, 2, weight=5, clears=CLEARED),
    "rows times": Op("{1}{rows} * {0}", rows, 2, weight=1, clears=CLEARED),
    "numbers times rows": Op("{0} * {1}{rows}.to({dtype})", truth, 2, weight=3, clears=CLEARED),
    "fill rows": Op("{0}.masked_fill(~{bool1}{rows}, {p})", truth, 2, FILLS, weight=4),
    "fill other rows": Op("{0}.masked_fill({bool1}{rows}, {p})", truth, 2, FILLS),
    "keep rows": Op("torch.where({bool1}{rows}, {0}, {p})", truth, 2, FILLS, weight=3),
    "other rows": Op("torch.where({bool1}{rows}, {p}, {0})", truth, 2, FILLS),
    "choose rows": Op("torch.where({bool1}{rows}, {0}, {2})", truth, 3, weight=2),
    "times columns": Op("{0} * {1}", columns, 2, clears="torch.where({bool1}, {0} * {1}, 0.0)", when="gate"),
    "fill some": Op("{0}.masked_fill({1}, {p})", whole, 2, FILLS, weight=0.7),
    "times rows_": Op("{0}.mul_({1}{rows})", rows, 2, weight=0.4, clears=f"{{0}}.copy_({CLEARED})", writes=True),
    "fill rows_": Op("{0}.masked_fill_(~{bool1}{rows}, {p})", truth, 2, FILLS, weight=0.4, writes=True),
    "set rows_": Op("{0}[~{bool1}] = {p}\n{r} = {0}", truth, 2, FILLS, weight=0.4, writes=True),
    "put rows": Op("{0}.index_put(({bool1},), torch.tensor({p}, dtype={dtype}))", truth, 2, FILLS, weight=0.5),
    "masked mean": Op(
        "({0} * {1}{rows}).sum(1) / {1}.sum(1, keepdim=True).clamp(min=1)",
        lambda types, p: sequences(types, p) if types[1].kind != "bool" else None,
        2,
        weight=2,
        clears="torch.where({1}{rows} != 0, {0} * {1}{rows}, 0.0).sum(1) / {1}.sum(1, keepdim=True).clamp(min=1)",
    ),
    "masked max": Op("{0}.masked_fill(~{bool1}{rows}, -1e4).amax(1)", sequences, 2, weight=1),
    "sum of chosen": Op("{0}[{bool1}].sum(0)", chosen, 2, weight=0.4),
}
"""What hides rows, whole or in part. (x * mask may clear NaN where the mask is zero: README, Limits.)"""


def selected(types: Sequence[Type], parameter: str) -> Type | None:
    """As large as x, of at least 2 columns."""
    size = number(types[0].dims[-1]) if types[0].dims else None
    return floats(types[0].dims) if types[0].kind == "float" and size is not None and size >= 2 else None


SELECTING = {
    "top values": Op(
        "top = {0}.topk({p}, -1)\n{r} = torch.zeros_like({0}).scatter(-1, top.indices, top.values)",
        selected, 1, ("2", "1"),
    ),
    "top ones": Op("torch.zeros_like({0}).scatter(-1, {0}.topk({p}, -1).indices, 1.0)", selected, 1, ("2", "1")),
    "embedding": Op("{m}({0})", embedded, 1, ("8", "12"), {"": "nn.Embedding(10, {p}, padding_idx=0)"}, weight=2),
    "one hot": Op("functional.one_hot({0}, {p}).to({dtype})", embedded, 1, ("10",)),
}  # fmt: skip
"""What makes zeros by choosing."""

MASKS = LOGIC | HIDING | SELECTING
