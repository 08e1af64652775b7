"""Which elementwise ops of a training step become one: groups that never hold more memory than their ops do.

    forward    h = 0.5 x    t = tanh(..)    y = h (t + 1)          group  y = (0.5 x) (t + 1)        of x, t
    backward   gt = g h     gx = g (t + 1)                         group  .. g (0.5 x), g (t + 1) .. of g, x, t

A group ends with the one op whose result it gives. An op belongs to the group that all its readers are in, if they are
of one phase and nothing that has an effect stands between. An op that such ops compute from a single tensor, and that
only such ops read, is *cheap*: every group that reads it computes it again from that tensor, which is held instead.

An op moves down to the end of its group, and holds what it reads until there: a group whose ops would so take more
bytes at once than before, by what is alive from its first op to its last, leaves out its first.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from xdsl.dialects.builtin import f32
from xdsl.dialects.func import FuncOp
from xdsl.ir import BlockArgument, Operation, SSAValue

from ...dialects.aten import CallOp, ParameterOp
from ...dialects.comm import Start, WaitOp
from ...dialects.remat import PHASE, is_recomputation, text_of
from ..kernels.primitives import element, is_primitive
from .calls import target
from .memory import may_share
from .storages import overwritten, tensor_bytes, why_fixed

MOVED = frozenset(
    f"aten.{name}"
    for name in (
        "t.default transpose.int permute.default expand.default slice.Tensor select.int split.Tensor "
        "split_with_sizes.default as_strided.default unbind.int chunk.default narrow.default diagonal.default"
    ).split()
)
"""Views in which neighbours may not lie side by side. (Whether they do is asked again when a kernel runs.)"""


@dataclass
class Life:
    """A storage: its bytes, and the positions from which and to which it is alive."""

    start: int
    end: int
    size: int


@dataclass
class Chooser:
    """Looks for groups of `allowed` calls, from the last op to the first; one of a `guessed` call is one alone, too."""

    function: FuncOp
    allowed: Sequence[str]
    guessed: Sequence[str] = ()
    taken: set[Operation] = field(default_factory=set)

    @cached_property
    def order(self) -> dict[Operation, int]:
        """The position of each op."""
        return {op: position for position, op in enumerate(self.function.body.block.ops)}

    @cached_property
    def candidates(self) -> dict[Operation, tuple[int, str]]:
        """Ops that may be in a group: how many ops with an effect stand before each, and its phase."""
        found: dict[Operation, tuple[int, str]] = {}
        changed, strided, barriers = overwritten(self.function), set[SSAValue](), 0
        for op in self.order:
            barriers += isinstance(op, Start | WaitOp)
            if not isinstance(op, CallOp):
                continue
            barriers += bool(why_fixed(op))
            elementwise = is_primitive(op, self.allowed)
            if op.target.data in MOVED or (elementwise and not strided.isdisjoint(op.operands)):
                strided.update(op.results)
            elif elementwise and not is_recomputation(op) and changed.isdisjoint((*op.operands, *op.results)):
                found[op] = barriers, text_of(op, PHASE) or ""
        return found

    @cached_property
    def cheap(self) -> set[Operation]:
        """Ops that groups compute again: what they read takes no more memory than what they give."""
        found = set[Operation]()
        for op in self.candidates:
            (result,), roots = op.results, {root(value, found) for value in op.operands}
            if len(roots) > 1 or element(result) != f32:
                continue
            (source,) = roots
            there = isinstance(source, BlockArgument) or isinstance(source.owner, ParameterOp)
            held, given = tensor_bytes(source), tensor_bytes(result)
            if not there and (held is None or given is None or held > given):
                continue
            if result.first_use and all(reader in self.candidates for reader in readers(op)):
                found.add(op)
        return found

    @cached_property
    def lives(self) -> dict[SSAValue, Life]:
        """The storages that are made here, by the value that they are first of; what is cheap is not there."""
        found: dict[SSAValue, Life] = {}
        for op, position in self.order.items():
            for result in () if isinstance(op, ParameterOp) else op.results:
                if self.root(result) is result:
                    found[result] = Life(position, position, tensor_bytes(result) or 0)
            for value in (*op.operands, *op.results):
                if (life := found.get(self.root(value))) is not None:
                    life.end = position
        return found

    def root(self, value: SSAValue) -> SSAValue:
        """The value whose memory is held for `value`."""
        return root(value, self.cheap)

    def groups(self) -> Iterator[list[Operation]]:
        """The ops of each group in the order of the text, the one that is given last."""
        for sink in reversed(self.candidates):
            if sink in self.taken or sink in self.cheap:
                continue
            left_out = set[Operation]()
            while True:
                group = self.grown(sink, left_out)
                own = [op for op in group if op not in self.cheap]
                if self.holds_no_more(group, own):
                    break
                left_out.add(own[0])
            self.taken.update(own)
            if len(group) > 1 or target(sink) in self.guessed:
                self.settle(group, own)
                yield group

    def grown(self, sink: Operation, left_out: set[Operation]) -> list[Operation]:
        """All ops that can be in the group of `sink`."""
        group, waiting = {sink}, [sink]
        while waiting:
            for source in sources(waiting.pop()):
                if source not in group and source not in left_out and self.joins(source, sink, group):
                    group.add(source)
                    # Another op may have waited for this one, its last reader.
                    waiting = list(group)
        return sorted(group, key=self.order.__getitem__)

    def joins(self, op: Operation, sink: Operation, group: set[Operation]) -> bool:
        """May `op`, which the group reads, be in it?"""
        if op in self.cheap:
            return True
        alike = op not in self.taken and self.candidates.get(op) == self.candidates[sink]
        return alike and all(self.is_inside(reader, group) for reader in readers(op))

    def is_inside(self, op: Operation, group: set[Operation]) -> bool:
        """Is `op` computed in this group alone?"""
        return op in group and (op not in self.cheap or all(self.is_inside(reader, group) for reader in readers(op)))

    def holds_no_more(self, group: Sequence[Operation], own: Sequence[Operation]) -> bool:
        """Are no more bytes alive at once, from the first of `own` to the last, where these are one?"""
        first, last = self.order[own[0]], self.order[own[-1]]
        made = {op.results[0] for op in own[:-1]}
        read = {self.root(value) for op in own for value in op.operands} - made
        skipped = {self.order[op] for op in own[:-1]}
        before, after = 0, 0
        for position in range(first, last + 1):
            alive = {value for value, life in self.lives.items() if life.start <= position <= life.end}
            before = max(before, sum(self.lives[value].size for value in alive))
            if position not in skipped:
                held = {v for v in read if v in self.lives and self.lives[v].start <= position}
                after = max(after, sum(self.lives[value].size for value in (alive | held) - made))
        return after <= before

    def settle(self, group: Sequence[Operation], own: Sequence[Operation]) -> None:
        """Note what lives how long now that `group` is one."""
        last = self.order[own[-1]]
        for op in group:
            for value in op.operands:
                if (life := self.lives.get(self.root(value))) is not None:
                    life.end = max(life.end, last)
        for op in own[:-1]:
            del self.lives[op.results[0]]


def readers(op: Operation) -> Iterator[Operation]:
    """The ops that read the result of an op."""
    return (use.operation for use in op.results[0].uses)


def sources(op: Operation) -> Iterator[Operation]:
    """The ops whose results an op reads."""
    return (value.owner for value in op.operands if isinstance(value.owner, Operation))


def root(value: SSAValue, cheap: Collection[Operation]) -> SSAValue:
    """The value whose memory is held for `value`: that which it may be a view of, or is computed again from."""
    while isinstance(op := value.owner, Operation) and op.operands:
        is_view = isinstance(op, CallOp) and op.target.data.startswith("aten.") and may_share(op)
        if not (is_view or isinstance(op, WaitOp) or op in cheap):
            break
        value = op.operands[0]
    return value
