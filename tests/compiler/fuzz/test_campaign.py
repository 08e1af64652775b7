"""The fuzzer as a whole: it finds what is broken, makes it small, and writes it down; and nothing is broken now."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from gossamer.compiler.cli import main
from gossamer.compiler.fuzz.campaign import Campaign, Failure, reproducer, smallest, space_of, verdict
from gossamer.compiler.fuzz.generate import generate
from gossamer.compiler.fuzz.judge import Mismatch, RefusedError, judge
from gossamer.compiler.fuzz.model import INPUT, Call, Model, Node
from gossamer.compiler.fuzz.source import clearable, source
from gossamer.passes import insert_gathers, sink_scatters
from gossamer.passes.analysis import live_rules
from gossamer.passes.solvers.index_expr import FALSE

BUDGET = 12
"""Models that every run of the tests tries; longer: `gossamer fuzz`."""


@pytest.fixture(autouse=True)
def one_thread():
    """Small models gain nothing from more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_random_models_give_what_eager_torch_gives():
    campaign = Campaign(shrinking=5)
    campaign.run(BUDGET, seconds=30)
    texts = (reproducer(failure, Path(f"{name}.py"), None) for name, failure in campaign.failures.items())
    assert not campaign.failures, "\n".join(texts)
    assert sum(campaign.refused.values()) < campaign.models / 4, campaign.refused


def test_equal_results_are_two_tensors():
    nodes = (Node(INPUT, (), "x"), Node("tanh", (0,), "", 1), Node("tanh", (0,), "", 2))
    model = Model(nodes, (1, 2), calls=(Call((("b", 1), ("s", 2)), (("x", "normal"),)),))
    assert verdict(model) is None


LINEAR_ROWS = Model(
    nodes=(
        Node(INPUT, (), "keep"),
        Node(INPUT, (), "x"),
        Node("linear", (1,), "12", 2),
        Node("relu", (2,), "", 3),
        Node("linear", (3,), "8", 4),
        Node("fill rows", (4, 0), "1.0", 5),
        Node("tanh", (5,), "", 6),
    ),
    results=(5, 6),
    calls=(Call((("b", 3), ("s", 5)), (("keep", "holes"), ("x", "normal"))),) * 2,
)


SMALL = Model(
    nodes=(
        Node(INPUT, (), "keep"),
        Node(INPUT, (), "x"),
        Node("linear", (1,), "8", 2),
        Node("fill rows", (2, 0), "1.0", 3),
    ),
    results=(3,),
    calls=(Call((("b", 1), ("s", 2)), (("keep", "empty"), ("x", "normal"))),),
)


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break the passes: they no longer see that an op brings dead rows to life."""
    for module in (insert_gathers, sink_scatters):
        monkeypatch.setattr(module, "brings_rows_to_life", lambda view, op: False)


def test_a_pass_that_forgets_what_rows_are_filled_with_is_found_and_made_small(monkeypatch):
    assert verdict(LINEAR_ROWS) is None
    forget(monkeypatch)
    found = verdict(LINEAR_ROWS)
    assert found
    assert found.kind == "values"
    small = smallest(0, LINEAR_ROWS, found, None, 60).model
    assert sorted(node.op for node in small.nodes) == ["fill rows", INPUT, INPUT, "linear"]
    assert len(small.results) == len(small.calls) == 1


def test_a_pass_that_reads_the_wrong_row_is_found_among_random_models(monkeypatch):
    def select(found, op, state):
        needs = liveness_select(found, op, state)
        return needs and [replace(n, rows=FALSE) if n else n for n in needs]

    liveness_select = live_rules.select
    monkeypatch.setitem(live_rules.RULES, "aten.select.int", select)
    for seed in range(360, 2000):
        model = generate(seed)
        if len(model.nodes) > 9 or not {"first row", "linear"} <= {node.op for node in model.nodes}:
            continue
        try:
            found = verdict(model)
        except RefusedError:
            continue
        if found:
            small = smallest(seed, model, found, None, 60).model
            assert len([node for node in small.nodes if node.op != INPUT]) <= 3
            return
    pytest.fail("not found")


def file_of(model: Model, mismatch: Mismatch, folder: Path) -> Path:
    file = folder / "found.py"
    file.write_text(reproducer(Failure(7, model, mismatch), file, None))
    return file


def test_a_reproducer_is_a_model_that_run_compares(tmp_path, capsys, monkeypatch):
    file = file_of(SMALL, Mismatch("values", "r0: 3 of 120 numbers"), tmp_path)
    passes = re.findall(r"-p '(.*)'", file.read_text())[0]
    assert main(["run", f"{file}:model", "--compare", "-p", passes]) == 0
    assert main(["fuzz", "--again", str(file)]) == 0
    assert "the results are equal" in capsys.readouterr().out
    forget(monkeypatch)
    assert main(["run", f"{file}:model", "--compare", "-p", passes]) == 1
    assert main(["fuzz", "--again", str(file)]) == 1
    assert "values: call 0: r0" in capsys.readouterr().err


def test_the_command_says_what_it_found_and_writes_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gossamer.compiler.fuzz.campaign.generate", lambda seed, exact: SMALL)
    assert main(["fuzz", "--models", "1", "--out", str(tmp_path / "out")]) == 0
    assert not (tmp_path / "out").exists()
    forget(monkeypatch)
    assert main(["fuzz", "--models", "2", "--out", str(tmp_path / "out")]) == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["values-fill_rows-linear.py"]
    assert "2 models, 0 of which cannot be compared, 1 mismatches" in capsys.readouterr().out
    assert main(["fuzz", "--models", "0"]) == 2
    assert main(["fuzz", "--exact", "nearly"]) == 1


SHARING = """
import torch
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen.add_(1)
        return {"r0": RESULT, "r1": x + 1}


def call_0():
    return {"x": torch.randn(2, 3)}


OPTIONS = {}
CALLS = [call_0]
SETTINGS = {"passes": "", "gradients": True, "also": ["check", "text", "saved"]}


def model():
    return Model().eval(), (), call_0(), OPTIONS
"""


@pytest.mark.parametrize("result", ["x * 2", "x", "x[1:]", "x.t()"])
def test_results_that_share_memory_with_arguments_are_no_mismatch_where_eagers_do(result):
    assert judge(space_of(SHARING.replace("RESULT", result))) is None


WRONG = {
    "values": "[found[0] + 1, *found[1:]]",
    "aliasing": "[given[0], given[0] + 1]",
    "crash": "1 / 0",
}


COPIED = SHARING.replace("self.seen.add_(1)", "x = x.copy_(x)").replace("RESULT", "x").replace("True", "False")


def test_an_argument_that_is_written_with_what_it_holds_may_be_returned_as_a_copy():
    assert judge(space_of(COPIED)) is None


SKIPS = Model(
    nodes=(Node(INPUT, (), "x"), Node("ffn", (0,), "12 gated relu", 1)),
    results=(1,),
    calls=(Call((("b", 1), ("s", 1)), (("x", "normal"),)),) * 2,
    dtype="float32",
    passes="kernels",
)


def test_what_passes_did_to_a_model_is_told():
    notes: set[str] = set()
    assert verdict(SKIPS, notes=notes) is None
    assert {"insert-skips", "skips along k", "skips along n", "kernel with a gate"} <= notes
    assert "insert-gathers" not in notes


def test_a_zero_gate_may_hide_nan_unless_nan_is_to_be_kept():
    infinite = Model(
        nodes=(Node(INPUT, (), "x"), *(Node("linear", (0,), "12", k) for k in (1, 2)), Node("gated", (1, 2), "", 3)),
        results=(3,),
        calls=(Call((("b", 1), ("s", 1)), (("x", "normal"),)), Call((("b", 1), ("s", 1)), (("x", "infinite"),), 7)),
        dtype="float32",
        passes="kernels",
    )
    assert clearable(infinite) == [3]
    assert clearable(replace(infinite, strict_nan=True)) == []
    assert clearable(replace(infinite, passes="packed")) == []
    assert verdict(infinite) is None
    assert verdict(replace(infinite, strict_nan=True)) is None
    found = judge(space_of(source(infinite)))
    assert found
    assert found.kind == "values"


def test_the_gradient_of_hardshrink_at_nan_may_be_one():
    model = Model(
        nodes=(Node(INPUT, (), "x"), Node("hardshrink", (0,), "0.5", 1)),
        results=(1,),
        calls=(Call((("b", 2), ("s", 4)), (("x", "nan"),), 3),),
        gradients=True,
    )
    assert verdict(model) is None
    assert judge(space_of(source(model)))


def test_processes_share_the_seeds_and_find_the_same():
    alone, together = Campaign(), Campaign()
    alone.run(4, seed=500)
    together.run(4, seed=500, jobs=2)
    assert (alone.models, alone.applied, alone.refused) == (together.models, together.applied, together.refused)
    assert alone.applied


HIDDEN_KEYS = Model(
    nodes=(Node(INPUT, (), "keep"), Node(INPUT, (), "x"), Node("attend", (1, 0), "keys plain", 2)),
    results=(2,),
    calls=(
        Call((("b", 4), ("s", 5)), (("keep", "right"), ("x", "normal"))),
        Call((("b", 4), ("s", 5)), (("keep", "right"), ("x", "nan rows")), 416),
    ),
)


@pytest.mark.parametrize("exact", [None, "bitwise"])
def test_nan_in_keys_that_nobody_sees_may_go(exact):
    assert verdict(HIDDEN_KEYS, exact) is None
    found = judge(space_of(source(HIDDEN_KEYS)), exact=exact)
    assert found
    assert found.kind == "values"


def test_nan_in_keys_that_token_numbers_hide_may_go_too():
    nodes = (Node(INPUT, (), "ids"), Node(INPUT, (), "x"), Node("attend", (1, 0), "keys plain", 2))
    call = Call((("b", 3), ("s", 5)), (("ids", "random"), ("x", "nan rows")), 2)
    model = Model(nodes, (2,), calls=(replace(call, values=(("ids", "random"), ("x", "normal"))), call))
    assert verdict(model) is None
    assert judge(space_of(source(model)))


def test_a_mask_that_multiplies_keeps_nan_where_bits_are_compared():
    nodes = (*LINEAR_ROWS.nodes[:3], Node("times rows", (2, 0), "", 3))
    model = Model(nodes, (3,), calls=LINEAR_ROWS.calls)
    assert clearable(model) == [3]
    assert clearable(model, exact=True) == []


def test_dropout_that_does_nothing_may_give_a_copy():
    nodes = (Node(INPUT, (), "x"), Node("dropout", (0,), "0.5, False", 1))
    model = Model(nodes, (1,), calls=(Call((("b", 1), ("s", 2)), (("x", "normal"),)),))
    assert verdict(model) is None
    found = judge(space_of(source(model)))
    assert found
    assert found.kind == "aliasing"


@pytest.mark.parametrize("kind", WRONG)
def test_each_kind_of_mismatch_is_told_by_name(kind, monkeypatch):
    from gossamer.runtime.executor import Program

    call = Program.__call__

    def wrong(self, given):
        found = call(self, given)
        return eval(WRONG[kind], {"found": found, "given": given})

    monkeypatch.setattr(Program, "__call__", wrong)
    space = space_of(SHARING.replace("RESULT", "x * 1"))
    found = judge(space)
    assert found
    assert found.kind == kind
