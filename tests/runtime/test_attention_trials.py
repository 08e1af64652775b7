"""The kernel computes attention only where, tried here, it has the library's bits and is faster."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pytest
import torch
from gossamer.passes.kernels import heads
from gossamer.runtime import attention_trials
from gossamer.runtime.attention_trials import APART, SIZES, Layout, Shape, Way, found, library, operands, tried
from torch import Tensor

QUERIES, KEYS, SUMS = (2 * 24 * 16, 16, 2 * 16, 1), (2 * 48 * 16, 16, 2 * 16, 1), (2 * 24, 1, 2)
SHAPE = Shape(3, 2, 24, 48, 16, True, 0.25)
FORWARD = Layout(SHAPE, (QUERIES, KEYS, KEYS))
BACKWARD = Layout(SHAPE, (QUERIES, QUERIES, KEYS, KEYS, QUERIES, SUMS))
BOTH = pytest.mark.parametrize("layout", [FORWARD, BACKWARD], ids=["forward", "backward"])


class Kernel:
    """Computes as the library does in the ways that are `right`, else another result; says that it is `able`."""

    digest = "test"

    def __init__(
        self, right: Iterable[Way], change: Callable[[Tensor], Tensor] = torch.neg, which: int = -1, able: bool = True
    ):
        self.right, self.change, self.which, self.able = list(right), change, which, able
        self.asked, self.given = list[Way](), list[Sequence[Tensor]]()

    def __call__(self, shape: Shape, tensors: Sequence[Tensor], way: Way) -> bool:
        given = tensors[: 3 if len(tensors) == 5 else 6]
        self.asked.append(way)
        self.given.append(given)
        results = list(library(shape, given))
        if way not in self.right:
            results[self.which] = self.change(results[self.which])
        for room, result in zip(tensors[len(given) :], results, strict=True):
            room.copy_(result)
        return self.able


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("attention")))


@pytest.fixture(autouse=True)
def times(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of the library and of the kernel, as the trial measures them."""
    seconds = [2.0, 1.0]
    monkeypatch.setattr(attention_trials, "fastest", lambda *_: seconds)
    return seconds


@BOTH
def test_the_first_way_with_the_librarys_bits_is_taken(layout: Layout):
    first, *others = layout.ways()
    assert tried(Kernel([first, *others]), layout) == first
    for way in others:
        kernel = Kernel([way])
        assert tried(kernel, layout) == way
        assert list(dict.fromkeys(kernel.asked)) == [first, *others[: others.index(way) + 1]]
    assert tried(Kernel([]), layout) is None


def test_no_way_is_tried_twice_or_sums_too_much():
    assert FORWARD.ways() == [Way(48, False), Way(24, False)]
    assert BACKWARD.ways() == [Way(48, False), Way(48, True), Way(24, False), Way(24, True)]
    ways = Layout(Shape(1, 1, 2048, 2048, 16, True, 0.25), FORWARD.strides).ways()
    assert len(set(ways)) == len(ways)
    assert max(way.length for way in ways) == attention_trials.LONGEST


@BOTH
def test_all_bits_count(layout: Layout):
    kernel = Kernel([], change=lambda result: torch.nextafter(result, torch.tensor(torch.inf)))
    assert tried(kernel, layout) is None
    assert tried(Kernel([], change=lambda result: result.clone()), layout) == layout.ways()[0]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_all_results_count(which: int):
    kernel = Kernel([], change=lambda result: torch.nextafter(result, torch.tensor(torch.inf)), which=which)
    assert tried(kernel, BACKWARD) is None


def test_signs_of_zeros_count():
    """Those that queries with a gradient of zeros have."""
    kernel = Kernel([], change=lambda result: torch.where(result == 0, -result, result), which=0)
    assert tried(kernel, BACKWARD) is None


@BOTH
def test_a_kernel_that_is_no_faster_is_left(layout: Layout, times: list[float]):
    for times[:] in ([1.0, 1.5], [1.0, 1.0]):
        assert tried(Kernel(layout.ways()), layout) is None


@BOTH
def test_both_are_timed(layout: Layout, monkeypatch: pytest.MonkeyPatch):
    kernel, runs = Kernel(layout.ways()[1:]), list[Callable[[], object]]()

    def fastest(*given: Callable[[], object]) -> list[float]:
        runs.extend(given)
        return [2.0, 1.0]

    monkeypatch.setattr(attention_trials, "fastest", fastest)
    assert tried(kernel, layout) == layout.ways()[1]
    kernel.asked.clear()
    for run in runs:
        run()
    assert len(runs) == 2
    assert kernel.asked == [layout.ways()[1]]


@BOTH
def test_a_kernel_that_cannot_is_left(layout: Layout):
    kernel = Kernel(layout.ways(), able=False)
    assert tried(kernel, layout) is None
    assert set(kernel.asked) == set(layout.ways())


@BOTH
def test_what_was_found_is_kept(layout: Layout, monkeypatch: pytest.MonkeyPatch):
    way, never = layout.ways()[1], Kernel([])
    assert found(Kernel([way]), layout) == way
    assert found(never, layout) == way
    assert not never.asked
    other = Layout(Shape(3, 2, 24, 48, 16, False, 0.25), layout.strides)
    assert found(never, other) is None
    assert never.asked
    again = Kernel(layout.ways())
    assert found(again, other) is None
    assert not again.asked
    monkeypatch.setattr(never, "digest", "another text")
    assert found(never, layout) is None


def test_what_is_found_is_for_a_number_of_threads(monkeypatch: pytest.MonkeyPatch):
    assert found(Kernel(FORWARD.ways()), FORWARD) is not None
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    assert found(Kernel([]), FORWARD) is None


@BOTH
def test_what_is_too_large_is_left(layout: Layout, monkeypatch: pytest.MonkeyPatch):
    queries, keys = 3 * 24 * 2 * 16, 3 * 48 * 2 * 16
    numbers = queries + 2 * keys if layout is FORWARD else 3 * queries + 2 * keys + 3 * 24 * 2
    monkeypatch.setattr(attention_trials, "MOST", 8 * numbers - 1)
    kernel = Kernel(layout.ways())
    assert tried(kernel, layout) is None
    assert not kernel.asked
    monkeypatch.setattr(attention_trials, "MOST", 8 * numbers)
    assert tried(kernel, layout) is not None


@BOTH
def test_operands_lie_as_the_real_ones_do(layout: Layout):
    kernel = Kernel(layout.ways())
    tried(kernel, layout)
    for given in kernel.given:
        assert tuple(tensor.stride() for tensor in given) == layout.strides
        assert [tuple(tensor.shape) for tensor in given] == layout.given
    one, other = kernel.given
    place = 1 if layout is BACKWARD else 0
    for q, size in zip((one[place], other[place]), SIZES, strict=True):
        assert 0.9 * size < q.std() < 1.1 * size


def test_gradients_have_rows_of_zeros_and_tiny_ones():
    gradient, q, k, v, output, logsumexp = operands(BACKWARD, 1.0, np.random.default_rng(1))
    sizes = gradient.abs().amax(-1)
    assert (sizes[:, :, APART - 1 :: APART] == 0).all()
    assert ((sizes[:, :, ::APART] > 0) & (sizes[:, :, ::APART] < 1e-31)).all()
    assert (sizes[:, :, 1 : APART - 1] > 0.1).all()
    expected = library(SHAPE, (q, k, v))
    assert torch.equal(output, expected[0])
    assert torch.equal(logsumexp, expected[1])


def test_gradients_are_plain_where_time_is_measured(monkeypatch: pytest.MonkeyPatch):
    kernel, timed = Kernel(BACKWARD.ways()), list[Tensor]()

    def fastest(library: Callable[[], object], run: Callable[[], object]) -> list[float]:
        run()
        timed.extend(kernel.given[-1][:1])
        return [2.0, 1.0]

    monkeypatch.setattr(attention_trials, "fastest", fastest)
    assert tried(kernel, BACKWARD) is not None
    (gradient,) = timed
    assert (gradient.abs().amax(-1) > 0.01).all()


def test_blocks_are_the_kernels():
    assert attention_trials.LONGEST == heads.LONGEST
