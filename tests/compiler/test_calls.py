"""Calls for which export took another way: sizes, values and memory that a compiled model refuses, or sees to."""

from enum import Enum

import gossamer
import pytest
import torch
from gossamer.dialects.diagnostics import UserError
from torch import nn


class Ways(nn.Module):
    """Another way for each `question` that sizes answer with yes."""

    def __init__(self, question):
        super().__init__()
        self.question = question

    def forward(self, x):
        return 2 * x if self.question(*x.shape) else x + 1


@pytest.mark.parametrize(
    "question",
    [
        lambda a, b: b % 2 == 0,
        lambda a, b: a > b,
        lambda a, b: b == 8,
        lambda a, b: b != 7,
        lambda a, b: a * b > 30,
        lambda a, b: a > b or b % 4 == 0,
    ],
)
def test_sizes_for_which_the_model_takes_another_way_are_refused(question, tmp_path):
    fast = gossamer.compile(Ways(question), torch.randn(3, 7), dynamic_shapes="auto")
    fast.save(tmp_path / "out")
    again = gossamer.load(tmp_path / "out")
    for sizes in ((3, 7), (3, 8), (8, 7), (5, 9), (2, 12), (9, 9)):
        x = torch.randn(sizes)
        if question(*sizes) == question(3, 7):
            assert torch.equal(fast(x), fast.original(x))
        else:
            for program in (fast, again):
                with pytest.raises(UserError, match=r"takes another way for these sizes|has shape"):
                    program(x)


class TwoLengths(nn.Module):
    """Rows of `x` that `mask` marks, and rows of `y`, of which there are as many or others."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x, mask, y):
        return {"first": self.first(x), "second": self.second(y)}


def test_a_star_means_no_result_of_another_length():
    inputs = {"x": torch.randn(3, 7, 8), "mask": torch.rand(3, 7) < 0.3, "y": torch.randn(3, 5, 8)}
    fast = gossamer.compile(TwoLengths(), kwargs=inputs, dont_care={"*": "mask"}, dynamic_shapes="auto")
    found, wanted = fast(**inputs), fast.original(**inputs)
    torch.testing.assert_close(found["second"], wanted["second"])
    torch.testing.assert_close(found["first"][inputs["mask"]], wanted["first"][inputs["mask"]])


def test_lengths_that_were_equal_in_the_example_must_stay_so():
    inputs = {"x": torch.randn(3, 7, 8), "mask": torch.rand(3, 7) < 0.3, "y": torch.randn(3, 7, 8)}
    fast = gossamer.compile(TwoLengths(), kwargs=inputs, dont_care={"*": "mask"}, dynamic_shapes="auto")
    with pytest.raises(UserError, match=r"compiled for Eq\("):
        fast(**inputs | {"y": torch.randn(3, 6, 8)})


class Scale(Enum):
    ONCE, TWICE = 1, 2


class Scaled(nn.Module):
    def forward(self, x, by, pair=(1, 2)):
        return x * by.value + pair[0]


def test_a_value_that_export_built_in_is_the_only_one_taken():
    x = torch.ones(2)
    fast = gossamer.compile(Scaled(), (x, Scale.TWICE))
    assert torch.equal(fast(x, Scale.TWICE), fast.original(x, Scale.TWICE))
    assert torch.equal(fast(x, Scale.TWICE, pair=(1, 2)), fast.original(x, Scale.TWICE))
    with pytest.raises(UserError, match=r"argument 'by' is <Scale.ONCE: 1>, expected <Scale.TWICE: 2>"):
        fast(x, Scale.ONCE)
    with pytest.raises(UserError, match="argument 'pair'"):
        fast(x, Scale.TWICE, pair=(3, 2))


class Contiguous(nn.Module):
    """`head` of its input, made contiguous."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, x):
        return self.head(x.contiguous())


@pytest.mark.parametrize(
    "head",
    [
        lambda x: x.as_strided((2, 4), (4, 1)),
        lambda x: torch.view_as_complex(x.view(3, 2, 2)).abs(),
        lambda x: x.view(torch.int32),
    ],
)
def test_what_is_read_by_strides_is_made_contiguous_where_it_was_so_in_the_example(head):
    fast = gossamer.compile(Contiguous(head), torch.randn(3, 4))
    for x in (torch.randn(3, 4), torch.randn(4, 3).t(), torch.randn(1, 4).expand(3, 4)):
        assert torch.equal(fast(x), fast.original(x))


def test_what_is_written_must_lie_in_memory_as_in_the_example():
    fast = gossamer.compile(Contiguous(lambda x: x.mul_(2)), torch.randn(3, 4))
    x = torch.randn(4, 3).t()
    before = x.clone()
    with pytest.raises(UserError, match="argument 'x' is written in place, and is not contiguous"):
        fast(x)
    assert torch.equal(x, before)
    assert torch.equal(fast(y := before.contiguous()), 2 * before)
    assert torch.equal(y, 2 * before)
