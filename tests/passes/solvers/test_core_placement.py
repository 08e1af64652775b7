"""Placement: near where there is much traffic."""

from itertools import permutations

import numpy as np
import pytest
from gossamer.passes.solvers.core_placement import distances, place


def hops(traffic: np.ndarray, slot: np.ndarray, mesh: tuple[int, int], cores_per_tile: int = 1) -> float:
    """Links that all packets go over together: what `place` makes few."""
    return float((np.asarray(traffic) * distances(np.asarray(slot) // cores_per_tile, mesh[0])).sum())


def optimum(traffic: np.ndarray, mesh: tuple[int, int], cores_per_tile: int) -> float:
    """The least hops of all placements."""
    slots = range(mesh[0] * mesh[1] * cores_per_tile)
    return min(hops(traffic, np.array(order), mesh, cores_per_tile) for order in permutations(slots, len(traffic)))


@pytest.mark.parametrize(("cores", "mesh", "apiece"), [(6, (3, 2), 1), (5, (2, 3), 1), (6, (3, 1), 2), (4, (2, 2), 2)])
def test_small_placements_are_nearly_the_best(cores: int, mesh: tuple[int, int], apiece: int):
    generator = np.random.default_rng(0)
    found = best = 0.0
    for _ in range(8):
        traffic = generator.random((cores, cores)) * (generator.random((cores, cores)) < 0.5)
        slot = place(traffic, mesh, apiece)
        assert len(set(slot.tolist())) == cores
        own, least = hops(traffic, slot, mesh, apiece), optimum(traffic, mesh, apiece)
        assert own >= least - 1e-9
        found, best = found + own, best + least
    assert found <= 1.03 * best


def test_hops_are_those_of_xy_routes():
    traffic = np.array([[9.0, 2.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    assert hops(traffic, np.array([0, 3, 5]), (3, 2)) == 2 * 1 + 1 * 2
    assert hops(traffic, np.array([0, 3, 6]), (2, 2), 2) == 2 * 1 + 1 * 1


def test_a_shuffled_grid_finds_its_neighbours():
    generator = np.random.default_rng(1)
    x, y = np.divmod(generator.permutation(64), 8)
    traffic = (np.abs(x[:, None] - x) + np.abs(y[:, None] - y) == 1).astype(float)
    chance = np.mean([hops(traffic, generator.permutation(64), (8, 8)) for _ in range(5)])
    assert hops(traffic, place(traffic, (8, 8)), (8, 8)) < 0.3 * chance
    assert traffic.sum() <= hops(traffic, place(traffic, (8, 8)), (8, 8))


def test_equal_traffic_gives_equal_places():
    traffic = np.random.default_rng(2).random((40, 40))
    assert np.array_equal(place(traffic, (8, 4), 4), place(traffic.copy(), (8, 4), 4))


@pytest.mark.parametrize("cores", [0, 1, 2, 7])
def test_silent_cores_have_places_too(cores: int):
    slot = place(np.zeros((cores, cores)), (4, 2))
    assert len(set(slot.tolist())) == cores
    assert np.all((slot >= 0) & (slot < 8))


def test_too_many_cores_are_refused():
    with pytest.raises(ValueError, match="9 cores do not fit on a mesh of 4 x 2 tiles of 1 cores"):
        place(np.zeros((9, 9)), (4, 2))
    with pytest.raises(ValueError, match="from each core to each core"):
        place(np.zeros((2, 3)), (4, 2))
