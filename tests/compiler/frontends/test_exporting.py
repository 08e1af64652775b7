"""What an import leaves alone, and what it says when it fails."""

import warnings
from typing import Any

import pytest
import torch
from gossamer.compiler.context import print_module
from gossamer.compiler.frontends import exporting
from gossamer.compiler.frontends.failures import RULES, export_failure
from gossamer.compiler.frontends.torch_export import import_model
from gossamer.dialects.diagnostics import UserError
from gossamer.tests.imports import Wrap
from gossamer.tests.models import corners
from gossamer.tests.zoo import ZOO
from torch import nn
from torch.export import Dim

# -- what is left alone -----------------------------------------------------------------------------------------------


def test_an_import_leaves_random_numbers_and_gradient_mode_alone():
    torch.manual_seed(3)
    expected = torch.rand(())
    torch.manual_seed(3)
    with torch.no_grad():
        import_model(corners.Chance(), (torch.zeros(2, 2),))
        assert not torch.is_grad_enabled()
    assert torch.rand(()) == expected


def test_the_callers_gradient_mode_does_not_change_the_program():
    sample = ZOO["nn.TransformerEncoder with padding"].build()
    with torch.no_grad():
        without = print_module(import_model(*sample).module)
    assert without == print_module(import_model(*sample).module)


def test_inputs_come_out_as_they_went_in():
    x = torch.randn(4, 8, requires_grad=True)
    marks = set(vars(x))
    import_model(nn.Linear(8, 2), (x,), dynamic_shapes=({0: Dim.DYNAMIC},))
    with pytest.raises(UserError):
        import_model(nn.Linear(8, 2), (x,), dynamic_shapes=({1: Dim.DYNAMIC},))
    import_model(nn.Linear(8, 2), (x,))
    assert set(vars(x)) == marks
    assert x.requires_grad
    assert x.is_leaf


def test_an_attribute_that_forward_leaves_behind_is_taken_away_and_told():
    sample = ZOO["an attribute written"].build()
    with pytest.warns(UserWarning, match=r"self\.seen is written by forward"):
        import_model(*sample)
    assert not hasattr(sample.model, "seen")


def test_an_import_prints_nothing(capfd: pytest.CaptureFixture[str]):
    for name in ("BERT", "if on a tensor", "LSTM, dynamic length"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                import_model(*ZOO[name].build())
            except UserError:
                continue
    assert capfd.readouterr() == ("", "")


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "args", "message"),
    [
        (torch.relu, (torch.ones(2),), "a model is a torch.nn.Module"),
        (nn.ReLU(), torch.ones(2), "args is the tuple of positional inputs, got Tensor"),
        (nn.ReLU(), 3, "args is the tuple"),
        (nn.ReLU(), (), "the example inputs do not fit its forward"),
        (nn.Linear(3, 3), (torch.ones(2, 4),), "must have same reduction dim"),
    ],
    ids=["function", "tensor", "number", "missing", "wrong size"],
)
def test_a_wrong_call_says_what_was_expected(model: Any, args: Any, message: str):
    with pytest.raises(UserError, match=message) as caught:
        import_model(model, args)
    assert caught.value.hint


def test_dynamic_shapes_that_are_none_are_told():
    x = torch.ones(4, 3)
    with pytest.raises(UserError, match="no dynamic_shapes 'autp'") as unknown:
        import_model(nn.ReLU(), (x,), dynamic_shapes="autp")
    assert unknown.value.hint == "did you mean 'auto'?"
    with pytest.raises(UserError, match="does not nest as the inputs do"):
        import_model(nn.ReLU(), (x,), dynamic_shapes={"y": {0: Dim.DYNAMIC}})


def test_an_object_that_cannot_be_taken_apart_is_named():
    class Box:
        def __init__(self, value: torch.Tensor):
            self.value = value

    with pytest.raises(UserError, match="cannot take apart") as caught:
        import_model(Wrap(lambda x: Box(x + 1)), (torch.ones(2),))
    assert "Box" in "".join(caught.value.details)


def test_the_first_rule_that_fits_is_told():
    for index, (_, reason, advice) in enumerate(RULES):
        quoted = EXAMPLES[index]
        told = export_failure(nn.ReLU(), [RuntimeError("something else"), RuntimeError(quoted)])
        assert (told.message, told.hint) == (f"ReLU cannot be exported: {reason}", advice), quoted


EXAMPLES = (
    "Could not guard on data-dependent expression Eq(u0, 0)\n    for expert_idx in expert_hit:",
    "_apply(): Couldn't swap Linear.weight",
    "Found <class 'transformers.cache_utils.DynamicCache'> in output, which is not a known type.",
    "Constraints violated (L['x'].size()[1])!",
    "When `dynamic_shapes` is specified as a dict, its top-level keys must be the arg names",
    "torch.classes.quantized.LinearPackedParamsBase does not have a field with name '__obj_flatten__'",
    "Could not extract specialized integer from data-dependent expression u0",
    "Could not guard on data-dependent expression u0 > 4",
    "Expected inputs of BF16 type but got mat_a.dtype=torch.float32",
    "While compiling, we found certain side effects happened in the model.forward: ['_buffers']",
    "There was no fake impl registered for zoo::op",
    "Exporting a ScriptModule is not supported",
    "forward() missing 1 required positional argument: 'x'",
)
"""What torch says where each rule fits."""


def test_a_failure_that_no_rule_knows_is_told_in_torchs_words():
    told = export_failure(nn.ReLU(), [RuntimeError("the moon is full\nand more"), ValueError("so it is")])
    assert told.message == "ReLU cannot be exported: the moon is full"
    assert told.details == ("torch.export: the moon is full", "torch.export: so it is")


def test_a_buffer_replaced_in_a_strict_trace_is_no_silent_loss(monkeypatch: pytest.MonkeyPatch):
    def only_strict(model: Any, args: Any, kwargs: Any, shapes: Any, strict: bool) -> Any:
        if not strict:
            raise RuntimeError("not this time")
        return attempt(model, args, kwargs, shapes, strict)

    attempt = exporting.attempt
    monkeypatch.setattr(exporting, "attempt", only_strict)
    with pytest.raises(UserError, match="forward replaces a buffer"):
        import_model(*ZOO["a buffer replaced, the old one returned"].build())
    assert import_model(*ZOO["cond"].build()).strict
