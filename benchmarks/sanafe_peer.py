"""The same network on the same cores in SANA-FE, where that is installed: do they agree, and who is faster?

    python -m gossamer.benchmarks.sanafe_peer

SANA-FE (github.com/SLAM-Lab/SANA-FE, GPL-3.0) couples what a network does with how long it takes: a new mapping is a
new run. Here the raster is found once, and each mapping is reckoned from it. The neurons are those of TrueNorth, which
add whole numbers up, fire at the threshold and take it off; without a leak they are the workloads' own. All synapses
act in the next step, as SANA-FE's buffer before the soma has it.
"""

import sys
import tempfile
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from gossamer.passes.solvers.neuron_graph import levels
from gossamer.runtime.core_array.machine import Machine
from gossamer.runtime.core_array.machine_files import load_machine
from gossamer.runtime.core_array.simple_model import BarrierRun, barrier_simple, barrier_time
from gossamer.runtime.spiking.arrays import Raster, Synapses

from .spiking_networks import Population
from .spiking_workloads import NO_LEAK, Workload, run
from .timing import interleaved


def random_network(rng: np.random.Generator, inputs: int, neurons: int, fan: int, steps: int, rate: float) -> Workload:
    """Inputs and neurons that reach `fan` neurons each, a step later; no leak."""
    total = inputs + neurons
    source = np.repeat(np.arange(total), fan)
    target = inputs + rng.integers(0, neurons, len(source))
    synapses = Synapses.of(total, source, target, rng.integers(-24, 26, len(source)).astype(np.int32), 1)
    told = rng.random((steps, total)) < rate
    told[:, inputs:] = False
    return Workload(
        name="random",
        synapses=synapses,
        populations=(Population("input", 0, inputs, "input"), Population("neurons", inputs, total, "lif")),
        kernels=(),
        levels=levels(synapses.offsets, synapses.target, synapses.delay),
        inputs=Raster.of(told),
        threshold=rng.integers(60, 200, total).astype(np.int32),
        leak=np.full(total, NO_LEAK, np.int32),
    )


def architecture(machine: Machine, core: np.ndarray, inputs_a_core: int) -> str:
    """The machine as SANA-FE's YAML. Its tiles are numbered column by column, so x and y change places."""
    time, energy, tiles = machine.time, machine.energy, machine.cores // machine.cores_per_tile
    vertical, horizontal = (energy.hop_x, time.hop_x), (energy.hop_y, time.hop_y)
    hops = [("north", vertical), ("south", vertical), ("east", horizontal), ("west", horizontal)]
    update = {"access_neuron": (energy.update, time.update), "update_neuron": (0.0, 0.0)}
    spike = {"spike_out": (energy.spike + energy.update_active, time.spike + time.update_active)}
    no_update = {"access_neuron": (0.0, 0.0), "update_neuron": (0.0, 0.0)}
    return f"""architecture:
  name: machine
  attributes:
    topology: mesh
    width: {machine.mesh[1]}
    height: {machine.mesh[0]}
    link_buffer_size: {machine.link_buffer}
    sync_model: fixed
    latency_sync: {(barrier_time(machine, core) + time.step) * 1e-9!r}
  tile:
    - name: tile[0..{tiles - 1}]
      attributes: {{{costs({f"{way}_hop": cost for way, cost in hops})}}}
      core:
        - name: core[0..{machine.cores_per_tile - 1}]
          attributes: {{buffer_position: soma, buffer_inside_unit: false, max_neurons_supported: {len(core)}}}
          axon_in:
            - name: axon_in
              attributes: {{{costs({"message_in": (energy.packet_in + energy.tile, time.packet_in)})}}}
          synapse:
            - name: synapse
              attributes: {{model: current_based, {costs({"process_spike": (energy.synapse, time.synapse)})}}}
          dendrite:
            - name: dendrite
              attributes: {{model: accumulator, {costs({"update": (0.0, 0.0)})}}}
          soma:
            - name: soma
              attributes: {{model: truenorth, {costs(update | spike)}}}
            - name: input[0..{max(inputs_a_core, 1) - 1}]
              attributes: {{model: input, {costs(no_update | spike)}}}
          axon_out:
            - name: axon_out
              attributes: {{{costs({"message_out": (energy.packet_out, time.packet_out)})}}}
"""


def costs(events: dict[str, tuple[float, float]]) -> str:
    """Picojoules and nanoseconds of events, as attributes in joules and seconds."""
    return ", ".join(
        f"{what}_{event}: {value!r}"
        for event, (pico, nano) in events.items()
        for what, value in (("energy", pico * 1e-12), ("latency", nano * 1e-9))
    )


@dataclass(frozen=True)
class Peer:
    """A network loaded into SANA-FE's chip."""

    module: Any
    arch: Any
    net: Any
    told: int
    steps: int

    def load(self) -> Any:
        """A chip at rest with the network on its cores."""
        chip = self.module.SpikingChip(self.arch)
        chip.load(self.net)
        return chip

    def run(self, trace: bool = False) -> dict[str, Any]:
        """A run of all steps from rest, by its simple timing model on one thread."""
        chip = self.load()
        return chip.sim(self.steps, timing_model="simple", processing_threads=1, spike_trace=trace or None)

    def raster(self) -> Raster:
        """Which neurons fired in which step."""
        base = {"input": 0, "neurons": self.told}
        steps = self.run(trace=True)["spike_trace"]
        return Raster.stacked([np.sort([base[n.group_name] + n.neuron_offset for n in step]) for step in steps])


def load_peer(module: Any, machine: Machine, load: Workload, core: np.ndarray) -> Peer:
    """The workload's neurons, synapses and input in SANA-FE, each neuron on its core."""
    told = load.populations[0].hi
    first, unit = places(core[:told])
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(architecture(machine, core, first))
        file.flush()
        arch = module.load_arch(file.name)
    net, cores = module.Network(), list(arch.cores())
    inputs, neurons = net.create_neuron_group("input", told), net.create_neuron_group("neurons", load.neurons - told)
    fires = load.inputs.dense(load.neurons)
    for neuron in range(load.neurons):
        if neuron < told:
            place, spikes = inputs[neuron], [bool(fired) for fired in fires[:, neuron]]
            place.set_attributes(f"input[{unit[neuron]}]", log_spikes=True, model_attributes={"spikes": spikes})
        else:
            place = neurons[neuron - told]
            firing = {"threshold": float(load.threshold[neuron]), "reset_mode": "soft", "leak": 0.0}
            place.set_attributes("soma", "synapse", log_spikes=True, model_attributes=firing)
        place.map_to_core(cores[core[neuron]])
    source, target, weight = load.synapses.source, load.synapses.target - told, load.synapses.weight
    for group, mine in ((inputs, source < told), (neurons, source >= told)):
        pairs = zip((source[mine] - (told if group is neurons else 0)).tolist(), target[mine].tolist(), strict=True)
        group.connect_neurons_sparse(neurons, {"weight": weight[mine].astype(float).tolist()}, list(pairs))
    return Peer(module, arch, net, told, load.steps)


def places(core: np.ndarray) -> tuple[int, np.ndarray]:
    """How many share the fullest core, and the place of each on its own."""
    place = np.zeros(len(core), int)
    for one in np.unique(core):
        mine = np.flatnonzero(core == one)
        place[mine] = np.arange(len(mine))
    return int(place.max(initial=-1)) + 1, place


def reckon(machine: Machine, load: Workload, core: np.ndarray, raster: Raster) -> BarrierRun:
    """What a mapping costs, from a raster that is known."""
    return barrier_simple(machine, load.synapses, core, raster, load.is_input)


def main() -> int:
    """Print how far apart the two are, and how fast."""
    try:
        sanafe = import_module("sanafe")
    except ImportError:
        print("SANA-FE is not installed: pip install sanafe", file=sys.stderr)
        return 1
    machine, rng = load_machine("loihi1-nahuku"), np.random.default_rng(0)
    load = random_network(rng, inputs=512, neurons=2048, fan=64, steps=200, rate=0.1)
    core = np.arange(load.neurons) * 20 // load.neurons
    peer, raster = load_peer(sanafe, machine, load, core), run(load)
    theirs, ours = peer.run(), reckon(machine, load, core, raster)
    print(f"{load.neurons} neurons, {len(load.synapses)} synapses, 20 cores, {load.steps} steps")
    print(f"spikes {'equal' if peer.raster() == raster else 'DIFFER'}: {len(raster.neuron)}")
    energy = sum(ours.energy.values()) * 1e-12
    print(f"time   {ours.time * 1e-9:.9e} s, SANA-FE {theirs['sim_time']:.9e} s")
    print(f"energy {energy:.9e} J, SANA-FE {theirs['energy']['total']:.9e} J")
    both = {
        "SANA-FE": peer.run,
        "its load": peer.load,
        "run": lambda: run(load),
        "reckon": lambda: reckon(machine, load, core, raster),
    }
    rounds = interleaved(both, rounds=5)
    events = int(np.diff(load.synapses.offsets)[raster.neuron].sum())
    for name in both:
        taken, ratio = rounds.median(name), rounds.ratio(name, to="SANA-FE")
        print(f"{name:8} {taken:.3f} s, {events / taken / 1e6:6.1f} M synaptic events/s, {ratio:6.1f} x SANA-FE")
    return 0


if __name__ == "__main__":
    sys.exit(main())
