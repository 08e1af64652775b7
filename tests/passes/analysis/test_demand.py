"""Demand, by brute force: what stands outside of it may be any finite number, and no result changes."""

from collections.abc import Callable

import pytest
import torch
from gossamer.passes.analysis.demand import Demand, Demands, backward_demand
from gossamer.passes.analysis.demand_forms import RULES
from gossamer.passes.analysis.fact_scope import is_real
from gossamer.passes.analysis.predicates import ALWAYS
from gossamer.runtime import reference
from gossamer.tests.passes.analysis.fact_checks import active, is_tame, observe
from gossamer.tests.passes.analysis.fact_programs import (
    Input,
    Program,
    Row,
    arguments_of,
    below,
    mask,
    programs,
    real,
    row,
    weight,
)
from gossamer.tests.passes.programs import program as parsed
from torch import Tensor
from torch.nn import functional
from xdsl.dialects.builtin import FunctionType, TensorType
from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue

ALL = "always"
W = {"w": weight(6, 6), "v": weight(3, 6), "g": weight(6, 6)}


def demands(function: Callable[..., Tensor], *expected: str, **inputs: Input) -> Row:
    """A function and what is demanded of its first arguments, in order."""
    return row(function, *expected, **inputs)


def gated(gate: Callable[[Tensor], Tensor]) -> Row:
    """The up projection beside a gate, and the projection down: `x` is what comes up."""
    return demands(lambda x, y, v: functional.linear(gate(y) * x, v), gated_by(gate), ALL, v=W["v"])


def gated_by(gate: Callable) -> str:
    return {
        functional.relu: "nz(%relu); needs finite %x",
        functional.hardshrink: "nz(%y) and not %abs <= 0.5; needs finite %x",
    }.get(gate, ALL)


CASES: dict[str, Row] = {
    "relu(gate) * up": gated(functional.relu),
    "hardshrink(gate) * up": gated(functional.hardshrink),
    "silu(gate) * up": gated(functional.silu),
    "gelu(gate) * up": gated(functional.gelu),
    "relu(gate)^2 * up": demands(
        lambda x, y: functional.relu(y).square() * x, "nz(%relu) and nz(%square); needs finite %x", ALL
    ),
    "relu(gate) * relu(up)": demands(
        lambda x, y: functional.relu(y) * functional.relu(x),
        "nz(%relu); needs finite %relu_1",
        "nz(%relu_1); needs finite %relu",
    ),
    "a chain that keeps zeros": demands(
        lambda x, y: ((x * 2).tanh() + 1) * functional.relu(y), "nz(%relu); needs finite %add"
    ),
    "a mask that multiplies": demands(lambda x, m: x * m[:, None], "nz(%m); needs finite %x"),
    "where": demands(lambda x, m: torch.where(m[:, None], x, 0.0), "nz(%m)", ALL),
    "where, the other": demands(lambda x, y, m: torch.where(m[:, None], x, y), "nz(%m)", "not nz(%m)"),
    "where a number": demands(lambda x, y: torch.where(y > 0.5, x, 0.0), "%y > 0.5", ALL),
    "masked_fill": demands(lambda x, m: x.masked_fill(m[:, None], 0.0), "not nz(%m)", ALL),
    "masked_fill of columns": demands(lambda x, c: x.masked_fill(c, 0.0), "not nz(%c)[i1]", c=mask(6)),
    "one tensor in both places": demands(lambda x, m: torch.where(m[:, None], x, x * 2), ALL),
    "addcmul": demands(lambda x, y, z: torch.addcmul(x, functional.relu(z), y), ALL, "nz(%relu); needs finite %y"),
    "logical and": demands(lambda c, m: (c & m[:, None]).float(), "nz(%m)", c=mask(4, 6)),
    "index_select": demands(lambda x, i: x.index_select(1, i), "any(%i[j1] == i1 for j1 < 2)", ALL, i=below(6, 2)),
    "gather": demands(lambda x, i: x.gather(1, i), "any(%i[i0, j1] == i1 for j1 < 2)", i=below(6, 4, 2)),
    "index": demands(lambda x, i: x[i], "any(%i[j1] % 4 == i0 for j1 < 2)", i=below(4, 2)),
    "the largest": demands(lambda x, y: x.gather(1, y.topk(2).indices), "any(%topk_1[i0, j1] == i1 for j1 < 2)"),
    "embedding": demands(lambda x, i: functional.embedding(i, x), "any(%i[j1] == i0 for j1 < 2)", i=below(4, 2)),
    "select": demands(lambda x: x[:, 2], "i1 == 2"),
    "slice": demands(lambda x: x[1:3], "i0 > 0 and i0 < 3"),
    "slice with a step": demands(lambda x: x[:, ::2], "any(2*j1 == i1 for j1 < 3)"),
    "transpose": demands(lambda x, m: x.t().masked_fill(m, 0.0), "not nz(%m)"),
    "reshape": demands(lambda x, c: x.reshape(2, 12).masked_fill(c, 0.0), "not nz(%c)[(6*i0 + i1) % 12]", c=mask(12)),
    "expand": demands(
        lambda x, m: x[0].expand(4, 6).masked_fill(m[:, None], 0.0), "any(not nz(%m)[j1] for j1 < 4) and i0 == 0"
    ),
    "cat": demands(lambda x, y, m: torch.cat([x, y])[:5], ALL, "i0 < 1"),
    "pad": demands(lambda x: functional.pad(x, (-1, 1)), "i1 > 0"),
    "tril": demands(lambda x: x.tril(), "i0 >= i1"),
    "sum": demands(lambda x, m: x.sum(1).masked_fill(m, 0.0), "not nz(%m)"),
    "softmax": demands(lambda x, m: x.softmax(1).masked_fill(m[:, None], 0.0), "not nz(%m)"),
    "softmax along the mask": demands(
        lambda x, c: x.softmax(1).masked_fill(c, 0.0), "any(not nz(%c)[j1] for j1 < 6)", c=mask(6)
    ),
    "cumsum": demands(lambda x, c: x.cumsum(1).masked_fill(c, 0.0), "any(not nz(%c)[j1] for j1 < 6)", c=mask(6)),
    "layer_norm": demands(lambda x, m: functional.layer_norm(x, (6,)) * m[:, None], "nz(%m); needs finite %layer_norm"),
    "layer_norm along the mask": demands(
        lambda x, c: functional.layer_norm(x, (6,)).masked_fill(c, 0.0), "any(not nz(%c)[j1] for j1 < 6)", c=mask(6)
    ),
    "rms_norm along the mask": demands(
        lambda x, c: functional.rms_norm(x, (6,)).masked_fill(c, 0.0), "any(not nz(%c)[j1] for j1 < 6)", c=mask(6)
    ),
    "rows of a product": demands(
        lambda x, m, w: functional.linear(x, w).masked_fill(m[:, None], 0.0), "not nz(%m)", w=W["w"]
    ),
    "columns of a product": demands(
        lambda w, x, c: functional.linear(x, w).masked_fill(c, 0.0), "not nz(%c)", w=real(6, 6), c=mask(6)
    ),
    "a product with zeros": demands(
        lambda x, y: x @ (functional.relu(y).t()), "any(nz(%relu)[j1, i1] for j1 < 4); needs finite %x"
    ),
    "convolution": demands(
        lambda x, m: functional.conv1d(x[:, None], torch.ones(1, 1, 3)).masked_fill(m[:, None, None], 0.0), "not nz(%m)"
    ),
    "threshold_backward": demands(lambda x, y: torch.ops.aten.threshold_backward(x, y, 0.0), "not %y <= 0.0", ALL),
    "two readers": demands(
        lambda x, m, n: x.masked_fill(m[:, None], 0.0) + x.masked_fill(n[:, None], 0.0), "not nz(%m) or not nz(%n)"
    ),
    "sizes only": demands(lambda x: torch.zeros_like(x) + 1.0, "never"),
    "an op without a rule": demands(lambda x, m: torch.fft.fft(x).real.masked_fill(m[:, None], 0.0), ALL),
}


@pytest.fixture(scope="module")
def imported() -> dict[str, Program]:
    return dict(zip(CASES, programs(list(CASES.values())), strict=True))


def shown(demand: Demand | None) -> str:
    return "never" if demand is None else str(demand)


@pytest.mark.parametrize("name", CASES)
def test_demand_reads_as_expected(name: str, imported: dict[str, Program]):
    program, case = imported[name], CASES[name]
    found = backward_demand(program.function)
    for argument, expected in zip(program.function.args, case.facts, strict=False):
        assert shown(found.of(argument)) == expected


@pytest.mark.parametrize("name", CASES)
def test_nothing_outside_of_the_demand_changes_a_result(name: str, imported: dict[str, Program]):
    torch.manual_seed(0)
    check(imported[name], CASES[name], backward_demand(imported[name].function))


@pytest.mark.parametrize("name", CASES)
def test_strict_demand_needs_nothing_to_be_finite(name: str, imported: dict[str, Program]):
    found = backward_demand(imported[name].function, strict=True)
    assert all(not demand.needs_finite for demand in found.found.values())
    torch.manual_seed(0)
    check(imported[name], CASES[name], found, wild=True)


def check(program: Program, case: Row, found: Demands, wild: bool = False) -> None:
    """Perturb every real value outside of its demand, for several inputs."""
    for manner in ("sparse", "sparse", "all", "none"):
        args = [source.draw(manner) for _, source in arguments_of(case)]
        values = observe(program, args)
        for value in list(found.scope.order):
            if isinstance(value.type, TensorType) and is_real(value) and (demand := found.of(value)) is not None:
                if demand.predicate == ALWAYS or not all(is_tame(var, values) for var in demand.needs_finite):
                    continue
                perturb(program, value, ~active(demand.predicate, values[value].shape, values), values, args, wild)


def perturb(program: Program, value: SSAValue, outside: Tensor, values: dict, args: list[Tensor], wild: bool) -> None:
    """The result with `value` replaced by something else `outside` is what it was, bit for bit."""
    tensor = values[value]
    for other in (torch.randn_like(tensor) * 10, torch.zeros_like(tensor), tensor + 1, *wildly(tensor, wild)):
        given = [*args, torch.where(outside, other, tensor)]
        (result,) = reference.run(cut(program, value), program.weights, given)
        torch.testing.assert_close(result, values[program.result], rtol=0, atol=0, equal_nan=True)


def wildly(tensor: Tensor, wild: bool) -> list[Tensor]:
    return [torch.full_like(tensor, number) for number in (torch.nan, torch.inf)] if wild else []


def cut(program: Program, value: SSAValue):
    """The program with one more argument, which everybody reads instead of `value`."""
    values: dict[SSAValue, SSAValue] = {}
    module = program.module.clone(value_mapper=values)
    function = next(op for op in module.ops if isinstance(op, FuncOp))
    block = function.body.block
    argument = block.insert_arg(value.type, len(block.args))
    values[value].replace_all_uses_with(argument)
    function.properties["function_type"] = FunctionType.from_lists(list(block.arg_types), [program.result.type])
    return module


def test_what_is_returned_where_nobody_cares_is_not_demanded():
    module = parsed(
        """func.func @forward(%x: tensor<2x4x8xf32>, %m: tensor<2x4xi1> {aten.name = "m"})
            -> (tensor<2x4x8xf32> {sparse.dont_care = "m"}) {
          %y = aten.call "aten.exp.default"(%x) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
          func.return %y : tensor<2x4x8xf32>
        }"""
    )
    function = next(op for op in module.ops if isinstance(op, FuncOp))
    assert shown(backward_demand(function).of(function.args[0])) == "nz(%m)"


def test_rules_can_be_added(monkeypatch: pytest.MonkeyPatch):
    """An op of which nothing is known reads everything, until a rule says otherwise."""
    (program,) = programs([row(lambda x, m: torch.special.bessel_j0(x).masked_fill(m[:, None], 0.0))])
    assert shown(backward_demand(program.function).of(program.function.args[0])) == ALL
    monkeypatch.setitem(RULES, "aten.special_bessel_j0.default", lambda given: {given.call.source(): given.demand})
    assert shown(backward_demand(program.function).of(program.function.args[0])) == "not nz(%m)"
