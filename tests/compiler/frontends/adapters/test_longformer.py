"""Longformer's attention: the same with no global token, with some, with all; results to the bit, gradients nearly."""

from typing import Any

import pytest
import torch
from gossamer.compiler.frontends.torch_export import import_model
from gossamer.runtime.executor import Program
from gossamer.tests.alike import apart
from gossamer.tests.models.language import longformer_network, text, words
from gossamer.tests.zoo import difference, run

LENGTH = 24
GLOBALS = {
    "none marked": lambda: torch.zeros(2, LENGTH, dtype=torch.long),
    "one row has one": lambda: torch.eye(2, LENGTH, dtype=torch.long)[:1].expand(2, -1) * torch.tensor([[1], [0]]),
    "rows have different ones": lambda: (torch.rand(2, LENGTH) < torch.tensor([[0.1], [0.4]])).long(),
    "all": lambda: torch.ones(2, LENGTH, dtype=torch.long),
}
ROUNDING = 1e-7
"""Relative to the largest gradient: where no token is global, gradients of zero are added that eager does not have."""


def network(dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    return longformer_network().to(dtype).eval()


def padded() -> torch.Tensor:
    return (torch.arange(LENGTH) < torch.tensor([[LENGTH], [LENGTH // 2 + 1]])).long()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("marks", GLOBALS)
def test_any_number_of_global_tokens(marks, dtype):
    results, gradients = apart(network(dtype), words(LENGTH), padded(), global_attention_mask=GLOBALS[marks]())
    assert results == 0.0
    assert gradients <= ROUNDING


def test_no_marks_at_all():
    results, gradients = apart(network(), words(LENGTH), padded())
    assert results == 0.0
    assert gradients <= ROUNDING


@pytest.mark.parametrize("length", [1, 8, 13])
def test_lengths_that_the_model_pads(length):
    results, gradients = apart(network(), words(length), global_attention_mask=torch.eye(2, length).long())
    assert results == 0.0
    assert gradients <= ROUNDING


def test_a_row_that_is_all_padding():
    mask = padded()
    mask[1] = 0
    assert apart(network(), words(LENGTH), mask)[0] == 0.0


@pytest.mark.parametrize("marks", ["rows have different ones", "none marked"])
def test_training_draws_the_same_random_numbers(marks):
    results, gradients = apart(network().train(), words(LENGTH), padded(), global_attention_mask=GLOBALS[marks]())
    assert results == 0.0
    assert gradients <= ROUNDING


def test_attentions_that_are_asked_for_are_the_models_own():
    marks = GLOBALS["rows have different ones"]()
    assert apart(network(), words(LENGTH), global_attention_mask=marks, output_attentions=True) == (0.0, 0.0)


def test_one_program_serves_every_number_of_global_tokens():
    model = network()
    sample = text(model, LENGTH, dynamic=False, global_attention_mask=GLOBALS["one row has one"]())
    imported = import_model(*sample)
    program = Program.build(imported.module, imported.weights)
    for marks in GLOBALS.values():
        kwargs = {**sample.kwargs, "input_ids": words(LENGTH), "global_attention_mask": marks()}
        assert difference(run(imported, program, (), kwargs), model(**kwargs)) == 0.0
