"""Gather and scatter, in any layout, as whole rows of memory.

    layout "i a j b", full [B, 12, S, 64]      memory rows of 64 numbers, row (i * 12 + a) * S + j
    compact [active, 12, 64]                   = full.view(-1, 64).index_select(0, rows of the active positions)

What stands behind the last domain axis is one memory row. Where the domain's axes come first the memory rows are the
domain's own; in other layouts they are computed once per domain. A full tensor that is a transposed view of a plain one
(queries, say) is read in the plain order. `index_select` copies whole rows, which no other way of indexing does
(BERT-base, 32 x 128 at density 0.3, one thread: 0.32 ms, `x[mask]` 0.45; in layout "i a j b" 0.41, `x[i, :, j]` 0.72).
Over a domain that is everywhere both are views, but for axes that the full tensor lacks: those are repeated.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ...dialects.layout import DOMAIN_AXES, Layout, factor_sizes
from ...dialects.sparse import GatherOp, ScatterOp
from ..domain import Domain
from .registry import kernel


@dataclass(frozen=True)
class Plan:
    """How a full tensor of one shape reads over one index space.

    `split`: sizes of all factors; `order`: the domain's axes that occur, then the others, as positions in `split`;
    `present`: domain axes that occur; `compact`: sizes of the compact form after the first; `outer`: factors in front
    of a memory row; `width`: numbers in a memory row; `leading`: the domain's axes come first, all, in order.
    """

    names: tuple[str, ...]
    split: tuple[int, ...]
    order: tuple[int, ...]
    present: tuple[int, ...]
    compact: tuple[int, ...]
    outer: int
    width: int
    leading: bool


@lru_cache(maxsize=4096)
def plan_of(layout: Layout, shape: tuple[int, ...], space: tuple[int, ...]) -> Plan:
    """The plan of `layout` for a full tensor of `shape`. Raises ValueError when the sizes do not fit."""
    sizes = factor_sizes(layout, shape, space)
    names = layout.names
    domain = [names.index(name) for name in layout.domain_axes]
    others = [position for position, name in enumerate(names) if name not in DOMAIN_AXES]
    outer = max(domain, default=-1) + 1
    return Plan(
        names=names,
        split=tuple(sizes[name] for name in names),
        order=(*domain, *others),
        present=tuple(DOMAIN_AXES.index(name) for name in layout.domain_axes),
        compact=tuple(math.prod(sizes[n] for n in kept) for kept in layout.kept if kept is not None),
        outer=outer,
        width=math.prod(sizes[name] for name in names[outer:]),
        leading=domain == list(range(len(space))) and outer == len(space),
    )


def memory_rows(plan: Plan, layout: Layout, domain: Domain) -> Tensor:
    """Which memory rows hold the active positions: int64 [active * factors of no domain axis in front of a row]."""
    if plan.leading:
        return domain.rows
    key = (layout, plan.split)
    if (known := domain.memo.get(key)) is None:
        free = [p for p in range(plan.outer) if plan.names[p] not in DOMAIN_AXES]
        index = domain.rows.new_zeros((domain.size, *(1 for _ in free)))
        for position in range(plan.outer):
            stride = math.prod(plan.split[position + 1 : plan.outer])
            if position in free:
                axis = [1] * index.dim()
                axis[1 + free.index(position)] = plan.split[position]
                step = torch.arange(plan.split[position], device=index.device).view(axis)
            else:
                coordinate = domain.coordinate(DOMAIN_AXES.index(plan.names[position]))
                step = coordinate.view(-1, *(1 for _ in free))
            index = index + step * stride
        known = domain.memo[key] = index.reshape(-1)
    return known


def positions(plan: Plan, domain: Domain) -> Tensor:
    """Active positions in the domain's axes that occur, as if these came first: int64 [active]."""
    if len(plan.present) == len(domain.space):
        return domain.rows
    index = domain.rows.new_zeros(domain.size)
    for axis in plan.present:
        index = index * domain.space[axis] + domain.coordinate(axis)
    return index


def gather_rows(full: Tensor, domain: Domain, layout: Layout) -> Tensor:
    """[active, ..]: the active positions of `full`. Raises ValueError when the sizes do not fit."""
    plan = plan_of(layout, full.shape, domain.space)
    shape = (domain.size, *plan.compact)
    if domain.everywhere:
        return spread(full.reshape(plan.split).permute(plan.order), plan, domain).reshape(shape)
    if full.is_contiguous():
        memory = full.view(math.prod(plan.split[: plan.outer]), plan.width)
        return memory.index_select(0, memory_rows(plan, layout, domain)).view(shape)
    plain, count = full.reshape(plan.split).permute(plan.order), len(plan.present)
    if mergeable(plain, count):
        return plain.flatten(0, count - 1).index_select(0, positions(plan, domain)).reshape(shape)
    return plain[tuple(domain.coordinate(axis) for axis in plan.present)].reshape(shape)


def mergeable(tensor: Tensor, count: int) -> bool:
    """Are the first `count` axes one axis in memory?"""
    return all(
        tensor.shape[axis] == 1 or tensor.stride(axis) == tensor.stride(axis + 1) * tensor.shape[axis + 1]
        for axis in range(count - 1)
    )


def spread(plain: Tensor, plan: Plan, domain: Domain) -> Tensor:
    """`plain`, the domain's axes that occur first, repeated along those that do not."""
    if len(plan.present) == len(domain.space):
        return plain
    for axis in range(len(domain.space)):
        if axis not in plan.present:
            plain = plain.unsqueeze(axis)
    return plain.expand(*domain.space, *plain.shape[len(domain.space) :])


@lru_cache(maxsize=4096)
def full_shape(layout: Layout, compact: tuple[int, ...], space: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the full tensor whose compact form has the sizes `compact` after the first."""
    sizes, remaining = dict(zip(DOMAIN_AXES, space, strict=False)), iter(compact)
    inside = [math.prod(sizes[name] for name in axis if name in sizes) for axis in layout.axes]
    kept = [1 if factors is None else next(remaining) for factors in layout.kept]
    return tuple(math.prod(pair) for pair in zip(inside, kept, strict=True))


def place(compact: Tensor, shape: tuple[int, ...], plan: Plan, domain: Domain) -> Tensor:
    """The full tensor of `shape` in which every position has a row in `compact`: a view where it can be one."""
    back = [plan.order.index(position) for position in range(len(plan.order))]
    others = (plan.split[position] for position in plan.order[len(domain.space) :])
    return compact.reshape(*domain.space, *others).permute(back).reshape(shape)


def scatter_rows(compact: Tensor, domain: Domain, layout: Layout, fill: Tensor | None = None) -> Tensor:
    """The full tensor of `compact`, [active, ..]; other positions hold `fill`, [1, ..], or zero."""
    shape = full_shape(layout, compact.shape[1:], domain.space)
    plan = plan_of(layout, shape, domain.space)
    if domain.everywhere:
        return place(compact, shape, plan, domain)
    if fill is None:
        full = compact.new_zeros(shape)
    else:
        full = place(fill.expand(domain.total, *fill.shape[1:]), shape, plan, domain)
        full = full.clone(memory_format=torch.contiguous_format)
    rows = memory_rows(plan, layout, domain)
    memory = full.view(math.prod(plan.split[: plan.outer]), plan.width)
    return memory.index_copy_(0, rows, compact.reshape(rows.shape[0], plan.width)).view(shape)


@kernel("sparse.gather")
def gather(op: GatherOp) -> Callable[[Tensor, Domain], Tensor]:
    """compact = full[domain, ..]"""
    layout = op.layout.data
    return lambda full, domain: gather_rows(full, domain, layout)


@kernel("sparse.scatter")
def scatter(op: ScatterOp) -> Callable[..., Tensor]:
    """full[domain, ..] = compact, elsewhere fill"""
    layout = op.layout.data
    return lambda compact, domain, fill=None: scatter_rows(compact, domain, layout, fill)
