"""The spiking workloads: the same for the same seed, of the published sizes and rates, and run to the last spike."""

import numpy as np
import pytest
from gossamer.benchmarks.spiking_networks import Population, Wiring
from gossamer.benchmarks.spiking_workloads import FLOOR, NETWORKS, NO_LEAK, WORKLOADS, Workload, run, workload
from gossamer.passes.solvers.neuron_graph import levels
from gossamer.runtime.spiking.arrays import Raster, Synapses

SMALL = [name for name in NETWORKS if name.endswith("small")]


def synapse_by_synapse(load: Workload) -> Raster:
    """The same network in plain Python integers: one neuron and one synapse at a time."""
    synapses, told = load.synapses, load.is_input
    order = sorted(range(load.neurons), key=lambda neuron: int(load.levels[neuron]))
    due: dict[tuple[int, int], int] = {}
    potential, fired = [0] * load.neurons, np.zeros((load.steps, load.neurons), bool)
    for step in range(load.steps):
        for neuron in order:
            if told[neuron]:
                fires = neuron in load.inputs.at(step)
            else:
                v = potential[neuron] + due.get((step, neuron), 0)
                v -= potential[neuron] >> int(load.leak[neuron]) if load.leak[neuron] != NO_LEAK else 0
                fires = v >= load.threshold[neuron]
                potential[neuron] = max(v - int(load.threshold[neuron]) * fires, FLOOR)
            fired[step, neuron] = fires
            for synapse in range(synapses.offsets[neuron], synapses.offsets[neuron + 1]) if fires else ():
                key = (step + int(synapses.delay[synapse]), int(synapses.target[synapse]))
                due[key] = due.get(key, 0) + int(synapses.weight[synapse])
    return Raster.of(fired)


def random_workload(seed: int) -> Workload:
    """Neurons of every level, equal pairs of neurons, delays up to 3, some neurons without a leak."""
    rng = np.random.default_rng(seed)
    neurons, told, steps = 24, 6, 30
    source = rng.integers(0, neurons, 200)
    target = rng.integers(told, neurons, 200)
    delay = np.where(source < target, rng.integers(0, 4, 200), rng.integers(1, 4, 200))
    synapses = Synapses.of(neurons, source, target, rng.integers(-60, 120, 200).astype(np.int32), delay)
    spikes = rng.random((steps, neurons)) < 0.3
    spikes[:, told:] = False
    return Workload(
        name="random",
        synapses=synapses,
        populations=(Population("input", 0, told, "input"), Population("rest", told, neurons, "lif")),
        kernels=(),
        levels=levels(synapses.offsets, synapses.target, synapses.delay),
        inputs=Raster.of(spikes),
        threshold=rng.integers(50, 300, neurons).astype(np.int32),
        leak=rng.choice([1, 4, NO_LEAK], neurons).astype(np.int32),
    )


@pytest.mark.parametrize("seed", range(8))
def test_random_networks_fire_as_they_do_synapse_by_synapse(seed: int):
    load = random_workload(seed)
    assert load.levels.max() > 1
    assert run(load) == synapse_by_synapse(load)


@pytest.mark.parametrize("name", SMALL)
def test_small_networks_fire_as_they_do_synapse_by_synapse(name: str):
    load = workload(name, seed=3)
    raster = run(load)
    assert raster == synapse_by_synapse(load)
    assert load.rate(raster) > 0


SIZES = {"mlp": (1562, 535_040), "srnn": (1232, 380_928), "conv": (5131, 114_320)}
RATES = {"mlp": 0.124, "srnn": 0.048, "conv": 0.071, "sheet": 0.0145, "pd": 0.0167}


@pytest.mark.parametrize("name", WORKLOADS)
def test_workloads_have_the_sizes_and_come_near_the_rates_that_they_are_meant_to_have(name: str):
    load = workload(name)
    raster = run(load)
    assert load.rate(raster) == pytest.approx(RATES[name], rel=0.15)
    assert (load.neurons, len(load.synapses)) == SIZES.get(name, (load.neurons, len(load.synapses)))
    told = load.is_input
    assert np.array_equal(raster.dense(load.neurons)[:, told], load.inputs.dense(load.neurons)[:, told])
    assert [population.lo for population in load.populations[1:]] == [p.hi for p in load.populations[:-1]]


def test_a_workload_is_the_same_for_the_same_seed_and_another_for_another():
    first, again, other = workload("pd-small", 1), workload("pd-small", 1), workload("pd-small", 2)
    assert np.array_equal(first.synapses.target, again.synapses.target)
    assert first.inputs == again.inputs
    assert first.inputs != other.inputs


def test_delays_are_those_of_the_kinds_of_network():
    assert workload("mlp-small").synapses.delay.max() == 0
    sheet, column = workload("sheet-small"), workload("pd-small")
    assert set(np.unique(sheet.synapses.delay)) <= set(range(1, 7))
    drive = column.synapses.source < column.populations[0].hi
    excites = column.synapses.weight > 0
    assert set(column.synapses.delay[drive]) == {1}
    assert column.synapses.delay[~drive & excites].min() >= 8
    assert column.synapses.delay[~excites].max() <= 11
    assert column.synapses.delay.max() <= 23


def test_a_convolution_is_that_of_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    wiring, rows = Wiring(), 8
    pre, post = wiring.add("in", 2 * rows**2), wiring.add("out", 3 * (rows // 2) ** 2)
    kernel = rng.integers(-9, 9, (3, 2, 3, 3))
    wiring.convolution(pre, post, kernel, rows)
    source, target, weight, _ = wiring.synapses()
    image = rng.integers(0, 2, 2 * rows**2)
    summed = np.bincount(target, image[source] * weight, post.hi)[post.lo :]
    asked = torch.nn.functional.conv2d(
        torch.tensor(image.reshape(1, 2, rows, rows), dtype=torch.float64),
        torch.tensor(kernel, dtype=torch.float64), stride=2, padding=1,
    )  # fmt: skip
    assert np.array_equal(summed, asked.numpy().ravel())
    assert [(shared.source, shared.target, shared.stride) for shared in wiring.kernels] == [("in", "out", 2)]


def test_the_potential_has_a_floor():
    """What is pushed far below it still fires after a push of twice its depth."""
    synapses = Synapses.of(3, np.array([0, 1]), np.array([2, 2]), np.array([-(1 << 30), 1 << 21], np.int32), 1)
    told = Raster.of(np.array([[True, False, False], [False, True, False], [False, False, False]]))
    populations = (Population("input", 0, 2, "input"), Population("sunk", 2, 3, "lif"))
    load = Workload("sunk", synapses, populations, (), levels(synapses.offsets, synapses.target, synapses.delay), told,
                    np.full(3, 256, np.int32), np.full(3, 4, np.int32))  # fmt: skip
    assert run(load).at(2).tolist() == [2]
    assert run(load) == synapse_by_synapse(load)


def test_a_cycle_of_no_delay_is_an_error():
    synapses = Synapses.of(2, np.array([0, 1]), np.array([1, 0]), np.array([1, 1], np.int32), 0)
    with pytest.raises(ValueError, match="close a cycle"):
        levels(synapses.offsets, synapses.target, synapses.delay)
