"""A network run step by step is what plain torch makes of it."""

import numpy as np
import pytest
import torch
from gossamer.runtime.spiking.reference import run
from gossamer.tests.runtime.spiking.networks import PARAMETERS, SILENT, Example, integers, population, spikes, uniform
from gossamer.tests.runtime.spiking.plain import delayed, neurons
from torch.nn.functional import avg_pool2d, conv1d, conv2d, linear

FIRES = [
    f"{c} reset {r} {w}"
    for c in ("gt", "ge")
    for r in ("none", "zero", "subtract", "value")
    for w in ("now", "next", "before")
]


def numbers(kind: str, element: str, **others: float) -> dict:
    """The parameters of the table, as torch's."""
    values = dict(part.split(" = ") for part in PARAMETERS[kind].split(", ") if part) | others
    dtype = torch.int64 if element.startswith("i") else torch.float64
    return {name: torch.tensor(float(value), dtype=torch.float64).to(dtype) for name, value in values.items()}


@pytest.mark.parametrize("refractory", [0, 2])
@pytest.mark.parametrize("fires", FIRES)
@pytest.mark.parametrize("kind", PARAMETERS)
def test_every_model_fires_and_resets_as_plain_torch_does(kind, fires, refractory):
    element = "i64" if kind.endswith("shift") else "f64"
    whole = element == "i64"
    threshold, reset, scale = (3, -2, 1) if whole else (30.0, -65.0, 40.0) if "izh" in kind else (0.5, -0.25, 1.0)
    silent = kind in SILENT
    x = integers(40, 3, 5) if whole else scale * uniform(40, 3, 5, low=-0.6, high=1.0)
    line = population("a", "5", kind, element=element, fires=fires, threshold=threshold,
                      **({"reset": reset} if "value" in fires and not silent else {}),
                      more=f"refractory {refractory}" if refractory and not silent else "")  # fmt: skip
    network = Example(f"snn.input @x <5> analog\n{line}\nsnn.projection @x to @a {{}}").network()
    with np.errstate(over="ignore", invalid="ignore"):
        z, v = run(network, [x], ["a", "a.v"])
    own = numbers(kind, element, threshold=threshold, reset=reset)
    vs, zs = neurons(kind, torch.from_numpy(x).to(torch.int64 if whole else torch.float64), own,
                     "" if silent else fires, refractory)  # fmt: skip
    np.testing.assert_allclose(v, vs.numpy(), rtol=1e-9, atol=1e-9)
    if zs is not None:
        assert 0 < zs.mean(dtype=torch.float64) < 1
        np.testing.assert_array_equal(z, zs.numpy())
    else:
        np.testing.assert_array_equal(z, v)


def sums(shape: object) -> str:
    """A population whose v is the sum of all that it was given."""
    return population("a", str(shape), "if euler", element="f64", r=1.0, threshold=1e9)


MAPS = {
    "dense": ("6", "4", "snn.dense @w", {"w": uniform(4, 6)}, lambda x, w: linear(x, w["w"])),
    "dense, scaled first": (
        "6", "4", "snn.scale @s snn.dense @w", {"w": uniform(4, 6), "s": uniform(6)},
        lambda x, w: linear(x * w["s"], w["w"])),
    "dense, bias, scale": (
        "6", "4", "snn.dense @w snn.bias @b snn.scale @s", {"w": uniform(4, 6), "b": uniform(4), "s": uniform(1)},
        lambda x, w: linear(x, w["w"], w["b"]) * w["s"]),
    "two dense": (
        "6", "4", "snn.dense @w snn.dense @u", {"w": uniform(5, 6), "u": uniform(4, 5)},
        lambda x, w: linear(linear(x, w["w"]), w["u"])),
    "conv": (
        "3, 9, 8", "4, 5, 2", "snn.conv @w stride <2, 3> padding <1, 0> dilation <1, 2> groups 1 snn.bias @b",
        {"w": uniform(4, 3, 3, 2), "b": uniform(4)},
        lambda x, w: conv2d(x, w["w"], w["b"], (2, 3), (1, 0), (1, 2))),
    "grouped conv": (
        "4, 6, 6", "6, 4, 4", "snn.conv @w stride <1, 1> padding <0, 0> dilation <1, 1> groups 2",
        {"w": uniform(6, 2, 3, 3)}, lambda x, w: conv2d(x, w["w"], groups=2)),
    "conv of one dimension": (
        "2, 11", "3, 6", "snn.conv @w stride <2> padding <2> dilation <2> groups 1",
        {"w": uniform(3, 2, 3)}, lambda x, w: conv1d(x, w["w"], None, 2, 2, 2)),
    "sum pool": (
        "2, 6, 6", "2, 3, 3", "snn.pool sum <3, 2> stride <2, 2> padding <1, 0>", {},
        lambda x, w: avg_pool2d(x, (3, 2), 2, (1, 0)) * 6),
    "average pool, reshape, dense": (
        "2, 6, 6", "4", "snn.pool average <2, 2> stride <2, 2> padding <0, 0> snn.reshape <18> snn.dense @w",
        {"w": uniform(4, 18)}, lambda x, w: linear(avg_pool2d(x, 2).flatten(1), w["w"])),
}  # fmt: skip


@pytest.mark.parametrize("analog", ["", "analog"])
@pytest.mark.parametrize("name", MAPS)
def test_maps_are_those_of_torch(name, analog):
    source, target, maps, weights, plain = MAPS[name]
    network = Example(
        f"snn.input @x <{source}> {analog}\n{sums(target)}\nsnn.projection @x to @a {{ {maps} }}", weights
    ).network()
    shape = tuple(map(int, source.split(",")))
    x = uniform(3, 2, *shape) if analog else spikes(3, 2, *shape, rate=0.4)
    (v,) = run(network, [x], ["a.v"])
    wide = {key: torch.from_numpy(w).double() for key, w in weights.items()}
    brought = torch.stack([plain(torch.from_numpy(step).double(), wide) for step in x])
    np.testing.assert_allclose(v, brought.cumsum(0).numpy(), rtol=1e-6, atol=1e-6)


def test_a_sparse_map_is_its_dense_matrix():
    dense = uniform(5, 7) * (uniform(5, 7, seed=3) > 0)
    by_source = dense.T
    offsets = np.concatenate([[0], np.cumsum((by_source != 0).sum(1))]).astype(np.int64)
    weights = {"o": offsets, "t": np.nonzero(by_source)[1].astype(np.int32), "w": by_source[by_source != 0]}
    lines = f"snn.input @x <7>\n{sums(5)}\nsnn.projection @x to @a {{ snn.sparse @w at @o, @t of 5 }}"
    (v,) = run(Example(lines, weights).network(), [spikes(6, 2, 7)], ["a.v"])
    plain = Example(f"snn.input @x <7>\n{sums(5)}\nsnn.projection @x to @a {{ snn.dense @w }}", {"w": dense})
    np.testing.assert_array_equal(v, run(plain.network(), [spikes(6, 2, 7)], ["a.v"])[0])


def test_delays_are_those_of_each_synapse():
    w, d = integers(5, 7), integers(5, 7, low=0, high=4, seed=2)
    w[0, :3] = 0
    lines = (
        f"snn.input @x <7>\n{population('a', '5', 'if shift', element='i32', threshold=10**6, floor=-(10**6))}\n"
        "snn.projection @x to @a delays @d from 0 to 3 { snn.dense @w snn.bias @b }"
    )
    x = spikes(9, 2, 7)
    (v,) = run(Example(lines, {"w": w, "d": d, "b": integers(5)}).network(), [x], ["a.v"])
    own = torch.from_numpy(x).long()
    brought = sum(delayed(own, n) @ torch.from_numpy(w * (d == n)).long().T for n in range(4))
    np.testing.assert_array_equal(v, (brought + torch.from_numpy(integers(5))).cumsum(0).numpy())


def test_delays_of_a_kernel_are_shared_as_it_is():
    w, d = integers(2, 1, 3), integers(2, 1, 3, low=0, high=3, seed=2)
    lines = (
        f"snn.input @x <1, 6>\n{population('a', '2, 6', 'if shift', element='i32', threshold=10**6, floor=-(10**6))}\n"
        "snn.projection @x to @a delays @d from 0 to 2 { snn.conv @w stride <1> padding <1> dilation <1> groups 1 }"
    )
    x = spikes(7, 2, 1, 6)
    (v,) = run(Example(lines, {"w": w, "d": d}).network(), [x], ["a.v"])
    own = torch.from_numpy(x).double()
    brought = sum(
        torch.stack([conv1d(step, torch.from_numpy(w * (d == n)).double(), padding=1) for step in delayed(own, n)])
        for n in range(3)
    )
    np.testing.assert_array_equal(v, torch.as_tensor(brought).cumsum(0).numpy())


def test_a_cycle_whose_synapses_are_all_zero_brings_nothing():
    lines = f"""
    snn.input @x <3>
    {population("a", "3", "lif euler", threshold=0.1)}
    snn.projection @x to @a {{ snn.dense @w }}
    snn.projection @a to @a delays @d from 1 to 2 {{ snn.dense @r }}"""
    weights = {"w": uniform(3, 3, low=0), "r": np.zeros((3, 3), np.float32), "d": integers(3, 3, low=1, high=3)}
    network = Example(lines, weights).network()
    assert network.levels == (0, 1)
    alone = "\n".join(lines.splitlines()[:-1])
    x = spikes(9, 2, 3)
    (z,) = run(network, [x], ["a"])
    assert z.any()
    np.testing.assert_array_equal(z, run(Example(alone, weights).network(), [x], ["a"])[0])


def test_a_recurrent_network_of_two_inputs_is_the_loop_that_one_would_write():
    weights = {"w": integers(6, 5), "u": integers(6, 3, seed=2), "r": integers(6, 6, seed=3), "o": integers(2, 6)}
    lines = f"""
    snn.input @x <5>
    snn.input @y <3>
    {population("h", "6", "lif shift", element="i32", fires="ge reset subtract now", threshold=5)}
    {population("out", "2", "li shift", element="i32")}
    snn.projection @x to @h {{ snn.dense @w }}
    snn.projection @h to @h delay 1 {{ snn.dense @r }}
    snn.projection @y to @h delay 2 {{ snn.dense @u }}
    snn.projection @h to @out {{ snn.dense @o }}"""
    x, y = spikes(20, 3, 5), spikes(20, 3, 3, seed=4)
    z, v = run(Example(lines, weights).network(), [x, y], ["h", "out"])
    w, u, r, o = (torch.from_numpy(value).long() for value in weights.values())
    given = torch.from_numpy(x).long() @ w.T + delayed(torch.from_numpy(y).long(), 2) @ u.T
    h, hv, out, zs, vs = torch.zeros(3, 6).long(), torch.zeros(3, 6).long(), torch.zeros(3, 2).long(), [], []
    for step in given:
        hv = torch.clamp(hv - torch.div(hv, 4, rounding_mode="floor") + step + h @ r.T, min=-7)
        h = (hv >= 5).long()
        hv = hv - 5 * h
        out = torch.clamp(out - torch.div(out, 4, rounding_mode="floor") + h @ o.T, min=-7)
        zs.append(h)
        vs.append(out)
    assert z.any()
    np.testing.assert_array_equal(z, torch.stack(zs).numpy())
    np.testing.assert_array_equal(v, torch.stack(vs).numpy())


def test_states_begin_as_they_are_given():
    lines = f"""
    snn.input @x <2>
    {population("a", "2", "lif exponential", more="initial {v = @v}", threshold=1e9, decay=0.5, leak=0.0)}
    snn.projection @x to @a {{ snn.dense @w }}"""
    example = Example(lines, {"v": np.array([8, -4], np.float32), "w": np.zeros((2, 2), np.float32)})
    (v,) = run(example.network(), [spikes(2, 1, 2)], ["a.v"])
    assert v[:, 0].tolist() == [[4.0, -2.0], [2.0, -1.0]]


def test_a_neuron_of_nan_is_silent_and_others_go_on():
    lines = f"""
    snn.input @x <3> analog
    {population("a", "3", "lif euler", threshold="@t", leak="@l")}
    snn.projection @x to @a {{}}"""
    weights = {"t": np.array([np.nan, np.inf, -0.0], np.float32), "l": np.array([0, 0, np.nan], np.float32)}
    z, v = run(Example(lines, weights).network(), [uniform(5, 1, 3)], ["a", "a.v"])
    assert not z.any()
    assert np.isfinite(v[..., :2]).all()
    assert np.isnan(v[..., 2]).all()


@pytest.mark.parametrize(("steps", "size"), [(0, 3), (4, 0), (0, 0)])
def test_no_steps_and_no_neurons_give_nothing(steps, size):
    lines = f"snn.input @x <{size}>\n{sums(size)}\nsnn.projection @x to @a {{}}"
    z, v = run(Example(lines).network(), [spikes(steps, 2, size)], ["a", "a.v"])
    assert z.shape == v.shape == (steps, 2, size)


def test_what_does_not_fit_is_refused():
    network = Example(f"snn.input @x <3>\n{sums(3)}\nsnn.projection @x to @a {{}}").network()
    with pytest.raises(ValueError, match="takes spikes, 0 or 1"):
        run(network, [uniform(2, 1, 3)], ["a"])
    with pytest.raises(ValueError, match=r"@x is \[steps, batch, \*\[3\]\], got \[2, 1, 4\]"):
        run(network, [spikes(2, 1, 4)], ["a"])
