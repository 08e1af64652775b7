"""Progress between cores: when it is told, how often that takes a message of its own, and through whom."""

from dataclasses import replace

import numpy as np
import pytest
from gossamer.runtime.core_array.control import pairs_of, progress, told
from gossamer.runtime.core_array.groups import dense_blocks
from gossamer.runtime.core_array.mapping import NO_GROUP, Mapping
from gossamer.runtime.core_array.recording import Recording
from gossamer.runtime.core_array.traffic import count
from gossamer.runtime.spiking.arrays import Raster, Synapses
from gossamer.tests.runtime.core_array.networks import machine, mapped, network, reference


def walked(carried: np.ndarray, batch: int) -> tuple[list[int], list[int | None]]:
    """The steps with a message, and when each step is told of, for one stream."""
    messages: list[int] = []
    when: list[int | None] = [None] * len(carried)
    waiting: list[int] = []
    for step, rides in enumerate(carried):
        waiting.append(step)
        if rides or len(waiting) == batch:
            if not rides:
                messages.append(step)
            for each in waiting:
                when[each] = step
            waiting = []
    return messages, when


@pytest.mark.parametrize("seed", range(50))
def test_a_message_is_sent_only_after_a_batch_of_silent_steps(seed):
    rng = np.random.default_rng(seed)
    steps, streams = int(rng.integers(1, 30)), int(rng.integers(1, 6))
    carried = rng.random((steps, streams)) < rng.random()
    batch = rng.integers(1, 5, streams)
    message, late = told(carried, batch, np.zeros(streams, bool))
    for stream in range(streams):
        messages, when = walked(carried[:, stream], int(batch[stream]))
        assert np.flatnonzero(message[:, stream]).tolist() == messages
        for step, expected in enumerate(when):
            if expected is not None:
                assert step + (0 if late is None else late[step, stream]) == expected


def test_who_knows_its_spikes_says_at_once_how_long_it_is_silent():
    carried = np.array([[0, 1], [0, 0], [1, 0], [0, 0]], bool)
    message, late = told(carried, np.array([1, 1]), np.array([True, True]))
    assert late is not None
    assert message.sum(axis=0).tolist() == [1, 0]
    assert (np.arange(4)[:, None] + late).T.tolist() == [[0, 0, 2, 2], [0, 0, 0, 0]]


def between(*edges: tuple[int, int, int], slack: int = 2) -> Mapping:
    """One neuron a core."""
    source, target, delay = np.array(edges).T
    cores = int(max(source.max(), target.max())) + 1
    synapses = Synapses.of(cores, source, target, np.ones(len(source), np.int32), delay)
    return Mapping.of(synapses, np.arange(cores), slack=slack)


def test_one_stream_is_end_of_step_one_way_and_credit_the_other():
    pairs = pairs_of(between((0, 1, 3), (1, 0, 2), (1, 2, 0), slack=4))
    found = {(s, t): (lag, edge) for s, t, lag, edge in zip(*vars(pairs).values(), strict=True)}
    assert found == {(0, 1): (3, 0), (1, 0): (2, 1), (1, 2): (0, 2), (2, 1): (4, -1)}
    assert len(pairs_of(between((1, 2, 0)), unlimited=True).source) == 1


@pytest.mark.parametrize("seed", range(30))
def test_no_batch_delays_news_until_its_wait_is_tight(seed):
    net = network(seed, zero_delay=bool(seed % 2))
    mapping = mapped(net, seed, slack=1 + seed % 5)
    traffic = count(Recording.of(net.synapses, reference(net)), mapping)
    streams = progress(mapping, machine(), traffic)
    waits = streams.waits
    if waits.late is not None:
        assert (waits.late <= np.maximum(waits.lag - 1, 0)).all()
    assert (waits.slack >= np.minimum(waits.lag, 2)).all()
    eager = progress(mapping, machine(), traffic, batch=1)
    assert eager.waits.late is None
    assert streams.messages <= eager.messages


def test_a_full_block_speaks_through_a_collector():
    full = between(*((s, t, 1) for s in range(6) for t in range(6, 12)))
    assert np.unique(dense_blocks(full)).tolist() == [0]
    small = between(*((s, t, 1) for s in range(3) for t in range(3, 6)))
    assert np.unique(dense_blocks(small)).tolist() == [NO_GROUP]
    ring = between(*((s, t, 1) for s in range(8) for t in range(8) if s != t))
    assert (dense_blocks(ring) == dense_blocks(ring)[0]).all()
    assert dense_blocks(ring)[0] != NO_GROUP
    apart = between(*((s, t, 1 + s % 2) for s in range(12) for t in range(12, 18)))
    assert len(np.unique(dense_blocks(apart))) == 2


def block() -> Synapses:
    """Six neurons that all reach six others."""
    source, target = (ends.ravel() for ends in np.indices((6, 6)))
    return Synapses.of(12, source, target + 6, np.ones(36, np.int32), np.ones(36, int))


def test_collectors_take_as_many_messages_as_there_are_members():
    full = Mapping.of(block(), np.arange(12))
    silent = Raster.of(np.zeros((5, 12), bool))
    grouped = replace(full, group=dense_blocks(full))
    traffic = count(Recording.of(block(), silent), full)
    streams = progress(grouped, machine(), traffic)
    # Six say that they are done, six are told; six free their slots, six are told.
    assert streams.sends.sum(axis=1).tolist() == [24] * 5
    assert streams.waits.nodes == 14
    assert progress(full, machine(), traffic, batch=1).sends.sum(axis=1).tolist() == [72] * 5
