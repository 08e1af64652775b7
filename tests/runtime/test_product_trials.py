"""The kernel computes a product only where, tried here, it has the library's bits and is faster."""

import time
from collections.abc import Callable, Sequence

import pytest
import torch
from gossamer.passes.kernels.panels import PITCH
from gossamer.runtime import product_trials
from gossamer.runtime.product_trials import Layout, Way, found, operands, tried
from torch import Tensor

LAYOUT = Layout(48, 40, 64, (40, 1), (1, 40), (0, 16), biased=True)
SLOW, FAST = 2e-3, 0.0


class Kernel:
    """Computes as the library does with blocks of `right`, else something else, in no less than some seconds."""

    digest = "test"

    def __init__(self, right: Sequence[int], seconds: float = FAST, change: Callable[[Tensor], Tensor] = torch.neg):
        self.right, self.seconds, self.change = right, seconds, change
        self.asked, self.plain = list[int](), list[bool]()

    def __call__(self, a: Tensor, b: Tensor, bias: Tensor | None, c: Tensor, way: Way) -> None:
        self.asked.append(way.block)
        sizes = torch.cat([matrix.abs().flatten() for matrix in (a, b)])
        self.plain.append(bool(((sizes > 1e-30) & (sizes < 1e30)).all()))
        time.sleep(self.seconds)
        result = KNOWN[bias is not None](a, b, bias)
        c.copy_(result if way.block in self.right else self.change(result))


KNOWN: dict[bool, Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {
    False: lambda a, b, _: a @ b,
    True: lambda a, b, bias: torch.addmm(bias, a, b),  # pyright: ignore[reportArgumentType]
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("products")))


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of the library and of the kernel, which packs a before b or b before a, as the trial measures them."""
    seconds = [2.0, 1.5, 1.0]
    monkeypatch.setattr(product_trials, "fastest", lambda *_: seconds)
    return seconds


@pytest.mark.usefixtures("times")
@pytest.mark.parametrize("biased", [False, True])
def test_the_first_block_with_the_librarys_bits_is_taken(biased: bool):
    layout = Layout(48, 400, 64, (400, 1), (64, 1), (0, 0), biased)
    kernel = Kernel([192, 128])
    assert tried(kernel, layout) == Way(192, True)
    assert kernel.asked == [400, 200, 192, 192]


@pytest.mark.usefixtures("times")
def test_bits_of_both_ways_are_tried():
    class Other(Kernel):
        def __call__(self, a: Tensor, b: Tensor, bias: Tensor | None, c: Tensor, way: Way) -> None:
            super().__call__(a, b, bias, c, Way(0, True) if way.b_first else way)

    assert tried(Other(range(1, 100)), LAYOUT) is None


@pytest.mark.usefixtures("times")
@pytest.mark.parametrize(
    "change",
    [
        lambda c: torch.nextafter(c, torch.tensor(torch.inf)),
        lambda c: torch.where(c == 0, -c, c),
        lambda c: torch.where(c.isnan(), 0.0, c),
        lambda c: torch.where(c.isinf(), torch.nan, c),
    ],
    ids=["the last bit", "the sign of zero", "NaN", "infinity"],
)
def test_all_bits_count(change: Callable[[Tensor], Tensor]):
    layout = Layout(48, 40, 64, (40, 1), (64, 1), (0, 0), biased=False)
    assert tried(Kernel([], change=change), layout) is None
    assert tried(Kernel([40], change=change), layout) == Way(40, True)


def test_a_slower_kernel_is_left(times: list[float]):
    times[:] = 1.0, 1.5, 1.0
    assert tried(Kernel(range(100)), LAYOUT) is None


def test_the_faster_way_is_taken(times: list[float]):
    times[:] = 3.0, 1.0, 2.0
    assert tried(Kernel(range(100)), LAYOUT) == Way(40, False)


def test_both_are_timed():
    before, after = product_trials.fastest(lambda: time.sleep(SLOW), lambda: None)
    assert after < SLOW <= before
    assert tried(Kernel(range(100), seconds=20 * SLOW), LAYOUT) is None


@pytest.mark.usefixtures("times")
def test_what_was_found_is_kept(monkeypatch: pytest.MonkeyPatch):
    assert found(Kernel([20]), LAYOUT) == Way(20, True)
    never = Kernel([])
    assert found(never, LAYOUT) == Way(20, True)
    assert not never.asked
    other = Layout(**{**vars(LAYOUT), "offsets": (0, 0)})
    for _ in range(2):
        assert found(never, other) is None
    monkeypatch.setattr(never, "digest", "another text")
    assert found(never, LAYOUT) is None


def test_what_is_too_large_is_left(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(product_trials, "MOST", 4 * (48 * 40 + 40 * 64 + 2 * 48 * 64) - 1)
    kernel = Kernel(range(100))
    assert tried(kernel, LAYOUT) is None
    assert not kernel.asked


def test_operands_lie_as_the_real_ones_do():
    layout = Layout(48, 40, 64, (50, 1), (1, 44), (4, 60), biased=True)
    a, b, bias = operands(layout)
    assert (a.shape, b.shape, a.stride(), b.stride()) == ((48, 40), (40, 64), (50, 1), (1, 44))
    assert (a.data_ptr() % 64, b.data_ptr() % 64) == (4, 60)
    assert bias is not None
    assert bias.shape == (64,)
    for kind in (torch.isnan, torch.isinf, lambda x: x == 0, lambda x: (x != 0) & (x.abs() < 1e-38)):
        assert all(0 < kind(matrix).sum() < matrix.numel() / 4 for matrix in (a, b))
    few, _, _ = operands(Layout(3, 40, 64, (40, 1), (64, 1), (0, 0), biased=False))
    assert few.isfinite().all()


def test_numbers_are_plain_where_time_is_measured(monkeypatch: pytest.MonkeyPatch):
    kernel = Kernel([40])

    def fastest(library: Callable[[], object], *runs: Callable[[], object]) -> list[float]:
        for run in runs:
            run()
        return [2.0, 1.5, 1.0]

    monkeypatch.setattr(product_trials, "fastest", fastest)
    assert tried(kernel, LAYOUT) == Way(40, True)
    assert kernel.plain == [False, False, True, True]


def test_no_block_is_tried_twice_or_is_too_long():
    assert LAYOUT.blocks() == [40, 20]
    blocks = Layout(1, 3000, 1, (3000, 1), (1, 1), (0, 0), biased=False).blocks()
    assert len(set(blocks)) == len(blocks)
    assert max(blocks) <= product_trials.LONGEST <= PITCH


def test_torch_is_asked_for_no_memory():
    from gossamer.runtime.allocations import changes

    def trial() -> None:
        product_trials.library_call(*operands(LAYOUT), product_trials.memory(48 * 64).view(48, 64))()

    assert not changes(trial)
