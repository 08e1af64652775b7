"""Pictures of a simulated training step.

| file           | shows                                                                                     |
|----------------|-------------------------------------------------------------------------------------------|
| `timeline.png` | what each device does when: passes, and recomputation that is exposed or rebuilt in stalls |
| `memory.png`   | bytes on each device over time, and how many there are                                     |
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..dialects.diagnostics import UserError
from ..runtime.timeline.orders import Kind
from . import pictures

if TYPE_CHECKING:
    from .timeline_simulation import PipelineSimulation

COLOURS = {Kind.FORWARD: "#4c78a8", Kind.BACKWARD: "#72b7b2", Kind.WEIGHTS: "#b8a1d0"}
EXPOSED, REBUILT = "#e45756", "#f2a541"
LABELS = {Kind.FORWARD: "forward", Kind.BACKWARD: "backward", Kind.WEIGHTS: "gradients of weights"}
ROOM = 60
"""A task this many times shorter than the step is not labelled."""


def draw(found: "PipelineSimulation", folder: Path) -> list[Path]:
    """Write both pictures into `folder`. Raises UserError where there is nothing to draw."""
    if found.chosen.timeline is None:
        raise UserError(f"there is no picture: {found.policy} finds no schedule in this memory")
    return pictures.draw(folder, {"timeline": partial(timeline, found=found), "memory": partial(memory, found=found)})


def timeline(plt: Any, found: "PipelineSimulation") -> Any:
    """A row a device, a bar a task."""
    run = found.chosen.timeline
    assert run is not None
    figure, axes = plt.subplots(figsize=(14, 0.9 + 0.7 * len(run.events)))
    for device, events in enumerate(run.events):
        for event in events:
            task, lower = event.task, event.task.chunk >= found.setting.stages
            bars = [(event.start, event.end - event.exposed, COLOURS[task.kind])]
            bars += [(event.end - event.exposed, event.end, EXPOSED)] if event.exposed else []
            bars += [(start, end, REBUILT) for start, end in event.stalls]
            for start, end, colour in bars:
                axes.barh(device, end - start, left=start, height=0.8, color=colour, edgecolor="white", linewidth=0.5,
                          alpha=0.75 if lower else 1.0)  # fmt: skip
            if event.end - event.start > run.makespan / ROOM:
                middle = (event.start + event.end - event.exposed) / 2
                axes.text(middle, device, str(task.batch), ha="center", va="center", fontsize=7, color="white")
    kinds = {event.task.kind for events in run.events for event in events}
    legend = [(COLOURS[kind], LABELS[kind]) for kind in LABELS if kind in kinds]
    legend += [(EXPOSED, "recomputation, exposed"), (REBUILT, "recomputation in a stall")]
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour, _ in legend]
    below = -0.6 / figure.get_figheight()
    axes.legend(handles, [text for _, text in legend], ncols=len(legend), loc="upper center",
                bbox_to_anchor=(0.5, below), frameon=False, fontsize=9)  # fmt: skip
    axes.axvline(found.bound, color="black", linewidth=0.8, linestyle="--")
    axes.text(found.bound, -0.62, "bound ", ha="right", fontsize=8)
    axes.set(xlabel="seconds", xlim=(0, run.makespan * 1.01), ylim=(len(run.events) - 0.5, -0.8))
    axes.set_yticks(range(len(run.events)), [f"device {device}" for device in range(len(run.events))])
    axes.set_title(f"{found.setting.name}, {found.setting.schedule}, {found.policy}: {run.makespan:.3f} s", loc="left")
    return figure


def memory(plt: Any, found: "PipelineSimulation") -> Any:
    """A curve a device, from what is always there to the most that each task needs."""
    run, unit = found.chosen.timeline, 2**30
    assert run is not None
    figure, panels = plt.subplots(len(run.memory), figsize=(14, 1.6 * len(run.memory) + 0.6), sharex=True, sharey=True,
                                  squeeze=False)  # fmt: skip
    for device, (axes, points) in enumerate(zip(panels[:, 0], run.memory, strict=True)):
        static = found.chosen.static[device] / unit
        times, sizes = [time for time, _ in points], [static + size / unit for _, size in points]
        axes.fill_between(times, static, sizes, step="post", color=COLOURS[Kind.FORWARD], alpha=0.7, linewidth=0)
        axes.fill_between([0, run.makespan], 0, static, color="grey", alpha=0.4, linewidth=0)
        axes.axhline(found.setting.memory / unit, color="black", linestyle="--", linewidth=0.8)
        axes.set(ylabel=f"device {device}", xlim=(0, run.makespan * 1.01), ylim=(0, 1.1 * found.setting.memory / unit))
    panels[0, 0].set_title(
        "GiB: weights, gradients and optimizer (grey), activations; dashed: what there is", loc="left"
    )
    panels[-1, 0].set(xlabel="seconds")
    return figure
