"""Experts with a capacity: who is dropped, and what the others get, is as in the eager model, to the bit."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from gossamer.tests.alike import apart
from torch import nn

WIDTH, EXPERTS = 16, 5
SIZES = {
    "hidden_size": WIDTH,
    "d_model": WIDTH,
    "d_ff": 24,
    "num_experts": EXPERTS,
    "expert_capacity": 4,
    "router_bias": True,
    "router_dtype": "float32",
    "router_jitter_noise": 0.1,
    "router_ignore_padding_tokens": False,
    "dropout_rate": 0.0,
    "dense_act_fn": "relu",
    "activation_dropout": 0.0,
    "activation_function": "relu",
    "moe_token_dropout": 0.2,
    "second_expert_policy": "all",
    "normalize_router_prob_before_dropping": False,
    "batch_prioritized_routing": False,
    "moe_eval_capacity_token_fraction": 0.5,
}


class Layer(nn.Module):
    """A sparse layer on a state that something computed: jitter is multiplied into it in place."""

    def __init__(self, mlp: nn.Module):
        super().__init__()
        self.mlp = mlp

    def forward(self, x: torch.Tensor, *masks: torch.Tensor) -> torch.Tensor:
        return self.mlp(x * 1, *masks)


def layer(name: str, dtype: torch.dtype = torch.float32, **changes: Any) -> Layer:
    config: Any = SimpleNamespace(**SIZES | changes)
    if name == "switch":
        from transformers.models.switch_transformers.modeling_switch_transformers import SwitchTransformersSparseMLP

        mlp = SwitchTransformersSparseMLP(config)
    else:
        from transformers.models.nllb_moe.modeling_nllb_moe import NllbMoeSparseMLP

        mlp = NllbMoeSparseMLP(config, 24)
    for parameter in mlp.parameters():
        nn.init.normal_(parameter, std=0.3)
    return Layer(mlp).to(dtype).eval()


STATES = {
    "some overflow": lambda: torch.randn(3, 20, WIDTH),
    "all to one expert": lambda: torch.randn(1, 1, WIDTH).expand(2, 9, WIDTH),
    "most experts without a token": lambda: torch.randn(2, 2, WIDTH),
    "one token": lambda: torch.randn(1, 1, WIDTH),
    "no sequence": lambda: torch.randn(0, 4, WIDTH),
}
NAMES = ("switch", "nllb")


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("states", STATES)
@pytest.mark.parametrize("name", NAMES)
def test_a_layer_is_as_eager_however_tokens_fall(name, states, dtype):
    assert apart(layer(name, dtype), STATES[states]().to(dtype), forms=2) == (0.0, 0.0)


@pytest.mark.parametrize("capacity", [0, 1, 100])
@pytest.mark.parametrize("name", NAMES)
def test_any_capacity(name, capacity):
    model = layer(name, expert_capacity=capacity).train()
    assert apart(model, torch.randn(2, 12, WIDTH), forms=2) == (0.0, 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_ties_go_where_eager_sends_them(name):
    model = layer(name)
    nn.init.zeros_(model.mlp.router.classifier.weight)  # pyright: ignore
    nn.init.zeros_(model.mlp.router.classifier.bias)  # pyright: ignore
    assert apart(model, torch.randn(2, 12, WIDTH), forms=2) == (0.0, 0.0)


@pytest.mark.parametrize("changes", [{"dropout_rate": 0.3, "activation_dropout": 0.3}, {"router_jitter_noise": 0.0}])
@pytest.mark.parametrize("name", NAMES)
def test_training_draws_the_same_random_numbers(name, changes):
    assert apart(layer(name, **changes).train(), torch.randn(2, 12, WIDTH), forms=2) == (0.0, 0.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_prioritized_routing": True},
        {"normalize_router_prob_before_dropping": True},
        {"second_expert_policy": "random"},
        {"second_expert_policy": "sampling"},
        {"moe_eval_capacity_token_fraction": -1.0},
        {"moe_token_dropout": 0.0},
    ],
    ids=str,
)
def test_every_policy_of_nllb(changes):
    padding = torch.rand(24) < 0.3
    assert apart(layer("nllb", **changes), torch.randn(2, 12, WIDTH), padding, forms=2) == (0.0, 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_an_activation_without_a_name_is_taken_by_the_loop(name):
    model = layer(name, dense_act_fn="tanh", activation_function="tanh")
    assert apart(model, torch.randn(2, 5, WIDTH), forms=2) == (0.0, 0.0)
