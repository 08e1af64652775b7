"""What the kernel of a population is called with; the table is in `passes/kernels/population.py`."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .native import Kernel

if TYPE_CHECKING:
    from .passage import Passage

Arguments = dict[str, Any]
LINE = 16
"""Numbers that a row of a raster is a multiple of."""
BREAK_EVEN = {16: 0.3, 32: 0.3, 64: 0.3, 128: 0.3}
"""The part of sources that is active where a dense tile is as fast as lists, by the width of blocks."""


def arguments(passage: "Passage", i: int, span: int) -> Arguments:
    """The arguments that run population `i` up to `span` steps at a time, its states at the beginning."""
    engine, population = passage.engine, passage.engine.network.populations[i]
    kernel, dtype, threads = engine.kernels[population.name], population.dtype, passage.threads
    given: Arguments = {"begin": 0, "end": span, "batch": passage.batch, "splits": passage.splits}
    given["together"] = int(passage.splits > 1)
    given |= passage.lists[i].arguments(population.name)
    given |= {"x": np.empty(threads * span * kernel.width, dtype), "y": np.empty(threads * kernel.width, dtype)}
    given["flags"] = np.zeros(threads * kernel.width, np.int8)
    for name, state in population.start(passage.batch).items():
        given[f"state.{name}"] = state.view(np.int8) if state.dtype == bool else state
    for name, value in (population.parameters or {}).items():
        given[f"parameter.{name}"] = np.ascontiguousarray(np.broadcast_to(value, population.size))
    for name in kernel.names:
        if name.startswith("record."):
            given[name] = passage.kept[f"{population.name}.{name.removeprefix('record.')}"]
    for number, j, projection in engine.feeds(i):
        if (i, number) in passage.brought:
            given[f"projection{number}.given"] = passage.brought[i, number]
        else:
            buffers = engine.table(passage.splits)[j]
            given |= {f"projection{number}.{name}": value for name, value in buffers.items()}
            given[f"projection{number}.classes"] = len(buffers["delays"])
            given |= source(passage, projection.source, dtype)
            if f"projection{number}.least" in kernel.names:
                tiles = scratch(kernel, passage.engine.network.populations[projection.source].size, threads, span, dtype)
                given |= {f"projection{number}.{name}": value for name, value in tiles.items()}
    return given


def scratch(kernel: Kernel, sources: int, threads: int, span: int, dtype: np.dtype) -> Arguments:
    """What tiles need: see `passes/kernels/spike_tiles.py`."""
    pitch, steps = -(-sources // LINE) * LINE, -(-span // kernel.tile) * kernel.tile
    return {
        "least": least(kernel.unit, kernel.tile, sources),
        "dense": np.zeros(threads * span, np.int64),
        "raster": np.empty(threads * steps * pitch, dtype),
    }


def least(unit: int, steps: int, sources: int) -> int:
    """How many sources have to be active in a tile, of all steps together, for it to be dense."""
    return math.ceil(BREAK_EVEN[unit] * steps * sources)


def source(passage: "Passage", i: int, dtype: np.dtype) -> Arguments:
    """What a kernel is told of the source of a projection."""
    population = passage.engine.network.populations[i]
    found = passage.lists[i].arguments(population.name) | {f"{population.name}.size": population.size}
    if population.analog or population.silent:
        found[f"{population.name}.values"] = passage.sent(i, 0, passage.rows, dtype)
    return found
