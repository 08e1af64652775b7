"""Predicates written as code select the positions that they say."""

import pytest
import torch
from gossamer.compiler.context import parse_text
from gossamer.dialects.aten import CallOp, dims, tensor_of
from gossamer.passes.analysis.index_view import Source
from gossamer.passes.masks import CannotWriteError, MaskWriter
from gossamer.passes.solvers.index_expr import FALSE, Apply, Axis, Constant, Element, Expr, apply
from gossamer.runtime.executor import Program
from gossamer.tests.passes.expressions import evaluate
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp, i1
from xdsl.dialects.func import FuncOp, ReturnOp

TEXT = """
func.func @forward(%keep: tensor<?x?xi1, #aten.dims<"b", "s">>, %words: tensor<?x?xi64, #aten.dims<"b", "s">>,
                   %rows: tensor<?xi64, #aten.dims<"b">>, %wide: tensor<?x3x?xi64, #aten.dims<"b", 3, "s">>,
                   %longer: tensor<?x?xi64, #aten.dims<"b", "t">>) {
  func.return
}"""
NAMES = ("keep", "words", "rows", "wide", "longer")


def function() -> tuple[ModuleOp, FuncOp]:
    module = parse_text(TEXT)
    (found,) = (op for op in module.ops if isinstance(op, FuncOp))
    return module, found


ROW, COLUMN = Axis(0), Axis(1)
LEAVES: list[Expr] = [
    Element("keep", (ROW, COLUMN), True),
    *(apply("nz", Element(name, (ROW, COLUMN), False)) for name in ("words", "longer")),
    apply("nz", Element("rows", (ROW,), False)),
    apply("nz", Element("wide", (ROW, Constant(1), COLUMN), False)),
    *(Apply(name, (COLUMN, Constant(2))) for name in ("lt", "le", "eq", "ne")),
    apply("lt", ROW, COLUMN),
]
"""Truth values over [b, s]: of each argument by its name, and of positions."""

predicates = st.recursive(
    st.sampled_from(LEAVES),
    lambda e: st.one_of(
        st.builds(lambda a: apply("not", a), e),
        st.builds(lambda n, a, b: apply(n, a, b), st.sampled_from(("and", "or")), e, e),
    ),
    max_leaves=6,
).filter(lambda e: not isinstance(e, Constant))


def placed(e: Expr, f: FuncOp) -> Expr:
    """`e` with the arguments of `f` in place of their names."""
    match e:
        case Element(str(name), indices, boolean):
            number = NAMES.index(name)
            return Element(Source(f.args[number], number), indices, boolean)
        case Apply(name, operands):
            return apply(name, *(placed(o, f) for o in operands))
        case _:
            return e


@settings(max_examples=120, deadline=None)
@given(predicates, st.integers(1, 3), st.integers(1, 5))
def test_the_mask_holds_where_the_predicate_does(predicate, batch, length):
    module, f = function()
    writer = MaskWriter(f, ("b", "s"))
    mask = writer.whole(writer.write(placed(predicate, f)))
    assert dims(mask.type) == ("b", "s")
    terminator = f.body.block.last_op
    assert terminator is not None
    f.body.block.insert_ops_before(writer.ops, terminator)
    f.body.block.insert_op_before(ReturnOp(mask), terminator)
    terminator.detach()
    f.update_function_type()
    module.verify()
    shapes = ((batch, length), (batch, length), (batch,), (batch, 3, length), (batch, length + 2))
    inputs = [torch.randint(0, 2, shape) for shape in shapes]
    inputs[0] = inputs[0].bool()
    (found,) = Program.build(module, {})(inputs)
    wanted = evaluate(predicate, (batch, length), dict(zip(NAMES, inputs, strict=True)))
    assert torch.equal(found != 0, wanted != 0)


UNWRITABLE = {
    "a sum of positions": lambda words: Apply("lt", (Apply("add", (Axis(0), Axis(1))), Constant(3))),
    "a tensor read at a sum": lambda words: Element(words, (Axis(0), Apply("add", (Axis(1), Constant(1)))), True),
    "a tensor read at swapped positions": lambda words: Element(words, (Axis(1), Axis(0)), True),
    "a constant": lambda words: FALSE,
}


@pytest.mark.parametrize("name", UNWRITABLE)
def test_what_has_no_code_is_said_to_have_none(name):
    _, f = function()
    with pytest.raises(CannotWriteError, match="no code"):
        MaskWriter(f, ("b", "s")).write(UNWRITABLE[name](Source(f.args[1], 1)))


def test_a_size_that_no_argument_has_cannot_be_written():
    _, f = function()
    with pytest.raises(CannotWriteError, match="no argument has the size u0"):
        MaskWriter(f, ("b", "u0")).write(Apply("lt", (Axis(1), Constant(2))))


def test_a_size_is_read_off_the_first_tensor_that_has_it():
    module = parse_text("""
    func.func @forward(%n: !aten.scalar<int, "n">, %rows: tensor<?xi64, #aten.dims<"b">>,
                       %keep: tensor<?x?xi1, #aten.dims<"b", "s">>, %more: tensor<?xi1, #aten.dims<"s">>) {
      func.return
    }""")
    (f,) = (op for op in module.ops if isinstance(op, FuncOp))
    writer = MaskWriter(f, ("b", "s"))
    mask = writer.write(Apply("lt", (COLUMN, Constant(2))))
    size = next(op for op in writer.ops if isinstance(op, CallOp) and op.target.data == "aten.sym_size.int")
    assert size.operands[0] is f.args[2]
    assert size.template.data.args[1] == 1
    assert tensor_of(mask).element_type == i1
