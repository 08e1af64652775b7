"""The largest batch that trains in some memory: eager, torch's checkpointing, gossamer, and what a sample takes.

What counts is all that a step with Adam needs: weights, two moments of each, gradients, the batch, and what the step
keeps and works on, as torch's allocator gives it out. Batches of torch are searched by measured peaks; gossamer gets
what moments leave as its budget.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import gossamer
import torch
from gossamer.dialects.diagnostics import UserError
from torch import Tensor, nn

from .sections import Section
from .timing import interleaved
from .training_budgets import gpt2, loss_of
from .training_steps import backward, checkpointed, peak_of, stepped

COLUMNS = ("schedule", "batch", "x eager's", "peak MB", "ms a sample", "more than eager", "again")
TIMES, MORE = 2, 0.15
"""The goal, and what gossamer tries: a batch so many times eager's, in so much more time a sample."""
MOMENTS = 2
"""Of Adam: tensors as large as the weights."""
Show = Callable[[str], object]
EAGER, CHECKPOINT = "eager", "checkpoint: every layer"


@dataclass(frozen=True)
class Fitted:
    """A way to run a batch of `size`; bytes at most, with weights, moments and batch; the share computed again."""

    name: str
    size: int
    peak: int
    run: Callable[[], object]
    again: float | None = None


@dataclass(frozen=True)
class Setting:
    """A model, the length of its samples, and bytes for all."""

    model: nn.Module
    ways: dict[str, nn.Module]
    vocabulary: int
    length: int
    memory: int

    @property
    def weights(self) -> int:
        return sum(parameter.nbytes for parameter in self.model.parameters())

    def batch(self, size: int) -> Tensor:
        """Random tokens."""
        return torch.randint(self.vocabulary, (size, self.length))

    def of_torch(self, name: str, size: int) -> Fitted:
        """A batch of this size, as torch runs it."""
        ids = self.batch(size)
        run = partial(backward, self.ways[name], loss_of, ids)
        return Fitted(name, size, peak_of(self.ways[name], run) + (1 + MOMENTS) * self.weights + ids.nbytes, run)

    def largest(self, name: str, start: int, show: Show) -> Fitted:
        """The largest batch of torch's that fits, searched around what the growth of peaks foretells."""
        small, large = (self.of_torch(name, size) for size in (start, 2 * start))
        each = max(1, (large.peak - small.peak) // start)
        found = self.of_torch(name, max(1, start + (self.memory - small.peak) // each))
        show(f"{name}: batch {found.size}")
        while found.peak > self.memory and found.size > 1:
            found = self.of_torch(name, found.size - 1)
        while (larger := self.of_torch(name, found.size + 1)).peak <= self.memory:
            found = larger
        return found

    def of_gossamer(self, size: int) -> Fitted | None:
        """A batch of this size in what moments leave; None where it does not fit."""
        ids = self.batch(size)
        try:
            step = gossamer.compile_training(
                self.model, loss_of, (ids,), memory_budget=self.memory - MOMENTS * self.weights
            )
        except UserError as error:
            if "cannot be met" not in error.message:
                raise
            return None
        run, report = partial(stepped, self.model, step, ids), step.memory
        peak = peak_of(self.model, run) + report.static + MOMENTS * self.weights
        assert peak <= self.memory, f"batch {size}: {peak:,} bytes of {self.memory:,}"
        return Fitted("gossamer", size, peak, run, report.exposed / report.seconds)


def training_batch(quick: bool, show: Show) -> Section:
    """The table."""
    torch.manual_seed(0)
    sizes = (100, 2, 64, 16) if quick else (50257, 12, 768, 128)
    model = gpt2(*sizes, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    ways = {EAGER: model, CHECKPOINT: checkpointed(model)}
    setting = Setting(model, ways, sizes[0], sizes[-1], 2_800_000 if quick else 4_000_000_000)
    eager = setting.largest(EAGER, 4, show)
    fitted = [eager, setting.largest(CHECKPOINT, eager.size, show)]
    show(f"gossamer: batch {TIMES * eager.size}")
    if (ours := setting.of_gossamer(TIMES * eager.size)) is not None:
        fitted.append(ours)
    show("timing")
    turns = interleaved({way.name: way.run for way in fitted}, rounds=3)
    taken = {way.name: turns.median(way.name) / way.size for way in fitted}
    rows = [cells(way, taken[way.name], eager.size, taken[EAGER]) for way in fitted]
    layers, width, length = sizes[1:]
    memory = f"{setting.memory / 1e9:g} GB"
    title = f"GPT-2, {layers} layers of {width}, {length} tokens a sample: batches in {memory}"
    reached = ours is not None and taken[ours.name] <= (1 + MORE) * taken[EAGER]
    return Section("training-batch", title, COLUMNS, rows, verdicts(reached))


def cells(way: Fitted, taken: float, size: int, eager: float) -> tuple[str, ...]:
    """One row: `taken` seconds a sample, where `eager` runs `size` of them in that time each."""
    again = "" if way.again is None else f"{way.again:.1%}"
    more = f"{taken / eager - 1:+.0%}"
    return (
        way.name,
        str(way.size),
        f"{way.size / size:.2f}",
        f"{way.peak / 1e6:,.0f}",
        f"{taken * 1e3:.0f}",
        more,
        again,
    )


def verdicts(reached: bool) -> list[str]:
    """Whether the goal is reached, and what is counted."""
    return [
        f"goal {TIMES} x eager's batch in at most {MORE:.0%} more time a sample: {'reached' if reached else 'MISSED'}",
        f"memory holds weights, {MOMENTS} moments of Adam, gradients, the batch and what the step takes, as torch's "
        "allocator gave it out; one of torch's batches more does not fit",
        "again: what gossamer computes twice, of the time of a step that computes nothing twice",
    ]
