"""Batch norms in evaluation become a scale and a shift; others stay."""

import gossamer
import pytest
import torch
from gossamer.tests.passes.programs import check, check_stays
from torch import nn

X, C, V = "tensor<?x3x4x4xf32>", "tensor<3xf32>", "tensor<3x1x1xf32>"
ARGUMENTS = f"%x: {X}, %w: {C}, %b: {C}, %m: {C}, %v: {C}"
FUNCTION = f"func.func @forward({ARGUMENTS}) -> {X}"


def norm(training: str) -> str:
    return f"""{FUNCTION} {{
      %y = aten.call "aten.batch_norm.default"(%x, %w, %b, %m, %v, {training}, 0.1, 1.0e-05, true)
           : ({X}, {C}, {C}, {C}, {C}) -> {X}
      func.return %y : {X}
    }}"""


def test_a_scale_and_a_shift():
    check(
        "split-batch-norm",
        before=norm("false"),
        after=f"""{FUNCTION} {{
          %e = aten.call "aten.add.Tensor"(%v, 1.0e-05) : ({C}) -> {C}
          %r = aten.call "aten.rsqrt.default"(%e) : ({C}) -> {C}
          %s = aten.call "aten.mul.Tensor"(%r, %w) : ({C}, {C}) -> {C}
          %t = aten.call "aten.addcmul.default"(%b, %m, %s, value = -1) : ({C}, {C}, {C}) -> {C}
          %s1 = aten.call "aten.view.default"(%s, [3, 1, 1]) : ({C}) -> {V}
          %t1 = aten.call "aten.view.default"(%t, [3, 1, 1]) : ({C}) -> {V}
          %p = aten.call "aten.mul.Tensor"(%x, %s1) attributes {{snn.rounded}} : ({X}, {V}) -> {X}
          %y = aten.call "aten.add.Tensor"(%p, %t1) : ({X}, {V}) -> {X}
          func.return %y : {X}
        }}""",
    )


def test_one_in_training_stays():
    check_stays("split-batch-norm", norm("true"))


@pytest.mark.parametrize("affine", [True, False])
def test_it_is_the_norm_but_for_a_rounding(affine):
    torch.manual_seed(0)
    model, x = nn.BatchNorm2d(5, affine=affine), torch.randn(4, 5, 7, 3) * 3
    model(x * 2 + 1)
    model.eval()
    found = gossamer.compile(model, x, pipeline="split-batch-norm")
    assert [found.ir(stage).count("aten._native_batch_norm") for stage in ("import", "split-batch-norm")] == [1, 0]
    torch.testing.assert_close(found(x), model(x), rtol=1e-6, atol=1e-6)
    flat = torch.zeros_like(x)
    assert torch.equal(found(flat), model(flat))
