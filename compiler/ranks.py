"""What the ranks of a step must have in common: the plan that they run, and the costs that it was made from.

    rank 0    comm.all_reduce  aten.gelu again  comm.wait  aten.mm
    rank 1    comm.all_reduce  aten.mm  ..                             error: op 1 on rank 0: .. gelu; on rank 1: .. mm

Two ranks with different plans wait for each other for ever, or take one's collective for another. A rank's own numbers
(the slice of a vocabulary that it has) may differ; the ops, in order, may not.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import distributed as dist
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp

from ..dialects.aten import CallOp
from ..dialects.comm import Start
from ..dialects.diagnostics import UserError, place_of
from ..dialects.remat import LIFE, OF, number_of, seconds_of, set_seconds, text_of
from ..passes.split_random_ops import device_of
from ..runtime.kernels.collectives import process_group

SAME = "compile the same model, in the same mode and with the same budget, on all ranks, and split sizes evenly"


def has_collectives(module: ModuleOp) -> bool:
    """Does `module` hold functional collectives of torch?"""
    calls = (op for op in module.walk() if isinstance(op, CallOp))
    return any(call.target.data.startswith("_c10d_functional.") for call in calls)


def starts(function: FuncOp) -> list[Start]:
    """The collectives of a step."""
    return [op for op in function.body.block.ops if isinstance(op, Start)]


def groups(function: FuncOp) -> dict[str, Any]:
    """The process groups that a step communicates in, by name."""
    names = dict.fromkeys(start.group.data for start in starts(function))
    return {name: process_group(name) for name in names}


def plan_lines(function: FuncOp) -> Iterator[str]:
    """What must be the same on all ranks, a line an op: what it is and, of a collective, on what and with whom."""
    for op in function.body.block.ops:
        what = op.target.data if isinstance(op, CallOp) else op.name
        again = f" again {number_of(op, LIFE)} of {text_of(op, OF)}" if OF in op.attributes else ""
        wire = f" {sorted(op.properties.items())} {op.value.type}" if isinstance(op, Start) else ""
        yield f"'{what}'{again}{wire}"


def agree(function: FuncOp) -> None:
    """Raise UserError, on every rank, where the ranks of a group do not run the same plan."""
    lines, found = list(plan_lines(function)), groups(function)
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    differ = [name for name, group in found.items() if len(set(gathered(digest, group))) > 1]
    plans = [gathered(lines, found[name]) for name in differ]
    anywhere = on_any_rank(function, bool(differ))
    if differ:
        raise differing(function, differ[0], plans[0])
    if anywhere:
        raise UserError("the ranks of another group run different plans", place=place_of(function), hint=SAME)


def gathered(value: Any, group: Any) -> list[Any]:
    """What every rank of a group has."""
    found: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(found, value, group=group)
    return found


def differing(function: FuncOp, name: str, plans: Sequence[list[str]]) -> UserError:
    """The error for ranks that run another plan than the first: the first op that is another."""
    details = []
    others = [rank for rank, plan in enumerate(plans) if plan != plans[0]]
    for rank in others:
        longest = max(len(plans[0]), len(plans[rank]))
        one, two = ([*plan, *["nothing"] * (longest - len(plan))] for plan in (plans[0], plans[rank]))
        at = next(at for at in range(longest) if one[at] != two[at])
        details.append(f"op {at} on rank 0: {one[at]}; on rank {rank}: {two[at]}")
    ranks = ", ".join(map(str, others))
    return UserError(
        f"the ranks of group '{name}' run different plans: not that of rank 0 have {ranks}",
        place=place_of(function),
        details=details,
        hint=SAME,
    )


def on_any_rank(function: FuncOp, here: bool) -> bool:
    """Is something so here, or on a rank that this one communicates with, over others or not?"""
    for group in groups(function).values():
        here = any(gathered(here, group))
    return here


def in_common(function: FuncOp, names: Sequence[str]) -> tuple[str, ...]:
    """Those of `names` that are also known on all ranks that this one communicates with, over others or not."""
    for group in groups(function).values():
        told = gathered(tuple(names), group)
        names = [name for name in names if all(name in others for others in told)]
    return tuple(names)


def share_times(function: FuncOp) -> None:
    """Let all ranks count with the times of the slowest one, so that they make the same plan."""
    timed = [op for op in function.body.block.ops if seconds_of(op) is not None]
    times = torch.tensor([seconds_of(op) for op in timed], dtype=torch.float64, device=device_of(function))
    for group in groups(function).values():
        dist.all_reduce(times, dist.ReduceOp.MAX, group=group)
    for op, taken in zip(timed, times.tolist(), strict=True):
        set_seconds(op, taken)


def least_share(function: FuncOp, place: str, free: int, static: int) -> int:
    """A budget that all ranks can keep: `static` bytes and a share of those that are `free`, which ranks at one `place`
    divide among them."""
    least = free + static
    for group in groups(function).values():
        told = gathered((place, free, static, least), group)
        sharing = Counter(where for where, *_ in told)
        least = min(min(known, size // sharing[where] + own) for where, size, own, known in told)
    return least
