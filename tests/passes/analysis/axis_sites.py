"""What is said of the axes of a call, tried out with numbers: every claim, and that every refusal is needed."""

from collections.abc import Callable
from typing import Any

import torch
from gossamer.dialects.aten import CallOp
from gossamer.passes.analysis.permutable import OpAxes, Role, Skip, axes_of
from gossamer.runtime.calls import arguments, resolve
from gossamer.tests.passes.analysis.fact_checks import observe
from gossamer.tests.passes.analysis.fact_programs import Program
from torch import Tensor
from xdsl.ir import OpResult


class Site:
    """The last op of a row, with numbers for its operands."""

    def __init__(self, program: Program, args: list[Tensor]):
        assert isinstance(program.result, OpResult)
        assert isinstance(program.result.op, CallOp)
        self.op, self.output = program.result.op, program.result.index
        values = observe(program, args)
        self.operands = [values[operand] for operand in self.op.operands]
        axes = axes_of(self.op)
        assert axes is not None, self.op.target.data
        self.axes: OpAxes = axes

    def run(self, operands: list[Any]) -> Tensor:
        positional, options = arguments(self.op.template.data, operands)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            result = resolve(self.op)(*positional, **options)
        return result[self.output] if self.op.unpack is not None else result

    @property
    def result_labels(self) -> tuple[str, ...]:
        return self.axes.results[self.output]

    def size(self, label: str) -> int:
        """The size of the axes that carry `label`."""
        shapes = [(own, t.shape) for own, t in zip(self.axes.operands, self.operands, strict=True) if own]
        shapes.append((self.result_labels, self.run(self.operands).shape))
        return next(shape[own.index(label)] for own, shape in shapes if label in own)

    def moved(self, label: str, order: Tensor) -> list[Any]:
        """The operands with every axis that carries `label` in another order, or cut to fewer positions."""
        return [reorder(t, own, label, order) for own, t in zip(self.axes.operands, self.operands, strict=True)]

    def holds(self, label: str, order: Tensor) -> bool:
        """Does the result move with the operands (or stay, where it lacks the axis)?"""
        expected = reorder(self.run(self.operands), self.result_labels, label, order)
        return close(self.run(self.moved(label, order)), expected)


def reorder(tensor: Any, own: tuple[str, ...], label: str, order: Tensor) -> Any:
    for axis, name in enumerate(own):
        tensor = tensor.index_select(axis, order) if name == label else tensor
    return tensor


def close(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(
        one.double(), other.double(), rtol=1e-4, atol=1e-5, equal_nan=True
    )


def labels(axes: OpAxes, chosen: Callable[[Role, Skip], bool]) -> list[str]:
    return [label for label, role in axes.roles.items() if chosen(role.role, role.skip)]


def shown(axes: OpAxes) -> str:
    """Labels of operands and results, and the roles of those that are more, or less, than parallel with a fill."""
    spelled = [
        ", ".join(" ".join(label or "1" for label in own) for own in side) for side in (axes.operands, axes.results)
    ]
    roles: dict[str, list[str]] = {}
    for label in sorted(axes.roles):
        role = axes.roles[label]
        if (role.role, role.skip) != (Role.PARALLEL, Skip.FILL):
            name = "neither" if role.role is Role.NEITHER else f"{role.role} {role.skip}"
            roles.setdefault(name, []).append(label)
    return "; ".join([" -> ".join(spelled), *(f"{name}: {' '.join(own)}" for name, own in sorted(roles.items()))])


# -- checks ---------------------------------------------------------------------------------------------------------


def labels_are_whole(here: Site) -> None:
    """Every axis has a label, or none of a tensor has one."""
    assert len(here.axes.results) == len(here.op.results)
    assert len(here.result_labels) == here.run(here.operands).dim()
    for own, operand in zip(here.axes.operands, here.operands, strict=True):
        assert not own or len(own) == operand.dim()


def permuting(here: Site) -> None:
    """Permuting a parallel or reduced axis changes nothing else."""
    for label in labels(here.axes, lambda role, _: role is not Role.NEITHER):
        assert here.holds(label, torch.randperm(here.size(label))), f"{here.op.target.data} {label}: {here.axes}"


def refusing(here: Site) -> None:
    """A refused axis has a counterexample."""
    for label in labels(here.axes, lambda role, _: role is Role.NEITHER):
        assert here.axes.roles[label].reason
        if here.size(label) == 1:
            continue
        tries = (here.holds(label, torch.randperm(here.size(label))) for _ in range(50))
        assert not all(tries), f"{here.op.target.data} {label}: {here.axes}"


IDENTITY = {Skip.ZERO: 0.0, Skip.LOWEST: -torch.inf, Skip.HIGHEST: torch.inf, Skip.ONE: 1.0}
COUNTED = ("the divisor stays the full count", "the scale stays that of the full width")
"""Reasons that say what stays what it was when slices are left out."""


def leaving_out(here: Site) -> None:
    """Slices that hold the identity may be left out of a reduction."""
    for label in labels(here.axes, lambda role, skip: role is Role.REDUCED and skip in IDENTITY):
        if here.axes.roles[label].reason in COUNTED:
            continue
        size = here.size(label)
        kept = torch.arange(size)[torch.rand(size) < 0.6] if size > 1 else torch.arange(size)
        kept = kept if len(kept) else torch.tensor([0])
        left = torch.tensor([k for k in range(size) if k not in kept], dtype=torch.long)
        carriers = [k for k, own in enumerate(here.axes.operands) if label in own]
        carrier = next(k for k in reversed(carriers) if here.operands[k].dtype != torch.long)
        axis = here.axes.operands[carrier].index(label)
        tensor = here.operands[carrier]
        identity = IDENTITY[here.axes.roles[label].skip]
        here.operands[carrier] = tensor.index_fill(
            axis, left, bool(identity) if tensor.dtype == torch.bool else identity
        )
        assert close(here.run(here.operands), here.run(here.moved(label, kept))), f"{here.op.target.data} {label}"


def filling(here: Site) -> None:
    """Inactive slices of a parallel axis become one fill."""
    for label in labels(here.axes, lambda role, skip: role is Role.PARALLEL and skip is Skip.FILL):
        if here.size(label) == 1:
            continue
        operands = list(here.operands)
        for k, own in enumerate(here.axes.operands):
            for axis, found in enumerate(own):
                operands[k] = operands[k].index_fill(axis, torch.tensor([0, 1]), 0) if found == label else operands[k]
        result = here.run(operands)
        axis = here.result_labels.index(label)
        assert close(result.select(axis, 0), result.select(axis, 1)), f"{here.op.target.data} {label}: {here.axes}"
