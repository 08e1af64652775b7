"""`gossamer::neuron_step` as a torch op, and against the equations in numpy."""

import numpy as np
import pytest
import torch
from gossamer.dialects.neurons import DYNAMICS, Discretisation, Reset, When
from gossamer.runtime.custom_ops import neuron_step
from gossamer.runtime.custom_ops.neurons import read_step
from gossamer.runtime.custom_ops.surrogates import SURROGATES

FLOATING = [key for key in DYNAMICS if key[1] is not Discretisation.SHIFT]


def names_of(neuron: str) -> list[str]:
    step = read_step(neuron)
    value = step.firing is not None and step.firing.reset is Reset.VALUE
    return [*step.dynamics.parameters, *(["reset"] if value else [])]


@pytest.mark.parametrize(("model", "way"), FLOATING, ids=lambda key: str(key))
def test_it_does_what_the_equations_say(model, way):
    random = np.random.default_rng(0)
    dynamics = DYNAMICS[model, way]
    neuron = f"{model} {way}" + (" ge value now" if dynamics.fires else "")
    names = names_of(neuron)
    values = random.uniform(0.1, 0.9, len(names))
    state = {name: random.normal(size=(3, 5)) for name in dynamics.states}
    x = random.normal(size=(3, 5)) * 3
    given = [torch.from_numpy(array.copy()) for array in state.values()]
    fired, *after = neuron_step([torch.from_numpy(x)], given, [], list(values), neuron, " ".join(names), "none", False)
    expected = read_step(neuron)(state, dict(zip(names, values, strict=True)), x, np.where)
    assert np.array_equal(fired, state["v"] if expected is None else expected)
    assert all(np.array_equal(found, array) for found, array in zip(after, state.values(), strict=True))


@pytest.mark.parametrize("when", ["subtract next", "zero before", "subtract undelayed", "value now"])
def test_torch_finds_nothing_wrong_with_it(when):
    torch.manual_seed(0)
    neuron = f"lif exponential gt {when}"
    x, y, v = (torch.randn(3, 5, requires_grad=True) for _ in range(3))
    decay = torch.tensor(0.9, requires_grad=True)
    constants = [0.5] * (len(names_of(neuron)) - 1)
    names = " ".join(names_of(neuron))
    torch.library.opcheck(neuron_step, ([x, y], [v], [decay], constants, neuron, names, "atan 2.0", False))


def test_what_never_fires_gives_its_membrane():
    x, state = torch.randn(2, 3), [torch.randn(2, 3), torch.randn(2, 3)]
    out, v, _ = neuron_step([x], state, [], [0.1, 0.2, 0.0, 1.0, 1.0], "cuba_li euler",
                            "rate rate_syn leak r w_in", "none", False)  # fmt: skip
    assert torch.equal(out, v)
    assert out.data_ptr() != v.data_ptr()
    torch.library.opcheck(neuron_step, ([x], state, [], [0.1, 0.2, 0.0, 1.0, 1.0], "cuba_li euler",
                                        "rate rate_syn leak r w_in", "none", False))  # fmt: skip


def test_inputs_are_added_one_after_another():
    v, x, y = torch.tensor([1.0]), torch.tensor([2.0**-24]), torch.tensor([2.0**-24])
    how = [], [1.0, 0.0, 1.0, 9.0], "lif exponential gt none now", "decay leak gain threshold", "none", False
    assert neuron_step([x, y], [v], *how)[1] == 1.0
    assert neuron_step([x + y], [v], *how)[1] > 1.0


def test_a_detached_reset_lets_no_gradient_through():
    v = torch.tensor([0.4], dtype=torch.float64, requires_grad=True)
    how = [], [1.0, 0.0, 1.0, 0.5], "lif exponential gt subtract now", "decay leak gain threshold", "straight_through"
    for detached, expected in ((True, 1.0), (False, 1.0 - 0.5)):
        after = neuron_step([torch.ones(1, dtype=torch.float64)], [v], *how, detached)[1]
        assert torch.autograd.grad(after, v)[0] == expected


def test_every_surrogate_is_finite_and_has_the_shape_of_its_gradient():
    x, g = torch.linspace(-2, 2, 9), torch.ones(9)
    arity = {"sparse_fast_sigmoid": 2, "spike_rate_escape": 2, "none": 0, "straight_through": 0, "heaviside": 0}
    for name, function in SURROGATES.items():
        found = function(g, x, *[1.5] * arity.get(name, 1))
        assert found.shape == x.shape, name
        assert bool(found.isfinite().all()), name


def test_the_moments_of_a_reset_are_told_apart():
    """What v becomes over three steps of a constant input, by hand: decay 0.5, input 0.75, threshold 1."""
    expected = {
        "subtract next": [1.125, 0.3125],
        "zero next": [1.125, 0.0],
        "zero before": [1.125, 0.75],
        "subtract now": [0.125, 0.8125],
        "subtract undelayed": [0.125, 0.8125],
    }
    for when, membranes in expected.items():
        v, seen = torch.tensor([0.75]), []
        for _ in range(2):
            _, v = neuron_step([torch.tensor([0.75])], [v], [], [0.5, 0.0, 1.0, 1.0], f"lif exponential gt {when}",
                               "decay leak gain threshold", "none", False)  # fmt: skip
            seen.append(float(v))
        assert seen == membranes, when
    assert {When(words.split()[1]) for words in expected} == set(When)
