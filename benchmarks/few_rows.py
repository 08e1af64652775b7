"""Batches of a few rows, and clusters of many: linear(relu(x)), compiled as a whole, against eager and by hand.

| masks         | which rows are active at the same positions                |
|---------------|------------------------------------------------------------|
| shared        | all                                                        |
| 4 clusters    | every fourth: neighbours are in others                     |
| unshared      | none                                                       |

Compiled on one batch, run on four others like it. Times are those of the whole program, finding what is active
included. The limit is 1 / density of the union of all rows, the least part of the weight that has to be read; where the
program goes by tiles, a second one is 1 / density of those. The weight of the smaller shape stays in cache.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import gossamer
import torch
from gossamer.runtime.tiles import Tiles
from torch import Tensor, nn
from torch.nn.functional import linear

from .kernels import DTYPES
from .timing import Rounds, interleaved

SETS = 4
FLOOR, FRACTION, FULL = 0.97, 0.7, 0.9
"""The least ratio to eager; the least part of the limit, where the union is below `FULL`."""
COLUMNS = ("shape", "rows", "type", "masks", "density", "union", "eager us", "us", "x eager", "1 / union", "of it",
           "1 / tiles", "x torch.compile", "x gather+mm", "form", "max difference")  # fmt: skip
DENSITIES = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
ROWS = ((2, 1), (2, 2), (4, 4), (8, 1), (8, 8), (16, 1), (16, 4), (16, 16), (64, 4), (128, 4), (128, 128))
"""Numbers of rows, and of clusters."""


@dataclass(frozen=True)
class Case:
    """`rows` rows of relu(x), in so many `clusters`, by an `inputs` x `outputs` weight."""

    inputs: int
    outputs: int
    rows: int
    clusters: int
    dtype: str = "f32"

    @property
    def title(self) -> tuple[str, ...]:
        """What it is, in the table's columns."""
        words = {1: "shared", self.rows: "unshared"}
        masks = words.get(self.clusters, f"{self.clusters} clusters")
        return f"{self.inputs} to {self.outputs}", str(self.rows), self.dtype, masks

    def batch(self, density: float) -> Tensor:
        """Rows, positive where they are active and negative elsewhere."""
        masks = torch.rand(self.clusters, self.inputs) < density
        values = torch.rand(self.rows, self.inputs) + 0.1
        return torch.where(masks[torch.arange(self.rows) % self.clusters], values, -values).to(DTYPES[self.dtype])


CASES = tuple(Case(*shape, *rows) for shape in ((3072, 768), (8192, 2048)) for rows in ROWS)
BF16 = tuple(Case(3072, 768, *rows, dtype="bf16") for rows in ((8, 1), (8, 8), (16, 4)))
SMALL = (Case(64, 48, 4, 4),)


class Feed(nn.Module):
    """The second half of a feed-forward block."""

    def __init__(self, case: Case):
        super().__init__()
        self.fc2 = nn.Linear(case.inputs, case.outputs).to(DTYPES[case.dtype])

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(torch.relu(x))


def gathered(model: Feed) -> Callable[[Tensor], Tensor]:
    """The same by hand: gather rows of the k-major weight at the union, multiply."""
    k_major, bias = model.fc2.weight.detach().t().contiguous(), model.fc2.bias

    def run(x: Tensor) -> Tensor:
        h = torch.relu(x)
        active = h.any(0).nonzero().squeeze(1)
        return linear(h.index_select(1, active), k_major.index_select(0, active).t(), bias)

    return run


def in_turns(runs: dict[str, Callable[[Tensor], Tensor]], batches: list[Tensor], rounds: int) -> Rounds:
    """All peers, each on the next batch at every call."""
    turns = {name: count() for name in runs}
    calls = {name: lambda run=run, turn=turns[name]: run(batches[next(turn) % SETS]) for name, run in runs.items()}
    for call in calls.values():
        for _ in range(SETS):
            call()
    return interleaved(calls, rounds=rounds, budget=1.0)


FORM = re.compile(r"sparse\.tile %\S+ (clustered)?.*!sparse\.tiles<(\d+) :")


def form(fast: gossamer.CompiledModel) -> str:
    """How the program makes its product."""
    text = fast.ir("choose-tiles")
    if found := FORM.search(text):
        return f"tiles of {found[2]}{', clustered' if found[1] else ''}"
    return "union" if "sparse.matmul" in text else "dense"


def tile_density(batch: Tensor, how: str) -> float | None:
    """Of the tiles of a batch, if it goes by tiles."""
    if not how.startswith("tiles"):
        return None
    return Tiles.of(torch.relu(batch), int(how.split()[2].rstrip(",")), clustered="clustered" in how).density


def inverse(density: float) -> str:
    """The limit that a density sets; none where nothing is active."""
    return f"{1 / density:.2f}" if density else ""


def density_row(
    case: Case, model: Feed, density: float, inductor: Callable[[Tensor], Tensor] | None, rounds: int
) -> tuple[tuple[str, ...], str]:
    """The row of the table, and what was missed."""
    batches = [case.batch(density) for _ in range(SETS)]
    fast = gossamer.compile(model, case.batch(density))
    runs: dict[str, Callable[[Tensor], Tensor]] = {"eager": model, "us": fast, "gather": gathered(model)}
    runs |= {"inductor": inductor} if inductor is not None else {}
    times = in_turns(runs, batches, rounds)
    ratio, how = times.ratio("us", to="eager"), form(fast)
    union = (batches[0] > 0).any(0).float().mean().item()
    tiles = tile_density(batches[0], how)
    apart = (fast(batches[0]) - model(batches[0])).abs().max().item()
    found = (
        *case.title, f"{density:.2f}", f"{union:.2f}", *(f"{times.median(name) * 1e6:.0f}" for name in ("eager", "us")),
        f"{ratio:.2f}", inverse(union), f"{ratio * union:.0%}", "" if tiles is None else inverse(tiles),
        f"{times.ratio('inductor', to='eager'):.2f}" if "inductor" in runs else "",
        f"{times.ratio('gather', to='eager'):.2f}", how, f"{apart:.0e}",
    )  # fmt: skip
    least = max(FLOOR, FRACTION / union) if 0 < union < FULL else FLOOR
    goal = f"{' '.join(case.title)} at {density:g}: goal {least:.2f} MISSED ({ratio:.2f})"
    return found, goal if ratio < least else ""


def measure_case(
    case: Case, rounds: int, compiles: bool, densities: tuple[float, ...] = DENSITIES
) -> tuple[list[tuple[str, ...]], list[str]]:
    """All densities of a case, and what was missed."""
    with torch.no_grad():
        model = Feed(case).eval()
        inductor = torch.compile(model, dynamic=False) if compiles else None
        found = [density_row(case, model, density, inductor, rounds) for density in densities]
    return [row for row, _ in found], [goal for _, goal in found if goal]
