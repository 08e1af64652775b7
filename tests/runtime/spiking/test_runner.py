"""Spiking networks as programs: loaded, compiled, executed; tensors in and out."""

import pytest
import torch
from gossamer.compiler.context import make_context, parse_text, print_module
from gossamer.compiler.pipeline import DEFAULT_PIPELINE, run_pipeline
from gossamer.dialects.diagnostics import UserError
from gossamer.passes.lower_kernels import LowerKernels
from gossamer.passes.lower_networks import LowerNetworks
from gossamer.runtime import reference
from gossamer.runtime.executor import Program
from gossamer.tests.runtime.spiking.networks import Example, population, spikes, uniform

LINES = f"""
snn.input @x <30>
{population("h", "20", "lif exponential", fires="gt reset subtract next")}
{population("o", "5", "li exponential")}
snn.projection @x to @h {{ snn.dense @w }}
snn.projection @h to @h delay 1 {{ snn.dense @r }}
snn.projection @h to @o {{ snn.dense @v }}"""
WEIGHTS = {"w": uniform(20, 30), "r": uniform(20, 20, seed=2), "v": uniform(5, 20, seed=3)}
RECORDS = ["h", "o.v"]


def tensors() -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(weight.copy()) for name, weight in WEIGHTS.items()}


def module(*, lowered: bool):
    made = Example(LINES, WEIGHTS).module(RECORDS)
    for step in (LowerNetworks(), LowerKernels()) if lowered else ():
        step.apply(make_context(), made)
    return made


@pytest.mark.parametrize("lowered", [True, False])
def test_a_program_gives_what_the_oracle_gives(lowered):
    weights, x = tensors(), torch.from_numpy(spikes(15, 4, 30))
    expected = reference.run(module(lowered=False), weights, [x])
    for found, other in zip(Program.build(module(lowered=lowered), weights)([x]), expected, strict=True):
        assert torch.equal(found, other)


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float64])
def test_spikes_may_be_of_any_type(dtype):
    program, x = Program.build(module(lowered=True), tensors()), torch.from_numpy(spikes(15, 4, 30))
    assert torch.equal(program([x.to(dtype)])[1], program([x])[1])


def test_a_weight_that_is_written_is_seen():
    weights, x = tensors(), torch.from_numpy(spikes(15, 4, 30))
    program = Program.build(module(lowered=True), weights)
    before = program([x])[1]
    weights["v"].mul_(2)
    after = program([x])[1]
    assert torch.equal(after, reference.run(module(lowered=False), weights, [x])[1])
    assert not torch.equal(after, before)


def test_a_gradient_is_refused():
    weights = {name: weight.requires_grad_() for name, weight in tensors().items()}
    _, v = Program.build(module(lowered=True), weights)([torch.from_numpy(spikes(15, 4, 30))])
    with pytest.raises(UserError, match=r"snn\.run has no gradient"):
        v.sum().backward()


def test_what_does_not_fit_is_an_error_of_the_program():
    program = Program.build(module(lowered=True), tensors())
    with pytest.raises(UserError, match="takes spikes, 0 or 1"):
        program([torch.from_numpy(uniform(15, 4, 30))])
    with pytest.raises(UserError, match=r"@x is \[steps, batch"):
        program([torch.ones(15, 30)])


def test_the_default_pipeline_gives_it_kernels():
    weights, x = tensors(), torch.from_numpy(spikes(15, 4, 30))
    trace = run_pipeline(module(lowered=False), DEFAULT_PIPELINE)
    text = print_module(trace.stages[-1].module)
    assert "kernel @n_h" in text
    found = Program.build(parse_text(text), weights)([x])[0]
    assert torch.equal(found, reference.run(module(lowered=False), weights, [x])[0])
