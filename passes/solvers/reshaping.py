"""Layouts through reshapes: which factors end up in which axis.

    reshape  [s0, s1, 64]    -> [s0*s1, 64]      "i j a" -> "(i j) a"
    reshape  [s1, s0, 64]    -> [s1, 4*s0, 16]   "j i a" -> "j (i a) b"

Factors keep their order; a factor outside the domain may be split, and neighbours of that kind are one factor.
Pure mathematics.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import groupby

from ...dialects.layout import DOMAIN_AXES, OTHER_AXES, Layout
from .sizes import ONE, Monomial, Size, divide, product


def is_domain_axis(factor: Hashable) -> bool:
    """Is this factor an axis of the domain?"""
    return factor in tuple(DOMAIN_AXES)


def canonical(axes: Iterable[Iterable[Hashable]]) -> Layout:
    """A layout whose factors outside the domain are named a, b, .. in order, neighbours in one axis joined."""
    names = iter(OTHER_AXES)
    result: list[tuple[str, ...]] = []
    for axis in axes:
        factors: list[str] = []
        for in_domain, group in groupby(axis, key=is_domain_axis):
            factors += [str(f) for f in group] if in_domain else [next(names)]
        result.append(tuple(factors))
    return Layout(tuple(result))


def factor_sizes(layout: Layout, shape: Sequence[Size], space: Sequence[Size]) -> dict[str, Size] | None:
    """The size of each factor of a tensor of `shape`; domain axes alone in their axis take its size.

    None when an axis is not the product of its factors.
    """
    sizes: dict[str, Size] = dict(zip(DOMAIN_AXES, space, strict=False))
    sizes |= {axis[0]: size for axis, size in zip(layout.axes, shape, strict=True) if len(axis) == 1}
    for axis, size in zip(layout.axes, shape, strict=True):
        unknown = [name for name in axis if name not in sizes]
        rest = divide(size, product([sizes[name] for name in axis if name in sizes]))
        if rest is None or len(unknown) > 1 or (not unknown and rest != 1):
            return None
        sizes |= dict.fromkeys(unknown, rest)
    return sizes


def reshape(layout: Layout, shape: Sequence[Size], to: Sequence[Size], space: Sequence[Size]) -> Layout | None:
    """The layout of a tensor of `shape` once it is reshaped to `to`; None when a domain axis would be cut."""
    sizes = factor_sizes(layout, shape, space)
    if sizes is None:
        return None
    factors = [(name, Monomial.of(sizes[name])) for name in layout.names]
    axes: list[list[Hashable]] = []
    for size in to:
        axis: list[Hashable] = []
        rest = Monomial.of(size)
        while rest != ONE:
            if not factors:
                return None
            name, whole = factors.pop(0)
            if (left := rest.divided_by(whole)) is not None:
                axis.append(name)
                rest = left
            elif not is_domain_axis(name) and (remainder := whole.divided_by(rest)) is not None:
                axis.append((name, len(axes)))
                factors.insert(0, (f"{name}'", remainder))
                rest = ONE
            else:
                return None
        axes.append(axis)
    if any(whole != ONE for _, whole in factors):
        return None
    return canonical(axes)


def compact_shape(layout: Layout, shape: Sequence[Size], space: Sequence[Size]) -> tuple[Size, ...] | None:
    """Sizes of the compact form after its first axis."""
    sizes: Mapping[str, Size] | None = factor_sizes(layout, shape, space)
    if sizes is None:
        return None
    return tuple(product([sizes[name] for name in kept]) for kept in layout.kept if kept is not None)
