"""Eager experts of transformers: the op is the loop, to the bit, however tokens are routed."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from gossamer.compiler.frontends.torch_export import import_model
from gossamer.tests.alike import apart
from gossamer.tests.imports import calls
from gossamer.tests.models.experts import FAMILIES, mixture
from gossamer.tests.models.language import text
from gossamer.tests.zoo import difference, differences
from torch import nn

WIDTH, EXPERTS, TOKENS = 32, 6, 37
BEFORE = {"hidden_size": WIDTH, "intermediate_size": 24, "moe_intermediate_size": 24, "hidden_act": "silu"}
BEFORE |= {"num_local_experts": EXPERTS, "num_experts": EXPERTS, "swiglu_alpha": 1.702, "swiglu_limit": 0.5}
BEFORE |= {"n_routed_experts": EXPERTS, "moe_num_experts": EXPERTS, "_experts_implementation": "eager"}

CLASSES = {
    "Mixtral": "mixtral.modeling_mixtral.MixtralExperts",
    "gpt-oss": "gpt_oss.modeling_gpt_oss.GptOssExperts",
    "Aria": "aria.modeling_aria.AriaExperts",
    "MiniMax-M3": "minimax_m3_vl.modeling_minimax_m3_vl.MiniMaxM3VLExperts",
}
"""A class for every text of `forward` that we know."""

ROUTES = {
    "two of six": lambda: torch.rand(TOKENS, EXPERTS).topk(2).indices,
    "all to one": lambda: torch.full((TOKENS, 1), 3),
    "all to the same two": lambda: torch.tensor([[5, 0]]).expand(TOKENS, 2),
    "most experts without a token": lambda: torch.randint(0, 2, (TOKENS, 1)) * 4,
    "one token": lambda: torch.tensor([[2, 4]]),
    "no token": lambda: torch.zeros(0, 2, dtype=torch.long),
    "every expert": lambda: torch.rand(TOKENS, EXPERTS).argsort(),
    "an expert twice": lambda: torch.tensor([[1, 1], [0, 1]]),
}
DROPS = {
    "some dropped": lambda: torch.randint(0, EXPERTS + 1, (TOKENS, 2)),
    "all dropped": lambda: torch.full((4, 2), 6),
}


def build(name: str, dtype: torch.dtype, **changes: Any) -> nn.Module:
    path, _, cls = f"transformers.models.{CLASSES[name]}".rpartition(".")
    config = SimpleNamespace(**BEFORE | changes, text_config=None)
    module = getattr(__import__(path, fromlist=[cls]), cls)(config)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.2)
    return module.to(dtype)


def inputs(route: Any, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    indices = route()
    weights = torch.rand(indices.shape).to(dtype)
    return torch.randn(len(indices), WIDTH, dtype=dtype), indices, weights


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("route", ROUTES | DROPS)
@pytest.mark.parametrize("name", CLASSES)
def test_experts_are_their_loop_to_the_bit(name, route, dtype):
    if name == "gpt-oss" and route in DROPS:
        pytest.skip("its own loop has no index for a token dropped")
    assert apart(build(name, dtype), *inputs((ROUTES | DROPS)[route], dtype)) == (0.0, 0.0)


@pytest.mark.parametrize("activation", ["relu", "gelu", "gelu_pytorch_tanh", "silu", "gelu_new", "tanh"])
def test_every_activation_is_taken_the_named_ones_into_the_op(activation):
    module = build("Mixtral", torch.float32, hidden_act=activation)
    assert apart(module, *inputs(ROUTES["two of six"], torch.float32)) == (0.0, 0.0)
    imported = import_model(module, inputs(ROUTES["two of six"], torch.float32))
    assert len(calls(imported, "gossamer.moe_experts")) == (activation not in ("gelu_new", "tanh"))


def test_weights_in_float32_for_states_in_bfloat16():
    x, indices, weights = inputs(ROUTES["two of six"], torch.bfloat16)
    assert apart(build("Mixtral", torch.bfloat16), x, indices, weights.float()) == (0.0, 0.0)


def test_frozen_experts_get_no_gradient_and_others_do():
    module = build("Mixtral", torch.float32).requires_grad_(False)
    assert apart(module, *inputs(ROUTES["two of six"], torch.float32)) == (0.0, 0.0)


@pytest.mark.parametrize("implementation", ["grouped_mm", "batched_mm"])
def test_other_implementations_stay_as_they_are(implementation):
    module = build("Mixtral", torch.float32, _experts_implementation=implementation)
    results, gradients = apart(module, *inputs(ROUTES["two of six"], torch.float32), forms=0)
    assert results == 0.0
    assert gradients < 1e-5  # threads add up gradients of gathered weights in no fixed order


def test_a_subclass_with_a_forward_of_its_own_stays_as_it_is():
    from transformers.models.mixtral.modeling_mixtral import MixtralExperts

    class Inherits(MixtralExperts):
        pass

    class Doubles(MixtralExperts):
        def forward(self, hidden_states, top_k_index, top_k_weights):
            return 2 * super().forward(hidden_states, top_k_index, top_k_weights)

    for cls, forms in ((Inherits, 1), (Doubles, 0)):
        module = cls(SimpleNamespace(**BEFORE))
        for parameter in module.parameters():
            nn.init.normal_(parameter)
        assert apart(module, *inputs(ROUTES["two of six"], torch.float32), forms=forms) == (0.0, 0.0)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_whole_model_imports_and_runs_as_eager_does(family):
    torch.manual_seed(0)
    sample = text(mixture(family, "eager"))
    imported = import_model(*sample)
    layers = len(calls(imported, "gossamer.moe_experts"))
    assert layers
    assert len(imported.module.attributes["aten.adapted"].data) == layers  # pyright: ignore
    assert max(differences(sample, sample.model, imported)) == 0.0


def test_ties_are_broken_as_eager_breaks_them():
    torch.manual_seed(0)
    sample = text(mixture("Mixtral", "eager"))
    for name, parameter in sample.model.named_parameters():
        if name.endswith("gate.weight"):
            nn.init.zeros_(parameter)
    assert max(differences(sample, sample.model, import_model(*sample))) == 0.0


def test_a_compiled_model_is_trained_as_eager_is():
    import gossamer

    torch.manual_seed(0)
    sample = text(mixture("OLMoE", "eager"))
    fast = gossamer.compile(sample.model, kwargs=sample.kwargs)
    parameters = dict(sample.model.named_parameters())
    gradients = [
        torch.autograd.grad(net(**sample.kwargs).logits.square().mean(), list(parameters.values()))
        for net in (fast, sample.model)
    ]
    assert difference(*gradients) < 1e-9
    assert fast.state_dict().keys() == sample.model.state_dict().keys()
    assert "adapted: OlmoeExperts as moe_experts: model.layers.0.mlp.experts" in fast.explain()
