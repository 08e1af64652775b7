"""Unrolled loops over time become scans, and what is no loop is an error at the call that differs."""

import pytest
from gossamer.compiler.context import parse_text
from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.diagnostics import UserError
from gossamer.tests.passes.programs import check, check_stays

WEIGHTS = """
aten.weight parameter @w : tensor<4x3xf32> digest ""
aten.weight parameter @back : tensor<4x4xf32> digest ""
"""
ROW, X = 'tensor<?x4xf32, #aten.dims<"b", 4>>', 'tensor<2x?x3xf32, #aten.dims<2, "b", 3>>'
ITEM, OUT = 'tensor<?x3xf32, #aten.dims<"b", 3>>', 'tensor<2x?x4xf32, #aten.dims<2, "b", 4>>'
W, BACK = "tensor<4x3xf32>", "tensor<4x4xf32>"
HEAD = f"""
  %w = aten.parameter @w : {W}
  %r = aten.parameter @back : {BACK}
  %size = aten.call "aten.sym_size.int"(%x, 1) : ({X}) -> !aten.scalar<int, "b">
  %f = aten.call "aten.full.default"([%size, 4], 0.5) : (!aten.scalar<int, "b">) -> {ROW}"""


def function(body: str, head: str = HEAD, type: str = X, out: str = OUT) -> str:
    return f"{WEIGHTS}\nfunc.func @forward(%x: {type}) -> {out} {{{head}\n{body}\n}}"


def select(name: str, index: int, base: str = "%x") -> str:
    return f'{name} = aten.call "aten.select.int"({base}, 0, {index}) : ({X}) -> {ITEM}\n'


def linear(name: str, value: str, weight: str = "%w", types: str = f"{ITEM}, {W}") -> str:
    return f'{name} = aten.call "aten.linear.default"({value}, {weight}) : ({types}) -> {ROW}\n'


def neurons(z: str, v: str, inputs: str, state: str, threshold: float = 1.0) -> str:
    operands = ", ".join([ROW] * (len(inputs.split(",")) + (state not in inputs)))
    return f"""{z}, {v} = aten.call "gossamer.neuron_step.default"([{inputs}], [{state}], [],
        [{threshold}, 0.5, 0.0, 1.0], "lif exponential gt zero now", "threshold decay leak gain", "none", false) unpack
        : ({operands}) -> ({ROW}, {ROW})\n"""


def step(t: int, state: str, **how: float) -> str:
    """Step `t` of a layer."""
    return select(f"%x{t}", t) + linear(f"%i{t}", f"%x{t}") + neurons(f"%z{t}", f"%v{t}", f"%i{t}", state, **how)


def stack(*values: str, out: str = OUT, dim: int = 0) -> str:
    types = ", ".join([ROW] * len(values))
    return f"""%o = aten.call "aten.stack.default"([{", ".join(values)}], {dim}) : ({types}) -> {out}
    func.return %o : {out}"""


LAYER = step(0, "%f") + step(1, "%v0")
CLONES = "".join(
    f'%c{n} = aten.call "aten.clone.default"({v}) : ({ROW}) -> {ROW}\n' for n, v in enumerate(("%n", "%z"))
)


def scan(body: str) -> str:
    """A scan that carries one value, and gives spikes."""
    return f"""%s, %o = aten.call "scan"(region<0>, [%f], [%x], [%w]) unpack {{
    ^bb0(%v: {ROW}, %xt: {ITEM}, %wt: {W}):
      {body}
      aten.yield(%c0, %c1) : {ROW}, {ROW}
    }} : ({ROW}, {X}, {W}) -> ({ROW}, {OUT})
    """


def test_a_layer():
    body = linear("%i", "%xt", "%wt") + neurons("%z", "%n", "%i", "%v") + CLONES
    head = "\n".join(line for line in HEAD.splitlines() if "@back" not in line)
    check("roll-steps", function(LAYER + stack("%z0", "%z1")), function(scan(body) + f"func.return %o : {OUT}", head))


def test_neurons_that_are_stepped_once_stay():
    one = 'tensor<1x?x4xf32, #aten.dims<1, "b", 4>>'
    check_stays("roll-steps", function(step(0, "%f") + stack("%z0", out=one), out=one))


def rolled(text: str) -> str:
    module = parse_text(text)
    run_pipeline(module, "roll-steps")
    module.verify()
    return str(module)


def test_what_comes_after_reads_the_stacked_results():
    after = f'%n0 = aten.call "aten.neg.default"(%z0) : ({ROW}) -> {ROW}\n'
    text = rolled(function(step(0, "%f") + after + step(1, "%v0") + stack("%n0", "%z1")))
    assert text.count("neuron_step") == 1
    assert text.index('"scan"') < text.index("aten.select.int") < text.index("aten.neg") < text.index("aten.stack")


def test_spikes_of_two_steps_ago():
    steps, zero = "", "%g"
    head = HEAD + f'\n%g = aten.call "aten.full.default"([%size, 4], 0.0) : (!aten.scalar<int, "b">) -> {ROW}\n'
    x, out = (type.replace("2x", "4x").replace("<2,", "<4,") for type in (X, OUT))
    for t in range(4):
        old = f"%z{t - 2}" if t > 1 else zero
        steps += select(f"%x{t}", t).replace(X, x) + linear(f"%i{t}", f"%x{t}")
        steps += linear(f"%j{t}", old, "%r", f"{ROW}, {BACK}")
        steps += neurons(f"%z{t}", f"%v{t}", f"%i{t}, %j{t}", f"%v{t - 1}" if t else "%f")
    text = function(steps + stack(*(f"%z{t}" for t in range(4)), out=out), head.replace(X, x), x, out)
    module = parse_text(text)
    run_pipeline(module, "roll-steps,raise-snn")
    assert "snn.projection @neurons_0 to @neurons_0 delay 2" in str(module)


FAULTS = {
    "another weight": (
        step(0, "%f") + linear("%j", "%z0", "%r", f"{ROW}, {BACK}") + neurons("%z1", "%v1", "%j", "%v0")
        + stack("%z0", "%z1"), "step 0 is not what the last step is"),
    "other neurons": (step(0, "%f", threshold=2.0) + step(1, "%v0") + stack("%z0", "%z1"), "others in step 0"),
    "the other way round": (
        (step(0, "%f") + step(1, "%v0")).replace("(%x, 0, 1)", "(%x, 0, 9)").replace("(%x, 0, 0)", "(%x, 0, 1)")
        .replace("(%x, 0, 9)", "(%x, 0, 0)") + stack("%z0", "%z1"), "of other values|stands where"),
    "two that go on from one": (LAYER + neurons("%a", "%b", "%i1", "%v0") + stack("%a", "%z1"), "from the same states"),
    "other numbers of steps": (
        LAYER + neurons("%a", "%b", "%z1", "%f") + stack("%a", "%z1"), "run for 1 steps, others for 2"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_steps_that_differ_are_an_error_at_the_call(name):
    body, message = FAULTS[name]
    with pytest.raises(UserError, match=message) as caught:
        run_pipeline(parse_text(function(body)), "roll-steps")
    assert caught.value.place is not None
