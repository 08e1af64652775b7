"""What a simulated training step tells people and programs."""

from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

from ..runtime.timeline.orders import Kind
from .terminal import print_table
from .timeline import NEAR, Outcome
from .timeline_policies import POLICIES

if TYPE_CHECKING:
    from .timeline_simulation import PipelineSimulation

POLICY_COLUMNS = ("policy", ">step", ">x as long", ">of the bound", "layers", ">fullest", "")
DEVICE_COLUMNS = ("device", ">layers", ">static", ">kept, each", ">in flight", ">fullest", ">work", ">idle",
                  ">recomputed", ">exposed", ">in forward", ">in backward", ">in stalls")  # fmt: skip
NEGLIGIBLE = 0.02
"""What takes less than this share of a step asks for no change."""


@dataclass(frozen=True)
class Shares:
    """Seconds of a step on one device: passes without recomputation, recomputation on the critical path, and where
    else it ran; `idle` is the rest of the step."""

    forward: float
    backward: float
    weights: float
    exposed: float
    forward_windows: float
    backward_windows: float
    stalls: float
    idle: float

    @property
    def work(self) -> float:
        """What the device cannot do in less time."""
        return self.forward + self.backward + self.weights + self.exposed

    @property
    def recomputed(self) -> float:
        return self.exposed + self.forward_windows + self.backward_windows + self.stalls


def shares(outcome: Outcome, device: int) -> Shares:
    """What a device does with its time."""
    assert outcome.timeline is not None
    events = outcome.timeline.events[device]

    def took(kind: Kind) -> float:
        return sum(e.end - e.start for e in events if e.task.kind is kind)

    backward = [e for e in events if e.task.kind is Kind.BACKWARD]
    again = sum(outcome.costs[e.task.chunk].early[-1].seconds for e in backward)
    exposed, stalls = sum(e.exposed for e in backward), sum(e.rebuilt for e in backward)
    hosted = sum(e.hosted for e in backward)
    forward, weights, both = took(Kind.FORWARD), took(Kind.WEIGHTS), took(Kind.BACKWARD)
    return Shares(
        forward=forward,
        backward=both - exposed,
        weights=weights,
        exposed=exposed,
        forward_windows=hosted,
        backward_windows=max(0.0, again - exposed - stalls - hosted),
        stalls=stalls,
        idle=outcome.timeline.makespan - forward - both - weights - stalls,
    )


def seconds(value: float) -> str:
    """`0.0123` -> `12.3 ms`"""
    return f"{value:.3f} s" if value >= 1 else f"{value * 1e3:.1f} ms"


def gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"


def report(found: "PipelineSimulation") -> str:
    """The step in words and tables."""
    chosen, out = found.chosen, StringIO()
    out.write(f"{told_of(found)}\n\n")
    print_table(POLICY_COLUMNS, rows(found), out)
    if chosen.fits:
        near = found.bound / chosen.seconds
        out.write(f"\n{chosen.policy}: {seconds(chosen.seconds)}, {near:.1%} of the bound: {seconds(found.bound)}, "
                  "which no partition of the layers beats even where nothing is recomputed\n")  # fmt: skip
        if found.bound_within > found.bound * NEAR:
            out.write(f"no step that fits into memory is faster than {seconds(found.bound_within)}, "
                      f"{found.bound / found.bound_within:.1%} of that bound\n")  # fmt: skip
        out.write("\n")
        print_table(DEVICE_COLUMNS, devices(found), out)
    out.write("\n")
    for line in advice(found):
        out.write(f"to change: {line}\n")
    return out.getvalue()


def told_of(found: "PipelineSimulation") -> str:
    """What was simulated."""
    setting, run = found.setting, found.setting.execution
    ranks = f"{setting.stages} stages of {run.ranks} ranks" if run.ranks > 1 else f"{setting.stages} stages"
    return (f"{setting.name} on {ranks}, {setting.accelerator.title}: {setting.schedule}, {setting.micro_batches} "
            f"micro-batches of {run.batch} x {run.sequence} tokens, {gib(setting.memory)} each")  # fmt: skip


def rows(found: "PipelineSimulation") -> list[tuple[str, ...]]:
    """A policy a row."""
    table = []
    for name, outcome in found.outcomes.items():
        layers, title = " ".join(map(str, outcome.partition)), POLICIES[name].title
        if outcome.fits:
            other = outcome is not found.chosen and found.chosen.fits
            ratio = f"{outcome.seconds / found.chosen.seconds:.2f}x" if other else ""
            near = f"{found.bound / outcome.seconds:.1%}"
            table.append((name, seconds(outcome.seconds), ratio, near, layers, gib(fullest(outcome)), title))
        else:
            over = gib(fullest(outcome)) if outcome.timeline is not None else ""
            table.append((name, "-", "", "", layers, over, f"{title}: out of memory"))
    return table


def fullest(outcome: Outcome) -> int:
    """Bytes on the fullest device."""
    return max(outcome.peak(device) for device in range(len(outcome.static)))


def devices(found: "PipelineSimulation") -> list[tuple[str, ...]]:
    """A device a row: its memory, its time, and where it recomputes: exposed, in windows of either pass, in stalls."""
    chosen, place = found.chosen, found.setting.place
    assert chosen.timeline is not None
    table = []
    for device in range(found.setting.stages):
        own = [chunk for chunk, at in enumerate(place) if at == device]
        share = shares(chosen, device)
        places = (share.recomputed, share.exposed, share.forward_windows, share.backward_windows, share.stalls)
        table.append((
            str(device),
            " + ".join(str(chosen.partition[chunk]) for chunk in own),
            gib(chosen.static[device]),
            " + ".join(gib(chosen.costs[chunk].kept) for chunk in own),
            str(chosen.timeline.plan.in_flight(device)),
            gib(chosen.peak(device)),
            seconds(share.work),
            seconds(share.idle),
            *(seconds(value) if value > 5e-5 else "-" for value in places),
        ))  # fmt: skip
    return table


def advice(found: "PipelineSimulation") -> list[str]:
    """What to change, for what costs more than little."""
    setting, chosen = found.setting, found.chosen
    if chosen.timeline is None:
        return [f"{chosen.policy} finds no schedule: {chosen.refused.removeprefix('error: ')}"]
    if not chosen.fits:
        device = max(range(setting.stages), key=chosen.peak)
        return [f"device {device} needs {gib(chosen.peak(device))}, {gib(chosen.excess)} too much: try a smaller "
                "--micro-batch, more --tensor-parallel or --stages, or --sequence-parallel"]  # fmt: skip
    parts = [shares(chosen, device) for device in range(setting.stages)]
    step, mean = chosen.seconds, sum(part.work for part in parts) / len(parts)
    slowest = max(range(setting.stages), key=lambda device: parts[device].work)
    exposed, idle, lines = parts[slowest].exposed, min(part.idle for part in parts), []
    if exposed > NEGLIGIBLE * step:
        smaller = "a smaller --micro-batch" + ("" if setting.execution.fused else " or --flash")
        lines.append(
            f"device {slowest} recomputes for {seconds(exposed)} where nothing hides it: more memory, {smaller}"
        )
    if parts[slowest].work > 1.05 * mean:
        longer = f"device {slowest} works {parts[slowest].work / mean - 1:.0%} longer than the mean"
        lines.append(f"{longer}: whole layers cannot be shared better; --schedule interleaved has smaller chunks")
    if idle > 5 * NEGLIGIBLE * step:
        more = "zb-h2 takes more memory for it" if setting.split else "zb-h1 fills stalls with gradients of weights"
        lines.append(f"every device is idle for {idle / step:.0%} of the step or more: more --micro-batches; {more}")
    return lines or ["nothing costs more than 2% of the step"]


def figures(found: "PipelineSimulation") -> dict[str, Any]:
    """All figures: seconds and bytes."""
    setting = found.setting
    return {
        "model": setting.name,
        "hardware": {"name": setting.accelerator.name, "sources": dict(setting.accelerator.sources)},
        "execution": vars(setting.execution),
        "stages": setting.stages,
        "micro_batches": setting.micro_batches,
        "schedule": setting.schedule,
        "memory": setting.memory,
        "bound": found.bound,
        "bound_within": found.bound_within,
        "policy": found.chosen.policy,
        "policies": {name: told(outcome) for name, outcome in found.outcomes.items()},
        "advice": advice(found),
    }


def told(outcome: Outcome) -> dict[str, Any]:
    """One policy's figures."""
    known = {"fits": outcome.fits, "partition": outcome.partition, "static": outcome.static}
    if outcome.timeline is None:
        return known | {"refused": outcome.refused}
    count = range(len(outcome.static))
    return known | {
        "seconds": outcome.timeline.makespan,
        "period": outcome.timeline.period,
        "peak": [outcome.peak(device) for device in count],
        "in_flight": [outcome.timeline.plan.in_flight(device) for device in count],
        "kept": [cost.kept for cost in outcome.costs],
        "devices": [vars(shares(outcome, device)) for device in count],
    }
