"""Networks written as NIR: read again they run alike, and what NIR cannot say is refused by name."""

import numpy as np
import pytest
import torch
from gossamer import snn
from gossamer.compiler.context import parse_text, print_module
from gossamer.compiler.frontends.nir_export import export_nir, nir_graph, run_of
from gossamer.dialects.diagnostics import UserError
from gossamer.runtime.spiking.network import read_network
from gossamer.runtime.spiking.reference import run

nir = pytest.importorskip("nir")

DT = 1e-3
NUMBERS = {"decay": "9.000000e-01", "leak": "0.000000e+00", "gain": "1.000000e+00", "threshold": "1.000000e+00"}
LIF = f"f32 lif exponential {{{', '.join(f'{name} = {value} : f32' for name, value in NUMBERS.items())}}}"


def module(*lines, record="lif"):
    """A network with an input @in <4>, and its run."""
    content = "\n".join(lines)
    return parse_text(f"""
    aten.weight parameter @w.weight : tensor<4x4xf32> digest "00"
    aten.weight parameter @w.bias : tensor<4xf32> digest "00"
    aten.weight buffer @w.delays : tensor<4x4xi32> digest "00"
    snn.network @net dt 1.000000e-03 {{
      snn.input @in <4>
      {content}
    }}
    func.func @forward(%x: tensor<?x?x4xf32>) -> tensor<?x?x4xf32> {{
      %z = snn.run @net(%x) records ["{record}"] : (tensor<?x?x4xf32>) -> tensor<?x?x4xf32>
      func.return %z : tensor<?x?x4xf32>
    }}""")


def weights(**more):
    rng = np.random.default_rng(0)
    own = {"w.weight": torch.tensor(rng.normal(size=(4, 4)), dtype=torch.float32), "w.bias": torch.ones(4)}
    return {**own, **more}


INTO = "snn.projection @in to @lif { snn.dense @w.weight }"

UNSAID = {
    "subtract": (f"snn.population @lif <4> : {LIF} fires gt reset subtract now", "NIR resets to a value"),
    "none": (f"snn.population @lif <4> : {LIF} fires gt reset none now", "NIR always resets"),
    "next": (f"snn.population @lif <4> : {LIF} fires gt reset zero next", "not in the next step"),
    "ge": (f"snn.population @lif <4> : {LIF} fires ge reset zero now", "above the threshold"),
    "refractory": (f"snn.population @lif <4> : {LIF} fires gt reset zero now refractory 2", "no refractory time"),
    "initial": (f"snn.population @lif <4> : {LIF} fires gt reset zero now initial {{v = 0.5 : f32}}", "no initial"),
}


@pytest.mark.parametrize("case", UNSAID)
def test_what_nir_cannot_say_is_refused_or_left_out_and_reported(case, tmp_path):
    text, message = UNSAID[case]
    net = module(text, INTO)
    with pytest.raises(UserError, match=f"(?s)@lif: .*{message}.*hint: lossy"):
        export_nir(net, weights(), tmp_path / "net.nir")
    assert not list(tmp_path.iterdir())
    (note,) = export_nir(net, weights(), tmp_path / "net.nir", lossy=True)
    assert message in note
    assert snn.load(tmp_path / "net.nir").network.neurons == 8


IMPOSSIBLE = {
    "izhikevich": (
        "snn.population @lif <4> : f32 izhikevich euler {dt = 1.0 : f32, a = 0.02 : f32, b = 0.2 : f32, d = 8.0 : f32, "
        "threshold = 30.0 : f32, reset = -65.0 : f32} fires gt reset value now",
        INTO,
        "@lif: izhikevich euler of f32 is no neuron of NIR",
    ),
    "integers": (
        "snn.population @lif <4> : i32 lif shift {shift = 3 : i32, floor = -9 : i32, threshold = 8 : i32} "
        "fires gt reset zero now",
        INTO,
        "@lif: lif shift of i32 is no neuron of NIR",
    ),
    "growth": (
        f"snn.population @lif <4> : {LIF.replace('9.000000e-01', '1.500000e+00')} fires gt reset zero now",
        INTO,
        "@lif is no neuron of NIR: a decay of 1.5",
    ),
    "bias": (
        f"snn.population @lif <4> : {LIF} fires gt reset zero now",
        "snn.projection @in to @lif { snn.bias @w.bias snn.dense @w.weight }",
        "the projection @in to @lif has no form in NIR: a bias",
    ),
    "reshape": (
        f"snn.population @lif <4> : {LIF} fires gt reset zero now",
        "snn.projection @in to @lif { snn.reshape <2, 2> snn.dense @w.weight }",
        "the projection @in to @lif has no form in NIR: a reshape",
    ),
    "delays": (
        f"snn.population @lif <4> : {LIF} fires gt reset zero now",
        "snn.projection @in to @lif delays @w.delays from 0 to 3 { snn.dense @w.weight }",
        "each synapse has its own delay",
    ),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_what_has_no_form_in_nir_is_refused(case, tmp_path):
    population, projection, message = IMPOSSIBLE[case]
    delays = torch.arange(16, dtype=torch.int32).reshape(4, 4) % 3
    with pytest.raises(UserError, match=message):
        export_nir(module(population, projection), weights(**{"w.delays": delays}), tmp_path / "net.nir", lossy=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("axis", [0, 1])
def test_delays_of_neurons_are_a_delay_node(axis):
    delays = torch.arange(4, dtype=torch.int32).reshape((1, 4) if axis == 0 else (4, 1)).expand(4, 4).contiguous()
    net = module(
        f"snn.population @lif <4> : {LIF} fires gt reset zero now",
        "snn.projection @in to @lif delays @w.delays from 0 to 3 { snn.dense @w.weight }",
    )
    given = weights(**{"w.delays": delays})
    graph, _ = nir_graph(net, given)
    again = snn.load(graph)
    (projection,) = again.network.projections
    np.testing.assert_array_equal(projection.delay, delays.numpy().reshape(-1))


def test_the_file_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    net = module(f"snn.population @lif <4> : {LIF} fires gt reset zero now", INTO)
    (tmp_path / "net.nir").write_text("old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nir, "write", fail)
    with pytest.raises(UserError, match=r"net.nir: cannot be written: no space left"):
        export_nir(net, weights(), tmp_path / "net.nir")
    assert (tmp_path / "net.nir").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_membrane_of_neurons_that_fire_is_no_output(tmp_path):
    net = module(f"snn.population @lif <4> : {LIF} fires gt reset zero now", INTO, record="lif.v")
    with pytest.raises(UserError, match="@lif: an Output gives its spikes, not its state v"):
        export_nir(net, weights(), tmp_path / "net.nir")


def test_a_lif_that_does_not_leak_is_an_integrator():
    leakless = LIF.replace("9.000000e-01", "1.000000e+00")
    net = module(f"snn.population @lif <4> : {leakless} fires gt reset zero now", INTO)
    graph, _ = nir_graph(net, weights())
    assert isinstance(graph.nodes["lif"], nir.IF)
    x = (np.random.default_rng(1).random((50, 2, 4)) < 0.5).astype(np.float32)
    found = snn.load(graph)(x)
    assert 0 < found.mean() < 1
    (expected,) = run(read_network(run_of(net)[1], {"w.weight": weights()["w.weight"].numpy()}), [x], ["lif"])
    np.testing.assert_array_equal(found, expected)


def random_graph(rng, feed_back):
    """Neurons in a row with random linear nodes between them, and some edges back or ahead."""
    sizes = rng.integers(1, 6, rng.integers(2, 5)).tolist()
    nodes, edges = {"in": nir.Input(np.array(sizes[:1]))}, []
    names = ["in"]
    for k, size in enumerate(sizes[1:]):
        nodes[f"n{k}"] = random_neuron(rng, size)
        connect(rng, nodes, edges, names[-1], f"n{k}", sizes[k], size)
        names.append(f"n{k}")
    for _ in range(rng.integers(0, 4)):
        a, b = (int(rng.integers(1 if feed_back else 0, len(names))) for _ in range(2))
        a, b = (a, b) if feed_back else sorted((a, b))
        if b and (feed_back or a < b):
            connect(rng, nodes, edges, names[a], names[b], sizes[a], sizes[b])
    for k in range(rng.integers(1, 3)):
        nodes[f"out{k}"] = nir.Output(np.array(sizes[-1:]))
        if k:
            connect(rng, nodes, edges, names[-1], f"out{k}", sizes[-1], sizes[-1])
        else:
            edges.append((names[-1], "out0"))
    return nir.NIRGraph(nodes, edges, type_check=False)


def random_neuron(rng, size):
    def of(low, high):
        return rng.uniform(low, high, size) if rng.random() < 0.5 else np.full(size, rng.uniform(low, high))

    threshold = {"v_threshold": of(0.1, 0.5), "v_reset": of(-0.2, 0.1) if rng.random() < 0.3 else np.zeros(size)}
    leaky = {"r": of(1, 4), "v_leak": of(-0.1, 0.1)}
    return [
        lambda: nir.LIF(tau=of(2e-3, 2e-2), **leaky, **threshold),
        lambda: nir.CubaLIF(tau_syn=of(1e-3, 1e-2), tau_mem=of(2e-3, 2e-2), w_in=of(1, 2), **leaky, **threshold),
        lambda: nir.IF(r=of(100, 900), **threshold),
        lambda: nir.LI(tau=of(2e-3, 2e-2), **leaky),
        lambda: nir.CubaLI(tau_syn=of(1e-3, 1e-2), tau_mem=of(2e-3, 2e-2), w_in=of(1, 2), **leaky),
        lambda: nir.I(r=of(10, 90)),
        lambda: nir.Threshold(of(0.1, 0.5)),
    ][rng.integers(7)]()


def linear_node(rng, kind, size, out):
    match kind:
        case "Affine":
            return nir.Affine(rng.normal(size=(out, size)).astype("f"), rng.normal(size=out).astype("f"))
        case "Linear":
            return nir.Linear(rng.normal(size=(out, size)).astype("f"))
        case "Scale":
            return nir.Scale(rng.normal(size=size).astype("f"))
        case _:
            return nir.Delay(np.full(size, int(rng.integers(0, 3)) * DT))


def connect(rng, nodes, edges, source, target, size, out):
    """A chain of random linear nodes."""
    kinds = ["Linear", *rng.choice(["Affine", "Scale", "Delay", "Linear"], rng.integers(0, 3))]
    here = source
    for kind in rng.permutation(kinds):
        name = f"{kind.lower()}{len(nodes)}"
        width = out if kind == "Linear" else size
        nodes[name] = linear_node(rng, kind, size, width)
        size = width
        edges.append((here, name))
        here = name
    edges.append((here, target))


@pytest.mark.parametrize("seed", range(60))
def test_a_random_graph_survives_writing_and_reading(seed, tmp_path):
    rng = np.random.default_rng(seed)
    tree = random_graph(rng, feed_back=seed % 2 == 1)
    net = snn.load(tree, dt=DT, discretisation=["exponential", "euler"][seed // 2 % 2])
    snn.save(net, tmp_path / "net.nir")
    again = snn.load(tmp_path / "net.nir")
    x = (rng.random((25, 2, *net.network.populations[0].shape)) < 0.5).astype(np.float32)
    first, second = net(x), again(x)
    assert type(first) is type(second)
    for name in first if isinstance(first, dict) else [...]:
        np.testing.assert_array_equal(first[name], second[name])
    assert print_module(parse_text(net.ir())) == net.ir()
    snn.save(again, tmp_path / "again.nir")
    one, other = nir.read(tmp_path / "net.nir", type_check=False), nir.read(tmp_path / "again.nir", type_check=False)
    assert sorted(type(n).__name__ for n in one.nodes.values()) == sorted(
        type(n).__name__ for n in other.nodes.values()
    )
    assert len(one.edges) == len(other.edges)


def test_a_graph_comes_back_with_its_names_nodes_and_edges(tmp_path):
    rng = np.random.default_rng(0)
    nodes = {
        "input": nir.Input(np.array([2, 8, 8])),
        "conv": nir.Conv2d(
            (8, 8), rng.normal(size=(3, 2, 3, 3)).astype("f"), 1, 1, 1, 1, rng.normal(size=3).astype("f")
        ),
        "lif": nir.LIF(*(np.full((3, 8, 8), v) for v in (0.02, 1.0, 0.0, 0.3))),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([3, 4, 4])}, 0, -1),
        "fc": nir.Affine(rng.normal(size=(5, 48)).astype("f"), rng.normal(size=5).astype("f")),
        "cuba": nir.CubaLIF(*(np.full(5, v) for v in (0.005, 0.02, 1.0, 0.0, 0.3))),
        "rec": nir.Linear(rng.normal(size=(5, 5)).astype("f")),
        "late": nir.Delay(np.full(5, 2 * DT)),
        "read": nir.LI(*(np.full(5, v) for v in (0.02, 1.0, 0.0))),
        "output": nir.Output(np.array([5])),
    }
    edges = [("input", "conv"), ("conv", "lif"), ("lif", "pool"), ("pool", "flat"), ("flat", "fc"), ("fc", "cuba"),
             ("cuba", "rec"), ("rec", "cuba"), ("cuba", "late"), ("late", "read"), ("read", "output")]  # fmt: skip
    tree = nir.NIRGraph(nodes, edges)
    net = snn.load(tree, dt=DT)
    assert snn.save(net, tmp_path / "net.nir") == ()
    again = nir.read(tmp_path / "net.nir")
    renamed = {"pool": "lif_pool", "flat": "lif_pool_flat", "late": "cuba_delay"}
    assert {*again.edges} == {(renamed.get(a, a), renamed.get(b, b)) for a, b in edges}
    for name, node in nodes.items():
        other = again.nodes[renamed.get(name, name)]
        assert type(other) is type(node)
        for key, value in node.to_dict().items():
            if key not in ("metadata", "type", "input_shape", "end_dim", "padding"):
                np.testing.assert_allclose(np.asarray(other.to_dict()[key]), np.asarray(value), rtol=1e-5, err_msg=key)
    x = (rng.random((20, 2, 2, 8, 8)) < 0.3).astype(np.float32)
    np.testing.assert_array_equal(snn.load(tmp_path / "net.nir")(x), net(x))


def test_neurons_that_nothing_feeds_or_reads_are_refused_or_told(tmp_path):
    lif = f"<4> : {LIF} fires gt reset zero now"
    extra = ["snn.projection @in to @a { snn.reshape <4> }", "snn.projection @b to @lif { snn.reshape <4> }"]
    alone = module(*(f"snn.population @{name} {lif}" for name in ("lif", "a", "b")), INTO, *extra)
    with pytest.raises(UserError, match=r"(?s)@a: nothing reads it.*@b: nothing leads to it"):
        export_nir(alone, weights(), tmp_path / "net.nir")
    assert len(export_nir(alone, weights(), tmp_path / "net.nir", lossy=True)) == 2
    assert len(snn.load(tmp_path / "net.nir")(np.ones((2, 1, 4)), np.ones((2, 1, 4)))) == 2


def test_a_module_that_does_more_than_run_a_network_is_refused(tmp_path):
    text = """
    func.func @forward(%x: tensor<2xf32>) -> tensor<2xf32> {
      func.return %x : tensor<2xf32>
    }"""
    with pytest.raises(UserError, match="a NIR file holds one network"):
        export_nir(parse_text(text), {}, tmp_path / "net.nir")
