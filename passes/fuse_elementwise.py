"""Chains of elementwise ops of a training step become maps, each of them one loop.

    %a = aten.call "aten.mul.Tensor"(%x, 0.5)           %y = kernel.map @elementwise_0(%x, %t) : .. {
    %b = aten.call "aten.add.Tensor"(%t, 1.0)           ^bb0(%0: .., %1: ..):
    %y = aten.call "aten.mul.Tensor"(%a, %b)     ->       the three calls
    ..                                                    kernel.yield %2
    %g = aten.call "aten.mul.Tensor"(%d, %a)            }
    %h = aten.call "aten.add.Tensor"(%g, %c)            %h = kernel.map @elementwise_1(%d, %x, %c) : .. {..}

Legal always: a map has the bits of its calls, as far as `primitives` have them on the machine that runs it. Which ops
go together says `analysis/elementwise_groups.py`. Pays in time, as what is between is neither written nor read, and in
memory, as it is not there: the backward pass reads %x and %t, not %a and %b. Never holds more at once. Time: for each
group, what is alive at each op from its first to its last.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from ..dialects.exact import MapOp
from ..dialects.remat import LAYER, PATH, PHASE
from .analysis.elementwise_groups import Chooser
from .enclosing import enclose
from .kernels.elementwise import elementwise_kernel
from .kernels.primitives import PRIMITIVES, element


def places(group: Sequence[Operation]) -> dict:
    """Where a group stands in the model: where its last op does, as far as that says."""
    phase = group[-1].attributes.get(PHASE)
    alike = [op for op in reversed(group) if op.attributes.get(PHASE) == phase]
    source = next((op for op in alike if PATH in op.attributes), group[-1])
    found = {PHASE: phase} | {name: source.attributes.get(name) for name in (LAYER, PATH)}
    return {name: value for name, value in found.items() if value is not None}


@dataclass
class Kernels:
    """The kernels of a module; maps of the same calls share one."""

    module: ModuleOp
    guessed: Sequence[str] = ()

    def __post_init__(self) -> None:
        named = [op for op in self.module.ops if isinstance(op, ModuleOp) and op.sym_name is not None]
        self.taken = {op.sym_name.data for op in named if op.sym_name is not None}
        self.known: dict[str, str] = {}

    def name(self, op: MapOp) -> str:
        """The kernel that computes `op`."""
        key = f"{' '.join(str(element(value)) for value in op.operands)}: {op.text()}"
        if key not in self.known:
            wishes = (f"elementwise_{number}" for number in range(len(self.taken) + 1))
            name = next(wish for wish in wishes if wish not in self.taken)
            self.module.body.block.add_op(elementwise_kernel(op, name, self.guessed))
            self.taken.add(name)
            self.known[key] = name
        return self.known[key]


def fuse(group: Sequence[Operation], kernels: Kernels) -> None:
    """Put a map in the place of a group's last op."""
    probe = enclose(MapOp, group, "")
    op = enclose(MapOp, group, kernels.name(probe))
    probe.erase()
    op.attributes |= places(group)
    Rewriter.insert_op(op, InsertPoint.before(group[-1]))
    group[-1].results[0].replace_all_uses_with(op.results[0])


@dataclass(frozen=True)
class FuseElementwise(ModulePass):
    """See the head of this file. `primitives` are what chains may be made of: calls that have eager's bits here;
    `guessed` those of them whose library need not be asked where a guess leaves no doubt."""

    name = "fuse-elementwise"
    primitives: tuple[str, ...] = tuple(PRIMITIVES)
    guessed: tuple[str, ...] = ()

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        kernels = Kernels(op, self.guessed)
        for function in [function for function in op.ops if isinstance(function, FuncOp)]:
            groups = list(Chooser(function, self.primitives, self.guessed).groups())
            for group in reversed(groups):
                fuse(group, kernels)
            fused = {inner for group in groups for inner in group}
            for dead in [inner for inner in reversed(list(function.body.block.ops)) if inner in fused]:
                if not any(result.first_use for result in dead.results):
                    Rewriter.erase_op(dead)
