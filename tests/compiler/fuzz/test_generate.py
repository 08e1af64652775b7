"""Models from seeds: the same every time, well typed, and Python that runs."""

import re
import subprocess
import sys
from collections import Counter

import pytest
from gossamer.compiler.fuzz.ffn import HIDDEN
from gossamer.compiler.fuzz.generate import generate
from gossamer.compiler.fuzz.model import INPUT, Model, Node, pruned
from gossamer.compiler.fuzz.ops import OPS, types_of
from gossamer.compiler.fuzz.source import PASSES, passes, source

SEEDS = range(400)


def test_a_seed_is_one_model():
    assert [generate(seed) for seed in range(50)] == [generate(seed) for seed in range(50)]
    assert len({generate(seed) for seed in range(50)}) == 50


def test_a_seed_is_one_model_in_another_process():
    code = "from gossamer.compiler.fuzz.generate import generate; print([generate(seed) for seed in range(20)])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONHASHSEED": "7"})
    assert done.stdout.strip() == str([generate(seed) for seed in range(20)]), done.stderr


def test_every_model_is_well_typed_and_compiles_as_python():
    for seed in SEEDS:
        model = generate(seed)
        assert types_of(model) is not None
        compile(source(model), "model.py", "exec")


def test_every_pipeline_and_zero_between_products_is_met():
    models = [generate(seed) for seed in range(3000)]
    met = Counter(model.passes for model in models)
    assert met.keys() == PASSES.keys()
    forms = {node.parameter.partition(" ")[2] for model in models for node in model.nodes if node.op.startswith("ffn")}
    assert forms == HIDDEN.keys()
    assert {model.dtype for model in models if "kernels" in model.passes} == {"float64", "float32", "bfloat16"}
    assert any(model.strict_nan and model.approximate for model in models)


def test_what_is_asked_of_skips_stands_among_the_passes():
    model = Model((), (), (), passes="all", strict_nan=True, approximate=True)
    assert re.search("threshold-activations{threshold=0.0},insert-skips{.* strict-nan=true},restore-a", passes(model))
    assert passes(Model((), (), (), passes="all")) == PASSES["all"]


def test_every_op_is_met_sooner_or_later():
    met = Counter(node.op for seed in range(6000) for node in generate(seed).nodes)
    assert set(OPS) - met.keys() == set()


def test_every_parameter_of_every_op_can_be_written():
    for name, op in OPS.items():
        for parameter in op.parameters:
            text = op.code if isinstance(op.code, str) else op.code[parameter]
            assert text.strip(), name


@pytest.mark.parametrize("seed", range(20))
def test_what_nobody_reads_is_left_out(seed):
    model = generate(seed)
    first = next(index for index, node in enumerate(model.nodes) if node.op != INPUT)
    less = pruned(Model(**{**vars(model), "results": (first,), "dont_care": ()}))
    assert len(less.nodes) <= first + 1
    assert types_of(less) is not None


def test_a_model_is_written_as_a_module_a_reader_understands():
    nodes = (
        Node(INPUT, (), "keep"),
        Node(INPUT, (), "x"),
        Node("linear", (1,), "12", 2),
        Node("times rows", (2, 0), "", 3),
    )
    text = source(Model(nodes, (3,), generate(0).calls[:1]))
    assert (
        """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.m2 = nn.Linear(8, 12)

    def forward(self, keep, x):
        v2 = self.m2(x)
        v3 = v2 * keep[..., None]
        return {"r0": v3}
"""
        in text
    )
