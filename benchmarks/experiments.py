"""The benchmarks by name: each measures and gives a section.

| name                             | table                                                            |
|----------------------------------|------------------------------------------------------------------|
| bert-short, bert-long, t5, vit   | all peers on one workload, and the limit                         |
| dense                            | four models without dead rows: gossamer against eager            |
| sweep                            | density 5 % .. 100 %: gossamer and hand-packed against eager     |
| kernels                          | generated kernels against torch, numba and g++, by density       |
| kernel-sweep                     | every generated product, density 1 % .. 100 %, against torch     |
| few-rows                         | linear(relu(x)) of 2 to 128 rows by how their zeros agree        |
| opt-decode, llama-decode         | one token through a model whose activations are mostly zero      |
| core-array                       | five spiking networks on a core array, against barriers          |
| spiking-equality                 | the same five, equal in torch, step by step and by messages      |
| spiking-events                   | synaptic events a second                                         |
| pipeline-nvlink, -pcie, ..       | simulated training steps by several policies of recomputation    |
| recompute-search                 | planners of recomputation: exposed ms, seconds of search         |
| training-equality                | models within six budgets: eager's bits, predicted peaks         |
| training-frontier, -12, -24      | what is computed again within memory budgets, against torch      |
| dense-products                   | products with the library's bits, against the library            |
| flash-attention                  | attention with the library's bits, against the library           |
| training-steps                   | seconds of a step at torch's own peaks, against torch            |
| training-batch                   | the largest batch that trains in 4 GB                            |
| spiking-mlp, -recurrent, -conv   | a hundred steps of a spiking network, against its libraries      |
| spiking-active                   | the same three where half of the neurons fire, and where all do  |
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from . import decode, feed_forward, kernel_sweep, peers, pipeline_timeline, spiking_inference, training_budgets
from . import few_rows as batched
from . import kernels as generated
from .core_array import core_array
from .decode import DECODERS, Decode
from .dense_products import dense_products
from .flash_attention import flash_attention
from .peers import EAGER, GOSSAMER, PACKED, Model, Peer
from .recompute_search import recompute_search
from .sections import Section
from .spiking_equality import spiking_equality
from .spiking_events import spiking_events
from .timing import Rounds, interleaved
from .training_batch import training_batch
from .training_equality import training_equality
from .training_steps import training_steps
from .workloads import BASE, CONTROLS, ENCODERS, TINY, Workload, bert


@dataclass(frozen=True)
class Settings:
    """`rounds` at most and `budget` seconds of timing for a workload; `inductor` seconds that it may compile for."""

    quick: bool = False
    rounds: int = 7
    budget: float = 30.0
    inductor: float = 120.0


Show = Callable[[str], object]
"""Tells what is being done."""

COLUMNS = ("peer", "ms", "x eager", "of the limit", "max difference", "note")


@dataclass(frozen=True)
class Measured:
    """The peers of a workload, the result of each that ran, and their times."""

    peers: list[Peer]
    results: dict[str, Tensor]
    rounds: Rounds

    def ratio(self, name: str, to: str = EAGER) -> float:
        """How many times as fast as `to`."""
        return self.rounds.ratio(name, to)


def measure(contenders: Iterable[Peer], settings: Settings, show: Show) -> Measured:
    """Run every peer that can: once for its result and to warm up, then in turns."""
    found = list(contenders)
    runs = {peer.name: peer.run for peer in found if peer.run is not None}
    show("warming up")
    with torch.inference_mode():
        results = {name: run() for name, run in runs.items()}
        show(f"timing {len(runs)} peers")
        return Measured(found, results, interleaved(runs, rounds=settings.rounds, budget=settings.budget))


def contenders(workload: Workload, settings: Settings, show: Show, fast: Model | None = None) -> Iterable[Peer]:
    """All peers of a workload; eager is the first. `fast` is what gossamer made of the model, if that is known."""
    yield peers.eager(workload)
    show(f"torch.compile is compiling (up to {settings.inductor:g} s)")
    yield peers.inductor(workload, settings.inductor)
    yield peers.nested(workload)
    yield peers.by_hand(workload)
    show("compiling with gossamer")
    yield peers.of_model(GOSSAMER, workload, fast or peers.compiled(workload))


def rows(workload: Workload | Decode, measured: Measured) -> list[tuple[str, ...]]:
    """One row a peer, and the limit."""
    found = []
    for peer in measured.peers:
        if peer.run is None:
            found.append((peer.name, "not measured", "", "", "", peer.note))
            continue
        ratio = measured.ratio(peer.name)
        apart = workload.difference(measured.results[EAGER], measured.results[peer.name])
        compared = ("", "") if peer.name == EAGER else (f"{ratio / workload.limit:.0%}", f"{apart:.1e}")
        time = milliseconds(measured.rounds.median(peer.name))
        found.append((peer.name, time, f"{ratio:.2f}", *compared, peer.note))
    return [*found, ("theoretical limit", "", f"{workload.limit:.2f}", "100%", "", "")]


def milliseconds(seconds: float) -> str:
    """Three digits or so."""
    return f"{seconds * 1e3:.0f}" if seconds >= 0.1 else f"{seconds * 1e3:.2f}"


def verdicts(workload: Workload, ratios: Callable[[str], float]) -> list[str]:
    """What became of the goals."""
    return [
        f"goal {goal:g} x {peer}: {'reached' if ratio >= goal else 'MISSED'} ({ratio:.2f})"
        for peer, goal in workload.goals.items()
        if (ratio := ratios(peer))
    ]


def encoder(name: str, settings: Settings, show: Show) -> Section:
    """All peers on one workload."""
    show("making the model")
    workload = ENCODERS[name](settings.quick)
    measured = measure(contenders(workload, settings, show), settings, show)
    notes = [] if settings.quick else verdicts(workload, partial(measured.ratio, GOSSAMER))
    notes.append(f"{len(measured.rounds)} rounds; differences are from eager, on rows that are read")
    return Section(name, workload.title, COLUMNS, rows(workload, measured), notes)


def dense(settings: Settings, show: Show) -> Section:
    """Models with nothing to win."""
    found, notes = [], []
    for make in CONTROLS:
        workload = make(settings.quick)
        show(f"compiling {workload.title}")
        short = replace(settings, rounds=3 * settings.rounds, budget=settings.budget / 2)
        measured = measure(
            [peers.eager(workload), peers.of_model(GOSSAMER, workload, peers.compiled(workload))], short, show
        )
        ratio = measured.ratio(GOSSAMER)
        apart = workload.difference(measured.results[EAGER], measured.results[GOSSAMER])
        times = (milliseconds(measured.rounds.median(name)) for name in (EAGER, GOSSAMER))
        found.append((workload.title, *times, f"{ratio:.3f}", f"{apart:.1e}"))
        if not settings.quick:
            notes += [f"{workload.title}: {verdict}" for verdict in verdicts(workload, lambda _, r=ratio: r)]
    columns = ("model", "eager ms", "gossamer ms", "x eager", "max difference")
    return Section("dense", "Dense controls: every row counts", columns, found, notes)


DENSITIES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0)
FLOOR = 0.97
"""The least ratio to eager that is promised at any density."""


def sweep(settings: Settings, show: Show) -> Section:
    """One program, batches of every density."""
    batch, length = (4, 32) if settings.quick else (16, 128)
    shape, vocabulary = (TINY, 100) if settings.quick else (replace(BASE, layers=2), 30522)
    first = bert(batch, length, 0.3, shape, vocabulary)
    show("compiling with gossamer")
    fast = peers.compiled(first)
    short = replace(settings, rounds=2 * settings.rounds, budget=settings.budget / 5)
    found, ratios = [], []
    for density in DENSITIES:
        workload = replace(bert(batch, length, density, shape, vocabulary), model=first.model)
        show(f"density {density:.2f}")
        runners = [peers.eager(workload), peers.by_hand(workload), peers.of_model(GOSSAMER, workload, fast)]
        measured = measure(runners, short, show)
        ratios.append(measured.ratio(GOSSAMER))
        found.append(density_row(workload, measured))
    columns = (
        "density", "eager ms", "hand-packed ms", "gossamer ms", "hand-packed x eager", "gossamer x eager", "limit",
        "max difference",
    )  # fmt: skip
    word = "reached" if min(ratios) >= FLOOR else "MISSED"
    notes = [] if settings.quick else [f"goal never under {FLOOR} x eager: {word} (lowest {min(ratios):.3f})"]
    return Section("sweep", f"Density sweep, BERT, {shape.layers} layers, {batch} x {length}", columns, found, notes)


def density_row(workload: Workload, measured: Measured) -> tuple[str, ...]:
    """One density: times, ratios to eager, the limit."""
    times = (milliseconds(measured.rounds.median(name)) for name in (EAGER, PACKED, GOSSAMER))
    ratios = (f"{measured.ratio(name):.2f}" for name in (PACKED, GOSSAMER))
    apart = workload.difference(measured.results[EAGER], measured.results[GOSSAMER])
    return (f"{workload.density:.2f}", *times, *ratios, f"{workload.limit:.2f}", f"{apart:.1e}")


INDEX_COST = 0.03
"""The most of the dense product that finding active positions may cost."""


def kernels(settings: Settings, show: Show) -> Section:
    """Generated kernels, each against torch's dense product."""
    rounds = 6 * settings.rounds
    found, notes = [], []
    for case in generated.SMALL if settings.quick else generated.CASES:
        show(" ".join(case.title))
        rows, missed = generated.measure_case(case, rounds)
        found += rows
        notes += missed
    for case in feed_forward.SMALL if settings.quick else feed_forward.CASES:
        for density in feed_forward.DENSITIES:
            show(f"{case.kind} {case.width} {case.dtype} {density}")
            part, row = feed_forward.row(case, density, rounds)
            found.append(row)
            goal = feed_forward.OF_THE_LIMIT[case.kind]
            if density == feed_forward.DENSITIES[0] and part < goal:
                title = f"{case.kind} {case.width} {case.dtype}, {case.threads} threads"
                notes.append(f"{title}: goal {goal:.0%} of the limit MISSED ({part:.0%})")
    for inputs, outputs in [(64, 48)] if settings.quick else [(3072, 768), (8192, 2048)]:
        cost, row = feed_forward.support_row(inputs, outputs, rounds)
        found.append(row)
        word = "reached" if cost <= INDEX_COST else "MISSED"
        notes.append(f"support of {inputs}: {cost:.1%} of the dense product, goal {INDEX_COST:.0%} {word}")
    return Section("kernels", "Generated kernels, products of few rows", generated.COLUMNS, found, notes)


def kernels_by_density(settings: Settings, show: Show) -> Section:
    """Every generated product, under its guard."""
    found, cases = [], kernel_sweep.cases(settings.quick)
    for number, case in enumerate(cases):
        show(f"{' '.join(case.title)} ({number + 1} of {len(cases)})")
        found.append(kernel_sweep.measure(case, 15 * settings.rounds))
    misses = [miss for sweep in found for miss in sweep.misses]
    lowest = min(ratio for sweep in found for ratio in sweep.ratios)
    verdict = f"goal never under {FLOOR} x dense: {'MISSED' if misses else 'reached'} (lowest {lowest:.3f})"
    rows, notes = [sweep.row for sweep in found], [] if settings.quick else [verdict, *misses]
    return Section("kernel-sweep", "Generated products by density, x dense", kernel_sweep.COLUMNS, rows, notes)


def few_rows(settings: Settings, show: Show) -> Section:
    """Batches of few rows, compiled as a whole."""
    found, notes = [], []
    for case in batched.SMALL if settings.quick else (*batched.CASES, *batched.BF16):
        show(" ".join(case.title))
        rows, missed = batched.measure_case(case, 6 * settings.rounds, settings.inductor > 0)
        found += rows
        notes += missed
    reached = f"goals: {batched.FLOOR} x eager everywhere, {batched.FRACTION:.0%} of 1 / union where that is below "
    notes = notes or [f"{reached}{batched.FULL}: reached"]
    return Section("few-rows", "linear(relu(x)) of few rows", batched.COLUMNS, found, [] if settings.quick else notes)


def decoder(name: str, settings: Settings, show: Show) -> Section:
    """One token through a model whose activations are mostly zero."""
    show("making the model")
    workload = DECODERS[name](settings.quick)
    hand = decode.by_hand(workload)
    show(f"torch.compile is compiling (up to {settings.inductor:g} s)")
    found = [peers.eager(workload), peers.inductor(workload, settings.inductor)]
    found.append(peers.of_model(GATHERED, workload, hand))
    show("compiling with gossamer")
    found.append(peers.of_model(GOSSAMER, workload, peers.compiled(workload)))
    many = replace(settings, rounds=30 * settings.rounds)
    measured = measure(found, many, show)
    notes = [] if settings.quick else [f"the limit counts weights: {workload.limit:.2f}x if the others cost nothing"]
    notes.append(f"{len(measured.rounds)} rounds; differences are from eager, over the largest value")
    return Section(name, workload.title, COLUMNS, rows(workload, measured), notes)


GATHERED = "gather + mm by hand"


def spiking(name: str, settings: Settings, show: Show) -> Section:
    """A spiking network, by activity and batch."""
    found, notes = [], []
    for activity, batch, ratio, row in spiking_cases(name, spiking_inference.ACTIVITIES, settings, show):
        found.append(row)
        if not settings.quick and ratio < spiking_inference.GOALS[batch]:
            goal = spiking_inference.GOALS[batch]
            notes.append(f"batch {batch}, {activity:.0%}: goal {goal:g} x the best peer MISSED ({ratio:.1f})")
    notes.append(SPIKING)
    return Section(f"spiking-{name}", "Spiking inference, ms for all steps", spiking_inference.COLUMNS, found, notes)


def spiking_active(settings: Settings, show: Show) -> Section:
    """Spiking networks most of whose neurons fire."""
    found, notes = [], []
    for name in spiking_inference.NETS:
        for activity, batch, ratio, row in spiking_cases(name, spiking_inference.HIGH, settings, show):
            found.append(row)
            if not settings.quick and ratio < 1:
                notes.append(f"{name}, batch {batch}, {activity:.0%}: slower than the best peer ({ratio:.2f})")
    notes.append(SPIKING)
    title = "Spiking inference where many neurons fire, ms for all steps"
    return Section("spiking-active", title, spiking_inference.COLUMNS, found, notes)


SPIKING = (
    "fires: the part of inputs, then of each layer; differs: output spikes that a peer, which sums in another order, "
    "has otherwise; the limit is of weights from second-level cache"
)


def spiking_cases(
    name: str, activities: Iterable[float], settings: Settings, show: Show
) -> Iterable[tuple[float, int, float, tuple[str, ...]]]:
    """Activity, batch, how many times as fast as the best peer, and a row of the table."""
    net = spiking_inference.NETS[name]
    show("compiling with gossamer")
    program = spiking_inference.lowered(net.text(net.weights()))
    cases = [(a, b) for b in spiking_inference.BATCHES for a in activities]
    for number, (activity, batch) in enumerate(cases[:1] if settings.quick else cases):
        show(f"{name}, batch {batch}, {activity:.0%} fire ({number + 1} of {len(cases)})")
        steps, budget = (5 if settings.quick else spiking_inference.STEPS), settings.budget / 10
        given = (net, activity, batch, 3 * settings.rounds, budget, settings.inductor, program, steps)
        yield activity, batch, *spiking_inference.measure(*given)


EXPERIMENTS: dict[str, Callable[[Settings, Show], Section]] = {
    **{name: partial(encoder, name) for name in ENCODERS},
    "dense": dense,
    "sweep": sweep,
    "kernels": kernels,
    "kernel-sweep": kernels_by_density,
    "few-rows": few_rows,
    **{name: partial(decoder, name) for name in DECODERS},
    "core-array": lambda settings, show: core_array(settings.quick, show),
    "spiking-equality": lambda settings, show: spiking_equality(settings.quick, show),
    **{
        name: lambda settings, show, name=name: pipeline_timeline.pipelines(name, settings.quick, show)
        for name in pipeline_timeline.TABLES
    },
    "pipeline-windows": lambda settings, show: pipeline_timeline.windows(settings.quick, show),
    "pipeline-orders": lambda settings, show: pipeline_timeline.orders(settings.quick, show),
    "recompute-search": lambda settings, show: recompute_search(settings.quick, show),
    "training-equality": lambda settings, show: training_equality(settings.quick, show),
    **{
        name: lambda settings, show, name=name: training_budgets.training_frontier(name, settings.quick, show)
        for name in training_budgets.FRONTIERS
    },
    "training-batch": lambda settings, show: training_batch(settings.quick, show),
    "dense-products": lambda settings, show: dense_products(settings.quick, show),
    "flash-attention": lambda settings, show: flash_attention(settings.quick, show),
    "training-steps": lambda settings, show: training_steps(settings.quick, show),
    "spiking-events": lambda settings, show: spiking_events(settings.quick, show),
    **{f"spiking-{name}": partial(spiking, name) for name in spiking_inference.NETS},
    "spiking-active": spiking_active,
}
