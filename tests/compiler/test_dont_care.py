"""Don't-care rows: by which names, over which axes, how dense."""

import pytest
import torch
from gossamer.compiler.context import parse_text
from gossamer.compiler.dont_care import annotate, measure, read
from gossamer.compiler.entry import entry_function
from gossamer.dialects.diagnostics import UserError
from xdsl.dialects.func import FuncOp

MASK = 'tensor<?x?xi64, #aten.dims<"s0", "s1">>'


def function(*results: tuple[str, str]) -> FuncOp:
    """A function of `x` and `mask` [s0, s1], whose results are called and typed so."""
    types = ", ".join(f'{type} {{aten.name = "{name}"}}' for name, type in results)
    values = ", ".join(f"%{i}" for i in range(len(results)))
    body = "\n".join(f'%{i} = aten.call "aten.f"(%mask) : ({MASK}) -> {type}' for i, (_, type) in enumerate(results))
    plain = ", ".join(type for _, type in results)
    return entry_function(parse_text(f"""
        func.func @forward(%x: tensor<4xf32> {{aten.name = "x"}}, %mask: {MASK} {{aten.name = "mask"}}) -> ({types}) {{
          {body}
          func.return {values} : {plain}
        }}"""))  # fmt: skip


HIDDEN = 'tensor<?x?x8xf32, #aten.dims<"s0", "s1", 8>>'
POOLED = 'tensor<?x8xf32, #aten.dims<"s0", 8>>'


def test_a_result_is_named_by_its_path():
    f = function(("last", HIDDEN), ("hidden.0", HIDDEN), ("hidden.1", HIDDEN))
    annotate(f, {"hidden.1": "mask"})
    assert read(f) == {"hidden.1": "mask"}


def test_a_prefix_means_every_leaf_below_it():
    f = function(("hidden_states", HIDDEN), ("hidden.0", HIDDEN), ("hidden.1", HIDDEN))
    annotate(f, {"hidden": "mask"})
    assert read(f) == {"hidden.0": "mask", "hidden.1": "mask"}


def test_a_star_leaves_alone_what_does_not_run_over_the_mask():
    f = function(("last", HIDDEN), ("pooled", POOLED))
    annotate(f, {"*": "mask"})
    assert read(f) == {"last": "mask"}


def test_other_attributes_stay():
    f = function(("last", HIDDEN))
    annotate(f, {"last": "mask"})
    annotate(f, {})
    assert '{aten.name = "last", sparse.dont_care = "mask"}' in str(f)


@pytest.mark.parametrize(
    ("dont_care", "message"),
    [
        ({"lost": "mask"}, "there is no result 'lost'\n  hint: did you mean 'last'?"),
        ({"hidden.7": "mask"}, "there is no result 'hidden.7'"),
        ({"zebra": "mask"}, "hint: known: hidden, hidden.0, last, pooled"),
        ({"last": "msk"}, "there is no argument 'msk'\n  hint: did you mean 'mask'?"),
        ({"last": "zebra"}, "hint: known: mask, x"),
        ({"pooled": "mask"}, "'mask' is ['s0', 's1'], 'pooled' is ['s0', 8]"),
        ("mask", "dont_care is a dictionary, result -> argument, got 'mask'"),
        ({"last": "x"}, "'x' is [4], 'last' is ['s0', 's1', 8]"),
    ],
)
def test_what_does_not_fit_is_refused(dont_care, message):
    f = function(("last", HIDDEN), ("hidden.0", HIDDEN), ("pooled", POOLED))
    before = str(f)
    with pytest.raises(UserError) as raised:
        annotate(f, dont_care)
    assert message in str(raised.value)
    assert str(f) == before


def test_symbols_that_export_did_not_tie_may_be_equal():
    f = function(("last", 'tensor<?x?x8xf32, #aten.dims<"s5", "u0", 8>>'))
    annotate(f, {"last": "mask"})
    assert read(f) == {"last": "mask"}


def test_a_mask_is_as_dense_as_its_examples():
    f = function(("last", HIDDEN))
    annotate(f, {"last": "mask"})
    masks = [torch.tensor([[1, 0, 2, -1]]), torch.zeros(2, 2), torch.zeros(0, 4)]
    measure(f, [(torch.ones(4), mask) for mask in masks])
    assert 'aten.name = "mask", sparse.density = 3.750000e-01' in str(f)
    assert str(f).count("sparse.density") == 1


def test_an_empty_example_tells_no_density():
    f = function(("last", HIDDEN))
    annotate(f, {"last": "mask"})
    measure(f, [(torch.ones(4), torch.zeros(0, 4))])
    assert "sparse.density" not in str(f)
