"""Files that are none, or wrong: an error that names the file and the node, never a traceback."""

from pathlib import Path

import numpy as np
import pytest
from gossamer import snn
from gossamer.dialects.diagnostics import UserError

nir, h5py = pytest.importorskip("nir"), pytest.importorskip("h5py")


def lif(size=3, **changed):
    values = {"tau": np.full(size, 0.01), "r": np.ones(size), "v_leak": np.zeros(size), "v_threshold": np.ones(size)}
    return {"type": "LIF", **values, **changed}


def chain(**changed):
    """in -> w -> lif -> out as dictionaries, with some nodes changed (None: left out)."""
    nodes = {
        "in": {"type": "Input", "shape": np.array([2])},
        "w": {"type": "Affine", "weight": np.ones((3, 2)), "bias": np.zeros(3)},
        "lif": lif(),
        "out": {"type": "Output", "shape": np.array([3])},
        **changed,
    }
    return {name: node for name, node in nodes.items() if node is not None}


EDGES = [("in", "w"), ("w", "lif"), ("lif", "out")]


def write(path: Path, nodes, edges=EDGES, **more) -> Path:
    """A NIR file of dictionaries, right or wrong."""

    def put(group, content):
        for key, value in content.items():
            if isinstance(value, dict):
                put(group.create_group(key), value)
            elif isinstance(value, str):
                group.create_dataset(key, data=value, dtype=h5py.string_dtype())
            else:
                group.create_dataset(key, data=value)

    with h5py.File(path, "w") as file:
        put(file, {"version": "1.0", "node": {"type": "NIRGraph", "nodes": nodes, "edges": edges, **more}})
    return path


def test_a_right_file_is_read(tmp_path):
    path = write(tmp_path / "net.nir", chain(), metadata={"dt": 0.002})
    assert snn.load(path).network.dt == 0.002
    assert nir.read(path).nodes.keys() == chain().keys()


MANY = np.array([1.0, np.nan])
BAD = {
    "no type": (chain(w={"weight": np.ones((3, 2))}), EDGES, "node 'w' has no type"),
    "unknown type": (chain(lif={"type": "LIFF"}), EDGES, "node 'lif' is of an unknown type 'LIFF'.*did you mean 'LIF'"),
    "missing value": (chain(w={"type": "Affine", "weight": np.ones((3, 2))}), EDGES, "'w' .Affine.: it lacks 'bias'"),
    "misspelt": (chain(lif=lif(v_resett=np.ones(3))), EDGES, "it has no 'v_resett'.*did you mean 'v_reset'"),
    "text": (chain(lif=lif(tau="fast")), EDGES, "tau is no number but 'fast'"),
    "group": (chain(lif=lif(tau={"a": 1})), EDGES, "'lif' .LIF.: tau is no number"),
    "nan": (chain(w={"type": "Linear", "weight": np.ones((3, 2)) * MANY}), EDGES, "weight holds NaN"),
    "infinite": (chain(w={"type": "Linear", "weight": np.full((3, 2), np.inf)}), EDGES, "weight is infinite"),
    "negative tau": (chain(lif=lif(tau=-np.ones(3))), EDGES, "'lif' .LIF.: tau is -1.0, expected more than 0"),
    "lengths": (chain(lif=lif(r=np.ones(4))), EDGES, "different shapes: r .4., tau .3."),
    "neurons": (chain(lif=lif(4)), EDGES, "node 'lif' .LIF.: it is .4., 'w' gives .3."),
    "matrix": (chain(w={"type": "Linear", "weight": np.ones((3, 5))}), EDGES, "it takes .5., it is fed .2."),
    "axes": (chain(w={"type": "Linear", "weight": np.ones((1, 3, 2))}), EDGES, "weight has 3 axes, expected 2"),
    "bias": (chain(w={"type": "Affine", "weight": np.ones((3, 2)), "bias": np.ones(2)}), EDGES, "bias is .2., weight"),
    "edge": (chain(), [*EDGES, ("lif", "lift")], "an edge names an unknown node 'lift'.*did you mean 'lif'"),
    "empty": ({}, [("a", "b")], "the graph has no nodes"),
    "no input": (chain(**{"in": None}), [("lif", "lif"), ("w", "w")], "the graph has no Input"),
    "cycle": (chain(s={"type": "Scale", "scale": np.ones(3)}), [*EDGES, ("s", "s"), ("s", "lif")], "without a neuron"),
    "fed input": (chain(), [*EDGES, ("lif", "in")], "'lif' feeds it, but it is an Input"),
    "output": (chain(out={"type": "Output", "shape": [5]}), EDGES, "'out' .Output.: it is .5., 'lif' gives .3."),
    "no group": (chain(w=np.ones(3)), EDGES, "node 'w' is no group of values"),
    "no name": (chain(), [("in", "w", "lif")], "an edge that is no pair of names"),
    "numbers": (chain(), [(1, 2)], "an edge that is no pair of names"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_graph_is_refused_at_its_node(case, tmp_path):
    nodes, edges, message = BAD[case]
    path = write(tmp_path / "bad.nir", nodes, edges)
    with pytest.raises(UserError, match=f"(?s)bad.nir: .*{message}"):
        snn.load(path, dt=1e-3)


CONV = {
    "stride": ({"stride": 1.5}, "stride is 1.5, expected 2 whole numbers of at least 1"),
    "zero": ({"stride": 0}, "stride is 0, expected 2 whole numbers of at least 1"),
    "padding": ({"padding": -1}, "padding is -1, expected 2 whole numbers of at least 0"),
    "word": ({"padding": "most"}, "padding is 'most'"),
    "same": ({"padding": "same", "stride": 2}, "padding 'same'"),
    "groups": ({"groups": 3}, "groups is 3, which does not divide 4"),
    "channels": ({"groups": 2}, "it takes .4, .?, .?., it is fed .2, 5, 5."),
    "size": ({"input_shape": [4, 4]}, "its input_shape is .4, 4., it is fed .2, 5, 5."),
    "window": ({"dilation": 4}, "no window fits"),
}


@pytest.mark.parametrize("case", CONV)
def test_a_wrong_convolution_is_refused(case, tmp_path):
    changed, message = CONV[case]
    values = {
        "weight": np.ones((4, 2, 3, 3)),
        "stride": 1,
        "padding": 0,
        "dilation": 1,
        "groups": 1,
        "bias": np.ones(4),
    }
    nodes = {
        "in": {"type": "Input", "shape": [2, 5, 5]},
        "conv": {"type": "Conv2d", **values, **changed},
        "out": {"type": "Output", "shape": [4, 3, 3]},
    }
    path = write(tmp_path / "bad.nir", nodes, [("in", "conv"), ("conv", "out")])
    with pytest.raises(UserError, match=rf"bad.nir: node 'conv' \(Conv2d\): {message}"):
        snn.load(path, dt=1e-3)


def test_what_is_no_nir_file_is_refused(tmp_path):
    (tmp_path / "text.nir").write_text("hello")
    (tmp_path / "empty.nir").write_bytes(b"")
    h5py.File(tmp_path / "other.nir", "w").close()
    with pytest.raises(UserError, match=r"text.nir: this is no NIR file"):
        snn.load(tmp_path / "text.nir", dt=1e-3)
    with pytest.raises(UserError, match=r"empty.nir: this is no NIR file"):
        snn.load(tmp_path / "empty.nir", dt=1e-3)
    with pytest.raises(UserError, match=r"other.nir: this is no NIR file: .* no group 'node'"):
        snn.load(tmp_path / "other.nir", dt=1e-3)
    with pytest.raises(UserError, match=r"none.nir: no such file"):
        snn.load(tmp_path / "none.nir", dt=1e-3)
    with pytest.raises(UserError, match="this is a folder"):
        snn.load(tmp_path, dt=1e-3)
    with pytest.raises(UserError, match="got int"):
        snn.load(3, dt=1e-3)


def test_a_file_cut_short_is_refused(tmp_path):
    whole = write(tmp_path / "net.nir", chain()).read_bytes()
    for size in range(0, len(whole), max(1, len(whole) // 40)):
        (tmp_path / "cut.nir").write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"cut.nir: "):
            snn.load(tmp_path / "cut.nir", dt=1e-3)


@pytest.mark.parametrize(("dt", "message"), [(None, "how long is a step"), (0.0, "dt is 0.0"), (np.inf, "dt is inf")])
def test_the_length_of_a_step_is_needed(dt, message, tmp_path):
    with pytest.raises(UserError, match=message):
        snn.load(write(tmp_path / "net.nir", chain()), dt=dt)


@pytest.mark.parametrize("choice", [{"reset": "subtrakt"}, {"discretisation": "shift"}, {"delays": "floor"}])
def test_unknown_choices_are_refused(choice, tmp_path):
    with pytest.raises(UserError, match=f"no {next(iter(choice))} '{next(iter(choice.values()))}'"):
        snn.load(write(tmp_path / "net.nir", chain()), dt=1e-3, **choice)


def test_a_batch_axis_in_the_shapes_is_taken_off_and_told(tmp_path):
    nodes = chain(**{"in": {"type": "Input", "shape": [1, 2]}, "out": {"type": "Output", "shape": [1, 3]}})
    net = snn.load(write(tmp_path / "net.nir", nodes), dt=1e-3)
    assert net(np.ones((5, 4, 1, 2))).shape == (5, 4, 3)
    assert any("taken as the same" in note for note in net.notes)


def test_edges_that_are_there_twice_count_once(tmp_path):
    net = snn.load(write(tmp_path / "net.nir", chain(), [*EDGES, ("in", "w")]), dt=1e-3)
    assert len(net.network.projections) == 1
    assert any("twice" in note for note in net.notes)


def test_an_input_and_an_output_are_added_as_nir_does(tmp_path):
    nodes = chain(**{"in": None, "out": None})
    net = snn.load(write(tmp_path / "net.nir", nodes, [("w", "lif")]), dt=1e-3)
    assert net(np.ones((2, 1, 2))).shape == (2, 1, 3)
    assert sum("was added" in note for note in net.notes) == 2
