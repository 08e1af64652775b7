"""Where the axes of a domain stand inside a full tensor, in the notation of einops.

A domain selects positions over its own axes, written `i j k l`; every other axis has a letter from `a` on. The
compact form of a tensor has one leading axis, the active positions, then the axes that the domain does not use:

    layout of the full tensor      full                 compact
    i j a                          [batch, seq, 768]    [active, 768]
    i a j b                        [batch, 12, seq, 64] [active, 12, 64]
    j (i a) b                      [seq, batch*12, 64]  [active, 12, 64]
    1 j a                          [1, seq, 768]        [active, 1, 768]  (the same for every i)

`1` is an axis of size one; it stays. Pure mathematics: no IR, no torch. Notation: Rogozhnikov, einops, ICLR 2022.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

DOMAIN_AXES = "ijkl"
OTHER_AXES = "abcdefghmnopqrstuvwxyz"


@dataclass(frozen=True)
class Layout:
    """Each axis of a full tensor as the (possibly empty) list of named factors it is the product of."""

    axes: tuple[tuple[str, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `i (j a) 1`. Raises ValueError when a name repeats or is not a lower-case letter."""
        axes: list[tuple[str, ...]] = []
        for chunk in text.replace("(", " ( ").replace(")", " ) ").split():
            if chunk == "(":
                axes.append(("(",))
            elif chunk == ")":
                axes[-1] = axes[-1][1:]
            elif axes and axes[-1][:1] == ("(",):
                axes[-1] = (*axes[-1], chunk)
            else:
                axes.append(() if chunk == "1" else (chunk,))
        layout = cls(tuple(axes))
        names = layout.names
        if len(set(names)) != len(names) or not all(len(n) == 1 and n.islower() for n in names):
            raise ValueError(f"a layout names each factor once, by one lower-case letter: '{text}'")
        return layout

    @classmethod
    def leading(cls, domain_rank: int, rank: int) -> Self:
        """The plain layout `i j a b ..`: the domain's axes first."""
        others = OTHER_AXES[: rank - domain_rank]
        return cls(tuple((n,) for n in DOMAIN_AXES[:domain_rank] + others))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All factors in order."""
        return tuple(name for axis in self.axes for name in axis)

    @cached_property
    def domain_axes(self) -> tuple[str, ...]:
        """The domain's axes that occur, in the domain's own order."""
        return tuple(sorted(name for name in self.names if name in DOMAIN_AXES))

    @cached_property
    def kept(self) -> tuple[tuple[str, ...] | None, ...]:
        """For each full axis the factors that its compact axis keeps; None where no compact axis is left."""
        return tuple(
            None if axis and all(n in DOMAIN_AXES for n in axis) else tuple(n for n in axis if n not in DOMAIN_AXES)
            for axis in self.axes
        )

    def compact_axis(self, axis: int) -> int | None:
        """Where full axis `axis` stands in the compact form; None if it is made of domain axes only."""
        if self.kept[axis] is None:
            return None
        return 1 + sum(kept is not None for kept in self.kept[:axis])

    def is_untouched(self, axis: int) -> bool:
        """No factor of full axis `axis` belongs to the domain."""
        return not any(name in DOMAIN_AXES for name in self.axes[axis])

    @cached_property
    def compact_rank(self) -> int:
        """Number of axes of the compact form."""
        return 1 + sum(kept is not None for kept in self.kept)

    def __str__(self) -> str:
        return " ".join("1" if not a else a[0] if len(a) == 1 else f"({' '.join(a)})" for a in self.axes)


def fresh_names(used: Iterable[str], count: int) -> list[str]:
    """`count` letters for axes outside the domain that are not in `used`."""
    taken = set(used)
    return [name for name in OTHER_AXES if name not in taken][:count]


def factor_sizes(layout: Layout, shape: Sequence[int], domain_shape: Sequence[int]) -> dict[str, int]:
    """The size of each factor of a full tensor of `shape`. Raises ValueError when an axis does not divide."""
    sizes = dict(zip(DOMAIN_AXES, domain_shape, strict=False))
    for axis, size in zip(layout.axes, shape, strict=True):
        known = math.prod(sizes[name] for name in axis if name in sizes)
        unknown = [name for name in axis if name not in sizes]
        if len(unknown) > 1 or (not unknown and known != size) or (known and size % known):
            raise ValueError(
                f"axis ({' '.join(axis)}) of {layout} cannot have size {size}: domain is {tuple(domain_shape)}"
            )
        for name in unknown:
            sizes[name] = size // known if known else 0
    return sizes
