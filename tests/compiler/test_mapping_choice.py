"""Which mapping is taken of those that are tried."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from gossamer.benchmarks.spiking_modules import inputs_of, module_of
from gossamer.benchmarks.spiking_workloads import workload
from gossamer.compiler.mapping_choice import Tried, choose, choose_cores, choose_slack
from gossamer.compiler.simulation import simulate
from gossamer.dialects.diagnostics import UserError
from gossamer.passes.solvers.core_capacity import CapacityError
from gossamer.runtime.core_array.machine_files import load_machine


class Attempts:
    """A method that takes `time(cores)`, and as few as `least`; what was asked of it."""

    def __init__(self, name: str, time, least: int = 4):
        self.name, self.time, self.least, self.asked = name, time, least, []

    def __call__(self, cores: int | None) -> Tried:
        self.asked.append(cores)
        cores = self.least if cores is None else cores
        if cores < self.least:
            raise CapacityError("neurons", 0, 2, 1, "more cores")
        return Tried(SimpleNamespace(cores=cores), self.name, self.time(cores))  # pyright: ignore[reportArgumentType]


def test_twice_as_many_cores_are_tried_as_long_as_that_helps():
    attempt = Attempts("quick", lambda cores: 1000 / cores + 10 * cores)
    best = choose_cores(attempt, None, 128)
    assert (best.mapping.cores, attempt.asked) == (8, [None, 8, 16])
    assert choose_cores(Attempts("quick", lambda cores: 1000 / cores), None, 100).mapping.cores == 100


def test_the_slow_method_starts_where_the_quick_one_ended():
    quick = Attempts("quick", lambda cores: 1000 / cores + 10 * cores)
    slow = Attempts("slow", lambda cores: 1000 / cores + 4 * cores)
    best = choose([quick, slow], None, 128)
    assert (best.method, best.mapping.cores) == ("slow", 16)
    assert slow.asked == [8, 16, 32]


def test_what_does_not_fit_is_no_choice():
    quick, slow = Attempts("quick", lambda cores: 1.0, least=9), Attempts("slow", lambda cores: 2.0)
    assert choose([quick, slow], 8, 128).method == "slow"
    assert choose([quick, slow], None, 128).method == "quick"
    with pytest.raises(CapacityError):
        choose([quick, Attempts("slow", lambda cores: 2.0, least=10)], 8, 128)


def test_finer_methods_are_tried_once_on_the_best_number():
    quick, slow = (Attempts(name, lambda cores: 1000 / cores + 10 * cores) for name in ("quick", "slow"))
    loose, steady = Attempts("loose", lambda cores: 100.0), Attempts("steady", lambda cores: 900.0, least=9)
    assert choose([quick, slow, loose, steady], None, 128).method == "loose"
    assert (loose.asked, steady.asked) == ([8], [8])


def test_of_what_is_about_as_fast_the_first_is_taken():
    quick, slow = Attempts("quick", lambda cores: 100.0), Attempts("slow", lambda cores: 99.0)
    assert choose([quick, slow], 8, 128).method == "quick"
    assert choose([quick, Attempts("slow", lambda cores: 90.0)], 8, 128).method == "slow"


def test_slots_are_as_few_as_are_about_as_fast_as_the_best():
    times = {None: 120.0, 2: 100.0, 3: 90.0, 4: 81.0, 6: 80.5, 8: 80.0, 16: 81.0, 32: 82.0}
    assert choose_slack([2, 3, 4, 6, 8, 16, 32], times.__getitem__) == 6
    assert choose_slack([2, 32], lambda slack: 70.0 if (slack or 0) >= 32 else 99.0) == 32
    assert choose_slack([2, 3], lambda slack: 50.0) is None


def test_the_program_is_that_of_the_arrays_that_were_chosen():
    load = workload("srnn-small")
    found = simulate(*module_of(load), inputs_of(load))
    again = simulate(*module_of(load), inputs_of(load), cores=found.mapped.mapping.cores)
    assert found.timing.makespan_ns == pytest.approx(again.timing.makespan_ns, rel=0.05)
    assert np.array_equal(found.mapped.mapping.core, found.timing.mapping.core)
    assert found.as_dict()["certified"]


def test_slots_keep_no_spike_longer_than_the_machine_does_unless_they_are_asked_for():
    load, machine = workload("pd-small"), load_machine("loihi1")
    (module, weights), inputs = module_of(load), inputs_of(load)
    longest = int(load.synapses.delay.max())

    def slacks(delay: int, slack: int | None = None) -> set[int]:
        tight = replace(machine, limits=replace(machine.limits, delay=delay))
        edges = simulate(module, weights, inputs, machine=tight, cores=8, slack=slack).mapped.mapping.edges
        return set((edges.slots - edges.dmax).tolist())

    assert max(slacks(longest + 32)) > 4
    assert slacks(longest + 3) <= {2, 3, 4}
    assert slacks(longest) <= {2, 3, 4}
    assert slacks(longest, slack=9) == {9}
    short = replace(machine, limits=replace(machine.limits, delay=longest - 1))
    with pytest.raises(UserError, match=rf"needs {longest} steps of delay, there are {longest - 1} \(1 too many\)"):
        simulate(module, weights, inputs, machine=short)


@pytest.mark.parametrize("method", ["spread", "steady"])
def test_a_method_that_is_asked_for_makes_the_mapping(method: str):
    load = workload("srnn-small")
    found = simulate(*module_of(load), inputs_of(load), method=method, cores=8)
    again = simulate(*module_of(load), inputs_of(load), method=method, cores=8, slack=2)
    assert np.array_equal(found.mapped.mapping.core, again.mapped.mapping.core)
    assert found.timing.makespan_ns <= again.timing.makespan_ns


def test_a_network_that_fits_nowhere_is_told_by_the_name_of_its_population():
    load = workload("mlp-small")
    with pytest.raises(UserError, match=r"population @hidden1 needs .* cores"):
        simulate(*module_of(load), inputs_of(load), machine="odin")
    with pytest.raises(UserError, match="9 cores are asked of odin, which has 1"):
        simulate(*module_of(load), inputs_of(load), machine="odin", cores=9)
