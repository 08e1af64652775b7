"""What a captured step looks like, and what cannot be captured."""

import random
from collections import UserDict
from dataclasses import dataclass
from typing import Any

import gossamer
import numpy as np
import pytest
import torch
from gossamer.compiler.context import parse_text, print_module
from gossamer.compiler.frontends.joint import import_step
from gossamer.dialects.aten import CallOp, WeightOp
from gossamer.dialects.diagnostics import UserError, place_of
from torch import nn
from torch.distributions import Normal
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence as pack

from ...training import Perceptron, check_training, pairs, squared


class Stack(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 8)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.1)) for _ in range(3))
        self.more = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
        self.other = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 8))
        self.last.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = functional.gelu(block(x)) + x
        return self.last(self.other(self.more(x)))


def calls(model: nn.Module, name: str) -> list[CallOp]:
    """The calls of `name` in a step of the model."""
    function = import_step(model, squared, pairs(1)[0]).function
    return [op for op in function.walk() if isinstance(op, CallOp) and op.target.data.startswith(f"aten.{name}.")]


def marks(op: CallOp) -> tuple[str, str, int | None]:
    """Phase, path and layer of an op."""
    found: Any = op.attributes
    layer = found["train.layer"].value.data if "train.layer" in found else None
    return found["train.phase"].data, found["train.path"].data if "train.path" in found else "", layer


def test_ops_say_which_pass_module_and_layer_they_belong_to():
    forward = [("first", None), *((f"blocks.{i}.0", i) for i in range(3)), ("more.0", 3), ("more.1", 4)]
    forward += [("other.0", None), ("other.1", None), ("last", None)]
    found = [marks(op) for op in calls(Stack(), "addmm")]
    assert found == [("forward", path, layer) for path, layer in forward]
    backward = [marks(op) for op in calls(Stack(), "mm")]
    assert [phase for phase, *_ in backward] == ["backward"] * (2 * len(forward) - 1)
    assert list(dict.fromkeys((path, layer) for _, path, layer in backward)) == forward[::-1]


def test_ops_stand_where_the_user_wrote_them():
    ops = calls(Stack(), "gelu") + calls(Stack(), "gelu_backward")
    places = {place_of(op) for op in ops}
    assert len(ops) == 6
    assert len(places) == 1
    place = places.pop()
    assert place
    assert "functional.gelu(block(x))" in place.excerpt()


def test_results_and_arguments_are_named():
    step = import_step(Stack(), squared, pairs(1)[0])
    results: list[Any] = [dict(attributes.data) for attributes in step.function.res_attrs or ()]
    assert "train.loss" in results[0]
    names = [name for name, _ in Stack().named_parameters()]
    assert [attributes["train.gradient_of"].data for attributes in results[1:]] == names
    arguments: list[Any] = [attributes.data for attributes in step.function.arg_attrs or ()]
    assert [attributes["aten.name"].data for attributes in arguments] == ["x", "y", "scale"]
    assert "train.tangent" in arguments[2]


def test_tied_weights_are_one_weight():
    module = import_step(Stack(), squared, pairs(1)[0]).module
    weights = {op.sym_name.data: op for op in module.ops if isinstance(op, WeightOp)}
    assert "last.weight" not in weights
    assert [alias.data for alias in weights["first.weight"].aliases or ()] == ["last.weight"]


def test_a_step_is_the_same_text_each_time():
    model, batch = Stack(), pairs(1)[0]
    texts = {str(import_step(model, squared, batch).module) for _ in range(2)}
    assert len(texts) == 1


def test_the_text_of_a_step_is_read_back():
    module = import_step(Stack(), squared, pairs(1)[0]).module
    assert parse_text(print_module(module)).is_structurally_equivalent(module)


def test_forward_comes_before_backward():
    function = import_step(Stack(), squared, pairs(1)[0]).function
    phases = [marks(op)[0] for op in function.walk() if isinstance(op, CallOp)]
    assert phases == sorted(phases, reverse=True)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda model, x, y: (model(x) - y) ** 2, r"a tensor of shape \[4, 8\], expected a scalar"),
        (lambda model, x, y: (squared(model, x, y), x), "gives a tuple, expected a scalar tensor"),
        (lambda model, x, y: squared(model, x, y).item(), "depends on values of a tensor"),
        (lambda model, x, y: squared(model, x, y).detach(), "depends on no parameter that requires a gradient"),
        (lambda model, x, y: model(x).argmax().sum(), "gives torch.int64, expected a floating-point number"),
        (lambda model, x, y: squared(model, x, y) if model(x).sum() > 0 else model(x).sum(), "depends on values"),
        (lambda model, x, y: model(x)[y > 0].mean(), "a size depends on values of a tensor"),
        (lambda model, x: model(x).mean(), "loss_fn cannot be called with the example: too many"),
        (lambda model, x, y: squared(model, x, y[:3]), "cannot be captured.*broadcast"),
        (
            lambda model, x, y: squared(model, x, y) * random.random(),
            "draws from Python's random.*hint: draw before",
        ),
        (lambda model, x, y: squared(model, x, y) * np.random.rand(), "draws from numpy.random"),
        (lambda model, x, y: squared(model, x, torch.from_numpy(y.numpy())), r"leaves torch by .numpy\(\)"),
        (lambda model, x, y: Normal(model(x), 1.0, validate_args=True).log_prob(y).mean(), "pass validate_args=False"),
        (lambda model, x, y: torch.inverse(model(x) @ y.t()).sum(), "raises where a matrix is singular.*inv_ex"),
        (
            lambda model, x, y: functional.ctc_loss(model(x), y.long(), torch.tensor([4]), torch.tensor([2])),
            "the lengths of its targets",
        ),
        (lambda model, x, y: pack(model(x), torch.tensor([2, 1])).data.sum(), "pack_padded_sequence leaves out rows"),
        (3, "loss_fn is a function"),
    ],
)
def test_a_loss_that_cannot_be_captured_is_refused(loss: Any, message: str):
    with pytest.raises(UserError, match=f"(?s){message}"):
        gossamer.compile_training(Perceptron(), loss, pairs(1)[0])


def test_random_numbers_of_python_stay_where_they_were():
    before = random.getstate()
    with pytest.raises(UserError):
        gossamer.compile_training(Perceptron(), lambda model, x, y: random.random() * model(x).sum(), pairs(1)[0])
    assert random.getstate() == before


@dataclass
class Pair:
    x: torch.Tensor
    y: torch.Tensor


@pytest.mark.parametrize(
    ("kind", "advice"),
    [(Pair, r"register_dataclass\(Pair\)"), (lambda x, y: UserDict(x=x, y=y), r"dict\(batch\)")],
)
def test_objects_that_hold_tensors_are_no_batch(kind: Any, advice: str):
    with pytest.raises(UserError, match=f"(?s)'batch' is a .*, which a step cannot look into.*{advice}"):
        gossamer.compile_training(Perceptron(), lambda model, batch: model(batch.x).sum(), (kind(*pairs(1)[0]),))


def test_a_buffer_that_grows_is_told_and_one_that_has_grown_is_written():
    class Remembering(Perceptron):
        def __init__(self):
            super().__init__()
            self.register_buffer("last", torch.zeros(0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.last = super().forward(x).detach()
            return self.last + super().forward(x)

    model, batch = Remembering(), pairs(1)[0]
    with pytest.raises(UserError, match=r"buffer 'last', of shape \[0\], by one of \[4, 8\](?s:.*)torch.no_grad"):
        gossamer.compile_training(model, squared, batch)
    with torch.no_grad():
        squared(model, *batch)
    check_training(model, squared, pairs())


def test_a_layer_of_torch_compile_is_captured_as_it_was_written():
    inner: Any = torch.compile(nn.Sequential(nn.GELU(), nn.Dropout(0.2)), backend="eager")
    check_training(nn.Sequential(nn.Linear(8, 16), inner, nn.Linear(16, 8)), squared, pairs())


def test_a_tensor_that_requires_a_gradient_and_is_no_parameter_is_refused():
    scale = torch.rand(8, requires_grad=True)
    with pytest.raises(UserError, match="requires a gradient and is no parameter"):
        gossamer.compile_training(Perceptron(), lambda model, x, y: squared(model, x * scale, y), pairs(1)[0])
