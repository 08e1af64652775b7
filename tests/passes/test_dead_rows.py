"""What reads rows that seemed dead, and what packed rows must not be taken for: the model's results all the same."""

from collections.abc import Callable

import gossamer
import pytest
import torch
from gossamer.tests.passes.models import WIDTH, vectors
from gossamer.tests.passes.test_pitfalls import PACKED, Net, check, domains, packed, right
from torch import nn


def test_a_number_read_off_a_tensor_reads_all_of_it():
    def head(net: Net, h: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        return h * keep[..., None] * h.sum().item()

    inputs = vectors(right())
    check(gossamer.compile(Net(head), kwargs=inputs, pipeline=PACKED), inputs)


@pytest.mark.parametrize("like", [torch.ones_like, torch.zeros_like, lambda h: torch.full_like(h, 7.0)])
def test_a_tensor_of_the_size_of_packed_rows_is_full_everywhere(like):
    def head(net: Net, h: torch.Tensor, keep: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return h * keep[..., None], like(h)

    inputs = vectors(right())
    program = packed(Net(head), inputs)
    assert domains(program) == 1
    check(program, inputs)


class Flags(nn.Module):
    """Rows that are chosen by a mask which is itself computed from masked rows."""

    def __init__(self, head: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]):
        super().__init__()
        self.linear, self.other, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), head

    def forward(self, x: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        flag = (self.other(x * keep[..., None]) > 0.5).any(-1, keepdim=True)
        return self.head(flag, self.linear(x))


@pytest.mark.parametrize(
    "head",
    [
        lambda flag, h: torch.where(flag.expand(-1, -1, WIDTH), h, 5.0),
        lambda flag, h: h * flag.float() + 1,
        lambda flag, h: h * flag.long().expand(-1, -1, WIDTH) + 1,
        lambda flag, h: h.masked_fill(~flag, 3.0),
    ],
)
def test_a_mask_made_of_packed_rows_still_brings_rows_to_life(head):
    inputs = vectors(right())
    check(packed(Flags(head), inputs), inputs)


@pytest.mark.parametrize("keep", [right(), torch.ones(3, 6, dtype=torch.bool)])
def test_a_result_that_is_made_contiguous_is(keep):
    def head(net: Net, h: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        return (h * keep[..., None]).transpose(1, 2).contiguous()

    program = gossamer.compile(Net(head), kwargs=vectors(right()))
    assert program(**vectors(keep)).is_contiguous()


def test_a_fill_out_of_range_is_infinite_as_the_models_and_starts_nothing():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(WIDTH, WIDTH).half()

        def forward(self, x: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
            return self.linear(torch.where(keep[..., None], x, -1e9))

    inputs = vectors(right())
    inputs["x"] = inputs["x"].half()
    program = packed(Half(), inputs)
    assert domains(program) == 0
    with torch.no_grad():
        torch.testing.assert_close(program(**inputs), program.original(**inputs), equal_nan=True)


def test_infinite_rows_that_nobody_reads_leave_gradients_alone():
    class Infinite(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(WIDTH, WIDTH)

        def forward(self, x: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
            return self.linear(x.masked_fill(~keep[..., None], -torch.inf))

    program = packed(Infinite(), vectors(right()))
    inputs = vectors(torch.ones(3, 6, dtype=torch.bool))
    weight = dict(program.original.named_parameters())["linear.weight"]
    gradients = []
    for call in (program, program.original):
        program.original.zero_grad()
        call(**inputs).square().sum().backward()
        gradients.append(weight.grad)
    torch.testing.assert_close(*gradients)


def test_a_gradient_that_counts_indices_counts_all_of_them():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.linear = nn.Embedding(5, WIDTH, scale_grad_by_freq=True), nn.Linear(WIDTH, WIDTH)

        def forward(self, ids: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
            return self.linear(self.words(ids)) * keep[..., None]

    keep = right()
    inputs = {"ids": torch.randint(0, 5, keep.shape), "keep": keep}
    program = packed(Words(), inputs)
    words = dict(program.original.named_parameters())["words.weight"]
    gradients = []
    for call in (program, program.original):
        program.original.zero_grad()
        call(**inputs).square().sum().backward()
        gradients.append(words.grad)
    torch.testing.assert_close(*gradients)
