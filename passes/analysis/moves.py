"""The offloads and fetches of a function as moves of a schedule.

%h = tier.offload %a ..        before step 3
tier.offloaded %h of %a        before step 7      ->      Move(leaves=3, gone=7, comes=20, there=24, value=a)
%p = tier.fetch %h             before step 20
%b = tier.fetched %p           before step 24
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from xdsl.ir import Operation, SSAValue

from ...dialects.diagnostics import UserError, place_of
from ...dialects.remat import LIFE, number_of
from ...dialects.tier import MOVES, FetchedOp, FetchOp, OffloadedOp, OffloadOp
from ..solvers.recompute_graph import Move

Life = tuple[int, int]


@dataclass
class Moves:
    """What was read so far: of each offload its value and life, and before which step each of its ops stands."""

    homes: dict[OffloadOp, Life] = field(default_factory=dict)
    at: dict[tuple[OffloadOp, type[Operation]], int] = field(default_factory=dict)
    latest: tuple[int, int] = (0, 0)

    def read(self, op: Operation, at: int, lives: Mapping[SSAValue, Life]) -> Life:
        """One op of a move, before step `at`; the value and life that it leaves or comes back as.

        Raises UserError where ops between two steps stand in another order than schedules have them.
        """
        turn = (at, MOVES.index(type(op)))
        if turn < self.latest:
            order = ", ".join(kind.name for kind in MOVES)
            message = f"{op.name} stands after {MOVES[self.latest[1]].name} between the same two ops"
            raise UserError(message, place=place_of(op), hint=f"write them in this order: {order}")
        self.latest = turn
        offload = offload_of(op)
        if isinstance(op, OffloadOp):
            self.homes[op] = lives[op.value]
        self.at[offload, type(op)] = at
        value, life = self.homes[offload]
        return (value, into_of(op.fetch)) if isinstance(op, FetchedOp) else (value, life)

    def all(self) -> tuple[Move, ...]:
        """The moves, in the order in which they begin."""
        return tuple(sorted(self.move(offload, *home) for offload, home in self.homes.items()))

    def move(self, offload: OffloadOp, value: int, life: int) -> Move:
        leaves, gone, comes, there = (self.at[offload, kind] for kind in MOVES)
        fetch = next(use.operation for use in offload.away.uses if isinstance(use.operation, FetchOp))
        return Move(leaves, gone, comes, there, value, life, into_of(fetch))


def offload_of(op: Operation) -> OffloadOp:
    """The offload that an op of a move belongs to."""
    match op:
        case OffloadedOp():
            found = op.away.owner
        case FetchOp():
            found = op.offload
        case FetchedOp():
            found = op.fetch.offload
        case _:
            found = op
    assert isinstance(found, OffloadOp)
    return found


def into_of(fetch: FetchOp) -> int:
    """The life as which a storage comes back."""
    return number_of(fetch, LIFE) or 0
