"""Ops that move numbers: other shapes, pieces, other orders."""

from collections.abc import Sequence

from .model import Type
from .op import Op
from .shapes import (
    Dims,
    Rule,
    are_floats,
    axis_of,
    floats,
    is_large,
    multiplied,
    number,
    summed,
    wide,
)


def of_rank(rank: int, to: Sequence[int | str]) -> Rule:
    """Axes of a value of that rank in another order; a text is a size by itself."""

    def rule(types: Sequence[Type], parameter: str) -> Type | None:
        dims = types[0].dims
        if len(dims) != rank or not are_floats(types):
            return None
        return floats(tuple(dims[axis] if isinstance(axis, int) else axis for axis in to))

    return rule


def merged(types: Sequence[Type], parameter: str) -> Type | None:
    """x.flatten(k, k + 1)"""
    dims, at = types[0].dims, int(parameter.partition(",")[0])
    if len(dims) < at + 2 or not are_floats(types):
        return None
    dim = multiplied(dims[at], dims[at + 1])
    return None if is_large(dim) else floats((*dims[:at], dim, *dims[at + 2 :]))


def flattened(types: Sequence[Type], parameter: str) -> Type | None:
    """x.reshape(-1, n)"""
    return merged(types, "0") if len(types[0].dims) == 3 else None


def parted(types: Sequence[Type], parameter: str) -> Type | None:
    """x.unflatten(0, (b, s))"""
    dims = types[0].dims
    return floats(("b", "s", *dims[1:])) if dims and dims[0] == "b*s" and are_floats(types) else None


def heads(types: Sequence[Type], parameter: str) -> Type | None:
    """(b, s, 8) -> (b, 2, s, 4)"""
    dims = types[0].dims
    size = number(dims[-1]) if len(dims) == 3 else None
    if size is None or size % 2 or not are_floats(types):
        return None
    return floats((dims[0], "2", dims[1], str(size // 2)))


def joined(types: Sequence[Type], parameter: str) -> Type | None:
    """torch.cat((x, y), axis)"""
    (x, y), axis = (type.dims for type in types), axis_of(types[0].dims, parameter) if types[0].dims else None
    if axis is None or len(x) != len(y) or not are_floats(types) or without(x, axis) != without(y, axis):
        return None
    dim = summed(x[axis], y[axis])
    return None if is_large(dim) else floats((*x[:axis], dim, *x[axis + 1 :]))


def without(dims: Dims, axis: int) -> Dims:
    return (*dims[:axis], *dims[axis + 1 :])


def stacked(types: Sequence[Type], parameter: str) -> Type | None:
    """torch.stack((x, y), axis)"""
    x, y, axis = types[0].dims, types[1].dims, int(parameter)
    return floats((*x[:axis], "2", *x[axis:])) if x == y and axis <= len(x) and are_floats(types) else None


def half(types: Sequence[Type], parameter: str) -> Type | None:
    """x.chunk(2, -1)[k]"""
    dims = types[0].dims
    size = number(dims[-1]) if dims else None
    if size is None or size % 2 or size < 4 or not are_floats(types):
        return None
    return floats((*dims[:-1], str(size // 2)))


def selected(types: Sequence[Type], parameter: str) -> Type | None:
    """x.select(axis, k)"""
    dims = types[0].dims
    axis = axis_of(dims, parameter) if dims else None
    return floats(without(dims, axis)) if axis is not None and len(dims) > 1 and are_floats(types) else None


def inserted(types: Sequence[Type], parameter: str) -> Type | None:
    """x.unsqueeze(axis), of anything"""
    dims = types[0].dims
    axis = int(parameter) % (len(dims) + 1)
    return Type(types[0].kind, (*dims[:axis], "1", *dims[axis:]), types[0].mask) if len(dims) < 4 else None


def removed(types: Sequence[Type], parameter: str) -> Type | None:
    """x.squeeze(axis)"""
    dims = types[0].dims
    axis = axis_of(dims, parameter) if dims else None
    return floats(without(dims, axis)) if axis is not None and dims[axis] == "1" and are_floats(types) else None


def repeated(types: Sequence[Type], parameter: str) -> Type | None:
    """(b, 8) -> (b, s, 8)"""
    dims = types[0].dims
    return floats((dims[0], "s", dims[1])) if len(dims) == 2 and dims[0] == "b" and are_floats(types) else None


def gathered(types: Sequence[Type], parameter: str) -> Type | None:
    """Rows of each sequence that whole numbers (b, s) name."""
    x, ids = types
    fits = x.kind == "float" and ids.kind == "int" and len(x.dims) == 3 and ids.dims == ("b", "s")
    return floats(x.dims) if fits and x.dims[:2] == ids.dims else None


REORDERING = {
    "transpose": Op("{0}.transpose(0, 1)", of_rank(3, (1, 0, 2))),
    "turn": Op("{0}.transpose(1, 2)", of_rank(3, (0, 2, 1)), weight=1.5),
    "permute": Op("{0}.permute(2, 0, 1)", of_rank(3, (2, 0, 1)), weight=0.5),
    "matrix transpose": Op("{0}.t()", of_rank(2, (1, 0)), weight=0.5),
    "merge": Op("{0}.flatten({p})", merged, parameters=("0, 1", "1, 2"), weight=1.5),
    "reshape": Op("{0}.reshape(-1, {0}.shape[-1])", flattened),
    "part": Op("{0}.unflatten(0, (b, s))", parted, weight=3),
    "view": Op("{0}.view(b, s, -1)", lambda types, p: parted(types, p) if len(types[0].dims) == 2 else None),
    "heads": Op("{0}.unflatten(-1, (2, -1)).transpose(1, 2)", heads),
    "unsqueeze": Op("{0}.unsqueeze({p})", inserted, parameters=("-1", "1", "0")),
    "squeeze": Op("{0}.squeeze({p})", removed, parameters=("-1", "1", "0")),
    "expand": Op("{0}.unsqueeze(1).expand(-1, s, -1)", repeated, weight=1.5),
    "flip": Op("{0}.flip({p})", wide(2), parameters=("1", "0"), weight=0.5),
    "roll": Op("{0}.roll(1, {p})", wide(2), parameters=("1", "0", "-1"), weight=0.5),
}  # fmt: skip

PIECES = {
    "cat": Op("torch.cat(({0}, {1}), {p})", joined, 2, ("-1", "1", "0"), weight=2),
    "stack": Op("torch.stack(({0}, {1}), {p})", stacked, 2, ("0", "1", "2")),
    "chunk": Op("{0}.chunk(2, -1)[{p}]", half, parameters=("0", "1"), weight=1.5),
    "split": Op("{0}.split([1, {0}.shape[-1] // 2 - 1, {0}.shape[-1] // 2], -1)[2]", half, weight=0.5),
    "select": Op("{0}.select({p})", selected, parameters=("1, 0", "1, -1", "0, 0", "-1, 0"), weight=2),
    "index select": Op("{0}.index_select(1, torch.arange({0}.shape[1] - 1, -1, -1))", wide(2), weight=0.5),
    "gather": Op(
        "{0}.gather(1, ({1} % {0}.shape[1])[..., None].expand(-1, -1, {0}.shape[2]))", gathered, 2, weight=0.7
    ),
    "index": Op("{0}[torch.arange(b)[:, None], {1} % {0}.shape[1]]", gathered, 2, weight=0.7),
    "index add": Op("{0}.index_add(1, torch.arange({0}.shape[1]).flip(0), {0})", wide(2), weight=0.5),
    "first row": Op("{0}[:, 0]", of_rank(3, (0, 2)), weight=2),
}

MOVES = REORDERING | PIECES
