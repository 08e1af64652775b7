"""Language models with exact zeros, one token at a time and several: skipping changes nothing but the time."""

from collections.abc import Callable
from typing import Any

import gossamer
import pytest
import torch
import transformers
from gossamer.compiler.pipeline import DEFAULT_PIPELINE
from gossamer.dialects.sparse import MatmulOp
from gossamer.passes.insert_skips import InsertSkips
from torch import Tensor, nn

FREE = InsertSkips(call=0.0, start_k=0.0, copy_k=0.0, copy_n=0.0, bandwidth=1e30)
"""Whatever is legal skips, up to density 0.98."""
BEFORE = DEFAULT_PIPELINE[: DEFAULT_PIPELINE.index("insert-skips")]
PIPELINE = [*BEFORE, FREE, "lower-products", "lower-kernels"]
COMMON = {"vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
WIDE = COMMON | {"intermediate_size": 48, "max_position_embeddings": 32, "num_key_value_heads": 1}
OPT = COMMON | {"ffn_dim": 48, "word_embed_proj_dim": 16, "max_position_embeddings": 32}
T5 = {"vocab_size": 32, "d_model": 16, "d_kv": 8, "d_ff": 48, "num_layers": 1, "num_heads": 2}
GATED, PLAIN = ["n", "k"], ["k"]

MODELS: dict[str, tuple[str, str, dict[str, Any], list[str]]] = {
    "OPT": ("OPTForCausalLM", "OPTConfig", OPT, PLAIN),
    "Llama with ReLU": ("LlamaForCausalLM", "LlamaConfig", WIDE | {"hidden_act": "relu"}, GATED),
    "Nemotron": ("NemotronForCausalLM", "NemotronConfig", WIDE, PLAIN),
    "Arcee": ("ArceeForCausalLM", "ArceeConfig", WIDE, PLAIN),
    "Persimmon": ("PersimmonForCausalLM", "PersimmonConfig", WIDE, PLAIN),
    "T5": ("T5ForConditionalGeneration", "T5Config", T5, PLAIN * 2),
}


def network(name: str, dtype: torch.dtype) -> nn.Module:
    """A model with random weights, some of its neurons silent."""
    torch.manual_seed(0)
    model, config, sizes, _ = MODELS[name]
    net = getattr(transformers, model)(getattr(transformers, config)(**sizes)).eval().to(dtype)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.2)
    return net


def words(*shape: int) -> Tensor:
    return torch.randint(2, 32, shape)


def inputs(name: str, batch: int, length: int) -> dict[str, Any]:
    given: dict[str, Any] = {"input_ids": words(batch, length), "use_cache": False}
    return given | ({"decoder_input_ids": words(batch, length)} if name == "T5" else {})


def skips(compiled: gossamer.CompiledModel) -> list[str]:
    return [str(op.axis.data) for op in compiled.module.walk() if isinstance(op, MatmulOp)]


def compare(compiled: nn.Module, net: nn.Module, given: dict[str, Any], tolerance: float) -> None:
    with torch.no_grad():
        expected, found = net(**given).logits, compiled(**given).logits
    scale = expected.abs().max()
    assert (found - expected).abs().max() <= tolerance * scale


TYPES = pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])


@pytest.mark.parametrize("name", MODELS)
@TYPES
def test_one_token_and_a_small_batch(name: str, dtype: torch.dtype, tolerance: float):
    """The union of the supports of three tokens may be too full to gain from."""
    net = network(name, dtype)
    for batch, length in ((1, 1), (3, 1)) if dtype is torch.float64 else ((1, 1),):
        given = inputs(name, batch, length)
        fast = gossamer.compile(net, kwargs=given, pipeline=PIPELINE, check=batch == 1)
        if batch == 1:
            assert skips(fast) == MODELS[name][3]
        compare(fast, net, given, tolerance)


@pytest.mark.parametrize("name", ["OPT", "Llama with ReLU"])
def test_a_decode_step_with_a_cache(name: str):
    net = network(name, torch.float64)

    def step() -> dict[str, Any]:
        with torch.no_grad():
            past = net(torch.arange(5, 11)[None], use_cache=True).past_key_values
        return {"input_ids": torch.tensor([[7]]), "past_key_values": past, "use_cache": True}

    fast = gossamer.compile(net, kwargs=step(), pipeline=PIPELINE)
    assert skips(fast) == MODELS[name][3]
    with torch.no_grad():
        expected, found = net(**step()), fast(**step())
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-10, atol=1e-10)


def test_a_prompt_is_left_alone():
    """Sixty-four rows: the union of their supports is everything, as the example shows."""
    net = network("Llama with ReLU", torch.float32)
    fast = gossamer.compile(net, kwargs=inputs("Llama with ReLU", 4, 16), pipeline=PIPELINE)
    assert skips(fast) == []


def test_any_number_of_words():
    """Compiled for few words, called with many: more rows than are worth looking at run the dense product."""
    net, given = network("OPT", torch.float64), inputs("OPT", 2, 2)
    dynamic = {"input_ids": {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}, "use_cache": None}
    fast = gossamer.compile(net, kwargs=given, dynamic_shapes=dynamic, pipeline=PIPELINE)
    assert skips(fast) == PLAIN
    for batch, length in ((2, 2), (3, 7), (4, 16)):
        compare(fast, net, inputs("OPT", batch, length), 1e-10)


Block = Callable[..., nn.Module]


class Gated(nn.Module):
    """down(relu(gate(x)) * up(x)), the gate shifted so that few neurons fire."""

    def __init__(self, shift: float = -1.0, width: int = 16, hidden: int = 64):
        super().__init__()
        self.gate, self.up, self.down = nn.Linear(width, hidden), nn.Linear(width, hidden), nn.Linear(hidden, width)
        nn.init.constant_(self.gate.bias, shift)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(torch.relu(self.gate(x)) * self.up(x))


def gated(shift: float = -1.0, **options: Any) -> tuple[nn.Module, gossamer.CompiledModel, Tensor]:
    torch.manual_seed(0)
    net, x = Gated(shift).double().eval(), torch.randn(1, 16, dtype=torch.float64)
    return net, gossamer.compile(net, x, pipeline=[*BEFORE, InsertSkips(**vars(FREE) | options)]), x


@pytest.mark.parametrize("shift", [-100.0, -1.0], ids=["nothing fires", "some fire"])
def test_supports_of_every_size(shift: float):
    net, fast, x = gated(shift)
    assert skips(fast) == GATED
    everything = x * 0 + net.gate.weight.sum(0) * 1e3  # pyright: ignore
    with torch.no_grad():
        for given in (x, x * 0, everything, -x):
            torch.testing.assert_close(fast(given), net(given), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("number", [torch.nan, torch.inf, -torch.inf, -0.0])
def test_numbers_out_of_the_ordinary(number: float):
    """What is not finite in the input reaches the results that it reaches in eager."""
    net, fast, x = gated()
    x[0, 3] = number
    with torch.no_grad():
        torch.testing.assert_close(fast(x), net(x), rtol=1e-10, atol=1e-10, equal_nan=True)


def test_strict_nan_keeps_zero_times_infinity():
    """An up projection that overflows where its gate is 0: eager makes NaN of it, and strict does, too."""
    for strict in (False, True):
        net, fast, x = gated(-100.0, strict_nan=strict)
        big = x * 0 + 1e308
        with torch.no_grad():
            net.gate.weight.zero_()  # pyright: ignore
            net.up.weight.fill_(10.0)  # pyright: ignore
            assert net(big).isnan().all()
            assert fast(big).isnan().all() == strict


def test_a_weight_that_is_not_finite_is_never_skipped():
    torch.manual_seed(0)
    net, x = Gated(-100.0).double().eval(), torch.randn(1, 16, dtype=torch.float64)
    with torch.no_grad():
        net.down.weight[0, 0] = torch.inf
        fast = gossamer.compile(net, x, pipeline=PIPELINE)
        assert skips(fast) == ["n"]
        torch.testing.assert_close(fast(x), net(x), equal_nan=True)


def test_gradients_are_those_of_the_dense_model():
    net, fast, x = gated()
    grads = []
    for model in (net, fast):
        net.zero_grad()
        given = x.clone().requires_grad_()
        model(given).square().sum().backward()
        grads.append([given.grad, *(parameter.grad for parameter in net.parameters())])
    torch.testing.assert_close(*grads)
