"""Where ops come from."""

import inspect
from typing import Any

import torch
from gossamer.compiler.frontends.torch_export import import_model
from gossamer.dialects.diagnostics import place_of
from gossamer.tests.imports import calls
from gossamer.tests.models import control_flow, corners
from gossamer.tests.zoo import ZOO
from torch import nn


def line_of(function: Any, text: str) -> int:
    """The number of the line of `function` that contains `text`."""
    lines, start = inspect.getsourcelines(function)
    return start + next(i for i, line in enumerate(lines) if text in line)


def test_an_op_comes_from_the_innermost_line_of_the_user():
    imported = import_model(*ZOO["cond"].build())
    place = place_of(calls(imported, "linear")[0])
    assert place is not None
    assert (place.file, place.line) == (control_flow.__file__, line_of(control_flow.Branch.forward, "torch.cond"))
    assert place_of(imported.function) is not None


def test_lines_are_kept_inside_regions_without_gradients_and_of_few_bits():
    imported = import_model(*ZOO["no_grad and autocast"].build())
    lines = {op.target.data: place.line for op in calls(imported) if (place := place_of(op))}
    assert lines["aten.sin.default"] == line_of(corners.Regions.forward, "y.sin()")
    plain, few_bits = (place.line for op in calls(imported, "linear") if (place := place_of(op)))
    assert plain == line_of(corners.Regions.forward, "y = self.linear(x)")
    assert few_bits == line_of(corners.Regions.forward, "w = self.linear(x)")


def test_a_model_of_torchs_own_has_torchs_lines():
    (op,) = calls(import_model(nn.Linear(2, 2), (torch.randn(1, 2),)))
    place = place_of(op)
    assert place is not None
    assert place.file.endswith("linear.py")
