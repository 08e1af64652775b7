"""Every rule of the forward facts is called: what it says is expected, and true."""

import importlib

import pytest
from gossamer.dialects.aten import CallOp
from gossamer.passes.analysis.facts import RULES, forward_facts
from gossamer.tests.passes.analysis import fact_examples, fact_slice_examples
from gossamer.tests.passes.analysis.fact_checks import check_often
from gossamer.tests.passes.analysis.fact_programs import Program, Row, programs
from gossamer.tests.passes.analysis.written_programs import takes_a_tensor, written

ROWS: list[Row] = [
    *fact_examples.ELEMENTWISE, *fact_examples.MOVES, *fact_slice_examples.PRODUCTS,
    *fact_slice_examples.REDUCTIONS, *fact_slice_examples.NORMS,
]  # fmt: skip
PROGRAMS = list(map(written, ROWS))
EXPORTED = ("test_fact_elementwise", "test_fact_moves", "test_fact_products", "test_fact_sources")
"""Tables of rules that exported programs reach."""


def targets(program: Program) -> set[str]:
    return {op.target.data for op in program.function.walk() if isinstance(op, CallOp)}


IDS = [f"{number} {op.target.data}" for number, p in enumerate(PROGRAMS) if isinstance(op := p.result.owner, CallOp)]


@pytest.mark.parametrize("number", range(len(ROWS)), ids=IDS)
def test_an_op_carries_its_facts_on(number: int):
    facts = forward_facts(PROGRAMS[number].function)
    assert tuple(map(str, facts.get(PROGRAMS[number].result, ()))) == ROWS[number].facts


@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
@pytest.mark.parametrize("number", range(len(ROWS)), ids=IDS)
def test_the_facts_are_true(number: int):
    check_often(PROGRAMS[number], forward_facts(PROGRAMS[number].function), ROWS[number])


def test_every_rule_has_an_example():
    called = set[str]().union(*map(targets, PROGRAMS))
    for name in EXPORTED:
        rows = importlib.import_module(f"gossamer.tests.passes.analysis.{name}").ROWS
        called = called.union(*map(targets, programs(list(rows.values()))))
    assert not sorted(target for target in RULES if takes_a_tensor(target) and target not in called)
