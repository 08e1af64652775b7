"""`gossamer::moe_experts` as a torch op: its schema, its fake kernel, its gradients."""

import pytest
import torch
from gossamer.runtime.custom_ops import moe_experts
from gossamer.runtime.custom_ops.activations import ACTIVATIONS
from gossamer.runtime.custom_ops.experts import hits

WIDTH, INNER, EXPERTS, TOKENS = 3, 4, 3, 5


def operands(activation: str, transposed: bool, biased: bool, stacked: bool) -> tuple:
    torch.manual_seed(0)
    outer = INNER if activation in ("relu", "silu", "gelu", "gelu_tanh") else 2 * INNER

    def layer(rows: int, columns: int) -> list[torch.Tensor]:
        tensor = torch.randn(EXPERTS, *((columns, rows) if transposed else (rows, columns)), dtype=torch.float64)
        return [t.clone().requires_grad_() for t in ([tensor] if stacked else tensor.unbind())]

    def bias(rows: int) -> list[torch.Tensor]:
        tensor = torch.randn(EXPERTS, rows, dtype=torch.float64)
        return [t.clone().requires_grad_() for t in ([tensor] if stacked else tensor.unbind())] if biased else []

    hidden = torch.randn(TOKENS, WIDTH, dtype=torch.float64, requires_grad=True)
    indices = torch.rand(TOKENS, EXPERTS + 1).topk(2).indices
    weights = torch.rand(TOKENS, 2, dtype=torch.float64, requires_grad=True)
    parameters = [1.7, 0.9] if activation == "clamped_swiglu" else []
    layers = layer(outer, WIDTH), bias(outer), layer(WIDTH, INNER), bias(WIDTH)
    return hidden, indices, weights, *layers, activation, parameters, transposed, 0.8


@pytest.mark.parametrize("biased", [False, True], ids=["bare", "biased"])
@pytest.mark.parametrize("stacked", [False, True], ids=["a list", "stacked"])
@pytest.mark.parametrize("transposed", [False, True], ids=["n k", "k n"])
def test_torch_finds_nothing_wrong_with_it(transposed, stacked, biased):
    torch.library.opcheck(moe_experts, operands("silu_gated", transposed, biased, stacked))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_are_those_of_the_function(activation):
    hidden, indices, weights, up, up_bias, down, down_bias, *rest = operands(activation, False, True, True)

    def run(*inputs: torch.Tensor) -> torch.Tensor:
        x, w, u, ub, d, db = inputs
        return moe_experts(x, indices, w, [u], [ub], [d], [db], *rest)

    assert torch.autograd.gradcheck(run, (hidden, weights, *up, *up_bias, *down, *down_bias))


def test_hits_are_ascending_and_leave_out_what_is_no_expert():
    found = list(hits(torch.tensor([[4, 0], [0, 3], [4, 4]]), 4))
    assert [(hit.expert, hit.tokens.tolist(), hit.slots.tolist()) for hit in found] == [
        (0, [1, 0], [0, 1]),
        (3, [1], [1]),
    ]


def test_no_expert_is_hit():
    hidden, indices, *rest = operands("relu", False, False, False)
    assert torch.equal(moe_experts(hidden, torch.full_like(indices, EXPERTS), *rest), torch.zeros_like(hidden))
