"""The same file in Norse, in snnTorch and here: equal spikes where they read NIR as it is meant.

Weights are multiples of 2^-6 and a step is 2^-10 seconds, so that sums are exact.
"""

import numpy as np
import pytest
import torch
from gossamer import snn

nir = pytest.importorskip("nir")
STEPS, BATCH = 60, 4


def dyadic(rng, *shape):
    return rng.integers(-64, 64, shape).astype(np.float32) / 64


def spikes(rng, size, rate=0.3):
    return (rng.random((STEPS, BATCH, size)) < rate).astype(np.float32)


def full(size, value):
    return np.full(size, value, np.float32)


def layers(rng, dt, neuron):
    """Two layers with biases."""
    return nir.NIRGraph.from_list(
        nir.Affine(dyadic(rng, 20, 12), dyadic(rng, 20) / 4),
        neuron(20, dt),
        nir.Linear(dyadic(rng, 7, 20)),
        neuron(7, dt),
    )


def lif(size, dt):
    return nir.LIF(full(size, 4 * dt), full(size, 1), full(size, 0), full(size, 0.3), full(size, 0))


def cuba(size, dt):
    return nir.CubaLIF(full(size, 2 * dt), full(size, 4 * dt), full(size, 2), full(size, 0), full(size, 0.3),
                       full(size, 0), full(size, 1.5))  # fmt: skip


def fire(size, _):
    return nir.IF(full(size, 1), full(size, 1.3), full(size, 0))


@pytest.mark.parametrize("neuron", [lif, cuba])
def test_norse_fires_alike(neuron):
    norse = pytest.importorskip("norse.torch")
    rng, dt = np.random.default_rng(1), 2.0**-10
    graph = layers(rng, dt, neuron)
    x = spikes(rng, 12)
    module, state, expected = norse.from_nir(graph, ignore_warnings=True, dt=dt), None, []
    with torch.no_grad():
        for now in torch.tensor(x):
            out, state = module(now, state)
            expected.append(out.numpy())
    found = snn.load(graph, dt=dt, discretisation="euler")(x)
    assert 0.05 < found.mean() < 0.95
    np.testing.assert_array_equal(found, np.stack(expected))


def test_norse_sums_its_input_as_if_r_were_one_over_the_step():
    norse = pytest.importorskip("norse.torch")
    rng, dt = np.random.default_rng(2), 2.0**-10
    graph = layers(rng, dt, fire)
    x = spikes(rng, 12)
    module, state, expected = norse.from_nir(graph, ignore_warnings=True, dt=dt), None, []
    with torch.no_grad():
        for now in torch.tensor(x):
            out, state = module(now, state)
            expected.append(out.numpy())
    for node in graph.nodes.values():
        if isinstance(node, nir.IF):
            node.r = node.r / dt
    np.testing.assert_array_equal(snn.load(graph, dt=dt)(x), np.stack(expected))


SNNTORCH_STEP = 1e-4
"""snnTorch reads and writes NIR for steps of this length."""


def snntorch_lif(size, dt):
    return nir.LIF(full(size, 4 * dt), full(size, 4), full(size, 0), full(size, 0.3), full(size, 0))


def test_snntorch_fires_alike():
    importer = pytest.importorskip("snntorch.import_nir")
    rng = np.random.default_rng(3)
    graph = layers(rng, SNNTORCH_STEP, snntorch_lif)
    x = spikes(rng, 12)
    module, state, expected = importer.import_from_nir(graph), None, []
    with torch.no_grad():
        for now in torch.tensor(x):
            out, state = module(now, state)
            expected.append(out.numpy())
    found = snn.load(graph, dt=SNNTORCH_STEP, discretisation="euler")(x)
    assert 0.05 < found.mean() < 0.95
    np.testing.assert_array_equal(found, np.stack(expected))


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_a_file_of_snntorch_runs_as_its_model_once_its_reset_is_told(reset):
    snntorch, exporter = pytest.importorskip("snntorch"), pytest.importorskip("snntorch.export_nir")
    rng = np.random.default_rng(4)
    fc = torch.nn.Linear(12, 9)
    with torch.no_grad():
        fc.weight.copy_(torch.tensor(dyadic(rng, 9, 12)) / 8)
        fc.bias.copy_(torch.tensor(dyadic(rng, 9)).abs() / 4)
    leaky = snntorch.Leaky(
        beta=torch.full((9,), 0.75), threshold=torch.full((9,), 0.8), init_hidden=True, reset_mechanism=reset,
        reset_delay=False,
    )  # fmt: skip
    model = torch.nn.Sequential(fc, leaky)
    x = spikes(rng, 12)
    graph = exporter.export_to_nir(model, torch.zeros(12))
    leaky.reset_mem()
    with torch.no_grad():
        expected = np.stack([model(now).numpy() for now in torch.tensor(x)])
    told = "subtract" if reset == "subtract" else "value"
    net = snn.load(graph, dt=SNNTORCH_STEP, discretisation="euler", reset=told)
    assert 0.05 < expected.mean() < 0.95
    np.testing.assert_array_equal(net(x), expected)
    if reset == "subtract":  # the membrane stays below twice the threshold: above, snnTorch subtracts once more
        silently_changed = snn.load(graph, dt=SNNTORCH_STEP, discretisation="euler")
        assert not np.array_equal(silently_changed(x), expected)
        assert any("reset='subtract'" in note for note in silently_changed.notes)


def test_a_time_constant_that_norse_writes_wrong_is_doubted():
    norse = pytest.importorskip("norse.torch")
    model = norse.SequentialState(torch.nn.Linear(3, 2), norse.LIFBoxCell())
    graph = norse.to_nir(model, torch.zeros(1, 3))
    (node,) = (n for n in graph.nodes.values() if isinstance(n, nir.LIF))
    net = snn.load(graph, dt=1e-3)
    assert np.all(np.asarray(node.tau) < 1e-3) == any("norse issue 411" in note for note in net.notes)
