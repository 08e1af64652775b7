"""How the shapes of values go through ops: rules `(types, parameter) -> type`, None where the op does not take them.

broadcast((b, s, 8), (b, 1, 8)) = (b, s, 8)        reduced((b, s, 8), "1") = (b, 8)
"""

from collections.abc import Callable, Sequence

from .model import Type

Dims = tuple[str, ...]
Rule = Callable[[Sequence[Type], str], Type | None]

LARGEST_RANK = 4


def number(dim: str) -> int | None:
    """The size where it is a number in every call."""
    return int(dim) if dim.isdecimal() else None


def are_floats(types: Sequence[Type]) -> bool:
    return all(type.kind == "float" for type in types)


def floats(dims: Dims | None) -> Type | None:
    """A float of those sizes."""
    return None if dims is None or len(dims) > LARGEST_RANK else Type("float", dims)


def broadcast(left: Dims, right: Dims) -> Dims | None:
    """The sizes of two values together, as torch aligns them."""
    rank = max(len(left), len(right))
    pairs = zip(("1",) * (rank - len(left)) + left, ("1",) * (rank - len(right)) + right, strict=True)
    dims = tuple(a if b in (a, "1") else b if a == "1" else "" for a, b in pairs)
    return dims if all(dims) else None


def same(types: Sequence[Type], parameter: str) -> Type | None:
    """f(x), each number alone"""
    return floats(types[0].dims) if are_floats(types) else None


def normed(types: Sequence[Type], parameter: str) -> Type | None:
    """As large as x; its last size is known."""
    return same(types, parameter) if types[0].dims and number(types[0].dims[-1]) is not None else None


def wide(rank: int) -> Rule:
    """As `same`, of at least `rank` axes."""
    return lambda types, parameter: same(types, parameter) if len(types[0].dims) >= rank else None


def together(types: Sequence[Type], parameter: str) -> Type | None:
    """f(x, y), broadcast"""
    return floats(broadcast(types[0].dims, types[1].dims)) if are_floats(types) else None


def into_first(types: Sequence[Type], parameter: str) -> Type | None:
    """f(x, y), y broadcast to x"""
    found = together(types, parameter)
    return found if found and found.dims == types[0].dims else None


def axis_of(dims: Dims, parameter: str) -> int | None:
    """The axis that a parameter such as `-1` or `1, keepdim=True` begins with."""
    axis = int(parameter.partition(",")[0])
    return axis % len(dims) if -len(dims) <= axis < len(dims) else None


def along(types: Sequence[Type], parameter: str) -> Type | None:
    """f(x, axis), as large as x"""
    return same(types, parameter) if axis_of(types[0].dims, parameter) is not None else None


def reduced(types: Sequence[Type], parameter: str) -> Type | None:
    """f(x, axis), without that axis or with 1 in its place"""
    dims = types[0].dims
    axis = axis_of(dims, parameter)
    if axis is None or not are_floats(types):
        return None
    return floats((*dims[:axis], *(("1",) if "keepdim" in parameter else ()), *dims[axis + 1 :]))


def summed(left: str, right: str) -> str:
    """The size of two pieces one after the other."""
    a, b = number(left), number(right)
    return f"{left}+{right}" if a is None or b is None else str(a + b)


def multiplied(left: str, right: str) -> str:
    """The size of two axes taken as one."""
    a, b = number(left), number(right)
    if a is not None and b is not None:
        return str(a * b)
    return "*".join(f"({dim})" if "+" in dim else dim for dim in (left, right))


def is_large(dim: str) -> bool:
    """Has it grown past what is worth while?"""
    known = number(dim)
    return known > 64 if known is not None else len(dim) > 7
