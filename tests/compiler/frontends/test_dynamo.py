"""`torch.compile(model, backend="gossamer")`."""

import copy
from collections.abc import Iterator

import pytest
import torch
from gossamer.compiler.context import parse_text, print_module
from gossamer.compiler.frontends import dynamo
from torch import nn
from torch._dynamo.exc import BackendCompilerFailed
from torch.fx.experimental.proxy_tensor import make_fx
from transformers import BertConfig, BertModel


class Layers(nn.Module):
    """Linear, normalisation, a buffer that is written, a keyword, a structure."""

    calls: torch.Tensor

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x, *, scale=1.0):
        self.calls.add_(1)
        h = torch.tanh(self.norm(self.first(x)))
        return {"y": self.last(h) * scale, "parts": (h, None, x.shape[0])}


@pytest.fixture(autouse=True)
def graphs(monkeypatch) -> Iterator[list[torch.fx.GraphModule]]:
    """Every graph that the backend compiles in a test, which starts with nothing compiled."""
    torch._dynamo.reset()
    dynamo.register()
    compiled: list[torch.fx.GraphModule] = []

    def compile_graph(graph, inputs, options, real=None):
        compiled.append(graph)
        return original(graph, inputs, options, real)

    original = dynamo.compile_graph
    monkeypatch.setattr(dynamo, "compile_graph", compile_graph)
    yield compiled
    torch._dynamo.reset()


def assert_same_gradients(model: nn.Module, twin: nn.Module) -> None:
    for own, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert own.grad is not None
        assert other.grad is not None
        assert torch.equal(own.grad, other.grad)


def test_the_backend_is_known_by_its_name():
    assert "gossamer" in torch._dynamo.list_backends()
    dynamo.register()


def test_results_are_eagers(graphs):
    model = Layers().eval()
    twin, fast = copy.deepcopy(model), torch.compile(model, backend="gossamer", fullgraph=True)
    for scale in (1.0, 0.5):
        x = torch.randn(3, 4)
        with torch.no_grad():
            found, expected = fast(x, scale=scale), twin(x, scale=scale)
        assert torch.equal(found["y"], expected["y"])
        assert torch.equal(found["parts"][0], expected["parts"][0])
        assert found["parts"][1:] == (None, 3)
    assert float(model.calls) == float(twin.calls) == 2
    assert graphs


def test_a_model_output_comes_back_as_one():
    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=20)
    model = BertModel(config).eval()
    fast = torch.compile(model, backend="gossamer")
    ids, mask = torch.randint(0, 20, (2, 6)), torch.ones(2, 6, dtype=torch.int64)
    mask[0, 2:] = 0
    with torch.no_grad():
        found, expected = fast(ids, attention_mask=mask), model(ids, attention_mask=mask)
    assert type(found) is type(expected)
    torch.testing.assert_close(found.last_hidden_state, expected.last_hidden_state)


def test_training_is_eagers_step_by_step():
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1)).train()
    twin = copy.deepcopy(model)
    batches = torch.randn(3, 6, 4)
    for network, run in ((model, torch.compile(model, backend="gossamer")), (twin, twin)):
        torch.manual_seed(5)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        for batch in batches:
            optimizer.zero_grad()
            run(batch).square().mean().backward()
            optimizer.step()
    assert_same_gradients(model, twin)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, twin.state_dict()[name]), name


def test_a_graph_break_splits_the_model_and_changes_nothing(graphs):
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 2)

        def forward(self, x):
            h = torch.relu(self.first(x))
            if h.sum().item() < 0:
                h = -h
            print("between", end="")
            return self.last(h)

    model = Broken()
    twin, fast, x = copy.deepcopy(model), torch.compile(model, backend="gossamer"), torch.randn(3, 4)
    for network in (fast, twin):
        network(x).sum().backward()
    assert torch.equal(fast(x), twin(x))
    assert_same_gradients(model, twin)
    assert len(graphs) > 2


def test_a_size_that_varies_compiles_twice_and_never_again(graphs):
    model = Layers().eval()
    twin, fast = copy.deepcopy(model), torch.compile(model, backend="gossamer")
    counts = []
    with torch.no_grad():
        for rows in (3, 5, 7, 3, 64, 5):
            x = torch.randn(rows, 4)
            assert torch.equal(fast(x)["y"], twin(x)["y"])
            assert fast(x)["parts"][2] == rows
            counts.append(len(graphs))
    assert counts == [1, 2, 2, 2, 2, 2]


def test_varying_sizes_train_too(graphs):
    model = Layers()
    twin, fast = copy.deepcopy(model), torch.compile(model, backend="gossamer", dynamic=True)
    for rows in (3, 5, 9):
        x = torch.randn(rows, 4)
        for network in (fast, twin):
            network(x)["y"].square().sum().backward()
    assert_same_gradients(model, twin)
    assert len(graphs) == 2


def test_writes_reach_the_callers_tensor():
    def update(x, y):
        x.mul_(y.sum())
        y[0] = 7.0
        return x + y

    fast = torch.compile(update, backend="gossamer")
    x, y = torch.randn(3), torch.randn(3)
    x_twin, y_twin = x.clone(), y.clone()
    assert torch.equal(fast(x, y), update(x_twin, y_twin))
    assert torch.equal(x, x_twin)
    assert torch.equal(y, y_twin)


def test_views_of_inputs_stay_views():
    fast = torch.compile(lambda x: (x.t(), x[1:], x * 2), backend="gossamer")
    x = torch.randn(3, 3)
    transposed, rest, _ = fast(x)
    assert transposed.data_ptr() == x.data_ptr()
    assert rest.data_ptr() == x[1].data_ptr()


def test_options_reach_the_passes(monkeypatch):
    seen = []

    def run_pipeline(module, passes):
        seen.append((module.attributes["gossamer.exact"].data, passes))

    monkeypatch.setattr(dynamo, "run_pipeline", run_pipeline)
    fast = torch.compile(lambda x: x + 1, backend="gossamer", options={"exact": "bitwise", "pipeline": "cse"})
    assert torch.equal(fast(torch.ones(2)), torch.full((2,), 2.0))
    assert seen == [("bitwise", "cse")]


@pytest.mark.parametrize(
    ("options", "hint"),
    [({"exakt": "bitwise"}, "did you mean 'exact'?"), ({"exact": "bitwize"}, "did you mean 'bitwise'?")],
)
def test_an_option_that_is_none_is_refused(options, hint):
    with pytest.raises(BackendCompilerFailed) as raised:
        torch.compile(lambda x: x + 1, backend="gossamer", options=options)(torch.ones(2))
    assert hint in str(raised.value)


def test_a_graph_is_a_module_that_can_be_read_back():
    constant = torch.tensor([1.0, 2.0])
    graph = make_fx(lambda x, n: (x.split(1)[0] * constant, None, n + 1))(torch.randn(3, 2), 4)
    module, weights = dynamo.import_graph(graph)
    module.verify()
    assert "aten.outputs = #aten.template<(operand<0>, none, 5)>" in print_module(module)
    assert print_module(parse_text(print_module(module))) == print_module(module)
    assert [tensor.tolist() for tensor in weights.values()] == [[1.0, 2.0]]
