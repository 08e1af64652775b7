"""What the kernel of a population is called with; the table is in `passes/kernels/population.py`."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..native import wide
from .lists import Tiles

if TYPE_CHECKING:
    from .passage import Passage

Arguments = dict[str, Any]
BREAK_EVEN = {32: 0.52, 64: 0.5, 128: 0.4}
"""The part of sources that is active where a dense tile is as fast as lists, by the width of blocks.

Measured on an EPYC with 512-bit vectors and 1 MB of second-level cache, one thread, 100 steps: 0.57 for 512 to 264,
0.49 for 784 to 528, 0.43 to 0.31 for 700 to 256 up to 1472 to 1488.
"""
BREAK_EVEN_APART = 0.53
"""The same where product and sum round apart, or are of integers: measured 0.45 to 0.55."""
NEVER = 1 << 62


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
                tiles = scratch(passage, i, number, projection.source, span)
                given |= {f"projection{number}.{name}": value for name, value in tiles.items()}
    return given


def scratch(passage: "Passage", i: int, number: int, source: int, span: int) -> Arguments:
    """What tiles need (`passes/kernels/spike_tiles.py`); buffers by their address, as an earlier run left them."""
    network, threads = passage.engine.network, passage.threads
    kernel, dtype = passage.engine.kernels[network.populations[i].name], network.populations[i].dtype
    sender = network.populations[source]
    part = BREAK_EVEN_APART if dtype.kind == "i" or sender.analog or sender.silent else BREAK_EVEN[kernel.unit]
    if (i, number) not in passage.tiles:
        pitch, steps = -(-sender.size // kernel.line) * kernel.line, -(-span // kernel.tile) * kernel.tile
        passage.tiles[i, number] = Tiles(np.zeros(threads * span, np.int64), np.empty(threads * steps * pitch, dtype))
    least = math.ceil(part * kernel.tile * sender.size) if wide() else NEVER
    return {"least": least} | passage.tiles[i, number].addresses


def source(passage: "Passage", i: int, dtype: np.dtype) -> Arguments:
    """What a kernel is told of the source of a projection."""
    population = passage.engine.network.populations[i]
    found: Arguments = passage.lists[i].arguments(population.name) | {f"{population.name}.size": population.size}
    if population.analog or population.silent:
        found[f"{population.name}.values"] = passage.sent(i, 0, passage.rows, dtype)
    return found
