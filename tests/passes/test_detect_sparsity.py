"""Facts and liveness as they are printed on the IR."""

from gossamer.compiler.context import parse_text, print_module
from gossamer.dialects.aten import CallOp
from gossamer.passes.detect_sparsity import DetectSparsity
from xdsl.dialects.builtin import StringAttr

PROGRAM = """
func.func @forward(%x: tensor<2x4x8xf32>, %m: tensor<2x4xi1> {aten.name = "m"}, %w: tensor<8x8xf32>)
    -> (tensor<2x4x8xf32> {sparse.dont_care = "m"}) {
  %r = aten.call "aten.relu.default"(%x) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %y = aten.call "aten.linear.default"(%r, %w) : (tensor<2x4x8xf32>, tensor<8x8xf32>) -> tensor<2x4x8xf32>
  func.return %y : tensor<2x4x8xf32>
}"""


def detected(text: str) -> dict[str, dict[str, str]]:
    """The sparsity attributes of each call, by its result's name."""
    module = parse_text(text)
    DetectSparsity().apply(None, module)  # pyright: ignore[reportArgumentType]
    module.verify()
    assert parse_text(print_module(module)).is_structurally_equivalent(module)
    return {
        op.results[0].name_hint or "": {k: v.data for k, v in op.attributes.items() if isinstance(v, StringAttr)}
        for op in module.walk()
        if isinstance(op, CallOp)
    }


def test_a_relu_is_zero_where_it_is_not_positive():
    assert detected(PROGRAM)["r"]["sparse.inactive"] == "0 on axes [0, 1, 2] unless nz(%r)"


def test_rows_that_the_user_does_not_care_for_are_dead_up_to_the_first_op():
    found = detected(PROGRAM)
    assert found["y"]["sparse.live"] == "%m[i, j] over i j a"
    assert found["r"]["sparse.live"] == "%m[i, j] over i j a"


def test_nothing_is_live_or_dead_when_every_row_is_returned():
    found = detected(PROGRAM.replace('{sparse.dont_care = "m"}', ""))
    assert "sparse.live" not in found["y"]
    assert "sparse.live" not in found["r"]


def test_what_a_mask_hides_is_not_demanded():
    """Rows that the user does not care for, and, behind a product, everything else."""
    found = detected(PROGRAM)
    assert found["y"]["sparse.demand"] == "nz(%m)"
    assert found["r"]["sparse.demand"] == "nz(%m)"
    assert "sparse.demand" not in detected(PROGRAM.replace('{sparse.dont_care = "m"}', ""))["y"]


def test_a_second_run_changes_nothing():
    module = parse_text(PROGRAM)
    DetectSparsity().apply(None, module)  # pyright: ignore[reportArgumentType]
    once = print_module(module)
    DetectSparsity().apply(None, module)  # pyright: ignore[reportArgumentType]
    assert print_module(module) == once
