"""Demands themselves, and how they pass to operands. The rules of ops are held against brute force in `test_demand`."""

from collections.abc import Callable

import pytest
from gossamer.passes.analysis.demand_forms import WHOLE, Demand, Given, joint, read_at
from gossamer.passes.analysis.fact_rules import Known
from gossamer.passes.analysis.fact_scope import MAX_LEAVES, Call, Scope
from gossamer.passes.analysis.indices import Axis, Index, Var
from gossamer.passes.analysis.predicates import NEVER, NonZero, Predicate, at_least, equal
from gossamer.tests.passes.programs import program
from xdsl.dialects.func import FuncOp

M, N, X = (Var(order, order, name) for order, name in enumerate("mnx"))
ROW, COLUMN = Index.of(Axis(0)), Index.of(Axis(1))


def given(body: str, demanded: Predicate) -> Given:
    """The first call of a function of x [3, 4] and y [5, 4], with what is demanded of it."""
    text = f"func.func @forward(%x: tensor<3x4xf32>, %y: tensor<5x4xf32>) {{ {body} func.return }}"
    function = next(op for op in program(text).ops if isinstance(op, FuncOp))
    scope = Scope(function)
    first = function.body.block.first_op
    return Given(Call(scope, first), Demand(demanded), Known())  # pyright: ignore[reportArgumentType]


PRODUCT = '%r = aten.call "aten.linear.default"(%x, %y) : (tensor<3x4xf32>, tensor<5x4xf32>) -> tensor<3x5xf32>'
SLICE = '%r = aten.call "aten.slice.Tensor"(%x, 1, 1, 3) : (tensor<3x4xf32>) -> tensor<3x2xf32>'


def test_two_readers_demand_what_either_does_and_need_what_both_do():
    one, other = Demand(NonZero(M, (ROW,)), frozenset({X})), Demand(NonZero(N, (ROW,)))
    assert str(one | other) == "nz(%m) or nz(%n); needs finite %x"
    assert one | Demand(~NonZero(M, (ROW,))) == WHOLE
    assert one | Demand(NEVER) == one


def test_a_demand_that_is_too_long_to_follow_is_everything():
    total = Demand(NEVER)
    for column in range(MAX_LEAVES + 1):
        assert total != WHOLE
        total |= Demand(equal(COLUMN, column))
    assert total == WHOLE


@pytest.mark.parametrize(
    ("demanded", "x", "y"),
    [
        (equal(ROW, 2), "i0 == 2", "always"),
        (equal(COLUMN, 2), "always", "i0 == 2"),
        (at_least(ROW - COLUMN), "always", "i0 < 3"),
        (NonZero(M, (ROW, COLUMN)), "any(nz(%m)[i0, j1] for j1 < 5)", "any(nz(%m)[j1, i0] for j1 < 3)"),
    ],
)
def test_an_operand_is_read_where_some_result_of_its_label_is(demanded: Predicate, x: str, y: str):
    """Along k, which is summed, everything is read."""
    call = given(PRODUCT, demanded)
    space = joint(call)
    assert space is not None
    found = [str(space.of_operand(demanded, labels)) for labels in space.axes.operands]
    assert found == [x, y]


POSITIONS: dict[str, tuple[Callable[[], Predicate], str]] = {
    "one": (lambda: equal(COLUMN, 1), "i1 == 2"),
    "all": (lambda: equal(ROW, 0), "i1 > 0 and i1 < 3 and i0 == 0"),
    "none": (lambda: NEVER, "never"),
}


@pytest.mark.parametrize("name", POSITIONS)
def test_a_source_is_read_where_a_demanded_element_came_from(name: str):
    predicate, expected = POSITIONS[name]
    call = given(SLICE, predicate()).call
    assert str(read_at(call, predicate(), call.source(), (ROW, COLUMN + 1))) == expected
