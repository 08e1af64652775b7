"""Checking: a pass that changes what a model computes is caught, with the op that does it."""

from dataclasses import dataclass

import pytest
import torch
from gossamer.compiler.check import compare, first_difference
from gossamer.compiler.context import parse_text
from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.aten import CallOp, TemplateAttr
from gossamer.dialects.template import Template
from xdsl.dialects.builtin import StringAttr
from xdsl.passes import ModulePass

DENSE = """
aten.weight parameter @w : tensor<3x4xf32> digest ""
func.func @forward(%x: tensor<2x5x4xf32> {aten.name = "x"}, %m: tensor<2x5xi64> {aten.name = "mask"})
    -> (tensor<2x5x3xf32> {aten.name = "y" DONT_CARE}, tensor<2x3xf32> {aten.name = "sum"}) {
  %w = aten.parameter @w : tensor<3x4xf32>
  %h = aten.call "aten.linear.default"(%x, %w) : (tensor<2x5x4xf32>, tensor<3x4xf32>) -> tensor<2x5x3xf32> loc("model.py":4:0)
  %r = aten.call "aten.relu.default"(%h) : (tensor<2x5x3xf32>) -> tensor<2x5x3xf32> loc("model.py":5:0)
  %t = aten.call "aten.tanh.default"(%r) : (tensor<2x5x3xf32>) -> tensor<2x5x3xf32> loc("model.py":6:0)
  %s = aten.call "aten.sum.dim_IntList"(%x, [1]) : (tensor<2x5x4xf32>) -> tensor<2x4xf32> loc("model.py":7:0)
  %p = aten.call "aten.linear.default"(%s, %w) : (tensor<2x4xf32>, tensor<3x4xf32>) -> tensor<2x3xf32> loc("model.py":8:0)
  func.return %t, %p : tensor<2x5x3xf32>, tensor<2x3xf32>
}
"""  # noqa: E501
PACKED = """
aten.weight parameter @w : tensor<3x4xf32> digest ""
func.func @forward(%x: tensor<2x5x4xf32> {aten.name = "x"}, %m: tensor<2x5xi64> {aten.name = "mask"})
    -> (tensor<2x5x3xf32> {aten.name = "y" DONT_CARE}, tensor<2x3xf32> {aten.name = "sum"}) {
  %w = aten.parameter @w : tensor<3x4xf32>
  %d = sparse.domain %m : tensor<2x5xi64> -> !sparse.domain<2, 5>
  %c = sparse.gather %x[%d] "i j a" : tensor<2x5x4xf32>, !sparse.domain<2, 5> -> tensor<?x4xf32>
  %h = aten.call "aten.linear.default"(%c, %w) attributes {sparse.layout = #sparse<layout "i j a">} : (tensor<?x4xf32>, tensor<3x4xf32>) -> tensor<?x3xf32> loc("model.py":4:0)
  %r = aten.call "aten.relu.default"(%h) attributes {sparse.layout = #sparse<layout "i j a">} : (tensor<?x3xf32>) -> tensor<?x3xf32> loc("model.py":5:0)
  %f = sparse.scatter %r[%d] "i j a" : tensor<?x3xf32>, !sparse.domain<2, 5> -> tensor<2x5x3xf32> loc("model.py":5:0)
  %t = aten.call "aten.tanh.default"(%f) : (tensor<2x5x3xf32>) -> tensor<2x5x3xf32> loc("model.py":6:0)
  %s = aten.call "aten.sum.dim_IntList"(%x, [1]) : (tensor<2x5x4xf32>) -> tensor<2x4xf32> loc("model.py":7:0)
  %p = aten.call "aten.linear.default"(%s, %w) : (tensor<2x4xf32>, tensor<3x4xf32>) -> tensor<2x3xf32> loc("model.py":8:0)
  func.return %t, %p : tensor<2x5x3xf32>, tensor<2x3xf32>
}
"""  # noqa: E501


def inputs() -> list[torch.Tensor]:
    mask = torch.tensor([[1, 1, 0, 0, 1], [0, 1, 0, 1, 0]])
    return [torch.randn(2, 5, 4), mask]


def weights() -> dict[str, torch.Tensor]:
    return {"w": torch.randn(3, 4)}


def dense(*, dont_care: bool = False):
    return parse_text(DENSE.replace("DONT_CARE", ', sparse.dont_care = "mask"' if dont_care else ""))


@dataclass(frozen=True)
class Become(ModulePass):
    """Stands for any pass: the module becomes the one in `text`."""

    name = "become"
    text: str = ""

    def apply(self, ctx, op):
        op.body.detach_block(0).erase()
        op.body.add_block(parse_text(self.text).body.detach_block(0))


@dataclass(frozen=True)
class Swap(ModulePass):
    """Calls another torch op wherever `old` is called."""

    name = "swap"
    old: str = ""
    new: str = ""

    def apply(self, ctx, op):
        for call in op.walk():
            if isinstance(call, CallOp) and call.target.data == self.old:
                call.properties["target"] = StringAttr(self.new)


class SumAnotherAxis(ModulePass):
    name = "sum-another-axis"

    def apply(self, ctx, op):
        for call in op.walk():
            if isinstance(call, CallOp) and call.target.data == "aten.sum.dim_IntList":
                template = call.template.data
                call.properties["template"] = TemplateAttr(Template((template.args[0], (0,))))


def test_passes_that_keep_the_results_pass():
    trace = run_pipeline(dense(), ["cse", "dce"])
    assert first_difference(trace, weights(), inputs()) is None


def test_the_pass_and_the_op_that_change_a_result_are_named():
    trace = run_pipeline(dense(), ["cse", Swap("aten.relu.default", "aten.abs.default"), "dce"])
    found = first_difference(trace, weights(), inputs())
    assert found is not None
    assert (found.stage.name, found.result) == ("swap", "y")
    assert found.op is not None
    assert found.op.results[0].name_hint == "r", "not the tanh after it, which differs too"
    assert "pass 'swap' changes the result 'y'" in str(found)
    assert 'aten.call "aten.abs.default"' in str(found)
    assert "from model.py:5" in str(found)


def test_a_pass_is_named_when_another_result_is_the_first_to_differ():
    found = first_difference(
        run_pipeline(dense(), [Swap("aten.tanh.default", "aten.sin.default")]), weights(), inputs()
    )
    assert found is not None
    assert found.op is not None
    assert found.op.results[0].name_hint == "t"


def test_rows_that_nobody_reads_may_change():
    for packed, cared in ((PACKED, False), (PACKED, True)):
        text = packed.replace("DONT_CARE", "" if cared else ', sparse.dont_care = "mask"')
        trace = run_pipeline(dense(dont_care=not cared), [Become(text)])
        found = first_difference(trace, weights(), inputs())
        assert (found is not None) == cared


def test_a_compact_op_is_compared_with_the_active_rows_of_the_full_one():
    text = PACKED.replace("DONT_CARE", ', sparse.dont_care = "mask"').replace("aten.relu", "aten.abs")
    found = first_difference(run_pipeline(dense(dont_care=True), [Become(text)]), weights(), inputs())
    assert found is not None
    assert found.op is not None
    assert found.op.results[0].name_hint == "r", "the linear before it agrees on the active rows"


def test_a_module_that_asks_for_the_same_bits_gets_no_tolerance():
    module = dense()
    nearly = [Swap("aten.tanh.default", "gossamer_test.nearly_tanh.default")]
    with torch.library._scoped_library("gossamer_test", "FRAGMENT") as library:
        library.define("nearly_tanh(Tensor x) -> Tensor")
        library.impl("nearly_tanh", lambda x: torch.nextafter(torch.tanh(x), torch.tensor(9.0)), "CPU")
        assert first_difference(run_pipeline(module.clone(), nearly), weights(), inputs()) is None
        module.attributes["gossamer.exact"] = StringAttr("bitwise")
        assert first_difference(run_pipeline(module, nearly), weights(), inputs()) is not None


def test_a_result_of_another_shape_differs():
    module = dense()
    trace = run_pipeline(module, [SumAnotherAxis()])
    found = first_difference(trace, weights(), inputs())
    assert found is not None
    assert "float32[2, 3] -> float32[5, 3]" in found.how


def test_inputs_and_weights_are_left_alone():
    own, given = weights(), inputs()
    before = [t.clone() for t in (*own.values(), *given)]
    first_difference(run_pipeline(dense(), ["cse"]), own, given)
    assert all(torch.equal(a, b) for a, b in zip(before, (*own.values(), *given), strict=True))


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(
    ("before", "after", "equal"),
    [
        ([1.0, NAN, INF, -INF], [1.0, NAN, INF, -INF], True),
        ([1.0], [NAN], False),
        ([NAN], [1.0], False),
        ([INF], [-INF], False),
        ([1.0, INF], [1.1, INF], False),
        ([], [], True),
    ],
)
def test_special_numbers_equal_themselves_only(before, after, equal, exact):
    assert (not compare(torch.tensor(before), torch.tensor(after), exact=exact)) == equal


def test_the_sign_of_zero_counts_where_bits_count():
    zero, minus = torch.tensor([0.0]), torch.tensor([-0.0])
    assert compare(zero, minus, exact=True)
    assert not compare(zero, minus, exact=False)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64])
def test_a_reordered_sum_is_equal_within_the_tolerance_of_its_dtype(dtype):
    numbers = torch.randn(64, 200, dtype=torch.complex128 if dtype.is_complex else torch.float64)
    expected, found = numbers.to(dtype).sum(1), numbers.flip(1).to(dtype).sum(1)
    assert not compare(expected, found, exact=False)
    assert compare(expected, found + expected.abs().max() * 0.2, exact=False)


def test_integers_and_flags_have_no_tolerance():
    assert compare(torch.tensor([1000000]), torch.tensor([1000001]), exact=False)
    assert compare(torch.tensor([True]), torch.tensor([False]), exact=False)


def test_a_difference_is_described_by_an_example():
    how = compare(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 2.0], [3.0, 5.0]]), exact=False)
    assert how == "1 of 4 numbers, such as 4.0 -> 5.0"
    assert compare(torch.zeros(2), torch.zeros(2, dtype=torch.float64), exact=False) == "float32[2] -> float64[2]"
    assert compare(3, 4, exact=False) == "3 -> 4"
