import dataclasses
import io
import json
from itertools import pairwise

import numpy as np
import pytest
from gossamer.dialects.diagnostics import UserError
from gossamer.runtime.core_array.machine import Machine
from gossamer.runtime.core_array.mapping import Mapping, hops
from gossamer.runtime.core_array.simulator import Timing, simulate, trace_of
from gossamer.runtime.core_array.trace import write_trace
from gossamer.runtime.spiking.arrays import Raster, Synapses
from gossamer.tests.runtime.core_array.networks import Network, machine, mapped, network, reference


def timed(net: Network, mapping: Mapping, array: Machine | None = None, **options) -> Timing:
    return simulate(net.synapses, reference(net), mapping, array or machine(), inputs=net.inputs, **options)


@pytest.mark.parametrize("control", [0.0, 5.1, 500.0])
def test_the_chosen_policy_is_never_slower_than_the_cheap_barrier(control):
    barriers = 0
    for seed in range(40):
        net = network(seed, zero_delay=bool(seed % 2))
        timing = timed(net, mapped(net, seed), machine(control=control))
        assert timing.makespan_ns <= timing.baselines["cheap"] * (1 + 1e-12)
        assert timing.baselines["cheap"] <= timing.baselines["pipelined"]
        barriers += timing.mapping.barrier.any()
    assert barriers > 20 if control > 100.0 else barriers < 20


@pytest.mark.parametrize("policy", ["auto", "dependency", "group", "barrier"])
@pytest.mark.parametrize("packets", [False, True])
def test_losses_add_up_to_the_makespan_and_bounds_hold(policy, packets):
    for seed in range(20):
        net = network(seed, zero_delay=bool(seed % 2))
        timing = timed(net, mapped(net, seed, slack=1 + seed % 4), policy=policy, packets=packets)
        bounds, losses = timing.bounds, timing.losses
        assert bounds.work + losses.total == pytest.approx(timing.makespan_ns)
        assert bounds.work <= bounds.core + 1e-9 <= bounds.path + 2e-9
        assert bounds.path <= timing.makespan_ns + 1e-6
        assert min(losses.spatial, losses.temporal, losses.network, losses.buffers, losses.synchronisation) >= -1e-6


def test_more_slots_are_never_slower_and_reach_the_path_without_control():
    net = network(5, steps=60)
    free = machine(control=0.0)
    mapping = mapped(net, 5)
    times = [
        timed(net, mapping.with_slots(mapping.edges.dmax + slack), free, policy="dependency").makespan_ns
        for slack in (1, 2, 60)
    ]
    assert times == sorted(times, reverse=True)
    last = timed(net, mapping.with_slots(mapping.edges.dmax + 100), free, policy="dependency")
    assert last.losses.buffers == pytest.approx(0.0)


def test_regions_that_no_edge_joins_are_each_run_as_suits_them():
    """Two chatty pairs of cores that synchronise at great cost, and two that have nothing to say."""
    source, target = np.array([0, 1]), np.array([1, 0])
    synapses = Synapses.of(4, source, target, np.ones(2, np.int32), np.array([1, 1]))
    silent = Raster.of(np.zeros((50, 4), bool))
    timing = simulate(synapses, silent, Mapping.of(synapses, np.arange(4)), machine(control=5000.0))
    assert timing.mapping.barrier.tolist() == [True, True, False, False]
    assert timing.finish[-1, 2] == pytest.approx(timing.work[:, 2].sum())
    assert timing.messages == 0


def test_a_mapping_may_ask_for_a_barrier():
    net = network(2)
    mapping = mapped(net, 2)
    asked = dataclasses.replace(mapping, barrier=np.ones(mapping.cores, bool))
    timing = timed(net, asked, policy="dependency")
    assert timing.makespan_ns == pytest.approx(timed(net, mapping, policy="barrier").makespan_ns)
    assert timing.makespan_ns == pytest.approx(timing.baselines["cheap"])


@pytest.mark.parametrize("policy", ["auto", "dependency", "group", "barrier"])
@pytest.mark.parametrize("packets", [False, True])
def test_a_trace_shows_all_that_cores_compute_and_no_two_things_at_once(policy, packets):
    for seed in range(10):
        net = network(seed)
        timing, out = timed(net, mapped(net, seed), policy=policy, packets=packets), io.StringIO()
        write_trace(out, trace_of(timing))
        slices = [event for event in json.loads(out.getvalue()) if event["ph"] == "X"]
        for core in range(timing.mapping.cores):
            mine = sorted((e["ts"], e["dur"], e["cat"]) for e in slices if e["tid"] == core)
            assert sum(dur for _, dur, cat in mine if cat == "compute") == pytest.approx(
                timing.work[:, core].sum() / 1e3
            )
            assert all(ts + dur <= following[0] + 1e-6 for (ts, dur, _), following in pairwise(mine))
        reasons = {event["name"] for event in slices if event["cat"] == "wait"}
        assert ("waits for the barrier" in reasons) == bool(timing.mapping.barrier.any())


def test_energy_is_events_times_costs_and_leakage():
    net = network(4)
    mapping, array = mapped(net, 4), machine()
    timing = timed(net, mapping, policy="dependency")
    cost, traffic, energy = array.energy, timing.traffic, timing.energy_pj
    updates = int(traffic.updates.sum()) * net.steps
    assert energy.neurons == pytest.approx(
        cost.step * net.steps * mapping.cores + updates * cost.update + traffic.active.sum() * cost.update_active
    )
    assert energy.synapses == pytest.approx(traffic.events.sum() * cost.synapse)
    assert energy.static == pytest.approx(array.static_power * mapping.cores * timing.makespan_ns * 1e3)
    x, y = hops(array, mapping.place[mapping.edges.source], mapping.place[mapping.edges.target])
    sent = traffic.sent.sum(axis=0)
    assert energy.network == pytest.approx((sent * (x * cost.hop_x + y * cost.hop_y + cost.tile)).sum())
    assert energy.barrier == 0.0
    assert energy.control >= timing.messages * (cost.control + cost.tile)
    tree = 2 * (mapping.cores - 1) * ((cost.hop_x + cost.hop_y) / 2 + cost.tile) + mapping.cores * cost.control
    assert timing.baseline_energies["sequential"].barrier == pytest.approx(net.steps * tree)


def test_inputs_on_a_core_are_no_updates_and_are_told_of_in_advance():
    net = network(6)
    mapping = mapped(net, 6, host=False)
    told, untold = timed(net, mapping), simulate(net.synapses, reference(net), mapping, machine())
    assert told.traffic.updates.sum() == (~net.inputs).sum()
    assert untold.traffic.updates.sum() == len(net.inputs)
    assert told.messages <= untold.messages


def test_a_policy_or_a_mapping_that_is_not_there_is_an_error():
    net = network(0)
    mapping = mapped(net, 0)
    with pytest.raises(UserError, match="there is no policy 'barier'"):
        timed(net, mapping, policy="barier")
    with pytest.raises(UserError, match=r"the mapping places 1 neurons, the network has \d+"):
        timed(net, dataclasses.replace(mapping, core=mapping.core[:1]))


def test_no_steps_and_no_cores_take_no_time():
    net = network(0)
    none = dataclasses.replace(net, steps=0, given=net.given[:0])
    for policy in ("auto", "barrier"):
        assert timed(none, mapped(net, 0), policy=policy).makespan_ns == 0.0
    nowhere = Mapping.of(net.synapses, np.full(len(net.level), -1))
    assert timed(net, nowhere).makespan_ns == 0.0
