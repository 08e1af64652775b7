"""One run of an engine: the buffers that its kernels read and write, and the order in which they are called.

passage.give(inputs)            lists of what is active in the inputs
passage.go()                    every group of populations through all steps
passage.record("out")           what a kernel kept
passage.lists[i]                who fired in each row
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..openmp import team_runner
from .lists import Lists
from .native import Call
from .network import Projection, through

if TYPE_CHECKING:
    from .engine import Engine

APART = 1 << 16
"""Numbers to be added that are worth a second thread."""
ACTIVE = 1 / 32
"""The part of neurons that is reckoned to fire in a step."""
Arguments = dict[str, Any]


@dataclass
class Passage:
    """`steps` and `batch` make the rows, row = step * batch + sample; `values` are the inputs, `kept` the records."""

    engine: "Engine"
    steps: int
    batch: int
    threads: int
    splits: int
    lists: list[Lists] = field(default_factory=list)
    values: dict[int, np.ndarray] = field(default_factory=dict)
    kept: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def start(cls, engine: "Engine", steps: int, batch: int) -> "Passage":
        """Before the first step."""
        threads = 1 if team_runner() is None else torch.get_num_threads()
        splits = threads if batch < threads and sum(engine.synapses) > APART else 1
        passage = cls(engine, steps, batch, threads, splits)
        for population in engine.network.populations:
            starts = engine.starts(population, splits)
            passage.lists.append(Lists.empty(steps * batch, engine.stride(population), starts))
        return passage

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
            given = {"rows": self.rows, "values": numbers, "odd": odd}
            given |= {"ids": self.lists[i].ids, "counts": self.lists[i].counts}
            self.engine.kernels[population.name].call(given)(self.threads if numbers.size > APART else 1)
            if odd.any() and not population.analog:
                raise ValueError(f"@{population.name} takes spikes, 0 or 1: others need an input that is `analog`")

    def go(self) -> None:
        """Run every population through all steps."""
        for group in self.engine.groups:
            members = [i for i in group.populations if self.engine.network.populations[i].step is not None]
            if group.stepwise:
                self.turns(members)
                continue
            for i in members:
                self.call(i, self.steps)(self.team(i, self.steps))

    def turns(self, members: Sequence[int]) -> None:
        """Run populations that need each other's earlier steps."""
        calls = [(i, self.call(i, 1, members), self.team(i, 1)) for i in members]
        later = {
            i: [
                (number, p) for number, _, p in self.engine.feeds(i) if p.source in members and self.is_given(i, number)
            ]
            for i in members
        }
        for step in range(self.steps):
            for i, call, threads in calls:
                for number, projection in later[i]:
                    self.bring(i, number, projection, step, step + 1)
                call.between(step, step + 1)(threads)

    def team(self, i: int, steps: int) -> int:
        """How many threads run a population. Those that share a sample may not be a step apart."""
        own = any(p.source == i for _, _, p in self.engine.feeds(i))
        apart = self.splits == 1 or not own or steps == 1
        work = steps * self.batch * ACTIVE * sum(self.engine.synapses[j] for _, j, _ in self.engine.feeds(i))
        return self.threads if apart and work > APART else 1

    def call(self, i: int, span: int, members: Sequence[int] = ()) -> Call:
        """The call that runs a population, `span` steps at a time; `members` run step by step beside it."""
        engine, population = self.engine, self.engine.network.populations[i]
        kernel, dtype, threads = engine.kernels[population.name], population.dtype, self.team(i, span)
        given: Arguments = {"begin": 0, "end": span, "batch": self.batch, "splits": self.splits}
        given["groups"] = threads if self.splits > 1 else 1
        given |= self.lists[i].arguments(population.name)
        given |= {"x": np.empty(threads * span * kernel.width, dtype), "y": np.empty(threads * kernel.width, dtype)}
        given["flags"] = np.zeros(threads * kernel.width, np.int8)
        for name, state in population.start(self.batch).items():
            given[f"state.{name}"] = state.view(np.int8) if state.dtype == bool else state
        for name, value in (population.parameters or {}).items():
            given[f"parameter.{name}"] = np.ascontiguousarray(np.broadcast_to(value, population.size))
        for name in kernel.names:
            if name.startswith("record."):
                self.kept[f"{population.name}.{name.partition('.')[2]}"] = np.empty((self.rows, population.size), dtype)
                given[name] = self.kept[f"{population.name}.{name.partition('.')[2]}"]
        for number, j, projection in engine.feeds(i):
            if self.is_given(i, number):
                self.values_of(i, number)
                if projection.source not in members:
                    self.bring(i, number, projection, 0, self.steps)
                given[f"projection{number}.given"] = self.values_of(i, number)
            else:
                buffers = engine.table(self.splits)[j]
                given |= {f"projection{number}.{name}": value for name, value in buffers.items()}
                given[f"projection{number}.classes"] = len(buffers["delays"])
                given |= self.source(projection.source, dtype)
        return kernel.call(given)

    def source(self, i: int, dtype: np.dtype) -> Arguments:
        """What a kernel is told of the source of a projection."""
        population = self.engine.network.populations[i]
        found = self.lists[i].arguments(population.name) | {f"{population.name}.size": population.size}
        if population.analog or (population.step is not None and population.step.firing is None):
            found[f"{population.name}.values"] = self.sent(i, 0, self.rows, dtype)
        return found

    def is_given(self, i: int, number: int) -> bool:
        """Is a projection computed outside of the kernel?"""
        return self.engine.kernels[self.engine.network.populations[i].name].form(number) == "given"

    def values_of(self, i: int, number: int) -> np.ndarray:
        """What a projection brings that is computed outside of the kernel, [rows, width]."""
        population = self.engine.network.populations[i]
        width = self.engine.kernels[population.name].width
        return self.kept.setdefault(f"{population.name}/{number}", np.zeros((self.rows, width), population.dtype))

    def bring(self, i: int, number: int, projection: Projection, begin: int, end: int) -> None:
        """Compute it for some steps."""
        assert isinstance(projection.delay, int)
        source, target = (self.engine.network.populations[at] for at in (projection.source, i))
        since = max(begin - projection.delay, 0) * self.batch, max(end - projection.delay, 0) * self.batch
        x = np.zeros(((end - begin) * self.batch, source.size), target.dtype)
        x[len(x) - (since[1] - since[0]) :] = self.sent(projection.source, *since, target.dtype)
        value = x.T
        for stage in projection.stages:
            value = through(stage, value)
        self.values_of(i, number)[begin * self.batch : end * self.batch, : target.size] = value.T

    def sent(self, i: int, begin: int, end: int, dtype: np.dtype) -> np.ndarray:
        """What a population sent in some rows, [rows, size]."""
        population = self.engine.network.populations[i]
        if population.step is None:
            return np.ascontiguousarray(self.values[i][begin:end], dtype)
        if population.step.firing is None:
            return np.ascontiguousarray(self.kept[f"{population.name}.v"][begin:end], dtype)
        return self.lists[i].dense(begin, end, population.size, dtype)

    def record(self, name: str) -> np.ndarray:
        """What was recorded, [steps, batch, *shape]."""
        own, _, state = name.partition(".")
        i = self.engine.network.find(own)
        population = self.engine.network.populations[i]
        fires = population.step is not None and population.step.firing is not None
        if population.step is None:
            kept = self.values[i].astype(population.dtype)
        else:
            kept = self.kept[f"{own}.{state or ('spikes' if fires else 'v')}"]
        return kept.reshape(self.steps, self.batch, *population.shape)
