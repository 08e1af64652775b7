"""Values of weights alone become weights."""

import torch
from gossamer.compiler.frontends.folding import fold_weights
from gossamer.compiler.frontends.torch_export import import_model
from gossamer.tests.imports import calls
from torch import Tensor, nn


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.tensor([0.5, 1.5]))

    def forward(self, x: Tensor) -> Tensor:
        return x * (self.beta.clamp(0, 1) + self.beta) + torch.rand_like(self.beta)


def test_what_depends_on_weights_alone_is_computed_once():
    imported = import_model(Model(), (torch.rand(3, 2),))
    fold_weights(imported.module, weights := dict(imported.weights))
    imported.module.verify()
    assert torch.equal(weights["beta.clamp.add"], torch.tensor([1.0, 2.5]))
    left = [op.target.data for op in calls(imported)]
    assert left == ["aten.mul.Tensor", "aten.rand_like.default", "aten.add.Tensor"]
