"""Specs, names and signatures as text, and back."""

import enum
import inspect
import json
import sys
import textwrap
from collections import OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass
from operator import itemgetter

import pytest
import torch
from gossamer.compiler.signature import (
    argument_names,
    assembler,
    forward_text,
    leaf_names,
    parse_forward,
    parse_spec,
    spec_text,
)
from gossamer.dialects.diagnostics import UserError
from hypothesis import given
from hypothesis import strategies as st
from torch.utils import _pytree as pytree
from transformers.modeling_outputs import BaseModelOutput

Pair = namedtuple("Pair", "first second")


@dataclass
class Point:
    x: torch.Tensor
    y: torch.Tensor | None = None


pytree.register_dataclass(Point)

TREES = {
    "a leaf": 1,
    "a tuple": (1, (2, 3)),
    "nothing": (),
    "a dict with numbers as keys": {1: 2, "a": [3]},
    "an ordered dict": OrderedDict(b=1, a=2),
    "a default dict": defaultdict(list, a=[1]),
    "a deque": deque([1, 2], maxlen=3),
    "a named tuple": Pair(1, Pair(2, None)),
    "a dataclass": Point(torch.ones(1)),
    "a result of torch": torch.ones(2, 2).max(0),
    "an output of transformers": BaseModelOutput(torch.ones(1), hidden_states=(torch.ones(1), torch.ones(1))),
}


def spec_of(tree: object) -> pytree.TreeSpec:
    return pytree.tree_structure(tree)


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
def test_a_spec_survives_as_text(tree):
    assert parse_spec(spec_text(spec_of(tree))) == spec_of(tree)


@given(st.recursive(st.none(), lambda t: st.lists(t) | st.tuples(t, t) | st.dictionaries(st.text(), t), max_leaves=20))
def test_any_nesting_of_plain_containers_survives_as_text(tree):
    assert parse_spec(spec_text(spec_of(tree))) == spec_of(tree)


@pytest.mark.parametrize("name", ["a tuple", "a dict with numbers as keys", "an ordered dict", "a deque"])
def test_the_text_is_torchs_own_where_torch_has_one(name):
    spec = spec_of(TREES[name])
    assert spec_text(spec) == pytree.treespec_dumps(spec)
    assert pytree.treespec_loads(spec_text(spec)) == spec


def test_a_class_made_inside_a_function_is_known_where_it_was_made():
    local = namedtuple("local", "a b")
    assert parse_spec(spec_text(spec_of(local(1, 2)))) == spec_of(local(1, 2))


@pytest.mark.parametrize("key", [(1, 2), b"a"])
def test_a_key_that_json_would_change_is_refused(key):
    with pytest.raises(UserError, match="cannot be written as text"):
        spec_text(spec_of({"x": {key: 1}, "y": 2}))


def test_a_class_is_imported_when_it_is_first_read(tmp_path, monkeypatch):
    source = """
        from dataclasses import dataclass
        @dataclass
        class Result:
            a: int
            b: int | None = None
    """
    (tmp_path / "house_of_results.py").write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(str(tmp_path))
    node = {"type": "house_of_results.Result", "context": json.dumps([["a"], ["b"]]), "children_spec": [LEAF]}
    spec = parse_spec(json.dumps([1, node]))
    assert pytree.tree_unflatten([7], spec) == sys.modules["house_of_results"].Result(7)


LEAF = {"type": None, "context": None, "children_spec": []}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere_to_be_found.outputs.Result", "no module 'nowhere_to_be_found'"),
        ("transformers.modeling_outputs.NoSuchOutput", "'transformers.modeling_outputs' lacks"),
        ("collections.abc", "lacks"),
        ("builtins.print", "lacks"),
    ],
)
def test_a_class_that_is_not_there_is_named_with_its_package(name, message):
    with pytest.raises(UserError, match=message) as raised:
        parse_spec(json.dumps([1, {"type": name, "context": "null", "children_spec": []}]))
    assert name in raised.value.message
    assert name.split(".")[0] in raised.value.hint


def test_a_class_of_a_script_is_to_be_moved():
    with pytest.raises(UserError, match=r"'__main__\.Result'") as raised:
        parse_spec(json.dumps([1, {"type": "__main__.Result", "context": "null", "children_spec": []}]))
    assert raised.value.hint == "define it in a module that can be imported, and save the model again"


def test_a_class_that_is_no_tree_is_never_called():
    with pytest.raises(UserError, match="not the structure"):
        parse_spec(json.dumps([1, {"type": "subprocess.Popen", "context": "null", "children_spec": [LEAF]}]))
    node = {"type": "collections.namedtuple", "context": "subprocess.Popen", "children_spec": [LEAF]}
    with pytest.raises(UserError, match=r"'subprocess\.Popen' as a named tuple"):
        parse_spec(json.dumps([1, node]))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "[1]", "[1, {}]", "[1, null]", '[1, {"type": "builtins.list"}]', "\0"]
)
def test_what_is_no_spec_is_refused(text):
    with pytest.raises(UserError, match="not the structure"):
        parse_spec(text)


@pytest.mark.parametrize(
    ("tree", "names"),
    [
        (1, ["output"]),
        ((1, [2, 3]), ["0", "1.0", "1.1"]),
        ({"y": 1, 3: (2,)}, ["y", "3.0"]),
        (Pair(1, Pair(2, 3)), ["first", "second.first", "second.second"]),
        (Point(torch.ones(1), torch.ones(1)), ["x", "y"]),
        (defaultdict(int, a=1, b=2), ["a", "b"]),
        (TREES["an output of transformers"], ["last_hidden_state", "hidden_states.0", "hidden_states.1"]),
    ],
)
def test_a_leaf_is_named_by_its_path(tree, names):
    assert leaf_names(spec_of(tree)) == names


def test_arguments_go_by_the_parameters_they_are_for():
    def forward(x, /, y, *rest, scale, **more): ...

    spec = spec_of(((1, {"a": 2}, 3, [4, 5]), {"scale": 6, "mask": (7,)}))
    names = argument_names(spec, inspect.signature(forward))
    assert names == ["x", "y.a", "rest.0", "rest.1.0", "rest.1.1", "scale", "mask.0"]


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
def test_results_take_the_structure_of_the_model(tree):
    leaves, spec = pytree.tree_flatten(tree)
    rebuilt = assembler(spec, [itemgetter(i) for i in range(len(leaves))])(leaves)
    assert type(rebuilt) is type(tree)
    again, same_spec = pytree.tree_flatten(rebuilt)
    assert all(a is b for a, b in zip(again, leaves, strict=True))
    assert same_spec == spec


class Mode(enum.StrEnum):
    FAST = "fast"


def plain(x, y): ...
def defaults(x, a=None, b=-1, c=2.5, d="it's", e=True): ...
def positional_only(x, y=1, /, z=2): ...
def keyword_only(x, *, scale=1.0, bias): ...
def anything(*args, **kwargs): ...


@pytest.mark.parametrize("function", [plain, defaults, positional_only, keyword_only, anything])
def test_a_signature_survives_as_text(function):
    assert parse_forward(forward_text(function)) == inspect.signature(function)


def test_annotations_go_and_defaults_that_are_no_literals_are_left_open():
    def forward(x: torch.Tensor, sizes=(1, 2), mode=Mode.FAST, limit=float("inf"), f=len) -> int: ...

    assert forward_text(forward) == "(x, sizes=(1, 2), mode=..., limit=..., f=...)"
    assert parse_forward(forward_text(forward)).parameters["mode"].default is ...


@pytest.mark.parametrize("text", ["", "(x", "(x): pass\ndef g()", "(x, x)", "(x=f())", "x", "(x=1, y)"])
def test_what_is_no_signature_is_refused(text):
    with pytest.raises(UserError, match="not the signature"):
        parse_forward(text)
