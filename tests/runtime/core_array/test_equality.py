"""Networks of every neuron model fire the same in plain torch, step by step, and by messages under every policy."""

import numpy as np
import pytest
from gossamer.runtime.core_array.protocol import Faults
from gossamer.tests.runtime.core_array.model_networks import EXACT, by_messages, by_step, layered, models
from gossamer.tests.runtime.core_array.networks import CAMPAIGN, grouped, mapped


@pytest.mark.parametrize("first", range(0, CAMPAIGN, 50))
def test_torch_steps_barriers_groups_and_dependencies_agree(first):
    for seed in range(first, first + 50):
        rng = np.random.default_rng(seed)
        net = models(seed)
        network = net.network()
        mapping = mapped(layered(net, network), seed, host=bool(seed % 2), slack=int(rng.integers(1, 5)))
        faults = Faults(seed, latency=int(rng.integers(1, 400)), twice=float(rng.choice([0.0, 0.3])))
        expected = net.in_torch()
        found = {"step by step": by_step(net, network)}
        for policy in ("barrier", "dependency"):
            found[policy] = by_messages(net, network, mapping, policy, faults)
        found["group"] = by_messages(net, network, grouped(mapping, seed), "dependency", faults)
        for way, raster in found.items():
            assert raster == expected, (seed, way, expected.first_difference(raster))


def test_the_networks_of_this_test_fire_and_are_of_every_model():
    kinds, rates = {}, []
    for seed in range(200):
        net = models(seed)
        fired = net.in_torch().dense(sum(p.size for p in net.layers) + net.given.shape[1])
        first = net.given.shape[1]
        for layer in net.layers:
            own = fired[:, first : first + layer.size]
            kinds.setdefault(layer.kind, []).append(own.any())
            rates.append(own.mean())
            first += layer.size
    assert set(kinds) == set(EXACT)
    assert all(np.mean(fires) > 0.3 for fires in kinds.values()), {kind: np.mean(f) for kind, f in kinds.items()}
    assert 0.1 < np.median(rates) < 0.9
