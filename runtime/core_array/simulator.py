"""Times and energies of a recorded run on a core array, under a mapping and a policy.

    synapses, raster  --count-->  traffic  --waits-->  when each core is done with each step  -->  Timing

Function and timing are apart: what fires does not depend on the mapping, so one recording serves thousands.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ...dialects.diagnostics import UserError, did_you_mean
from ..spiking.arrays import NO_CORE, Raster, Synapses
from .barriers import baselines
from .bounds import Bounds, Losses, explain, explain_barrier
from .energy import Energy, energy_of
from .machine import Machine
from .mapping import Mapping
from .packets import deliver
from .policy import POLICIES, Case, Execution, execute
from .recording import Recording
from .trace import Event, events_of
from .traffic import Traffic, count


@dataclass(frozen=True)
class Timing:
    """Of one run: nanoseconds and picojoules. `finish` and `work` are [steps, cores]; `baselines` are makespans of the
    three barriers, `baseline_energies` their energies; `mapping` is as executed, with the groups and barriers chosen;
    `execution` has the times of collectors too, and what waits for what.
    """

    makespan_ns: float
    energy_pj: Energy
    bounds: Bounds
    losses: Losses
    baselines: dict[str, float]
    baseline_energies: dict[str, Energy]
    packets: int
    messages: int
    finish: np.ndarray
    work: np.ndarray
    mapping: Mapping
    traffic: Traffic
    execution: Execution

    @property
    def control_per_packet(self) -> float:
        """Control messages for each spike packet between cores."""
        return self.messages / max(1, self.packets)

    @property
    def speedups(self) -> dict[str, float]:
        """Over each barrier."""
        return {name: time / self.makespan_ns if self.makespan_ns else 1.0 for name, time in self.baselines.items()}


def simulate(
    synapses: Synapses,
    raster: Raster,
    mapping: Mapping,
    machine: Machine,
    *,
    policy: str = "auto",
    packets: bool = False,
    inputs: np.ndarray | None = None,
) -> Timing:
    """Time a recorded run. `packets`: let packets contend for links; `inputs` bool [neurons]: never updated."""
    return retime(Recording.of(synapses, raster, inputs), mapping, machine, policy=policy, packets=packets)


def makespan(recording: Recording, mapping: Mapping, machine: Machine, *, policy: str = "auto") -> float:
    """The nanoseconds of a recording alone: what mappings are compared by."""
    check(recording, mapping, machine, policy)
    return execute(case_of(recording, mapping, machine), policy).makespan


def check(recording: Recording, mapping: Mapping, machine: Machine, policy: str) -> None:
    """Raise UserError where these do not fit together."""
    if policy not in POLICIES:
        raise UserError(f"there is no policy '{policy}'", hint=did_you_mean(policy, POLICIES))
    mapping.check(machine)
    if len(mapping.core) != recording.synapses.neurons:
        neurons = recording.synapses.neurons
        raise UserError(f"the mapping places {len(mapping.core)} neurons, the network has {neurons}")


def retime(
    recording: Recording, mapping: Mapping, machine: Machine, *, policy: str = "auto", packets: bool = False
) -> Timing:
    """All that `simulate` tells, of a recording that serves many mappings."""
    check(recording, mapping, machine, policy)
    case = case_of(recording, mapping, machine)
    run = execute(case, policy)
    if not packets:
        return timing_of(case, run)
    crowded = deliver(case, run)
    timing = timing_of(case, crowded)
    contention = crowded.makespan - run.makespan
    losses = replace(
        timing.losses,
        network=timing.losses.network + contention,
        synchronisation=timing.losses.synchronisation - contention,
    )
    return replace(timing, losses=losses)


def trace_of(timing: Timing) -> Iterator[Event]:
    """The events of a run for `write_trace`: one row a core, and one a collector."""
    run = timing.execution
    names = [f"core {core}" for core in range(timing.mapping.cores)]
    names += [f"collector {number}" for number in range(run.finish.shape[1] - len(names))]
    return events_of(run.progress.waits, run.work, run.finish, names, timing.mapping.barrier)


def case_of(recording: Recording, mapping: Mapping, machine: Machine) -> Case:
    """Counts and work of a recording under a mapping; cores that hold inputs alone know their spikes in advance."""
    traffic = count(recording, mapping)
    on = mapping.core[~recording.inputs]
    known = np.bincount(on[on != NO_CORE], minlength=mapping.cores) == 0
    return Case(mapping, machine, traffic, traffic.work(machine.time), known if recording.inputs.any() else None)


def timing_of(case: Case, run: Execution) -> Timing:
    """All that is to be told of a run."""
    mapping, machine, traffic, cores = case.mapping, case.machine, case.traffic, case.mapping.cores
    others = baselines(mapping, machine, case.work)
    free = replace(run.mapping, barrier=np.zeros(cores, bool))
    bounds, losses = explain(free, machine, traffic, case.work, run.makespan, case.known)
    latest = max(run.lockstep, key=lambda each: each.makespan, default=None)
    if latest is not None and latest.makespan >= run.makespan:
        bounds, losses = explain_barrier(case.work, latest, bounds.path)
    sent = {"messages": run.progress.messages, "links": run.progress.links}
    return Timing(
        makespan_ns=run.makespan,
        energy_pj=energy_of(mapping, machine, traffic, run.makespan, rounds=run.rounds, **sent),
        bounds=bounds,
        losses=losses,
        baselines={name: each.makespan for name, each in others.items()},
        baseline_energies={
            name: energy_of(mapping, machine, traffic, each.makespan, rounds=each.rounds)
            for name, each in others.items()
        },
        packets=int(traffic.sent.sum()),
        messages=run.progress.messages,
        finish=run.finish[:, :cores],
        work=run.work[:, :cores],
        mapping=run.mapping,
        traffic=traffic,
        execution=run,
    )
