"""Every rule of the axes is called: what it says of written calls is expected, and holds."""

from collections.abc import Callable

import pytest
import torch
from gossamer.dialects.aten import CallOp
from gossamer.passes.analysis.permutable import RULES, axes_of
from gossamer.tests.passes.analysis import fact_examples, fact_slice_examples
from gossamer.tests.passes.analysis.axis_examples import WRITTEN
from gossamer.tests.passes.analysis.axis_sites import (
    Site,
    filling,
    labels_are_whole,
    leaving_out,
    permuting,
    refusing,
    shown,
)
from gossamer.tests.passes.analysis.fact_programs import Program, Row, arguments_of, below, programs, real, row
from gossamer.tests.passes.analysis.test_permutable import ROWS as EXPORTED
from gossamer.tests.passes.analysis.written_programs import Value, call, takes_a_tensor, written

RANDOM = {f"aten.{name}" for name in "bernoulli.default bernoulli.p rand_like.default randn_like.default".split()}
"""As native_dropout: numbers are drawn in order."""
NUMBERS = {"aten.threshold.default": (0.5, 2.0), "aten.dropout.default": (0.5, False)}
INTEGERS = ("bitwise", "__and__", "__or__", "__xor__")


def last(program: Program) -> CallOp:
    """The call that makes the result."""
    op = program.result.owner
    assert isinstance(op, CallOp)
    return op


def target(program: Program) -> str:
    return last(program).target.data


def elementwise(name: str) -> Row:
    """A call of three tensors that broadcast, as many as it takes, and of numbers."""
    _, op, form = name.split(".")
    schema = getattr(getattr(torch.ops.aten, op), form)._schema
    count = sum(str(argument.type) == "Tensor" for argument in schema.arguments)
    given = [a for a in schema.arguments if not a.kwarg_only and not a.has_default_value() and str(a.type) != "Tensor"]
    numbers = NUMBERS.get(name, tuple(2 if op.startswith(INTEGERS) else 0.5 for _ in given))
    whole = op.startswith(INTEGERS)
    kinds = {"x": (2, 3, 4), "y": (3, 4), "z": (2, 1, 1)}
    inputs = {key: below(5, *sizes) if whole else real(*sizes) for key, sizes in kinds.items()}

    def function(x: Value, y: Value, z: Value) -> Value:
        return call(f"{op}.{form}", *(x, y, z)[:count], *numbers)

    return row(function, **inputs)


ELEMENTWISE = (
    {name for name, rule in RULES.items() if rule is RULES["aten.add.Tensor"] and takes_a_tensor(name)}
    - RANDOM
    - {"aten.native_dropout.default", "aten.to.dtype"}
)
ROWS = [
    *WRITTEN, *fact_examples.ELEMENTWISE, *fact_examples.MOVES, *fact_slice_examples.PRODUCTS,
    *fact_slice_examples.REDUCTIONS, *fact_slice_examples.NORMS,
]  # fmt: skip
CALLS = [(each, written(each)) for each in ROWS]
CALLED = {target(program) for _, program in CALLS}
CALLS += [(each := elementwise(name), written(each)) for name in sorted(ELEMENTWISE - CALLED)]
IDS = [f"{number} {target(program)}" for number, (_, program) in enumerate(CALLS)]


def check(number: int, *checks: Callable[[Site], None]) -> None:
    """Try out what is said of a call, if anything is."""
    each, program = CALLS[number]
    for one in checks if axes_of(last(program)) is not None else ():
        one(Site(program, [source.draw("plain") for _, source in arguments_of(each)]))


@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
@pytest.mark.parametrize("number", range(len(CALLS)), ids=IDS)
def test_what_is_said_of_an_axis_holds(number: int):
    check(number, labels_are_whole, permuting, leaving_out, filling)


@pytest.mark.parametrize("number", range(len(WRITTEN)), ids=IDS[: len(WRITTEN)])
def test_a_refused_axis_has_a_counterexample(number: int):
    check(number, refusing)


@pytest.mark.parametrize("number", range(len(WRITTEN)), ids=IDS[: len(WRITTEN)])
def test_axes_read_as_expected(number: int):
    axes = axes_of(last(CALLS[number][1]))
    assert axes is not None
    assert (shown(axes),) == WRITTEN[number].facts


def test_every_rule_has_an_example():
    called = CALLED | ELEMENTWISE | RANDOM | set(map(target, programs(list(EXPORTED.values()))))
    assert not sorted(name for name in set(RULES) - called if takes_a_tensor(name))
