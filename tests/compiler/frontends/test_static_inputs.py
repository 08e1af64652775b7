"""Products that skip under `torch.compile`: weights are inputs there, and may be written between two calls."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import transformers
from gossamer.compiler.defaults import default_pipeline
from gossamer.compiler.frontends import dynamo
from gossamer.compiler.frontends.static_inputs import StillFinite, example_of, static_inputs
from gossamer.dialects.sparse import MatmulOp
from gossamer.tests.passes.test_skip_models import FREE
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx
from xdsl.dialects.builtin import ModuleOp


@pytest.fixture(autouse=True)
def skips(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """The axes along which each program skips, as they are compiled; skipping costs nothing."""
    torch._dynamo.reset()
    dynamo.register()
    programs: list[list[str]] = []

    def run_pipeline(module: ModuleOp, passes: Any) -> None:
        original(module, passes)
        programs.append([str(op.axis.data) for op in module.walk() if isinstance(op, MatmulOp)])

    def free(module: ModuleOp, device: torch.device | None) -> list[Any]:
        steps = default_pipeline(module, device)
        return [FREE if step.startswith("insert-skips") else step for step in steps]

    original = dynamo.run_pipeline
    monkeypatch.setattr(dynamo, "run_pipeline", run_pipeline)
    monkeypatch.setattr(dynamo, "default_pipeline", free)
    yield programs
    torch._dynamo.reset()


class ReGlu(nn.Module):
    """down(relu(gate(x)) * up(x)); few neurons fire."""

    def __init__(self, shift: float = -1.0):
        super().__init__()
        torch.manual_seed(0)
        self.gate, self.up, self.down = nn.Linear(16, 64), nn.Linear(16, 64), nn.Linear(64, 16)
        nn.init.constant_(self.gate.bias, shift)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(torch.relu(self.gate(x)) * self.up(x))


def same(fast: Callable[..., Any], net: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        torch.testing.assert_close(fast(x), net(x), rtol=1e-5, atol=1e-5, equal_nan=True)


def test_a_decode_step_of_a_language_model_skips(skips: list[list[str]]):
    sizes: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 32}
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**sizes, num_attention_heads=2, num_key_value_heads=1, hidden_act="relu")
    net: Any = transformers.LlamaForCausalLM(config).eval()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.2)
    fast = torch.compile(net, backend="gossamer")

    def step(word: int) -> dict[str, Any]:
        past = net(torch.arange(5, 11)[None], use_cache=True).past_key_values
        return {"input_ids": torch.tensor([[word]]), "past_key_values": past, "use_cache": True}

    with torch.no_grad():
        for word in (7, 8, 31):
            expected, found = net(**step(word)).logits, fast(**step(word)).logits
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert [axis for program in skips for axis in program] == ["n", "k"] * 2


def test_a_weight_that_becomes_infinite_is_noticed(skips: list[list[str]]):
    net, x = ReGlu().eval(), torch.randn(1, 16)
    fast = torch.compile(net, backend="gossamer")
    same(fast, net, x)
    with torch.no_grad():
        net.down.weight[0, 0] = torch.inf
        assert net(x).isnan().any()
        same(fast, net, x)
        assert skips == [["n", "k"], []]
        net.down.weight[0, 0] = 1.0
        same(fast, net, x)
        net.up.weight = nn.Parameter(torch.full((64, 16), torch.nan))
        same(fast, net, x)


def test_a_weight_that_is_infinite_from_the_start_is_not_trusted(skips: list[list[str]]):
    net = ReGlu().eval()
    with torch.no_grad():
        net.down.weight[0, 0] = -torch.inf
    same(torch.compile(net, backend="gossamer"), net, torch.randn(1, 16))
    assert skips == [["n"]]


def test_training_in_between_is_seen(skips: list[list[str]]):
    net, x = ReGlu(), torch.randn(1, 16)
    fast = torch.compile(net, backend="gossamer")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(3):
        same(fast, net, x)
        fast(x).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert skips.count(["n", "k"]) == 1
    assert skips.count([]) == len(skips) - 1 > 0


def test_a_gate_that_is_open_in_the_first_call_stays_dense(skips: list[list[str]]):
    net = ReGlu(shift=100.0).eval()
    same(torch.compile(net, backend="gossamer"), net, torch.randn(1, 16))
    assert skips == [[]]


def test_any_number_of_rows(skips: list[list[str]]):
    net = ReGlu().eval()
    fast = torch.compile(net, backend="gossamer")
    for rows in (1, 3, 2, 64, 1):
        same(fast, net, torch.randn(rows, 16))
    assert all(program == ["n", "k"] for program in skips)


def test_weights_that_are_arguments_of_a_function_are_not_static(skips: list[list[str]]):
    """A plain tensor may be another one at each call: only what is listed skips by it."""
    fast = torch.compile(lambda x, w: torch.relu(x) @ w.t(), backend="gossamer")
    x, w = torch.randn(1, 16), torch.randn(8, 16)
    with torch.no_grad():
        torch.testing.assert_close(fast(x, w), torch.relu(x) @ w.t())
    assert skips == [[]]


def test_bitwise_skips_nothing(skips: list[list[str]]):
    net = ReGlu().eval()
    same(torch.compile(net, backend="gossamer", options={"exact": "bitwise"}), net, torch.randn(1, 16))
    assert skips == [[]]


def test_an_example_has_what_the_graph_takes():
    graph = make_fx(lambda w, x: x * w)(torch.ones(2, 3), torch.ones(3))
    w, x = nn.Parameter(torch.zeros(2, 3)), torch.ones(3)
    example = example_of(graph, [w, x])
    assert example is not None
    assert [id(tensor) for tensor in example] == [id(w), id(x)]
    assert list(static_inputs(example, [w, x])) == [0]
    for other in ([w], [w, x, x], [w.double(), x], [w[:1], x], [w, 4], [x, w]):
        assert example_of(graph, other) is None


def test_weights_without_a_count_of_writes_are_looked_at_every_time():
    with torch.inference_mode():
        weight = torch.ones(3)
    finite = StillFinite({0: weight})
    assert finite([weight])
    with torch.inference_mode():
        weight[0] = torch.nan
    assert not finite([weight])
