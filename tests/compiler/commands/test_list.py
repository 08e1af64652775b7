"""`gossamer list`: everything has a name and a description."""

import pytest
from gossamer.compiler import options
from gossamer.compiler.commands import list as listed


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("passes", ["simplify", "insert-gathers", "cse"]),
        ("dialects", ["aten", "sparse", "builtin"]),
        ("stages", ["import", "simplify", "guard-density"]),
        ("ops", ["aten.call", "sparse.gather"]),
        ("targets", ["cpu", "cuda"]),
        ("machines", ["loihi1", "truenorth"]),
    ],
)
def test_lists_say_what_each_thing_is(run, what, names):
    code, out, _ = run("list", what)
    assert code == 0
    described = {line.split()[0]: line.split(maxsplit=1)[1:] for line in out.splitlines()[1:]}
    assert set(names) <= set(described)
    assert all(described.values()), "everything has a description"


def test_the_targets_listed_are_those_that_a_model_can_be_compiled_for():
    assert tuple(listed.TARGETS) == options.TARGETS
