"""A fact as a domain and a layout: where its index space stands in the tensor, whatever was reshaped in between.

    tensor            fact                                        predicate     layout
    [s0, s1, 8]       0 on axes [0, 1] unless nz(%m)              nz(%m)        i j a
    [s0*s1, 8]        0 on axes [0] unless nz(%m)[i0//s1, i0%s1]  nz(%m)        (i j) a
    [s1, 12, s0, 64]  0 on axes [2, 0] unless nz(%m)              nz(%m)        j a i b
    [s0*4, 64]        0 on axes [0] unless nz(%m)[i0 // 4]        nz(%m)        (i a) b

So tensors that are masked alike share one predicate, and with it one domain.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations

from ...dialects.layout import DOMAIN_AXES, Layout
from ..solvers.reshaping import canonical
from ..solvers.sizes import Size
from .fact_rules import Inactive
from .fact_scope import position
from .index_arithmetic import divide
from .indices import Atom, Axis, Index, Load, Quotient, Remainder
from .predicates import Predicate, leaves, reindex
from .predicates import positions as read_positions


@dataclass(frozen=True)
class Placed:
    """A predicate over the axes of a domain, and where those stand in a tensor."""

    predicate: Predicate
    layout: Layout


@dataclass(frozen=True)
class Digit:
    """A factor of an axis: (position // stride) % count; the topmost has no count."""

    atom: Atom
    stride: Index
    count: Index | None


def placed(fact: Inactive, sizes: Sequence[Size]) -> Placed | None:
    """The fact of a tensor of `sizes` as a domain in a layout; None when it has too many axes for a domain."""
    by_axis = {axis: digits(fact.predicate, k) for k, axis in enumerate(fact.axes)}
    order = [atom for leaf in leaves(fact.predicate) for index in read_positions(leaf) for atom in outermost(index)]
    chosen = {digit.atom for found in by_axis.values() for digit in found}
    numbers = {atom: k for k, atom in enumerate(dict.fromkeys(atom for atom in order if atom in chosen))}
    if len(numbers) > len(DOMAIN_AXES):
        return None
    axes: list[list[object]] = []
    for axis, size in enumerate(sizes):
        if axis not in by_axis:
            axes.append([] if size == 1 else [("other", axis)])
            continue
        factors = factored(by_axis[axis], Index.of(size))
        axes.append([DOMAIN_AXES[numbers[f.atom]] if isinstance(f, Digit) else (f, axis) for f in factors])
    predicate = reindex(fact.predicate, {atom: position(number) for atom, number in numbers.items()})
    return Placed(predicate, canonical(axes))  # pyright: ignore[reportArgumentType]


def outermost(index: Index) -> Iterator[Atom]:
    """The atoms of an index and of the subscripts in it, but not what quotients and remainders are made of."""
    for monomial, _ in index.terms:
        for atom in monomial:
            if isinstance(atom, Load):
                for part in atom.at:
                    yield from outermost(part)
            else:
                yield atom


def digits(predicate: Predicate, axis: int) -> list[Digit]:
    """The factors of an axis that a predicate reads, from the topmost; the whole axis where it is read otherwise."""
    own = Axis(axis)
    indices = [index for leaf in leaves(predicate) for index in read_positions(leaf)]
    atoms = dict.fromkeys(atom for index in indices for atom in outermost(index) if own in Index.of(atom).atoms())
    found = [digit(atom, own) for atom in atoms]
    whole = [Digit(own, Index.of(1), None)]
    known = [part for part in found if part is not None]
    if len(known) < len(found):
        return whole
    return next((list(order) for order in permutations(known) if is_chain(order)), whole)


def digit(atom: Atom, own: Axis) -> Digit | None:
    """`own`, `own // s`, `own % c` or `own // s % c`."""
    match atom:
        case Quotient(dividend, stride) if dividend.atom == own:
            return Digit(atom, stride, None)
        case Remainder(dividend, count) if dividend.atom == own:
            return Digit(atom, Index.of(1), count)
        case Remainder(dividend, count) if isinstance(inner := dividend.atom, Quotient) and inner.dividend.atom == own:
            return Digit(atom, inner.divisor, count)
        case _:
            return None


def is_chain(order: Sequence[Digit]) -> bool:
    """Does each factor end where, or before, the one above it begins?"""
    return all(
        low.count is not None and exact(high.stride, low.stride * low.count) is not None
        for high, low in pairwise(order)
    )


def exact(size: Index, by: Index) -> Index | None:
    """size / by, where it is whole."""
    whole, rest = divide(size, by)
    return None if rest.terms else whole


def factored(found: Sequence[Digit], size: Index) -> Iterator[Digit | str]:
    """The factors of an axis of `size` with the gaps between them, from the topmost."""
    top = found[0]
    if top.count is not None and top.stride * top.count != size:
        yield "above"
    for k, part in enumerate(found):
        yield part
        below = found[k + 1] if k + 1 < len(found) else None
        end = Index.of(1) if below is None or below.count is None else below.stride * below.count
        if part.stride != end:
            yield f"below {k}"
