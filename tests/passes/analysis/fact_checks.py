"""Facts held against numbers: predicates, indices and fills evaluated with torch, every claim compared.

    check(program, forward_facts(program.function), [x, m])

Asserts that where a predicate does not hold the value is the fill, for every value of the program. A claim is skipped
where a tensor that it needs finite is not; `check` gives back those that were put to the test on an inactive position.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from gossamer.dialects.aten import dims
from gossamer.passes.analysis.fact_fills import Applied, Fill, Number, Whole
from gossamer.passes.analysis.facts import Inactive
from gossamer.passes.analysis.indices import Atom, Axis, Bound, Index, Load, Quotient, Remainder, Symbol, Var
from gossamer.passes.analysis.predicates import (
    And,
    AtLeast,
    Compare,
    Constant,
    Exists,
    NonZero,
    Not,
    Or,
    Predicate,
    Zero,
)
from gossamer.runtime import reference
from gossamer.runtime.calls import arguments, overload
from gossamer.tests.passes.analysis.fact_programs import MANNERS, Program, Row, arguments_of
from torch import Tensor
from xdsl.ir import SSAValue

Values = Mapping[object, Any]


def observe(program: Program, args: Sequence[Tensor]) -> dict[object, Any]:
    """Every value of one run of the reference, and the size of every symbol."""
    values: dict[object, Any] = dict(zip(program.function.body.block.args, args, strict=True))

    def keep(op: Any, results: tuple[Any, ...]) -> None:
        values.update(zip(op.results, results, strict=True))

    with torch.no_grad():
        reference.run(program.module, program.weights, list(args), observe=keep)
    for argument in program.function.body.block.args:
        sizes = dims(argument.type)
        values.update(
            (size, int(n)) for size, n in zip(sizes, values[argument].shape, strict=True) if isinstance(size, str)
        )
    return values


# -- what predicates mean -----------------------------------------------------------------------------------------


def integer(index: Index, grid: Mapping[Atom, Tensor], values: Values) -> Tensor:
    """An index at every point of the grid."""
    total = torch.tensor(0)
    for monomial, coefficient in index.terms:
        term = torch.tensor(coefficient)
        for atom in monomial:
            term = term * one(atom, grid, values)
        total = total + term
    return total


def one(atom: Atom, grid: Mapping[Atom, Tensor], values: Values) -> Tensor:
    match atom:
        case Symbol(name):
            return torch.tensor(values[name])
        case Axis() | Bound():
            return grid[atom]
        case Load(var, at):
            return entry(values[var.value], at, grid, values)
        case Quotient(dividend, divisor):
            return integer(dividend, grid, values) // integer(divisor, grid, values)
        case Remainder(dividend, divisor):
            return integer(dividend, grid, values) % integer(divisor, grid, values)


def entry(tensor: Tensor, at: Sequence[Index], grid: Mapping[Atom, Tensor], values: Values) -> Tensor:
    """A tensor read at indices; what is guarded against may be out of range."""
    if not at:
        return tensor
    inside = [
        integer(index, grid, values).clamp(0, max(size - 1, 0)) for index, size in zip(at, tensor.shape, strict=True)
    ]
    return tensor[tuple(torch.broadcast_tensors(*inside))]


def holds(predicate: Predicate, grid: Mapping[Atom, Tensor], values: Values) -> Tensor:
    """A predicate at every point of the grid."""
    match predicate:
        case Constant(value):
            return torch.tensor(value)
        case NonZero(var, at):
            return entry(values[var.value], at, grid, values) != 0
        case Compare(var, relation, constant, at):
            return getattr(torch, relation)(entry(values[var.value], at, grid, values), constant)
        case AtLeast(index):
            return integer(index, grid, values) >= 0
        case Zero(index):
            return integer(index, grid, values) == 0
        case Not(of):
            return ~holds(of, grid, values)
        case And(parts):
            return torch.stack(torch.broadcast_tensors(*(holds(part, grid, values) for part in parts))).all(0)
        case Or(parts):
            return torch.stack(torch.broadcast_tensors(*(holds(part, grid, values) for part in parts))).any(0)
        case Exists(level, size, body):
            count = int(integer(size, grid, values))
            deeper: dict[Atom, Tensor] = {atom: positions[..., None] for atom, positions in grid.items()}
            inner = holds(body, {**deeper, Bound(level): torch.arange(count)}, values)
            rank = max((positions.dim() for positions in deeper.values()), default=1)
            return inner.expand(*(1,) * (rank - inner.dim()), *inner.shape[:-1], count).any(-1)
        case _:
            raise AssertionError(predicate)


def active(predicate: Predicate, sizes: Sequence[int], values: Values) -> Tensor:
    """Truth values over the axes i0, i1, .. of these sizes."""
    grid: dict[Atom, Tensor] = {
        Axis(k): torch.arange(size).reshape([-1 if j == k else 1 for j in range(len(sizes))])
        for k, size in enumerate(sizes)
    }
    return holds(predicate, grid, values).expand(sizes)


# -- what fills mean ----------------------------------------------------------------------------------------------


def fill_value(fill: Fill, values: Values) -> Any:
    """A fill as a number or a tensor."""
    match fill:
        case Number(value):
            return value
        case Whole(var):
            return values[var.value]
        case Applied(target, template, operands):
            positional, options = arguments(template, [fill_value(operand, values) for operand in operands])
            call = overload(target)
            assert call is not None
            return call(*positional, **options)


def is_tame(var: Var, values: Values) -> bool:
    """Finite, and below a quarter of the largest number."""
    tensor = values[var.value]
    if not tensor.is_floating_point():
        return True
    return bool((tensor.abs() < torch.finfo(tensor.dtype).max / 4).all())


def inactive(fact: Inactive, tensor: Tensor, values: Values) -> Tensor:
    """Truth values over all axes of `tensor`: where the fact says that it is the fill."""
    where = ~active(fact.predicate, [tensor.shape[axis] for axis in fact.axes], values)
    ascending = sorted(range(len(fact.axes)), key=lambda k: fact.axes[k])
    shape = [size if axis in fact.axes else 1 for axis, size in enumerate(tensor.shape)]
    return where.permute(ascending).reshape(shape).expand(tensor.shape)


def holds_true(fact: Inactive, tensor: Tensor, values: Values) -> bool | None:
    """Is the fact true? None when it says nothing here: a need is not met, or nothing is inactive."""
    if not all(is_tame(var, values) for var in fact.needs_finite):
        return None
    where = inactive(fact, tensor, values)
    fill = fill_value(fact.fill, values)
    if isinstance(fill, Tensor):
        assert fill.dim() == tensor.dim(), f"{fact}: a fill of rank {fill.dim()} in {list(tensor.shape)}"
        assert all(fill.shape[axis] == 1 for axis in fact.axes), f"{fact}: {list(fill.shape)}"
    expected = torch.as_tensor(fill).expand(tensor.shape)
    found, wanted = tensor[where], expected[where]
    if fact.exact:
        same = (found == wanted) | (found.isnan() & wanted.isnan())
    else:
        same = torch.isclose(found.double(), wanted.double(), rtol=1e-4, atol=1e-5, equal_nan=True)
    ones = bool((tensor[~where] == 1).all()) or not fact.binary
    return bool(same.all()) and ones if where.any() or fact.binary else None


def check(
    program: Program, facts: Mapping[SSAValue, Sequence[Inactive]], args: Sequence[Tensor]
) -> set[tuple[SSAValue, Inactive]]:
    """Assert all facts in one run; those that were put to the test."""
    values = observe(program, args)
    tested: set[tuple[SSAValue, Inactive]] = set()
    for value, own in facts.items():
        for fact in own:
            true = holds_true(fact, values[value], values)
            assert true is not False, f"%{value.name_hint}: {fact}\n{values[value]}\n{program.module}"
            if true:
                tested.add((value, fact))
    return tested


def check_often(program: Program, facts: Mapping[SSAValue, Sequence[Inactive]], row: Row, draws: int = 600) -> None:
    """Assert all facts for every manner of input, until each fact of the result was put to the test."""
    open_facts = {(program.result, fact) for fact in facts.get(program.result, ())}
    for number in range(draws):
        manner = MANNERS[number % len(MANNERS)]
        open_facts -= check(program, facts, [source.draw(manner) for _, source in arguments_of(row)])
        if number + 1 >= len(MANNERS) and not open_facts:
            return
    assert not open_facts, f"never put to the test: {[str(fact) for _, fact in open_facts]}"
