import copy
from typing import Any

import gossamer
import pytest
import torch
from gossamer.dialects.diagnostics import UserError
from torch import nn
from torch.nn import functional

from ..training import Perceptron, check_training, differences, pairs, same, squared


class Convolutions(nn.Sequential):
    def __init__(self):
        first = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout2d(0.2)]
        then = [nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8, momentum=0.3), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
        super().__init__(*first, *then, nn.Flatten(), nn.Linear(8, 5))


class Tied(nn.Module):
    """One weight under four names, used in another order than it is declared in."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Linear(8, 8) for _ in range(4))
        self.b.weight = self.c.weight = self.d.weight = self.a.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.d(self.a(self.c(self.b(x).tanh()).tanh()).tanh())


class Counting(nn.Module):
    """Writes one buffer in place, and replaces another."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.register_buffer("last", torch.zeros(4, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        y = self.linear(x + self.last)
        self.last = y.detach()
        return y


def classes(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(model(x), y)


def images(count: int = 3):
    return [(torch.randn(4, 3, 12, 12), torch.randint(5, (4,))) for _ in range(count)]


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.SGD, torch.optim.RMSprop])
def test_a_perceptron_trains_as_in_eager(optimizer: Any):
    check_training(Perceptron(), squared, pairs(), lambda parameters: optimizer(parameters, lr=1e-2))


@pytest.mark.parametrize("p", [0.04, 0.1, 0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_dropout_draws_what_eager_draws(p: float, dtype: torch.dtype):
    check_training(Perceptron(p).to(dtype), squared, pairs(2, dtype))


def test_batch_statistics_are_updated():
    check_training(Convolutions(), classes, images())


def test_evaluation_mode_is_kept():
    step = check_training(Convolutions().eval(), classes, images())
    assert "update" not in step.ir()


def test_channels_last_is_kept():
    batches = [(x.to(memory_format=torch.channels_last), y) for x, y in images()]
    model: Any = Convolutions()
    check_training(model.to(memory_format=torch.channels_last), classes, batches)


def test_tied_weights_have_one_gradient():
    step = check_training(Tied(), squared, pairs())
    assert step.parameters.count("a.weight") == 1


def test_buffers_are_written():
    step = check_training(Counting(), squared, pairs(4))
    assert step.weights["calls"] == 4


def test_recurrent_layers():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.cells = nn.LSTM(8, 8, 2, dropout=0.2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.cells(x)[0]

    check_training(Recurrent(), squared, [(torch.randn(5, 4, 8), torch.randn(5, 4, 8)) for _ in range(3)])


def test_frozen_and_unused_parameters_have_no_gradient():
    model = Perceptron()
    model.up.weight.requires_grad_(False)
    model.unused = nn.Parameter(torch.ones(3))
    check_training(model, squared, pairs())
    assert model.up.weight.grad is None
    assert model.unused.grad is None


@pytest.mark.parametrize(
    "loss",
    [
        lambda model, x: model.a + model.b,
        lambda model, x: model.a,
        lambda model, x: (model.a * x).sum() + model.v.sum(),
        lambda model, x: (model.v[:2] * x[0, :2]).sum(),
        lambda model, x: model.v.expand(5, 3).sum() + model.m.t().sum(),
        lambda model, x: (model.m * model.m.detach()).mean().reshape(1),
    ],
)
def test_gradients_lie_in_memory_of_their_own(loss: Any):
    """Gradients that autograd makes as views, of each other or of the loss's, are parameters' own all the same."""

    class Numbers(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Parameter(torch.randn(())), nn.Parameter(torch.randn(()))
            self.v, self.m = nn.Parameter(torch.randn(3)), nn.Parameter(torch.randn(4, 3).t())

    model = Numbers()
    check_training(model, loss, [(torch.randn(4, 8),) for _ in range(3)])
    found = [p.grad.untyped_storage().data_ptr() for p in model.parameters() if p.grad is not None]
    assert len(set(found)) == len(found)


def test_a_loss_with_weights_of_its_own():
    class Weighted(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.rand(8))

        def forward(self, model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return (self.scale * (model(x) - y) ** 2).mean()

    model, loss, batch = Perceptron(), Weighted(), pairs(1)[0]
    eager, eager_loss = copy.deepcopy((model, loss))
    value = gossamer.compile_training(model, loss, batch)(*batch)
    expected = eager_loss(eager, *batch)
    expected.backward()
    assert same(value, expected.detach())
    assert not differences(model, eager)
    assert same(loss.scale.grad, eager_loss.scale.grad)


def test_tensors_of_the_code_and_numbers_of_the_batch():
    weights = torch.rand(8)

    def loss(model: nn.Module, batch: dict[str, Any], factor: float) -> torch.Tensor:
        return factor * (weights * (model(batch["x"]) - batch["targets"][0]) ** 2).mean()

    batches = [({"x": x, "targets": [y]}, 0.5) for x, y in pairs()]
    step = check_training(Perceptron(), loss, batches)
    with pytest.raises(UserError, match=r"factor.*is 0.25.*expected 0.5"):
        step(batches[0][0], 0.25)


def test_the_model_itself_does_not_change_when_it_is_compiled():
    model, batch = nn.Sequential(Convolutions(), nn.Dropout(0.5)), images(1)[0]
    before, stream = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    gossamer.compile_training(model, classes, batch)
    assert all(map(torch.equal, before.values(), model.state_dict().values()))
    assert torch.equal(stream, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_gradients_accumulate():
    model, batches = Perceptron(p=0.2), pairs(4)
    eager, step = copy.deepcopy(model), gossamer.compile_training(model, squared, batches[0])
    torch.manual_seed(1)
    for batch in batches:
        step(*batch, scale=1 / 4)
    torch.manual_seed(1)
    for batch in batches:
        (squared(eager, *batch) / 4).backward()
    assert not differences(model, eager)


def test_a_gradient_that_was_there_is_written_in_place():
    model, batch = Perceptron(), pairs(1)[0]
    step = gossamer.compile_training(model, squared, batch)
    step(*batch)
    held = [parameter.grad for parameter in model.parameters()]
    step(*batch)
    assert all(parameter.grad is grad for parameter, grad in zip(model.parameters(), held, strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_scaler_scales(dtype: torch.dtype):
    def loss(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype):
            return squared(model, x, y)

    model, batches = Perceptron(p=0.1), pairs(4)
    eager, step = copy.deepcopy(model), gossamer.compile_training(model, loss, batches[0])
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (model, eager)]
    scalers = [torch.amp.GradScaler("cpu", init_scale=2.0**20, growth_interval=2) for _ in optimizers]
    for number, batch in enumerate(batches):
        for each in optimizers:
            each.zero_grad()
        torch.manual_seed(number)
        step(*batch, scale=scalers[0])
        torch.manual_seed(number)
        scalers[1].scale(loss(eager, *batch)).backward()
        assert not differences(model, eager)
        for scaler, each in zip(scalers, optimizers, strict=True):
            scaler.step(each)
            scaler.update()
    assert scalers[0].get_scale() == scalers[1].get_scale()
    assert all(map(torch.equal, model.parameters(), eager.parameters()))


def test_autocast_around_the_call():
    model, batch = Perceptron(p=0.1), pairs(1)[0]
    eager = copy.deepcopy(model)
    with torch.autocast("cpu", torch.bfloat16):
        step = gossamer.compile_training(model, squared, batch)
        torch.manual_seed(0)
        loss = step(*batch)
        torch.manual_seed(0)
        expected = squared(eager, *batch)
    expected.backward()
    assert same(loss, expected.detach())
    assert not differences(model, eager)
    with pytest.raises(UserError, match=r"autocast is off, the step was compiled with on for cpu \(bfloat16\)"):
        step(*batch)


def test_hooks_of_parameters_are_called():
    def run(model: Perceptron, train: Any) -> list[torch.Tensor]:
        seen: list[torch.Tensor] = []
        model.up.weight.register_hook(lambda gradient: gradient.clamp(-1e-3, 1e-3))
        model.up.weight.register_hook(lambda gradient: seen.append(gradient.clone()))
        model.down.bias.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.clone()))
        for batch in batches:
            train(model, batch)
        return seen

    batches, model = pairs(2), Perceptron()
    eager, step = copy.deepcopy(model), gossamer.compile_training(model, squared, batches[0])
    ours = run(model, lambda _, batch: step(*batch))
    expected = run(eager, lambda model, batch: squared(model, *batch).backward())
    assert not differences(model, eager)
    assert len(ours) == 4
    assert all(any(same(a, b) for b in expected) for a in ours)


def test_inputs_that_require_gradients_have_them():
    model, (x, y) = Perceptron(), pairs(1)[0]
    eager, ours, theirs = copy.deepcopy(model), x.clone().requires_grad_(), x.clone().requires_grad_()
    step = gossamer.compile_training(model, squared, (x.clone().requires_grad_(), y))
    for _ in range(2):
        step(ours, y)
        squared(eager, theirs, y).backward()
    assert same(ours.grad, theirs.grad)
    assert not differences(model, eager)


def test_a_gradient_that_would_be_lost_is_refused():
    model, (x, y) = Perceptron(), pairs(1)[0]
    step = gossamer.compile_training(model, squared, (x, y))
    with pytest.raises(UserError, match="argument 'x' requires a gradient, and the step was compiled without"):
        step(x.clone().requires_grad_(), y)
    with pytest.raises(UserError, match="argument 'x' is computed from what requires a gradient"):
        step(x.clone().requires_grad_() * 2, y)
    wants = gossamer.compile_training(model, squared, (x.clone().requires_grad_(), y))
    assert torch.equal(wants(x, y), step(x, y))
    assert x.grad is None


def test_a_batch_that_is_written_in_place():
    def loss(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return squared(model, x.mul_(2), y)

    model, (x, y) = Perceptron(), pairs(1)[0]
    eager, step, own = copy.deepcopy(model), gossamer.compile_training(model, loss, (x, y)), x.clone()
    value = step(x, y)
    expected = loss(eager, own, y)
    expected.backward()
    assert same(value, expected.detach())
    assert same(x, own)
    assert not differences(model, eager)
    with pytest.raises(UserError, match="'x' is written in place, and lies otherwise in memory"):
        step(x.t().contiguous().t(), y)


def test_nan_and_infinity_come_out_as_in_eager():
    model, (x, y) = Perceptron(p=0.5), pairs(1)[0]
    x[0, 0], x[1, 1], x[2, 2] = float("nan"), float("inf"), -0.0
    check_training(
        model, lambda model, x, y: (model.up(x).sin() * model.up(x).exp()).mean() + squared(model, x, y), [(x, y)]
    )


def test_a_batch_that_lies_otherwise_in_memory():
    model, batches = Perceptron(), pairs(2)
    eager, step = copy.deepcopy(model), gossamer.compile_training(model, squared, batches[0])
    x, y = batches[1]
    loss = step(x.t().contiguous().t(), y)
    expected = squared(eager, x, y)
    expected.backward()
    assert same(loss, expected.detach())
    assert not differences(model, eager)


def test_loading_weights_and_moving_parameters_is_seen():
    model, batch = Perceptron(), pairs(1)[0]
    step = gossamer.compile_training(model, squared, batch)
    other = Perceptron()
    model.load_state_dict(other.state_dict())
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    loss = step(*batch)
    expected = squared(other, *batch)
    expected.backward()
    assert same(loss, expected.detach())
    assert not differences(model, other)


def test_keyed_randomness_is_a_function_of_seed_and_step():
    batch = pairs(1)[0]
    models = [Perceptron(p=0.5)]
    models += [copy.deepcopy(models[0]) for _ in range(2)]
    steps = [
        gossamer.compile_training(m, squared, batch, randomness="keyed", seed=s)
        for m, s in zip(models, (5, 5, 6), strict=True)
    ]
    stream = torch.get_rng_state()
    first = [step(*batch) for step in steps]
    assert torch.equal(stream, torch.get_rng_state())
    assert same(first[0], first[1])
    assert not same(first[0], first[2])
    again = steps[0](*batch)
    assert not same(first[0], again)
    steps[0].number = 0
    assert same(first[0], steps[0](*batch))
    with pytest.raises(UserError, match="no randomness 'keyd'"):
        gossamer.compile_training(models[0], squared, batch, randomness="keyd")
    with pytest.raises(UserError, match="a seed is for keyed randomness"):
        gossamer.compile_training(models[0], squared, batch, seed=1)


def test_a_batch_of_another_shape_is_named():
    model, (x, y) = Perceptron(), pairs(1)[0]
    step = gossamer.compile_training(model, squared, (x, y))
    with pytest.raises(UserError, match=r"argument 'y' has shape \[3, 8\], expected \[4, 8\](?s:.*)drop_last=True"):
        step(x, y[:3])
    with pytest.raises(UserError, match="argument 'x' has dtype float64, expected float32"):
        step(x.double(), y)
    with pytest.raises(UserError, match="missing"):
        step(x)
    with pytest.raises(UserError, match="scale is '2', expected a number"):
        step(x, y, scale="2")  # pyright: ignore[reportArgumentType]
    assert all(parameter.grad is None for parameter in model.parameters())
