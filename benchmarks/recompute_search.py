"""How long the planners of recomputation search, and how much they leave exposed: one table a run.

    python -m benchmarks.recompute_search [RUNG ..]

The layers are those of a GPT of 6.7 billion parameters under tensor parallelism of four (hidden size 4096, 2048 tokens,
four samples, attention not fused) on A100s with NVLink, 24 on a stage, four micro-batches in flight. Budgets are shares
of what keeping everything takes.
"""

import sys
import time

from gossamer.passes.solvers.recompute_check import check
from gossamer.passes.solvers.recompute_graph import INPUT, Graph, Op, Phase, Value, Window
from gossamer.passes.solvers.recompute_memory import keep_all, peak
from gossamer.passes.solvers.recompute_plan import Planner

# name, milliseconds, megabytes of each result, operands; `x` is the input of the layer.
LAYER = (
    ("norm1", 0.103, (67.1,), ("x",)),
    ("qkv", 1.322, (50.3,), ("norm1",)),
    ("scores", 0.427, (268.4,), ("qkv",)),
    ("softmax", 0.413, (268.4,), ("scores",)),
    ("dropout", 0.516, (402.7,), ("softmax",)),
    ("values", 0.427, (16.8,), ("dropout", "qkv")),
    ("project", 0.441, (67.1,), ("values",)),
    ("reduce1", 0.0, (67.1,), ("project",)),
    ("residual", 0.129, (100.7,), ("reduce1", "x")),
    ("norm2", 0.103, (67.1,), ("residual",)),
    ("up", 1.762, (67.1,), ("norm2",)),
    ("gelu", 0.103, (67.1,), ("up",)),
    ("down", 1.762, (67.1,), ("gelu",)),
    ("reduce2", 0.0, (67.1,), ("down",)),
    ("output", 0.129, (67.1, 33.6), ("reduce2", "residual")),
)
ATTENTION, FEED_FORWARD = ("x", "norm1", "qkv", "softmax", "dropout", "values"), ("residual", "norm2", "up", "gelu")
REDUCE, BACKWARD = 0.458, 7.6
"""Milliseconds of an all-reduce, and of the backward pass of half a layer."""


class Stage:
    """Ops one after the other."""

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self.values = [Value(INPUT)]
        self.windows: list[Window] = []

    def op(
        self, name: str, reads: tuple[int, ...], megabytes: tuple[float, ...], phase: Phase, **more
    ) -> tuple[int, ...]:
        results = tuple(range(len(self.values), len(self.values) + len(megabytes)))
        self.values += [Value(len(self.ops), round(1e6 * size)) for size in megabytes]
        self.ops.append(Op(name, reads, results, phase, **more))
        return results

    def reduce(self, name: str, reads: tuple[int, ...], megabytes: tuple[float, ...], phase: Phase, layer: int) -> int:
        self.windows.append(Window(1e-3 * REDUCE, 1.0, "tensor"))
        window = len(self.windows) - 1
        started = self.op(f"{name}.start", reads, (0.0,), phase, layer=layer, starts=window)
        return self.op(f"{name}.wait", started, megabytes, phase, layer=layer, waits=window)[0]


def stage(layers: int, in_flight: int) -> Graph:
    """A pipeline stage of identical layers."""
    made, known = Stage(), list[dict[str, int]]()
    (x,) = made.op("embedding", (0,), (67.1,), Phase.FORWARD)
    for layer in range(layers):
        here = {"x": x}
        for name, ms, megabytes, operands in LAYER:
            reads = tuple(here[operand] for operand in operands)
            if name.startswith("reduce"):
                here[name] = made.reduce(f"{name}.{layer}", reads, megabytes, Phase.FORWARD, layer)
            else:
                results = made.op(f"{name}.{layer}", reads, megabytes, Phase.FORWARD, time=1e-3 * ms, layer=layer)
                here[name], here["mask"] = results[0], results[-1]
        known.append(here)
        x = here["output"]
    gradient = x
    for layer, here in reversed(list(enumerate(known))):
        for half, names in (("feed-forward", (*FEED_FORWARD, "mask")), ("attention", ATTENTION)):
            reads = (*(here[name] for name in names), gradient)
            seconds = 1e-3 * BACKWARD
            (gradient,) = made.op(f"{half}.{layer}", reads, (0.0,), Phase.BACKWARD, time=seconds, layer=layer)
            gradient = made.reduce(f"{half}.{layer}", (gradient,), (0.0,), Phase.BACKWARD, layer)
    return Graph(tuple(made.ops), tuple(made.values), (gradient,), tuple(made.windows), in_flight=in_flight)


def main(rungs: list[str]) -> None:
    print(
        "| rung | budget | exposed ms | hidden ms | at least ms | peak GB | search s |\n|---|---|---|---|---|---|---|"
    )
    graph = stage(24, 4)
    most = peak(graph, keep_all(graph))
    for rung in rungs:
        for share in (0.7, 0.5, 0.3, 0.15):
            budget, since = int(share * most), time.perf_counter()
            plan = Planner(graph).plan(budget, rung)
            took = time.perf_counter() - since
            check(graph, plan.schedule, budget)
            costs = f"{1e3 * plan.exposed:.2f} | {1e3 * plan.hidden:.2f} | {1e3 * plan.lower_bound:.2f}"
            print(f"| {rung} | {share} | {costs} | {plan.peak / 1e9:.1f} | {took:.2f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or ["heu", "mix"])
