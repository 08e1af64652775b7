"""One run of an engine: the buffers that its kernels read and write, and the order in which they are called.

passage.give(inputs)            lists of what is active in the inputs
passage.go(0, steps)            every group of populations through these steps
passage.record("out")           what a kernel kept
passage.lists[i]                who fired in each row
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..openmp import team_runner
from .arguments import arguments
from .lists import Lists, Tiles
from .native import Call
from .network import Population, Projection, through

if TYPE_CHECKING:
    from .engine import Engine

APART = 1 << 16
"""Numbers to be added that are worth a second thread."""
ACTIVE = 1 / 32
"""The part of neurons that is reckoned to fire in a step."""


@dataclass
class Passage:
    """`steps` and `batch` make the rows, row = step * batch + sample. `values` are the inputs, `kept` the records,
    `brought` what projections bring that kernels do not compute, and `tiles` what those need that are summed in tiles,
    both by population and number."""

    engine: "Engine"
    steps: int
    batch: int
    threads: int
    splits: int
    lists: list[Lists]
    tiles: dict[tuple[int, int], Tiles]
    values: dict[int, np.ndarray] = field(default_factory=dict)
    kept: dict[str, np.ndarray] = field(default_factory=dict)
    brought: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    calls: dict[int, Call] = field(default_factory=dict)

    @classmethod
    def start(cls, engine: "Engine", steps: int, batch: int) -> "Passage":
        """Before the first step."""
        threads = 1 if team_runner() is None else torch.get_num_threads()
        splits = threads if batch < threads and sum(engine.synapses) > APART else 1
        lists, tiles = engine.borrow((steps, batch, threads, splits)) or (None, {})
        if lists is None:
            populations = engine.network.populations
            lists = [Lists.empty(steps * batch, engine.stride(p), engine.starts(p, splits)) for p in populations]
        passage = cls(engine, steps, batch, threads, splits, lists, tiles)
        for i, population in enumerate(engine.network.populations):
            passage.make_room(i, population)
        return passage

    def close(self) -> None:
        """Leave lists and tiles to the next run."""
        self.engine.spare[self.steps, self.batch, self.threads, self.splits] = self.lists, self.tiles

    def make_room(self, i: int, population: Population) -> None:
        """Allocate what a population's kernel keeps, and what is brought to it."""
        kernel = self.engine.kernels[population.name]
        for name in kernel.names:
            if name.startswith("record."):
                kept = np.empty((self.rows, population.size), population.dtype)
                self.kept[f"{population.name}.{name.removeprefix('record.')}"] = kept
        for number, _, _ in self.engine.feeds(i):
            if kernel.form(number) == "given":
                self.brought[i, number] = np.zeros((self.rows, kernel.width), population.dtype)

    @property
    def rows(self) -> int:
        return self.steps * self.batch

    def give(self, inputs: Sequence[np.ndarray]) -> None:
        """List what is active in the inputs. Raises ValueError where one of spikes holds anything but 0 and 1."""
        network = self.engine.network
        for i, x in zip(network.inputs, inputs, strict=True):
            population = network.populations[i]
            self.values[i] = np.ascontiguousarray(x).reshape(self.rows, population.size)
            numbers = np.ascontiguousarray(self.values[i], np.float32)
            odd = np.zeros(self.threads, np.int64)
            given: dict[str, Any] = {"rows": self.rows, "values": numbers, "odd": odd}
            given |= {"ids": self.lists[i].ids, "counts": self.lists[i].counts}
            self.engine.kernels[population.name].call(given)(self.threads if numbers.size > APART else 1)
            if odd.any() and not population.analog:
                raise ValueError(f"@{population.name} takes spikes, 0 or 1: others need an input that is `analog`")

    def go(self, begin: int, end: int) -> None:
        """Run every population through some steps."""
        for group in self.engine.groups:
            members = [i for i in group.populations if self.engine.network.populations[i].step is not None]
            if group.stepwise:
                self.turns(members, begin, end)
                continue
            for i in members:
                for number, _, projection in self.engine.feeds(i):
                    self.bring(i, number, projection, begin, end)
                self.call(i, end - begin).between(begin, end)(self.team(i, end - begin))

    def turns(self, members: Sequence[int], begin: int, end: int) -> None:
        """Run populations that need each other's earlier steps."""
        calls = [(i, self.call(i, 1), self.team(i, 1)) for i in members]
        later: dict[int, list[tuple[int, Projection]]] = {}
        for i in members:
            given = [(number, p) for number, _, p in self.engine.feeds(i) if (i, number) in self.brought]
            later[i] = [(number, p) for number, p in given if p.source in members]
            for number, projection in given:
                if projection.source not in members:
                    self.bring(i, number, projection, begin, end)
        for step in range(begin, end):
            for i, call, threads in calls:
                for number, projection in later[i]:
                    self.bring(i, number, projection, step, step + 1)
                call.between(step, step + 1)(threads)

    def team(self, i: int, steps: int) -> int:
        """How many threads run a population. Those that share a sample may not be a step apart."""
        own = any(p.source == i for _, _, p in self.engine.feeds(i))
        apart = self.splits == 1 or not own or steps == 1
        work = steps * self.batch * ACTIVE * self.engine.arriving[i]
        return self.threads if apart and work > APART else 1

    def call(self, i: int, span: int) -> Call:
        """The call that runs a population, up to `span` steps at a time; its states live in it."""
        if i not in self.calls:
            self.calls[i] = self.engine.kernels[self.engine.network.populations[i].name].call(arguments(self, i, span))
        return self.calls[i]

    def bring(self, i: int, number: int, projection: Projection, begin: int, end: int) -> None:
        """Compute what a projection brings in some steps, if its kernel does not."""
        if (i, number) not in self.brought:
            return
        assert isinstance(projection.delay, int)
        source, target = (self.engine.network.populations[at] for at in (projection.source, i))
        first, last = (max(step - projection.delay, 0) * self.batch for step in (begin, end))
        x = np.zeros(((end - begin) * self.batch, source.size), target.dtype)
        x[len(x) - (last - first) :] = self.sent(projection.source, first, last, target.dtype)
        value = x.T
        for stage in projection.stages:
            value = through(stage, value)
        self.brought[i, number][begin * self.batch : end * self.batch, : target.size] = value.T

    def sent(self, i: int, first: int, last: int, dtype: np.dtype) -> np.ndarray:
        """What a population sent in some rows, [rows, size]."""
        population = self.engine.network.populations[i]
        if i in self.values:
            return np.ascontiguousarray(self.values[i][first:last], dtype)
        if population.silent:
            return np.ascontiguousarray(self.kept[f"{population.name}.v"][first:last], dtype)
        return self.lists[i].dense(first, last, population.size, dtype)

    def record(self, name: str) -> np.ndarray:
        """What was recorded, [steps, batch, *shape]."""
        own, _, state = name.partition(".")
        i = self.engine.network.find(own)
        population = self.engine.network.populations[i]
        if population.step is None:
            kept = self.values[i].astype(population.dtype)
        else:
            kept = self.kept[f"{own}.{state or ('v' if population.silent else 'spikes')}"]
        return kept.reshape(self.steps, self.batch, *population.shape)
