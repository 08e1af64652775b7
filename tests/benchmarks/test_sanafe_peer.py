"""SANA-FE, where it is installed, finds the same spikes, time and energy on the same cores. It has no energy a step."""

import numpy as np
import pytest
from gossamer.benchmarks.sanafe_peer import load_peer, random_network, reckon
from gossamer.benchmarks.spiking_workloads import run
from gossamer.runtime.core_array.machine_files import known_machines, load_machine

sanafe = pytest.importorskip("sanafe")


@pytest.mark.parametrize("name", sorted(set(known_machines()) - {"odin", "ipu-mk2", "truenorth"}))
@pytest.mark.parametrize("seed", range(3))
def test_spikes_time_and_energy_agree(name: str, seed: int):
    machine, rng = load_machine(name), np.random.default_rng(seed)
    load = random_network(rng, inputs=40, neurons=120, fan=12, steps=40, rate=0.4)
    core = rng.choice(rng.choice(machine.cores, 9, replace=False), load.neurons)
    peer, raster = load_peer(sanafe, machine, load, core), run(load)
    assert load.rate(raster) > 0.01
    assert peer.raster() == raster
    theirs, ours = peer.run(), reckon(machine, load, core, raster)
    assert ours.time * 1e-9 == pytest.approx(theirs["sim_time"], rel=1e-9)
    told_by_both = sum(ours.energy.values()) - ours.energy["step"]
    assert told_by_both * 1e-12 == pytest.approx(theirs["energy"]["total"], rel=1e-9)
    assert ours.energy["synapse"] * 1e-12 == pytest.approx(theirs["energy"]["synapse"], rel=1e-9)
    soma = ours.energy["update"] + ours.energy["spike"]
    assert soma * 1e-12 == pytest.approx(theirs["energy"]["soma"], rel=1e-9)
