"""A step refuses to run when the model is not what it was compiled for."""

import gossamer
import pytest
from gossamer.dialects.diagnostics import UserError
from torch import nn

from ..training import Perceptron, pairs, squared


def test_what_has_changed_since_is_named():
    inner, batch = Perceptron(p=0.2), pairs(1)[0]
    model = nn.Sequential(inner)
    step = gossamer.compile_training(model, squared, batch)
    model.eval()
    with pytest.raises(UserError, match="the model is in evaluation mode, the step was compiled for training"):
        step(*batch)
    model.train()
    inner.norm.bias.requires_grad_(False)
    with pytest.raises(UserError, match=r"parameter '0.norm.bias' is frozen, the step was compiled to train it"):
        step(*batch)
    inner.norm.bias.requires_grad_(True)
    model.double()
    with pytest.raises(UserError, match=r"has dtype torch.float64, the step was compiled for torch.float32"):
        step(*batch)
    model.float()
    inner.up.weight = nn.Parameter(inner.up.weight.detach())
    with pytest.raises(UserError, match=r"'0.up.weight' has been replaced"):
        step(*batch)


def test_hooks_of_the_backward_pass_are_refused():
    model = Perceptron()
    model.up.register_full_backward_hook(lambda *_: None)
    with pytest.raises(UserError, match="module 'up' has a hook of the backward pass"):
        gossamer.compile_training(model, squared, pairs(1)[0])
