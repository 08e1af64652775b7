"""`python -m benchmarks.overlap`: how much of a recomputation two ranks hide behind their communication.

    keep all     nothing is computed again
    on demand    what the plan of `memory_budget` forgets is computed again right before it is read
    in windows   the plan itself: much of it between the start of a sum over the ranks and its wait

All sum over the same emulated wire, on which 20 ms pass for each sum, and give the same bits. Hidden is
(on demand - in windows) / (on demand - keep all): of the time that recomputation takes, what windows take away. On one
machine a wire is emulated because gloo itself works on the processors that it would leave free.
"""

import gc
import statistics
import time

import torch
from gossamer.compiler.ranks import agree
from gossamer.compiler.training import compile_training
from gossamer.dialects.remat import BUDGET, MEASURED, number_of
from gossamer.passes.analysis.training_graph import training_graph
from gossamer.passes.rematerialization import apply_schedule
from gossamer.passes.solvers.recompute_check import check
from gossamer.passes.solvers.recompute_plan import plan
from gossamer.passes.solvers.recompute_schedule import Choice, schedule_of
from gossamer.runtime.executor import Program, find
from gossamer.runtime.wire import wire
from gossamer.tests.ranks import Ranks
from gossamer.tests.tensor_parallel import Blocks, split_layers, squared
from torch import distributed as dist

from .__main__ import RESULTS
from .sections import Section, write

WIRE = 0.02
"""Seconds of each sum."""
TOKENS, WIDTH = 1024, 256
BUDGETS = ("40%", "32%", "28%")
"""Of what keeping all takes beyond weights and batch."""
ALL, LATE, HIDDEN = "keep all", "on demand", "in windows"

Found = dict[str, list[float]]
"""Of each variant: seconds of its rounds, or bytes and seconds that were planned and measured."""


def measure(rank: int, layers: int, rounds: int) -> tuple[Found, Found]:
    """Seconds of each variant on one rank, and what was planned: bytes, bytes measured, seconds exposed, and those that
    no plan is under."""
    torch.manual_seed(0)
    batch = (torch.randn(8, TOKENS // 8, WIDTH), torch.randn(8, TOKENS // 8, WIDTH))
    with wire(latency=WIRE):
        step = compile_training(split_layers(Blocks(layers, WIDTH), rank, 2), squared, batch)
        programs, planned = {ALL: Program.build(step.kept, step.weights, "step")}, Found()
        for budget in BUDGETS:
            step.fit(batch, budget)
            function, training = find(step.module, "step"), training_graph(find(step.kept, "step"))
            graph, measured = training.graph, float(number_of(function, MEASURED) or 0)
            found = plan(graph, number_of(function, BUDGET) or 0)
            assert training_graph(function).schedule == found.schedule
            programs[f"{HIDDEN} {budget}"] = step.program
            planned[f"{HIDDEN} {budget}"] = [found.peak, measured, found.exposed, found.lower_bound]
            schedule = schedule_of(graph, Choice(found.choice.kept, {}, found.choice.renewed))
            module, account = step.kept.clone(), check(graph, schedule)
            other = find(module, "step")
            apply_schedule(other, training_graph(other), schedule)
            agree(other)
            programs[f"{LATE} {budget}"] = Program.build(module, step.weights, "step")
            planned[f"{LATE} {budget}"] = [account.peak, 0.0, account.exposed, 0.0]
            planned[ALL] = [check(graph, training.schedule).peak, 0.0, 0.0, 0.0]
        return planned, alternating(programs, [*batch, step.tangent(None)], rounds)


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


def section(layers: int = 6, rounds: int = 15) -> Section:
    """All variants on both ranks, of which the slower one counts."""
    with Ranks() as ranks:
        (planned, one), (_, two) = ranks(measure, layers, rounds)
    slower = {name: [max(pair) for pair in zip(one[name], two[name], strict=True)] for name in one}
    return Section(
        "overlap",
        f"{layers} blocks of GPT-2 of {WIDTH}, {TOKENS:,} tokens, heads and hidden units on two gloo ranks of one "
        f"thread: 4 sums a block over an emulated wire of {WIRE * 1e3:.0f} ms each, plans of `memory_budget`",
        (
            "budget",
            "recomputation",
            "ms a step",
            "peak MiB",
            "measured",
            "ms exposed as planned",
            "at least",
            "hidden, quartiles",
        ),
        [line(ALL, "", planned, slower), *(row for budget in BUDGETS for row in variants(budget, planned, slower))],
        [
            f"results are equal to the bit; {rounds} rounds in which variants take turns; hidden is the median of the "
            "shares of the rounds",
            "the wire is a wait on each rank and gloo brings the data, with processor time that grows with the bytes "
            "and is taken from what runs meanwhile; no network and no NCCL was at work here",
        ],
    )


def variants(budget: str, planned: Found, seconds: Found) -> list[tuple[str, ...]]:
    """The rows of one budget."""
    late, hidden = (seconds[f"{name} {budget}"] for name in (LATE, HIDDEN))
    again = statistics.median(a - b for a, b in zip(late, seconds[ALL], strict=True))
    shares = [(a - b) / again for a, b in zip(late, hidden, strict=True)]
    low, middle, high = statistics.quantiles(shares, n=4)
    return [
        line(LATE, budget, planned, seconds, f"0 % of {again * 1e3:.1f} ms"),
        line(HIDDEN, budget, planned, seconds, f"{middle:.0%} ({low:.0%} .. {high:.0%})"),
    ]


def line(name: str, budget: str, planned: Found, seconds: Found, share: str = "") -> tuple[str, ...]:
    """One row."""
    key = f"{name} {budget}".strip()
    peak, measured, exposed, least = planned[key]
    return (
        budget,
        name,
        f"{statistics.median(seconds[key]) * 1e3:.1f}",
        f"{peak / 2**20:.2f}",
        f"{measured / 2**20:.2f}" if measured else "",
        f"{exposed * 1e3:.1f}",
        f"{least * 1e3:.1f}" if measured else "",
        share,
    )


def main() -> None:
    write(RESULTS, section(), "python -m benchmarks.overlap")


if __name__ == "__main__":
    main()
