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
from gossamer.passes.detect_sparsity import show_live
from gossamer.passes.solvers.index_expr import Expr, sources_of
from gossamer.runtime import reference
from gossamer.runtime.calls import arguments, resolve
from gossamer.tests.passes.expressions import evaluate
from gossamer.tests.passes.models import CASES, PATTERNS, Inputs, Model, dynamic, vectors
from gossamer.tests.passes.packed import selected
from gossamer.tests.passes.programs import program
from xdsl.dialects.builtin import TensorType
from xdsl.dialects.func import FuncOp
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


HEAD = """
func.func @forward(%x: FULL {aten.name = "x"}, %k: KEEP {aten.name = "keep"}, %b: ROWS_KEPT {aten.name = "batch"},
                   %m: KEEP_1, %n: NUMBER, %o: tensor<f32>, %w: WEIGHT) -> (RESULT DONT_CARE) {
  %y = aten.call "aten.linear.default"(%x, %w) : (FULL, WEIGHT) -> FULL
"""


SHORT = {
    "ROWS_KEPT": 'tensor<?xi1, #aten.dims<"b">>',
    "NUMBER": 'tensor<?x?x1xf32, #aten.dims<"b", "s", 1>>',
    "MEANS": 'tensor<?x1x8xf32, #aten.dims<"b", 1, 8>>',
    "STEPS": 'tensor<?x8xf32, #aten.dims<"s", 8>>',
    "PLANE": 'tensor<?x?xf32, #aten.dims<"b", "s">>',
}


def of_linear(body: str, seed: str, result: str = "FULL") -> tuple[Liveness, dict[str, SSAValue]]:
    """Liveness where the linear layer's rows %y go through `body`, and the values by name."""
    text = (HEAD + body + "}").replace("RESULT", result)
    text = text.replace("DONT_CARE", f'{{sparse.dont_care = "{seed}"}}' if seed else "")
    for name, written in SHORT.items():
        text = text.replace(name, written)
    (function,) = (op for op in program(text).ops if isinstance(op, FuncOp))
    names: dict[str, SSAValue] = {r.name_hint or "": r for op in function.body.block.ops for r in op.results}
    return liveness(function), names


def shown(found: Liveness, value: SSAValue) -> str:
    state = found.live(value)
    return "whole" if state is None else show_live(state)


WHERE = '%z = aten.call "aten.where.ScalarOther"(%m, %y, 0.0) : (KEEP_1, FULL) -> FULL func.return %z : FULL'
CUT = '%z = aten.call "aten.select.int"(%y, AXIS, INDEX) : (FULL) -> POOLED func.return %z : POOLED'
NUMBERED = '%z = aten.call "aten.mul.Tensor"(%y, %n) : (FULL, NUMBER) -> FULL func.return %z : FULL'
FILLED = '%z = aten.call "aten.masked_fill.Scalar"(%y, %m, 1.0) : (FULL, KEEP_1) -> FULL func.return %z : FULL'
TWICE = '%z = aten.call "aten.where.self"(%m, %y, %y) : (KEEP_1, FULL) -> FULL func.return %z : FULL'
ROWS_READ = {
    "as the result says": ("func.return %y : FULL", "keep", "FULL", "%k[i, j] over i j a"),
    "where a mask holds, too": (WHERE, "keep", "FULL", "(%k[i, j] and %m[i, j, 0]) over i j a"),
    "of each sequence that is read, whatever a mask over positions says": (
        WHERE, "batch", "FULL", "%b[i] over i a b",
    ),
    "where they are not filled": (FILLED, "", "FULL", "not(%m[i, j, 0]) over i j a"),
    "where they are not filled with a tensor": (
        FILLED.replace("1.0", "%o").replace("Scalar", "Tensor").replace("KEEP_1)", "KEEP_1, tensor<f32>)"),
        "", "FULL", "not(%m[i, j, 0]) over i j a",
    ),
    "where either operand is read": (TWICE, "", "FULL", "whole"),
    "one position": (CUT.replace("AXIS, INDEX", "1, 2"), "", "POOLED", "(j == 2) over i j a"),
    "one position of the sequences that are read": (
        CUT.replace("AXIS, INDEX", "1, 0"), "batch", "POOLED", "%b[i] over i a b",
    ),
    "a position counted from an end that is not known": (CUT.replace("AXIS, INDEX", "1, -1"), "", "POOLED", "whole"),
    "one sequence": (CUT.replace("AXIS, INDEX", "0, 1").replace("POOLED", "STEPS"), "", "STEPS", "whole"),
    "where a number for each row is not zero, which is no mask": (NUMBERED, "", "FULL", "whole"),
    "one column": (CUT.replace("AXIS, INDEX", "2, 1").replace("POOLED", "PLANE"), "", "PLANE", "whole"),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS_READ)
def test_rows_are_read(name):
    body, seed, result, rows = ROWS_READ[name]
    found, values = of_linear(body, seed, result)
    assert shown(found, values["y"]) == rows


def test_the_reader_of_all_rows_is_found_behind_row_wise_ops():
    body = """
      %r = aten.call "aten.relu.default"(%y) : (FULL) -> FULL
      %z = aten.call "aten.softmax.int"(%r, 1) : (FULL) -> FULL
      func.return %z : FULL"""
    found, values = of_linear(body, "keep")
    assert found.needed_whole_by(values["y"]) is values["z"].owner
    found, values = of_linear(body.replace("%r, 1", "%r, -1"), "keep")
    assert found.needed_whole_by(values["y"]) is None
    found, values = of_linear(body.replace("%r, 1", "%r, -1"), "")
    reader = found.needed_whole_by(values["y"])
    assert reader is not None
    assert reader.name == "func.return"


def test_a_row_that_is_spread_over_masked_ones_is_read_whole():
    body = """
      %u = aten.call "aten.mean.dim"(%y, [1], true) : (FULL) -> MEANS
      %z = aten.call "aten.where.ScalarOther"(%m, %u, 0.0) : (KEEP_1, MEANS) -> FULL
      func.return %z : FULL"""
    found, values = of_linear(body, "")
    assert shown(found, values["u"]) == shown(found, values["y"]) == "whole"


def test_rows_that_are_read_in_two_layouts_are_read_whole():
    body = """
      %p = aten.call "aten.view.default"(%b, [-1, 1, 1]) : (ROWS_KEPT) -> KEPT
      %u = aten.call "aten.where.ScalarOther"(%m, %y, 0.0) : (KEEP_1, FULL) -> FULL
      %v = aten.call "aten.where.ScalarOther"(%p, %y, 0.0) : (KEPT, FULL) -> FULL
      %z = aten.call "aten.add.Tensor"(%u, %v) : (FULL, FULL) -> FULL
      func.return %z : FULL"""
    kept = 'tensor<?x1x1xi1, #aten.dims<"b", 1, 1>>'
    body = body.replace("ROWS_KEPT", SHORT["ROWS_KEPT"]).replace("KEPT", kept)
    found, values = of_linear(body, "")
    assert shown(found, values["y"]) == "whole"
    found, values = of_linear(body.replace("(%u, %v) : (FULL, FULL)", "(%v, %v) : (FULL)"), "")
    assert shown(found, values["y"]) == "%b[i] over i a b"
