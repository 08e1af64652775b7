"""Training steps by hand: two ops of a forward pass that can run again, and a backward pass that reads them."""

from gossamer.compiler.context import parse_text
from gossamer.passes.analysis.training_graph import TrainingGraph, training_graph
from gossamer.runtime.executor import find
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp

ROWS = "tensor<4x8xf32>"
STEP = """
builtin.module {
  func.func @step(%x: ROWS) -> (tensor<f32>, ROWS) {
    %a = aten.call "aten.exp.default"(%x) attributes {train.phase = "forward", train.time = 2.0e-06 : f64} : (ROWS) -> ROWS
    %b = aten.call "aten.sin.default"(%a) attributes {train.time = 3.0e-06 : f64} : (ROWS) -> ROWS
    %v = aten.call "aten.view.default"(%b, [32]) attributes {train.storage = [#remat.storage<operand 0>]} : (ROWS) -> tensor<32xf32>
    %s = aten.call "aten.sum.default"(%v) attributes {train.time = 1.0e-06 : f64} : (tensor<32xf32>) -> tensor<f32>
    %c = aten.call "aten.mul.Tensor"(%b, %s) attributes {train.phase = "backward", train.time = 1.0e-06 : f64} : (ROWS, tensor<f32>) -> ROWS
    %d = aten.call "aten.mul.Tensor"(%c, %a) attributes {train.time = 1.0e-06 : f64} : (ROWS, ROWS) -> ROWS
    func.return %s, %d : tensor<f32>, ROWS
  }
}
""".replace("ROWS", ROWS)  # noqa: E501 (one op, one line)


def module(text: str = STEP) -> ModuleOp:
    """A program with short names for its types."""
    return parse_text(text.replace("ROWS", ROWS))


def step_of(program: ModuleOp) -> FuncOp:
    return find(program, "step")


def read(program: ModuleOp) -> TrainingGraph:
    return training_graph(step_of(program))


def written(training: TrainingGraph) -> str:
    """A schedule as text: `a.0  b.0 -a.0  ..`, where `-a.0` is the storage that goes."""
    graph = training.graph

    def name(value: int) -> str:
        producer = graph.values[value].producer
        return "x" if producer < 0 else graph.ops[producer].name

    return "  ".join(
        f"{graph.ops[step.op].name}.{step.life}" + "".join(f" -{name(v)}.{life}" for v, life in step.frees)
        for step in training.schedule.steps
    )
