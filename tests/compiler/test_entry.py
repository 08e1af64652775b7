"""The entry of a module: read from its attributes, or refused."""

import pytest
import torch
from gossamer.compiler.context import parse_text
from gossamer.compiler.entry import entry_function, read_entry
from gossamer.dialects.diagnostics import UserError

LEAF = r"{\22type\22: null, \22context\22: null, \22children_spec\22: []}"


def node(type: str, context: str, *children: str) -> str:
    return (
        f"{{\\22type\\22: \\22{type}\\22, \\22context\\22: \\22{context}\\22, "
        f"\\22children_spec\\22: [{', '.join(children)}]}}"
    )


ARGUMENTS = node("builtins.tuple", "null", node("builtins.tuple", "null", LEAF, LEAF), node("builtins.dict", "[]"))
ATTRIBUTES = {
    "aten.forward": '"(x, n, scale=2.0)"',
    "aten.in_spec": f'"[1, {ARGUMENTS}]"',
    "aten.out_spec": f'"[1, {node("builtins.list", "null", LEAF, LEAF)}]"',
    "aten.inputs": "#aten.template<(operand<0>, operand<1>)>",
    "aten.outputs": "#aten.template<(torch.float32, operand<0>)>",
    "aten.symbols": "{s0 = [2, 8, 4], s1 = [0, -1, -1]}",
}


def function(**changes: str | None):
    """A function of x [s0, s1] and the number s0; `changes` are to its attributes."""
    attributes = {**ATTRIBUTES, **{f"aten.{name}": text for name, text in changes.items()}}
    listed = ", ".join(f"{name} = {text}" for name, text in attributes.items() if text is not None)
    type = 'tensor<?x?xf32, #aten.dims<"s0", "s1">>'
    return entry_function(parse_text(f"""
        func.func @forward(%x: {type}, %n: !aten.scalar<int, "s0">) -> {type} attributes {{{listed}}} {{
          func.return %x : {type}
        }}"""))  # fmt: skip


def test_a_call_is_bound_and_results_are_assembled():
    entry, x = read_entry(function()), torch.ones(3, 5)
    assert entry.bind((x, 3), {}) == [x, 3]
    assert entry.assemble([x]) == [torch.float32, x]
    with pytest.raises(UserError, match="argument 'n' is 4, expected 's0' = 3"):
        entry.bind((x, 4), {})
    with pytest.raises(UserError, match=r"expected \['s0' in 0\.\.8, 's1'\]"):
        entry.bind((torch.ones(9, 1), 9), {})


@pytest.mark.parametrize("name", [name for name in ATTRIBUTES if name != "aten.symbols"])
def test_an_attribute_that_is_missing_is_named(name):
    with pytest.raises(UserError, match=f"no such attribute as '{name}'") as raised:
        read_entry(function(**{name.removeprefix("aten."): None}))
    assert raised.value.place is not None


def test_without_symbols_every_size_is_free():
    entry = read_entry(function(symbols=None))
    assert len(entry.bind((torch.ones(9, 1), 7), {})) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"forward": '"(x"'}, "not the signature of a function"),
        ({"in_spec": '"[]"'}, "not the structure of arguments or results"),
        ({"in_spec": f'"[1, {LEAF}]"'}, "do not fit their structure"),
        ({"out_spec": f'"[1, {LEAF}]"'}, "do not fit their structure"),
        ({"inputs": "#aten.template<(operand<0>)>"}, "do not fit their structure"),
        ({"inputs": "#aten.template<(operand<0>, operand<2>)>"}, "no such attribute as 'aten.inputs'"),
        ({"outputs": "#aten.template<(operand<0>, operand<1>)>"}, "no such attribute as 'aten.outputs'"),
        ({"symbols": '{s0 = "a"}'}, "not the range of a size symbol"),
    ],
)
def test_attributes_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        read_entry(function(**changes))


def test_a_module_without_an_entry_is_refused():
    with pytest.raises(UserError, match="has no function @forward"):
        entry_function(parse_text("func.func @backward() {\n  func.return\n}"))
