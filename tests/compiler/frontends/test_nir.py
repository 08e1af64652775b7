"""NIR's primitives, each against a plain statement of its equation in float64, and graphs of them."""

import numpy as np
import pytest
import torch
from gossamer import snn
from gossamer.compiler.context import parse_text, print_module
from gossamer.compiler.frontends.nir import import_nir
from gossamer.dialects.diagnostics import UserError

nir = pytest.importorskip("nir")

DT = 1e-3
STEPS, BATCH, SIZE = 40, 3, 6


def dyadic(rng, *shape, scale=64):
    """Multiples of 2^-6: their sums are exact in any order."""
    return rng.integers(-scale, scale, shape).astype(np.float32) / 64


def spikes(rng, *shape, rate=0.4):
    return (rng.random((STEPS, BATCH, *shape)) < rate).astype(np.float32)


def graph(*nodes, edges=None, **named):
    """A chain of nodes, or named nodes with edges."""
    if edges is None:
        return nir.NIRGraph.from_list(*nodes)
    return nir.NIRGraph(named, edges)


def run_neuron(kind, values, x, way, v_reset=0.0):
    """The equations of NIR in float64, cut into steps; gives membranes before reset, and spikes."""
    v, i = np.zeros(x.shape[1:]), np.zeros(x.shape[1:])
    membranes, fired = [], []
    for now in x.astype(np.float64):
        if "tau_syn" in values:
            share = 1 - np.exp(-DT / values["tau_syn"]) if way == "exponential" else DT / values["tau_syn"]
            i = i + share * (-i + values["w_in"] * now)
            now = i
        tau = values.get("tau", values.get("tau_mem"))
        if tau is not None:
            share = 1 - np.exp(-DT / tau) if way == "exponential" else DT / tau
            v = v + share * (values["v_leak"] - v + values["r"] * now)
        else:
            v = v + DT * values["r"] * now if "r" in values else now
        membranes.append(v)
        threshold = values.get("v_threshold", values.get("threshold", np.inf))
        z = v > threshold
        fired.append(z)
        if kind != "Threshold":
            v = np.where(z, values.get("v_reset", 0.0), v)
    return np.stack(membranes), np.stack(fired).astype(np.float32)


def parameters(rng, kind):
    """Different numbers for each neuron, so that spikes come."""
    make = {
        "tau": lambda: rng.uniform(2e-3, 9e-3, SIZE),
        "tau_mem": lambda: rng.uniform(2e-3, 9e-3, SIZE),
        "tau_syn": lambda: rng.uniform(2e-3, 9e-3, SIZE),
        "r": lambda: rng.uniform(1, 3, SIZE) * (1 / DT if kind in ("I", "IF") else 1),
        "v_leak": lambda: rng.uniform(-0.2, 0.2, SIZE),
        "w_in": lambda: rng.uniform(0.5, 2, SIZE),
        "v_threshold": lambda: rng.uniform(0.2, 0.5, SIZE),
        "v_reset": lambda: rng.uniform(-0.3, 0.1, SIZE),
        "threshold": lambda: rng.uniform(0.1, 0.9, SIZE),
    }
    names = {field.name for field in getattr(nir, kind).__dataclass_fields__.values() if field.name in make}
    return {name: make[name]() for name in make if name in names}


@pytest.mark.parametrize("way", ["exponential", "euler"])
@pytest.mark.parametrize("kind", ["Threshold", "I", "IF", "LI", "LIF", "CubaLI", "CubaLIF"])
def test_neurons_follow_their_equation(kind, way):
    rng = np.random.default_rng(sum(map(ord, kind + way)))
    values = parameters(rng, kind)
    net = snn.load(graph(getattr(nir, kind)(**values)), dt=DT, discretisation=way)
    x = rng.random((STEPS, BATCH, SIZE)).astype(np.float32)
    membrane, fired = run_neuron(kind, values, x, way)
    found = net(x)
    if kind in ("I", "LI", "CubaLI"):
        np.testing.assert_allclose(found, membrane, rtol=2e-5, atol=1e-5)
    else:
        threshold = values.get("v_threshold", values.get("threshold"))
        assert np.abs(membrane - threshold).min() > 2e-6, "a case too close to call"
        assert 0.01 < fired.mean() < 0.99
        np.testing.assert_array_equal(found, fired)


def test_a_neuron_at_its_threshold_does_not_fire():
    net = snn.load(graph(nir.Threshold(np.full(2, 0.5))), dt=DT)
    assert net(np.array([[[0.5, np.nextafter(np.float32(0.5), np.float32(1))]]], np.float32)).tolist() == [[[0, 1]]]


def test_a_threshold_may_be_infinite():
    net = snn.load(graph(nir.IF(r=np.full(2, 1 / DT), v_threshold=np.array([np.inf, 0.5]))), dt=DT)
    assert net(np.ones((3, 1, 2), np.float32)).sum(0).tolist() == [[0, 3]]


LINEAR = {
    "Affine": (lambda r: nir.Affine(dyadic(r, 5, 6), dyadic(r, 5)), (6,)),
    "Linear": (lambda r: nir.Linear(dyadic(r, 5, 6)), (6,)),
    "Scale": (lambda r: nir.Scale(dyadic(r, 2, 3)), (2, 3)),
    "Conv1d": (lambda r: nir.Conv1d(9, dyadic(r, 4, 1, 3), 2, 1, 2, 2, dyadic(r, 4)), (2, 9)),
    "Conv1d same": (lambda r: nir.Conv1d(9, dyadic(r, 4, 2, 3), 1, "same", 1, 1, dyadic(r, 4)), (2, 9)),
    "Conv2d": (lambda r: nir.Conv2d((7, 6), dyadic(r, 4, 2, 3, 2), (2, 1), (1, 2), (2, 1), 1, dyadic(r, 4)), (2, 7, 6)),
    "Conv2d groups": (lambda r: nir.Conv2d((5, 5), dyadic(r, 4, 1, 3, 3), 1, "valid", 1, 2, dyadic(r, 4)), (2, 5, 5)),
    "SumPool2d": (lambda r: nir.SumPool2d(np.array([3, 2]), np.array([2, 1]), np.array([1, 0])), (2, 5, 6)),
    "AvgPool2d": (lambda r: nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])), (2, 5, 6)),
    "Flatten": (lambda r: nir.Flatten({"input": np.array([2, 3, 4])}, 1, -1), (2, 3, 4)),
}


def by_torch(node, x):
    """What a linear node makes of x [n, *shape], by torch."""
    x = torch.tensor(x)
    weight, bias = (torch.tensor(getattr(node, name, 0.0)) for name in ("weight", "bias"))
    pair = [node.kernel_size.tolist(), node.stride.tolist(), node.padding.tolist()] if "Pool" in str(type(node)) else []
    match type(node).__name__:
        case "Affine" | "Linear":
            return torch.nn.functional.linear(x, weight, bias if bias.ndim else None)
        case "Scale":
            return x * torch.tensor(node.scale)
        case "Conv1d":
            return torch.nn.functional.conv1d(x, weight, bias, node.stride, node.padding, node.dilation, node.groups)
        case "Conv2d":
            return torch.nn.functional.conv2d(x, weight, bias, node.stride, node.padding, node.dilation, node.groups)
        case "SumPool2d":
            return torch.nn.functional.avg_pool2d(x, *pair) * float(np.prod(pair[0]))
        case "AvgPool2d":
            return torch.nn.functional.avg_pool2d(x, *pair)
        case _:
            return x.flatten(1 + node.start_dim, node.end_dim)


@pytest.mark.parametrize("name", LINEAR)
def test_linear_nodes_are_those_of_torch(name):
    rng = np.random.default_rng(len(name))
    make, shape = LINEAR[name]
    node = make(rng)
    x = spikes(rng, *shape)
    expected = by_torch(node, x.reshape(-1, *shape)).numpy()
    chain = {"in": nir.Input(np.array(shape)), "node": node, "out": nir.Output(np.array(expected.shape[1:]))}
    tree = nir.NIRGraph(chain, [("in", "node"), ("node", "out")], type_check=False)
    np.testing.assert_allclose(snn.load(tree, dt=DT)(x), expected.reshape(STEPS, BATCH, *expected.shape[1:]), rtol=1e-6)


def fire(rng, size=SIZE):
    """Integrate-and-fire with dyadic numbers."""
    return nir.IF(r=np.full(size, 1 / DT), v_threshold=(rng.integers(20, 80, size) + 0.5) / 64)


def step_fire(node, v, x):
    """One step of it: spikes, and v afterwards."""
    v = v + x
    z = v > node.v_threshold
    return z.astype(np.float32), np.where(z, 0, v)


def test_a_recurrent_population_hears_its_last_step():
    rng = np.random.default_rng(1)
    lif, rec = fire(rng), dyadic(rng, SIZE, SIZE)
    tree = graph(
        edges=[("in", "lif"), ("lif", "rec"), ("rec", "lif"), ("lif", "out")],
        **{"in": nir.Input(np.array([SIZE]))}, lif=lif, rec=nir.Linear(rec), out=nir.Output(np.array([SIZE])),
    )  # fmt: skip
    net, x = snn.load(tree, dt=DT), spikes(rng, SIZE)
    z = v = np.zeros((BATCH, SIZE), np.float32)
    for now, found in zip(x, net(x), strict=True):
        z, v = step_fire(lif, v, now + z @ rec.T)
        np.testing.assert_array_equal(found, z)
    assert any("recurrent" in note and "'lif' -> 'lif'" in note for note in net.notes)


def test_two_populations_in_a_cycle_have_one_delay_between_them():
    rng = np.random.default_rng(2)
    a, b, back = fire(rng), fire(rng), dyadic(rng, SIZE, SIZE)
    tree = graph(
        edges=[("in", "a"), ("back", "a"), ("a", "b"), ("b", "back"), ("b", "out")],
        **{"in": nir.Input(np.array([SIZE]))}, a=a, b=b, back=nir.Linear(back), out=nir.Output(np.array([SIZE])),
    )  # fmt: skip
    x = spikes(rng, SIZE)
    zb, va, vb = (np.zeros((BATCH, SIZE), np.float32) for _ in range(3))
    for now, found in zip(x, snn.load(tree, dt=DT)(x), strict=True):
        za, va = step_fire(a, va, now + zb @ back.T)
        zb, vb = step_fire(b, vb, za)
        np.testing.assert_array_equal(found, zb)


def test_a_bias_counts_once_where_two_nodes_feed_it_and_for_each_that_reads_it():
    rng = np.random.default_rng(3)
    first, last = (
        nir.Affine(dyadic(rng, SIZE, SIZE), dyadic(rng, SIZE)),
        nir.Affine(dyadic(rng, 4, SIZE), dyadic(rng, 4)),
    )
    shape = np.array([SIZE])
    tree = graph(
        edges=[("x", "first"), ("y", "first"), ("y", "scale"), ("first", "last"), ("scale", "last"), ("last", "sum"),
               ("first", "other")],
        x=nir.Input(shape), y=nir.Input(shape), first=first, scale=nir.Scale(dyadic(rng, SIZE)), last=last,
        sum=nir.Output(np.array([4])), other=nir.Output(shape),
    )  # fmt: skip
    x, y = spikes(rng, SIZE), spikes(rng, SIZE)
    found = snn.load(tree, dt=DT)(x, y)
    middle = (x + y) @ first.weight.T + first.bias
    np.testing.assert_array_equal(found["other"], middle)
    expected = (middle + y * tree.nodes["scale"].scale) @ last.weight.T + last.bias
    np.testing.assert_array_equal(found["sum"], expected)


@pytest.mark.parametrize("inside", [False, True])
def test_delays_are_whole_steps(inside):
    rng = np.random.default_rng(4)
    delay = nir.Delay(np.full(SIZE, 3 * DT))
    weight = nir.Linear(dyadic(rng, SIZE, SIZE))
    x = spikes(rng, SIZE)
    chain = [weight, delay] if inside else [delay, weight]
    found = snn.load(graph(*chain), dt=DT)(x)
    np.testing.assert_array_equal(found[3:], (x @ weight.weight.T)[:-3])
    assert not found[:3].any()


@pytest.mark.parametrize("after", [False, True])
def test_neurons_may_have_their_own_delays(after):
    rng = np.random.default_rng(5)
    steps = rng.integers(0, 5, SIZE)
    weight = dyadic(rng, SIZE, SIZE)
    weight[weight == 0] = 1
    chain = [nir.Delay(steps * DT), nir.Linear(weight)]
    x = spikes(rng, SIZE)
    found = snn.load(graph(*(chain[::-1] if after else chain)), dt=DT)(x)

    def late(values):
        return np.stack(
            [np.concatenate([np.zeros((d, BATCH)), values[: STEPS - d, :, i]]) for i, d in enumerate(steps)], -1
        )

    np.testing.assert_array_equal(found, late(x @ weight.T) if after else late(x) @ weight.T)


def test_a_delay_that_is_no_whole_step_is_refused_or_rounded():
    tree = graph(nir.Delay(np.full(2, 2.4 * DT)))
    with pytest.raises(UserError, match=r"node 'delay' \(Delay\): a delay of 0.0024 s is 2.4 steps"):
        snn.load(tree, dt=DT)
    net = snn.load(tree, dt=DT, delays="round")
    assert net(np.ones((3, 1, 2), np.float32))[:, 0, 0].tolist() == [0, 0, 1]
    assert any("rounded to 2" in note for note in net.notes)


def test_subgraphs_are_flattened_and_their_names_kept():
    rng = np.random.default_rng(6)
    lif, rec = fire(rng), dyadic(rng, SIZE, SIZE)
    shape = np.array([SIZE])
    inner = nir.NIRGraph(
        {"input": nir.Input(shape), "lif": lif, "w": nir.Linear(rec), "output": nir.Output(shape)},
        [("input", "lif"), ("lif", "w"), ("w", "lif"), ("lif", "output")],
    )
    outer = nir.NIRGraph({"input": nir.Input(shape), "rnn": inner, "output": nir.Output(shape)},
                         [("input", "rnn"), ("rnn", "output")])  # fmt: skip
    nested = nir.NIRGraph({"input": nir.Input(shape), "deep": outer, "output": nir.Output(shape)},
                          [("input", "deep"), ("deep", "output")])  # fmt: skip
    x = spikes(rng, SIZE)
    flat = snn.load(inner, dt=DT)(x)
    net = snn.load(nested, dt=DT)
    np.testing.assert_array_equal(net(x), flat)
    assert "snn.population @deep_rnn_lif" in net.ir()


def test_a_population_is_recorded_and_what_leads_to_an_output_is_summed():
    rng = np.random.default_rng(7)
    lif = fire(rng)
    tree = graph(
        edges=[("in", "lif"), ("lif", "spikes"), ("lif", "w"), ("w", "sum"), ("in", "sum")],
        **{"in": nir.Input(np.array([SIZE]))}, lif=lif, w=nir.Linear(dyadic(rng, SIZE, SIZE)),
        spikes=nir.Output(np.array([SIZE])), sum=nir.Output(np.array([SIZE])),
    )  # fmt: skip
    x = spikes(rng, SIZE)
    found = snn.load(tree, dt=DT)(x)
    np.testing.assert_array_equal(found["sum"], found["spikes"] @ tree.nodes["w"].weight.T + x)


def test_the_reset_may_be_overridden_and_what_was_assumed_is_said():
    tree = graph(nir.IF(r=np.full(1, 1 / DT), v_threshold=np.ones(1)))
    x = np.full((6, 1, 1), 0.75, np.float32)
    as_written, subtracting = snn.load(tree, dt=DT), snn.load(tree, dt=DT, reset="subtract")
    assert as_written(x)[:, 0, 0].tolist() == [0, 1, 0, 1, 0, 1]
    assert subtracting(x)[:, 0, 0].tolist() == [0, 1, 1, 0, 1, 1]
    assert any("reset='subtract'" in note for note in as_written.notes)
    assert not any("reset='subtract'" in note for note in subtracting.notes)


def test_a_time_constant_below_a_step_is_doubted():
    tree = graph(nir.LI(tau=np.full(1, 1e-5), r=np.ones(1), v_leak=np.zeros(1)))
    assert any("norse issue 411" in note for note in snn.load(tree, dt=DT).notes)
    assert any("overshoots" in note for note in snn.load(tree, dt=DT, discretisation="euler").notes)


def test_lone_parameters_count_for_all_neurons():
    lif = nir.LIF(np.array(0.01), np.array(2.0), np.array(0.0), np.array(0.5), np.array(0.0))
    tree = nir.NIRGraph(
        {"in": nir.Input(np.array([3])), "w": nir.Linear(np.eye(3)), "lif": lif, "out": nir.Output(np.array([3]))},
        [("w", "lif"), ("in", "w"), ("lif", "out")], type_check=False,
    )  # fmt: skip
    net = snn.load(tree, dt=DT)
    assert net(np.ones((9, 2, 3))).shape == (9, 2, 3)
    assert "snn.population @lif <3>" in net.ir()


def test_a_module_is_its_text_and_a_file_gives_the_same_as_the_graph(tmp_path):
    rng = np.random.default_rng(8)
    tree = graph(nir.Affine(dyadic(rng, 5, SIZE), dyadic(rng, 5)), nir.LIF(**parameters_of_lif(rng, 5)))
    nir.write(tmp_path / "net.nir", tree)
    from_graph, from_file = import_nir(tree, dt=DT), import_nir(tmp_path / "net.nir", dt=DT)
    assert print_module(from_graph.module) == print_module(from_file.module)
    assert print_module(parse_text(print_module(from_file.module))) == print_module(from_file.module)
    assert from_file.notes == from_graph.notes


def parameters_of_lif(rng, size):
    return {
        "tau": rng.uniform(2e-3, 9e-3, size),
        "r": rng.uniform(1, 3, size),
        "v_leak": np.zeros(size),
        "v_threshold": rng.uniform(0.2, 0.5, size),
    }


def test_weights_that_float32_cannot_hold_are_said_to_be_rounded_or_refused():
    assert any("rounded to float32" in note for note in snn.load(graph(nir.Linear(np.full((1, 1), 0.1))), dt=DT).notes)
    with pytest.raises(UserError, match="weight is too large for float32: 1e\\+300"):
        snn.load(graph(nir.Linear(np.full((1, 1), 1e300))), dt=DT)


def test_names_that_are_no_identifiers_stay_apart():
    names = ["a.b", "a b", "1", "lambda", "größe"]
    tree = nir.NIRGraph(
        {**{name: nir.Input(np.array([1])) for name in names}, "sum": nir.Output(np.array([1]))},
        [(name, "sum") for name in names],
    )
    net = snn.load(tree, dt=DT)
    ones = [np.full((1, 1, 1), 2.0**k, np.float32) for k in range(5)]
    assert net(*ones).item() == 31
    parse_text(net.ir())


@pytest.mark.parametrize("batch", [1, 4])
def test_any_batch_runs_and_torch_comes_back_for_torch(batch):
    net = snn.load(graph(nir.Linear(np.eye(2, dtype=np.float32))), dt=DT)
    found = net(torch.ones(3, batch, 2, dtype=torch.bool))
    assert isinstance(found, torch.Tensor)
    assert found.shape == (3, batch, 2)
    assert found.dtype is torch.float32
