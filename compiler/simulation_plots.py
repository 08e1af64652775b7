"""Pictures of a simulation.

| file         | shows                                                                                       |
|--------------|---------------------------------------------------------------------------------------------|
| `mesh.png`   | each core of the mesh by the share of the run in which it works, and the traffic over links |
| `skew.png`   | when each core is done with each step, over time: how far apart cores are                   |
| `raster.png` | which neurons fire when, by population                                                      |
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.core_array.mapping import Mapping
from . import pictures

if TYPE_CHECKING:
    from .simulation import Simulation

DOTS = 200_000
"""So many spikes are drawn at most."""


def draw(simulation: "Simulation", folder: Path) -> list[Path]:
    """Write all pictures into `folder`."""
    paints = {"mesh": mesh, "skew": skew, "raster": raster}
    return pictures.draw(folder, {name: partial(paint, simulation=simulation) for name, paint in paints.items()})


def mesh(plt: Any, simulation: "Simulation") -> Any:
    """The machine from above: cores of a tile side by side, links as wide as their traffic."""
    timing, machine = simulation.timing, simulation.machine
    width, height = machine.mesh
    columns = int(np.ceil(np.sqrt(machine.cores_per_tile)))
    rows = -(-machine.cores_per_tile // columns)
    busy = np.full((height * rows, width * columns), np.nan)
    share = timing.work.sum(axis=0) / max(timing.makespan_ns, 1e-9)
    for core, place in enumerate(timing.mapping.place):
        x, y = machine.position(int(place))
        within = int(place) % machine.cores_per_tile
        busy[y * rows + within // columns, x * columns + within % columns] = share[core]
    figure, axes = plt.subplots(figsize=(1.5 + 0.9 * width, 1.2 + 0.9 * height))
    picture = axes.imshow(busy, cmap="viridis", vmin=0, vmax=1, extent=(-0.5, width - 0.5, height - 0.5, -0.5))
    for line in range(width + 1):
        axes.axvline(line - 0.5, color="white", linewidth=2)
    for line in range(height + 1):
        axes.axhline(line - 0.5, color="white", linewidth=2)
    traffic = links(timing.mapping, timing.traffic.sent.sum(axis=0), machine)
    most = max(traffic.values(), default=1)
    for ((x, y), (to_x, to_y)), packets in traffic.items():
        axes.plot([x, to_x], [y, to_y], color="tomato", linewidth=0.5 + 5 * packets / most, alpha=0.6)
    axes.set(title=f"{simulation.network.name} on {machine.title}", xlabel="tile, x", ylabel="tile, y")
    axes.set_xticks(range(width))
    axes.set_yticks(range(height))
    figure.colorbar(picture, ax=axes, label="share of the run that the core works", shrink=0.8)
    axes.text(
        1.0,
        -0.16,
        f"lines: packets over each link, {most:,.0f} at most",
        transform=axes.transAxes,
        fontsize=8,
        ha="right",
    )
    return figure


def links(mapping: Mapping, packets: np.ndarray, machine: Any) -> dict[tuple[tuple[int, int], tuple[int, int]], float]:
    """Packets over each link of the mesh, both directions together, by XY routing."""
    found: dict[tuple[tuple[int, int], tuple[int, int]], float] = {}
    edges = mapping.edges
    for source, target, count in zip(edges.source, edges.target, packets, strict=True):
        (x, y), end = (machine.position(int(mapping.place[core])) for core in (source, target))
        while (x, y) != end:
            step = (x + np.sign(end[0] - x), y) if x != end[0] else (x, y + np.sign(end[1] - y))
            link = (min((x, y), step), max((x, y), step))
            found[link] = found.get(link, 0.0) + float(count)
            x, y = step
    return found


def skew(plt: Any, simulation: "Simulation") -> Any:
    """A line for each core: the step it is done with, less the step that all are done with on average."""
    timing = simulation.timing
    done = timing.finish / 1000.0
    steps = np.arange(1, len(done) + 1)
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(9, 7), sharex=True, height_ratios=(2, 1))
    colours = plt.get_cmap("viridis")(np.linspace(0, 1, max(done.shape[1], 1)))
    for core in range(done.shape[1]):
        upper.plot(done[:, core], steps, color=colours[core], linewidth=0.8)
    upper.set(ylabel="step done", title=f"{done.shape[1]} cores, a line each ({simulation.policy})")
    pace = np.interp(done, *mean_pace(done)) if done.size else done
    for core in range(done.shape[1]):
        lower.plot(done[:, core], steps - pace[:, core], color=colours[core], linewidth=0.8)
    lower.axhline(0, color="black", linewidth=0.5)
    lower.set(xlabel="time, us", ylabel="steps ahead of the mean")
    return figure


def mean_pace(done: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The time at which the cores are done with each step on average, ascending, and the step."""
    return np.maximum.accumulate(done.mean(axis=1)), np.arange(1, len(done) + 1)


def raster(plt: Any, simulation: "Simulation") -> Any:
    """A dot for each spike, a band for each population."""
    recording, network = simulation.raster, simulation.network
    step, neuron = recording.step, recording.neuron
    thin = max(1, -(-len(step) // DOTS))
    figure, axes = plt.subplots(figsize=(9, 6))
    for i, population in enumerate(network.populations):
        own = (neuron >= population.first) & (neuron < population.last)
        axes.plot(step[own][::thin], neuron[own][::thin], linestyle="", marker=",", color=f"C{i}")
        axes.axhline(population.last - 0.5, color="grey", linewidth=0.4)
    bands = [(p.first + p.last) / 2 for p in network.populations]
    axes.set_yticks(bands, [f"{p.name} ({p.size:,})" for p in network.populations])
    axes.set(xlabel="step", xlim=(-0.5, recording.steps - 0.5), ylim=(network.neurons, 0),
             title=f"{len(neuron):,} spikes" + (f", one of {thin} drawn" if thin > 1 else ""))  # fmt: skip
    return figure
