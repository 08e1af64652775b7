"""`python -m benchmarks.overlap`: how much of a recomputation two ranks hide behind their communication.

    keep all     nothing is computed again
    on demand    what is forgotten is computed again right before it is read, on the critical path
    in windows   .. between the start of a sum over the ranks and its wait

All three sum over the same emulated wire, on which 20 ms pass for each sum, and give the same bits. Hidden is
(on demand - in windows) / (on demand - keep all): of the time that recomputation takes, what the windows take away. All
of it finds room in them. On one machine a wire is emulated because gloo itself works on the processors that it would
leave free.
"""

import gc
import statistics
import time

import torch
from gossamer.compiler.ranks import agree, share_times
from gossamer.compiler.step_costs import measure_step
from gossamer.compiler.training import compile_training
from gossamer.compiler.windows import measure_windows
from gossamer.passes.analysis.training_graph import training_graph
from gossamer.passes.rematerialization import apply_schedule
from gossamer.passes.solvers.recompute_check import check
from gossamer.passes.solvers.recompute_schedule import Choice, schedule_of
from gossamer.runtime.executor import Program, find
from gossamer.runtime.wire import wire
from gossamer.tests.ranks import Ranks
from gossamer.tests.tensor_parallel import Blocks, in_windows, split_layers, squared
from torch import distributed as dist

from .__main__ import RESULTS
from .sections import Section, write

WIRE = 0.02
"""Seconds of each sum."""
SIZES = ((256, 512), (1024, 256))
"""Tokens and width: much to compute for what is sent, and less."""


def measure(rank: int, layers: int, tokens: int, width: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each variant and round on one rank, and what was planned."""
    torch.manual_seed(0)
    batch = (torch.randn(8, tokens // 8, width), torch.randn(8, tokens // 8, width))
    with wire(latency=WIRE):
        step = compile_training(split_layers(Blocks(layers, width), rank, 2), squared, batch)
        function, inputs = find(step.module, "step"), [*batch, step.tangent(None)]
        measure_step(step.module, step.weights, inputs)
        share_times(function)
        measure_windows(function)
        graph = training_graph(function).graph
        choice = in_windows(graph)
        programs = {"keep all": Program.build(step.module, step.weights, "step")}
        found: dict[str, list[float]] = {}
        for name, placed in (("on demand", {}), ("in windows", choice.placed)):
            module, schedule = step.module.clone(), schedule_of(graph, Choice(choice.kept, placed))
            other = find(module, "step")
            apply_schedule(other, training_graph(other), schedule)
            agree(other)
            programs[name] = Program.build(module, step.weights, "step")
            account = check(graph, schedule)
            found |= {f"{name}, planned": [account.peak, account.exposed]}
        kept = check(graph, schedule_of(graph, Choice(frozenset(range(len(graph.values))))))
        found |= {"keep all, planned": [kept.peak, kept.exposed]}
        return found | alternating(programs, inputs, rounds)


@torch.no_grad()
def alternating(programs: dict[str, Program], inputs: list[torch.Tensor], rounds: int) -> dict[str, list[float]]:
    """Seconds of each program and round, run in turns, all ranks together. Raises where two give different bits."""
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    results = [program(inputs) for program in programs.values()]
    assert all(torch.equal(a, b) for other in results for a, b in zip(other, results[0], strict=True))
    del results
    gc.disable()
    for _ in range(rounds):
        for name, program in programs.items():
            dist.barrier()
            start = time.perf_counter()
            program(inputs)
            seconds[name].append(time.perf_counter() - start)
    gc.enable()
    return seconds


def section(layers: int = 6, rounds: int = 21) -> Section:
    """Each size on both ranks, of which the slower one counts."""
    with Ranks() as ranks:
        rows = [row for size in SIZES for row in variants(ranks(measure, layers, *size, rounds), *size)]
    return Section(
        "overlap",
        f"{layers} blocks of GPT-2, heads and hidden units on two gloo ranks of one thread: 4 sums a block over an "
        f"emulated wire of {WIRE * 1e3:.0f} ms each",
        ("tokens x width", "sum, MiB", "recomputation", "ms a step", "peak MiB", "ms exposed as planned", "hidden"),
        rows,
        [
            "results are equal to the bit; shares are differences of whole steps and vary by some tens of percent",
            "the wire is a wait on each rank and gloo brings the data, with processor time that grows with the bytes "
            "and is taken from what runs meanwhile; no network and no NCCL was at work here",
        ],
    )


def variants(both: list[dict[str, list[float]]], tokens: int, width: int) -> list[tuple[str, ...]]:
    """The rows of one size. Variants are compared within each round, whose time is that of the slower rank."""
    found = {name: [max(ranks) for ranks in zip(*(one[name] for one in both), strict=True)] for name in both[0]}
    recomputed, saved = less(found, "keep all"), less(found, "in windows")
    shares = {
        "keep all": "",
        "on demand": f"0 % of {recomputed * 1e3:.1f} ms",
        "in windows": f"{saved / recomputed:.0%}",
    }
    return [
        (
            f"{tokens:,} x {width}",
            f"{tokens * width * 4 / 2**20:.2f}",
            name,
            f"{statistics.median(found[name]) * 1e3:.1f}",
            f"{found[f'{name}, planned'][0] / 2**20:.1f}",
            f"{found[f'{name}, planned'][1] * 1e3:.1f}",
            share,
        )
        for name, share in shares.items()
    ]


def less(found: dict[str, list[float]], name: str) -> float:
    """Seconds that a variant takes less than recomputation on demand: the median of the rounds."""
    return statistics.median(a - b for a, b in zip(found["on demand"], found[name], strict=True))


def main() -> None:
    write(RESULTS, section(), "python -m benchmarks.overlap")


if __name__ == "__main__":
    main()
