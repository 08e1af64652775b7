"""One policy for identical layers."""

import pytest
from gossamer.passes.solvers.recompute_heu import LayerProgram, follow
from gossamer.passes.solvers.recompute_layers import kinds_of
from gossamer.passes.solvers.recompute_units import units_of
from gossamer.passes.solvers.recompute_when import Times

from .training_steps import pipeline_stage


def program(flying: int = 2) -> LayerProgram:
    units = units_of(pipeline_stage(6, flying))
    (kind,) = kinds_of(units)
    return LayerProgram(kind, Times(units), len(kind.layers))


def test_a_higher_price_keeps_less_and_costs_more():
    layer = program()
    policies = [layer.policy(price) for price in (0.0, 0.005, 0.05, 5.0)]
    found = [(policy.bytes, policy.seconds) for policy in policies if policy]
    assert len(found) == 4
    assert [b for b, _ in found] == sorted((b for b, _ in found), reverse=True)
    assert [s for _, s in found] == sorted(s for _, s in found)
    assert found[0][1] == pytest.approx(0, abs=1e-3)


def test_a_limit_of_bytes_is_met_even_of_none():
    layer = program()
    for limit in (0.0, 30.0, 90.0):
        policy = layer.policy(limit=limit)
        assert policy
        assert policy.bytes <= limit
    assert layer.policy(limit=-1.0) is None


def test_other_layers_do_the_same():
    layer = program()
    policy = layer.policy(limit=20.0)
    assert policy
    units, ops = layer.times.units, layer.times.graph.ops
    for other in layer.kind.layers:
        kept, when = follow(layer.kind, other, policy)
        assert {ops[units.units[i].ops[0]].layer for i in when} <= {other.number}
        assert len(kept) == len(policy.kept)
        assert list(when.values()) == list(policy.whens.values())


@pytest.mark.parametrize("flying", [1, 3])
def test_policies_that_leave_no_room_in_windows_cost_no_more(flying):
    layer = program(flying)
    assert layer.model.spare
    for price in (0.0, 0.005, 0.05, 5.0):
        full, late = layer.policy(price), layer.policy(price, late=True)
        assert full
        assert late
        costs = [policy.seconds + price * policy.bytes for policy in (full, late)]
        assert costs[0] == pytest.approx(costs[1], abs=2e-4 * layer.seconds)
        kept = {layer.times.units.maker[storage] for storage in full.kept if storage in layer.model.keep}
        assert set(full.whens).isdisjoint(kept)
