"""Small activations as zeros: where, how far, and that the user hears of it."""

import gossamer
import pytest
import torch
from gossamer.compiler.approximation import error_of, parse_share
from gossamer.compiler.pipeline import DEFAULT_PIPELINE
from gossamer.dialects.diagnostics import UserError
from gossamer.passes.insert_skips import InsertSkips
from gossamer.tests.passes.programs import check, check_stays
from torch import Tensor, nn
from torch.nn import functional

T, W = "tensor<1x8xf32>", "tensor<8x8xf32>"
SILU = f'%s = aten.call "aten.silu.default"(%x) : ({T}) -> {T}'
CUT = f'%t = aten.call "aten.hardshrink.default"(%s, 0.25) attributes {{sparse.approximate}} : ({T}) -> {T}'
SUM = f'%y = aten.call "aten.linear.default"(%s, %w) : ({T}, {W}) -> {T}'
ASK = "threshold-activations{threshold=0.25}"


def text(*lines: str) -> str:
    body = "\n".join(lines)
    return f"func.func @forward(%x: {T}, %w: {W}, %u: {T}) -> {T} {{ {body} func.return %y : {T} }}"


def test_an_activation_that_is_summed_over_is_cut():
    check(ASK, text(SILU, SUM), text(SILU, CUT, SUM.replace("%s", "%t")))


def test_one_that_gates_is_cut_and_both_its_readers_read_that():
    times = f'%h = aten.call "aten.mul.Tensor"(%s, %u) : ({T}, {T}) -> {T}'
    down = SUM.replace("%s", "%h")
    check(ASK, text(SILU, times, down), text(SILU, CUT, times.replace("%s", "%t"), down))


def test_what_no_product_sums_over_stays():
    check_stays(ASK, text(SILU.replace("%s", "%y")))
    check_stays(ASK, text(SILU, f'%y = aten.call "aten.softmax.int"(%s, 1) : ({T}) -> {T}'))


def test_nothing_happens_without_a_threshold():
    check_stays("threshold-activations", text(SILU, SUM))


def test_the_threshold_on_the_op_comes_first():
    own = SILU.replace("(%x)", "(%x) attributes {sparse.threshold = 0.5 : f64}")
    check(ASK, text(own, SUM), text(own, CUT.replace("0.25", "0.5"), SUM.replace("%s", "%t")))


def test_a_second_run_changes_nothing():
    check_stays(ASK, text(SILU, CUT, SUM.replace("%s", "%t")))


class Swiglu(nn.Module):
    """down(silu(gate(x)) * up(x))"""

    def __init__(self):
        super().__init__()
        self.gate, self.up, self.down = nn.Linear(16, 64), nn.Linear(16, 64), nn.Linear(64, 16)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(functional.silu(self.gate(x)) * self.up(x))


FREE = InsertSkips(call=0.0, start_k=0.0, copy_k=0.0, copy_n=0.0, bandwidth=1e30)
PASSES = [
    *DEFAULT_PIPELINE[: DEFAULT_PIPELINE.index("insert-skips")],
    "threshold-activations",
    FREE,
    "restore-activations",
]


def compiled(approximate: float | str, passes: list = PASSES) -> tuple[nn.Module, gossamer.CompiledModel, Tensor]:
    torch.manual_seed(0)
    net, x = Swiglu().eval(), torch.randn(1, 16)
    return net, gossamer.compile(net, x, approximate=approximate, pipeline=passes, check=True), x


def test_a_share_of_the_activations_is_kept_and_the_error_reported():
    net, fast, x = compiled("25%")
    with torch.no_grad():
        gate = functional.silu(net.gate(x))  # pyright: ignore[reportCallIssue]
        threshold = gate.abs().flatten().kthvalue(48).values
        expected = net.down(gate.where(gate.abs() > threshold, 0.0) * net.up(x))  # pyright: ignore[reportCallIssue]
        exact = net(x)
        torch.testing.assert_close(fast(x), expected, rtol=1e-4, atol=1e-5)
    error = ((expected - exact).square().mean() / exact.square().mean()).sqrt().item()
    assert error_of(fast.module) == pytest.approx(error, rel=1e-3)
    said = fast.explain()
    assert "approximate: 1 activations" in said
    assert f"{error:.2g} of the results" in said


def test_a_threshold_that_cuts_nothing_changes_nothing():
    net, fast, x = compiled(0.0)
    with torch.no_grad():
        torch.testing.assert_close(fast(x), net(x))
    assert error_of(fast.module) == pytest.approx(0.0, abs=1e-6)


def test_a_threshold_that_does_not_pay_is_taken_back():
    """Skipping that costs too much: the results are exact again."""
    net, fast, x = compiled("50%", [*PASSES[:-2], InsertSkips(call=1.0), PASSES[-1]])
    with torch.no_grad():
        assert torch.equal(fast(x), net(x))
    assert error_of(fast.module) == 0.0
    assert "approximate" not in fast.explain()


@pytest.mark.parametrize("given", ["", "many", "-1", -0.5, "120%", float("nan")])
def test_what_is_neither_a_threshold_nor_a_share_is_refused(given: float | str):
    with pytest.raises(UserError, match="a threshold or a share"):
        parse_share(given)


def test_approximation_and_bitwise_results_exclude_each_other():
    with pytest.raises(UserError, match="contradict"):
        gossamer.compile(Swiglu().eval(), torch.randn(1, 16), approximate=0.1, exact="bitwise")
