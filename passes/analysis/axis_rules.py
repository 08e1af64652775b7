"""What may be done along an axis of an op, and the table of rules that say so.

Rules stand in `RULES` by call target: an op without one says nothing. See `permutable.py` for what they mean.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import auto

from xdsl.dialects.builtin import TensorType
from xdsl.utils.str_enum import StrEnum

from ...dialects.aten import CallOp
from .calls import argument, rank


class Role(StrEnum):
    """What a permutation of the axis does to the result: the same to it, nothing, something else."""

    PARALLEL = auto()
    REDUCED = auto()
    NEITHER = auto()


class Skip(StrEnum):
    """Which slices of the axis need not be computed: those that become a known fill, that hold the reduction's
    identity (0, -inf, inf, 1), or none."""

    FILL = "fill"
    ZERO = "0"
    LOWEST = "-inf"
    HIGHEST = "inf"
    ONE = "1"
    NEVER = "never"


@dataclass(frozen=True)
class AxisRole:
    """What may be done along an axis, and why no more, or under which condition."""

    role: Role
    skip: Skip = Skip.NEVER
    reason: str = ""


Labels = tuple[str, ...]


@dataclass(frozen=True)
class OpAxes:
    """A label for each axis of each tensor operand (by operand number) and result; "" where it has size 1 and is
    spread over the others'. `roles` says what may be done along each label."""

    operands: tuple[Labels, ...]
    results: tuple[Labels, ...]
    roles: Mapping[str, AxisRole] = field(hash=False)

    def role(self, operand: int, axis: int) -> AxisRole | None:
        """The role of an operand's axis; None where it is spread."""
        return self.roles.get(self.operands[operand][axis])


Rule = Callable[[CallOp], OpAxes | None]
RULES: dict[str, Rule] = {}

KEPT = AxisRole(Role.PARALLEL, Skip.FILL)
SUMMED = AxisRole(Role.REDUCED, Skip.ZERO)


def axis_rule(*targets: str) -> Callable[[Rule], Rule]:
    """Register the decorated rule for `targets`, in place of the one that is there."""

    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys((f"aten.{name}" for name in targets), rule))
        return rule

    return register


def neither(reason: str) -> AxisRole:
    return AxisRole(Role.NEITHER, reason=reason)


def named(prefix: str, number: int) -> Labels:
    return tuple(f"{prefix}{k}" for k in range(number))


def spread(operand: Sequence[int | str], labels: Labels, to: Sequence[int | str]) -> Labels:
    """Labels of an operand that broadcasts to a tensor of sizes `to` with `labels`."""
    start = len(to) - len(operand)
    return tuple("" if size == 1 != to[start + k] else labels[start + k] for k, size in enumerate(operand))


def by_operand(op: CallOp, labels: Mapping[int, Labels | None]) -> tuple[Labels, ...]:
    """Labels in operand order from labels by argument position; what is not a tensor has none."""
    found: dict[object, Labels] = {}
    for place, own in labels.items():
        value = argument(op, place, "")
        if own is not None and value is not None:
            found[value] = own
    return tuple(found.get(operand, ()) for operand in op.operands)


def operand_ranks(op: CallOp) -> tuple[int, ...]:
    return tuple(rank(operand) if isinstance(operand.type, TensorType) else 0 for operand in op.operands)
