"""Liveness by force: rows that are said to be dead are overwritten in every value, and nobody may notice."""

import random
from typing import Any

import pytest
import torch
from gossamer.compiler.dont_care import annotate, leaf_names, read
from gossamer.compiler.frontends.torch_export import Imported, import_model
from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.aten import CallOp, dims
from gossamer.passes.analysis.index_view import Source
from gossamer.passes.analysis.live import Live, Liveness
from gossamer.passes.analysis.liveness import liveness
from gossamer.passes.solvers.index_expr import Expr, sources_of
from gossamer.runtime import reference
from gossamer.runtime.calls import arguments, resolve
from gossamer.tests.passes.expressions import evaluate
from gossamer.tests.passes.models import CASES, PATTERNS, Inputs, Model, dynamic, vectors
from gossamer.tests.passes.packed import selected
from xdsl.dialects.builtin import TensorType
from xdsl.interpreter import Interpreter, PythonValues, impl, register_impls
from xdsl.ir import SSAValue

Values = dict[SSAValue, Any]


def imported(name: str) -> Imported:
    """A model with the rows that nobody reads written on it, before any packing."""
    case = CASES[name]
    inputs = case.inputs(PATTERNS["right"](3, 7))
    found = import_model(case.build(), (), inputs, dynamic(inputs))
    if case.dont_care:
        annotate(found.function, case.dont_care)
    run_pipeline(found.module, "simplify")
    return found


def sizes(values: Values) -> dict[int | str, int]:
    """The symbols of the program as numbers."""
    pairs = ((dims(v.type), x.shape) for v, x in values.items() if isinstance(v.type, TensorType))
    return {size: number for names, shape in pairs for size, number in zip(names, shape, strict=True)}


def dead(found: Liveness, state: Live, full: torch.Tensor, values: Values) -> torch.Tensor:
    """For each element of `full`: is it in a row that nobody reads?"""
    known = sizes(values)
    space = [known[size] for size in state.space]

    def table(expression: Expr) -> torch.Tensor:
        tensors = {s: values[s.value] for s in sources_of(expression) if isinstance(s, Source)}
        return evaluate(expression, space, tensors).expand(*space)

    if not all(table(keys).any(-1).all() for keys in found.some_key(state.group)):
        return torch.zeros(full.shape, dtype=torch.bool)
    return ~selected(state.layout, full.shape, table(state.rows))


def overwritten(full: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Large numbers, or other indices that are still allowed."""
    if full.dtype == torch.bool:
        return torch.where(where, torch.rand(full.shape) < 0.5, full)
    if not full.is_floating_point():
        return torch.where(where, torch.randint(0, 2, full.shape), full)
    return torch.where(where, 1e3 * torch.randn(full.shape), full)


@register_impls
class Vandal(reference.AtenFunctions):
    """Calls as they are, but with their dead rows overwritten; counts what it overwrites."""

    found: Liveness
    values: Values
    count: int = 0

    @impl(CallOp)
    def call(self, interpreter: Interpreter, op: CallOp, args: PythonValues) -> PythonValues:
        positional, keywords = arguments(op.template.data, args)
        result = resolve(op)(*positional, **keywords)
        results = tuple(result) if op.unpack else (result,) if op.results else ()
        return tuple(map(self.spoil, op.results, results))

    def spoil(self, value: SSAValue, full: Any) -> Any:
        """`full`, which is `value`, with its dead rows overwritten."""
        state = self.found.live(value)
        if state is None:
            return full
        where = dead(self.found, state, full, self.values)
        self.count += int(where.sum())
        return overwritten(full, where)


def spoiled(program: Imported, found: Liveness, inputs: Inputs) -> tuple[list[Any], int]:
    """Results when all dead rows are overwritten, and how many elements that were."""
    values: Values = dict(zip(program.function.args, inputs.values(), strict=True))
    reference.run(
        program.module,
        program.weights,
        list(inputs.values()),
        observe=lambda op, r: values.update(zip(op.results, r, strict=True)),
    )
    vandal = Vandal(program.weights, set())
    vandal.found, vandal.values = found, values
    interpreter = Interpreter(program.module)
    for functions in (reference.NumberFunctions(), reference.FuncFunctions(), vandal):
        interpreter.register_implementations(functions)
    arguments = tuple(map(vandal.spoil, program.function.args, inputs.values()))
    return list(interpreter.call_op(program.function, arguments)), vandal.count


@pytest.mark.parametrize("name", sorted(set(CASES)))
def test_rows_that_are_dead_may_hold_anything(name):
    program = imported(name)
    found, masks = liveness(program.function), read(program.function)
    names, total = leaf_names(program.function.res_attrs), 0
    for pattern in ("holes", "an empty sequence", random.choice(sorted(PATTERNS))):
        inputs = CASES[name].inputs(PATTERNS[pattern](3, 6))
        with torch.no_grad():
            plain = reference.run(program.module, program.weights, list(inputs.values()))
            results, count = spoiled(program, found, inputs)
        total += count
        for result, wanted, leaf in zip(results, plain, names, strict=True):
            live = inputs[masks[leaf]] != 0 if leaf in masks else torch.ones((), dtype=torch.bool).expand(wanted.shape)
            torch.testing.assert_close(result[live], wanted[live], rtol=1e-5, atol=1e-5, equal_nan=True)
    assert total > 0, "nothing was dead: the test says nothing"


@pytest.mark.parametrize("name", ["mean of rows", "mask as number", "two masks", "mean"])
def test_exact_liveness_refuses_zeros_that_only_finite_rows_give(name):
    function = imported(name).function
    for op in function.body.block.ops:
        if isinstance(op, CallOp) and op.target.data == "aten.linear.default":
            loose, exact = liveness(function), liveness(function, exact=True)
            assert loose.live(op.results[0]) is not None
            if name != "two masks":
                assert exact.live(op.results[0]) is None


def test_the_reader_of_all_rows_is_named():
    def head(h: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        return h.softmax(1) * keep[..., None]

    inputs = vectors(PATTERNS["right"](3, 7))
    function = import_model(Model(head), (), inputs, dynamic(inputs)).function
    found = liveness(function)
    linears = [op for op in function.body.block.ops if isinstance(op, CallOp) and "linear" in op.target.data]
    reader = found.needed_whole_by(linears[-1].results[0])
    assert isinstance(reader, CallOp)
    assert "softmax" in reader.target.data
