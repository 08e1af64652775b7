import itertools

import pytest
import torch
from gossamer.runtime.domain import Domain, Run


def by_hand(mask: torch.Tensor) -> list[tuple[int, ...]]:
    """Coordinates of the active positions, found one by one."""
    return [where for where in itertools.product(*map(range, mask.shape)) if mask[where].item() != 0]


MASKS = {
    "some": lambda: torch.rand(5, 4, 6) < 0.4,
    "full": lambda: torch.ones(3, 4, dtype=torch.int64),
    "empty": lambda: torch.zeros(3, 4),
    "one": lambda: torch.eye(3)[:1],
    "last only": lambda: torch.tensor([[0, 0], [0, 7]]),
    "one axis": lambda: torch.rand(9) < 0.5,
    "no positions": lambda: torch.ones(0, 3),
    "no columns": lambda: torch.ones(3, 0),
    "transposed": lambda: (torch.rand(4, 5) < 0.5).t(),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_a_domain_lists_active_positions_in_row_major_order(mask):
    mask = mask()
    domain = Domain.of(mask)
    expected = by_hand(mask)
    assert domain.space == tuple(mask.shape)
    assert domain.size == len(expected)
    assert domain.rows.dtype is torch.int64
    found = zip(*(domain.coordinate(axis).tolist() for axis in range(mask.dim())), strict=True)
    assert list(found) == expected
    assert domain.rows.tolist() == sorted(domain.rows.tolist())


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_sequences_are_the_active_positions_that_agree_on_all_axes_but_the_last(mask):
    mask = mask()
    domain = Domain.of(mask)
    groups = [(key, [w[-1] for w in group]) for key, group in itertools.groupby(by_hand(mask), lambda w: w[:-1])]
    numbers = {where: n for n, where in enumerate(itertools.product(*map(range, mask.shape[:-1])))}
    assert [s.number for s in domain.sequences] == [numbers[key] for key, _ in groups]
    assert [domain.columns(s).tolist() for s in domain.sequences] == [columns for _, columns in groups]
    assert [(s.low, s.high) for s in domain.sequences] == [(c[0], c[-1] + 1) for _, c in groups]
    assert [s.contiguous for s in domain.sequences] == [c == list(range(c[0], c[-1] + 1)) for _, c in groups]


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int32, torch.int64, torch.bfloat16, torch.float16, torch.complex64]
)
def test_any_dtype_makes_a_mask(dtype):
    assert Domain.of(torch.tensor([0, 1, 0, 1]).to(dtype)).rows.tolist() == [1, 3]


def test_nan_and_infinities_are_active_and_negative_zero_is_not():
    mask = torch.tensor([float("nan"), -0.0, 0.0, float("inf"), -float("inf"), 1e-45])
    assert Domain.of(mask).rows.tolist() == [0, 3, 4, 5]


def test_density_is_the_active_share_and_one_where_there_is_nothing():
    assert Domain.of(torch.tensor([1, 0, 0, 1])).density == 0.5
    assert Domain.of(torch.zeros(2, 2)).density == 0.0
    assert Domain.of(torch.zeros(0, 7)).density == 1.0


def test_all_positions_are_everywhere_and_a_full_mask_is_not_said_to_be():
    assert Domain.all((2, 3)).everywhere
    assert Domain.all((2, 3)).rows.tolist() == list(range(6))
    assert not Domain.of(torch.ones(2, 3)).everywhere


def test_neighbouring_sequences_of_one_length_form_a_run():
    mask = torch.tensor([[1, 1, 0], [0, 1, 1], [0, 0, 0], [1, 0, 1], [1, 1, 1], [1, 1, 1], [1, 0, 0]])
    assert Domain.of(mask).runs == [Run(3, 2), Run(2, 3), Run(1, 1)]


def test_a_domain_remembers_only_the_last_two_large_things():
    domain = Domain.of(torch.ones(2))
    for key in range(5):
        domain.remember(key, key)
    assert domain.recent == {3: 3, 4: 4}


LISTS = {
    "none": [],
    "one": [3],
    "out of order": [7, 0, 3],
    "twice": [5, 5, 1, 5],
    "from the end": [-1, 0, 99, -100],
    "outside": [100, -101, 4, 10**12],
    "all": list(range(100)),
    "most, and again": [*range(0, 100, 2), *range(1, 60), -1],
}


@pytest.mark.parametrize("named", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_a_list_names_each_position_once_modulo_the_axis(named, dtype):
    entries = torch.tensor([entry for entry in named if dtype is torch.int64 or entry < 2**31], dtype=dtype)
    for shaped in (entries, entries[:, None], torch.stack([entries, entries])):
        domain = Domain.listed(shaped, 100)
        assert domain.space == (100,)
        assert domain.rows.dtype is torch.int64
        assert domain.rows.is_contiguous()
        assert domain.rows.tolist() == sorted({entry % 100 for entry in entries.tolist()})


def test_a_list_of_an_axis_without_positions_is_empty():
    assert Domain.listed(torch.tensor([], dtype=torch.int64), 0).density == 1.0
    assert Domain.listed(torch.tensor([0, -1]), 0).size == 0
