"""Networks found in scans, and scans that are none."""

import pytest
from gossamer.compiler.context import parse_text
from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.diagnostics import UserError
from gossamer.tests.passes.programs import check, check_stays

WEIGHTS = """
aten.weight parameter @w : tensor<4x3xf32> digest ""
aten.weight parameter @b : tensor<4xf32> digest ""
aten.weight parameter @back : tensor<4x4xf32> digest ""
aten.weight parameter @level : tensor<4xf32> digest ""
"""
STEP = '"lif exponential gt zero now", "threshold decay leak gain", "atan 2.0", false'


def program(body: str, start: str = "0.0", given: str = "%z, %n, %z", results: str = "%o") -> str:
    """A scan over %x of a body that makes of %v and %z1, %n and %z."""
    return f"""{WEIGHTS}
    func.func @forward(%x: tensor<?x?x3xf32>) -> tensor<?x?x4xf32> {{
      %w = aten.parameter @w : tensor<4x3xf32>
      %b = aten.parameter @b : tensor<4xf32>
      %r = aten.parameter @back : tensor<4x4xf32>
      %l = aten.parameter @level : tensor<4xf32>
      %size = aten.call "aten.sym_size.int"(%x, 1) : (tensor<?x?x3xf32>) -> !aten.scalar<int, "n">
      %f = aten.call "aten.full.default"([%size, 4], {start}) : (!aten.scalar<int, "n">) -> tensor<?x4xf32>
      %g = aten.call "aten.full.default"([%size, 4], 0.0) : (!aten.scalar<int, "n">) -> tensor<?x4xf32>
      %s, %t, %o = aten.call "scan"(region<0>, [%g, %f], [%x], [%w, %b, %r, %l]) unpack {{
      ^bb0(%z1: tensor<?x4xf32>, %v: tensor<?x4xf32>, %x1: tensor<?x3xf32>, %w1: tensor<4x3xf32>, %b1: tensor<4xf32>,
           %r1: tensor<4x4xf32>, %l1: tensor<4xf32>):
        %i = aten.call "aten.linear.default"(%x1, %w1, %b1)
             : (tensor<?x3xf32>, tensor<4x3xf32>, tensor<4xf32>) -> tensor<?x4xf32>
        {body}
        aten.yield({given}) : {", ".join(["tensor<?x4xf32>"] * len(set(given.split(", "))))}
      }} : (tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x?x3xf32>, tensor<4x3xf32>, tensor<4xf32>, tensor<4x4xf32>,
           tensor<4xf32>) -> (tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x?x4xf32>)
      func.return {results} : tensor<?x?x4xf32>
    }}"""


def step(inputs: str, operands: int, state: str = "%v") -> str:
    """A step of neurons."""
    types = ", ".join(["tensor<?x4xf32>"] * operands)
    return f"""%z, %n = aten.call "gossamer.neuron_step.default"([{inputs}], [{state}], [%l1], [0.5, 0.0, 1.0], {STEP})
        unpack : ({types}, tensor<4xf32>) -> (tensor<?x4xf32>, tensor<?x4xf32>)"""


FORWARD = step("%i", 2)
RECURRENT = f"""%j = aten.call "aten.linear.default"(%z1, %r1)
        : (tensor<?x4xf32>, tensor<4x4xf32>) -> tensor<?x4xf32>
        {step("%i, %j", 3)}"""
POPULATION = """snn.population @neurons_0 <4> : f32 lif exponential
          {threshold = @level, decay = 0.5 : f32, leak = 0.0 : f32, gain = 1.0 : f32} fires gt reset zero now"""


def network(population: str, more: str = "") -> str:
    return f"""{WEIGHTS}
      snn.network @network dt 1.0 {{
        snn.input @input <3> analog
        {population}
        snn.projection @input to @neurons_0 {{ snn.dense @w  snn.bias @b }}
        {more}
      }}
      func.func @forward(%x: tensor<?x?x3xf32>) -> tensor<?x?x4xf32> {{
        %o = snn.run @network(%x) records ["neurons_0"] : (tensor<?x?x3xf32>) -> tensor<?x?x4xf32>
        func.return %o : tensor<?x?x4xf32>
      }}"""


def test_a_layer():
    check("raise-snn", before=program(FORWARD), after=network(POPULATION))


def test_a_first_state():
    check("raise-snn", before=program(FORWARD, start="-2.0"), after=network(f"{POPULATION} initial {{v = -2.0 : f32}}"))


def test_spikes_of_the_last_step_come_with_a_delay():
    check(
        "raise-snn",
        before=program(RECURRENT),
        after=network(
            f"{POPULATION} {{snn.reordered}}", "snn.projection @neurons_0 to @neurons_0 delay 1 { snn.dense @back }"
        ),
    )


def test_a_scan_without_neurons_stays():
    body = """%z = aten.call "aten.neg.default"(%i) : (tensor<?x4xf32>) -> tensor<?x4xf32>
              %n = aten.call "aten.add.Tensor"(%v, %z) : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>"""
    check_stays("raise-snn", program(body))


NEG = """%k = aten.call "aten.neg.default"({0}) : (tensor<?x4xf32>) -> tensor<?x4xf32>"""
FAULTS = {
    "a map that is not linear": (program(f"{NEG.format('%i')}\n{step('%k', 2)}"), "no linear map"),
    "a state that is changed": (program(f"{NEG.format('%v')}\n{step('%i', 2, '%k')}"), "left in the last step"),
    "a state that is kept otherwise": (program(f"{FORWARD}\n{NEG.format('%n')}", given="%z, %k, %z"), "left in"),
    "a result of a map": (program(f"{FORWARD}\n{NEG.format('%z')}", given="%z, %n, %k"), "neither spikes nor a state"),
    "a product of values": (
        program(
            '%k = aten.call "aten.mul.Tensor"(%i, %z1) : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>\n'
            + step("%k", 2)
        ),
        "two values that change",
    ),
    "a sum with a number": (
        program(f'%k = aten.call "aten.add.Tensor"(%i, 1.0) : (tensor<?x4xf32>) -> tensor<?x4xf32>\n{step("%k", 2)}'),
        "a number of its own",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_no_network_is_an_error_at_the_call(name):
    text, message = FAULTS[name]
    with pytest.raises(UserError, match=message) as caught:
        run_pipeline(parse_text(text), "raise-snn")
    assert caught.value.place is not None


def test_spikes_before_the_first_step_are_none():
    text = program(RECURRENT)
    fill = '%g = aten.call "aten.full.default"([%size, 4], {})'
    text = text.replace(fill.format("0.0"), fill.format("1.0"))
    with pytest.raises(UserError, match="before the first step"):
        run_pipeline(parse_text(text), "raise-snn")
