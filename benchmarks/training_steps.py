"""The time of a whole training step at equal measured peaks: torch's ways to train in less memory, and gossamer's.

A step is the loss, its backward pass and the gradients of all parameters. Each of torch's ways has a peak, which its
allocator tells; gossamer is given that peak as its budget, and both are timed in turns. What is fastest of all that
torch does within a peak is the best of torch there.
"""

import copy
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from statistics import geometric_mean
from typing import Any

import gossamer
import torch
import torch._functorch.config as functorch
from gossamer.compiler.training import TrainingStep
from gossamer.runtime.allocations import changes
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts

from .sections import Section
from .timing import interleaved
from .training_budgets import gpt2, loss_of

COLUMNS = ("torch", "peak MB", "ms", "best of torch, ms", "gossamer peak MB", "ms", "x the best", "again")
SHARES = (1.0, 0.8, 0.6, 0.5, 0.3, 0.1)
"""Of `activation_memory_budget`."""
SAVED = frozenset({
    torch.ops.aten.mm.default, torch.ops.aten.addmm.default,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
})  # fmt: skip
"""What selective checkpointing keeps: results of matrix products and of attention."""
ALIKE = frozenset({
    *SAVED, torch.ops.aten.bmm.default, torch.ops.aten.baddbmm.default,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward.default,
})  # fmt: skip
"""What every way computes by the same functions: matrix products and attention, there and back."""
GOAL = 1.1
"""How many times as fast as torch."""
Run = Callable[[], Tensor]
Show = Callable[[str], object]


@dataclass(frozen=True)
class Way:
    """A way to run the step, and the most bytes that it takes beyond weights and batch."""

    name: str
    run: Run
    peak: int


@dataclass(frozen=True)
class Match:
    """At the peak of `theirs`: milliseconds of it, of the best of torch, and of gossamer, which takes `peak` bytes."""

    theirs: Way
    milliseconds: float
    best: float
    ours: float
    peak: int
    again: float

    @property
    def ratio(self) -> float:
        return self.best / self.ours

    def cells(self) -> tuple[str, ...]:
        """One row."""
        peaks = [f"{peak / 1e6:.2f}" for peak in (self.theirs.peak, self.peak)]
        times = [f"{taken:.0f}" for taken in (self.milliseconds, self.best, self.ours)]
        return (
            self.theirs.name,
            peaks[0],
            *times[:2],
            peaks[1],
            times[2],
            f"{self.ratio:.2f}",
            f"{self.again:.1%}",
        )


def backward(model: nn.Module, loss: Callable[..., Tensor], ids: Tensor) -> Tensor:
    """The loss, and gradients of all parameters."""
    model.zero_grad(set_to_none=True)
    found = loss(model, ids)
    found.backward()
    return found


def checkpointed(model: nn.Module, **options: Any) -> nn.Module:
    """A copy of which every layer is computed again, by torch's checkpointing, with `options` of its own."""
    other = copy.deepcopy(model)
    other.gradient_checkpointing_enable({"use_reentrant": False, **options})  # pyright: ignore[reportCallIssue]
    return other


def policy(context: Any, op: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    """Keep what is dear."""
    return CheckpointPolicy.MUST_SAVE if op in SAVED else CheckpointPolicy.PREFER_RECOMPUTE


def compiled(share: float, backend: str) -> Callable[..., Tensor]:
    """The loss through torch's compiler, which keeps that share for the backward pass."""
    code = loss_of.__code__.replace(co_name=f"loss_within_{int(share * 100)}")
    own = types.FunctionType(code, loss_of.__globals__)
    loss = torch.compile(own, backend=backend, dynamic=False)

    def within(model: nn.Module, ids: Tensor) -> Tensor:
        with functorch.patch(activation_memory_budget=share):
            return loss(model, ids)

    return within


def ways(model: nn.Module, ids: Tensor, backend: str, shares: tuple[float, ...], show: Show) -> Iterator[Way]:
    """What torch can do."""
    selective = {"context_fn": partial(create_selective_checkpoint_contexts, policy)}
    runs: dict[str, tuple[nn.Module, Callable[..., Tensor]]] = {
        "eager": (model, loss_of),
        "checkpoint: every layer": (checkpointed(model), loss_of),
        "checkpoint: all but products": (checkpointed(model, **selective), loss_of),
        **{f"{backend}, {share:g}": (model, compiled(share, backend)) for share in shares},
    }
    for name, (own, loss) in runs.items():
        show(name)
        run = partial(backward, own, loss, ids)
        yield Way(name, run, peak_of(own, run))


class Recorder(TorchDispatchMode):
    """Keeps each call of what every way computes, to call it again."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = list[Callable[[], object]]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in ALIKE:
            self.calls.append(partial(func, *args, **(kwargs or {})))
        return func(*args, **(kwargs or {}))


def seconds_alike(model: nn.Module, ids: Tensor, rounds: int) -> float:
    """Seconds of matrix products and attention alone, one after the other on the tensors of an eager step."""
    with Recorder() as recorder:
        backward(model, loss_of, ids)

    def again() -> None:
        for call in recorder.calls:
            call()

    with torch.no_grad():
        again()
        return interleaved({"alike": again}, rounds=rounds).median("alike")


def peak_of(model: nn.Module, run: Run) -> int:
    """Bytes that torch's allocator gives out at most in a warm run."""
    for _ in range(2):
        run()
    model.zero_grad(set_to_none=True)
    return max(accumulate(changes(run)))


@contextmanager
def best_backend(quick: bool) -> Iterator[str]:
    """The compiler of torch that is measured; for a look alone, the one that needs no C++ compiler."""
    torch.compiler.reset()
    yield "aot_eager" if quick else "inductor"
    torch.compiler.reset()


def match(step: TrainingStep, model: nn.Module, ids: Tensor, theirs: Way, torchs: list[Way], rounds: int) -> Match:
    """Gossamer within the peak of `theirs`, timed against all that torch does within it."""
    budget = step.memory.static + theirs.peak
    step.fit((ids,), budget)
    ours: Run = partial(stepped, model, step, ids)
    within = {way.name: way.run for way in torchs if way.peak <= theirs.peak}
    peak = peak_of(model, ours)
    assert peak <= theirs.peak, f"{theirs.name}: {peak:,} bytes of {theirs.peak:,}"
    turns = interleaved({**within, "gossamer": ours}, rounds=rounds)
    times = {name: turns.median(name) * 1e3 for name in turns.seconds}
    best = min(times[name] for name in within)
    report = step.memory
    return Match(theirs, times[theirs.name], best, times["gossamer"], peak, report.exposed / report.seconds)


def stepped(model: nn.Module, step: TrainingStep, ids: Tensor) -> Tensor:
    """Gossamer's step."""
    model.zero_grad(set_to_none=True)
    return step(ids)


def training_steps(quick: bool, show: Show) -> Section:
    """The table."""
    torch.manual_seed(0)
    shape = (100, 2, 64, 16) if quick else (2000, 6, 256, 64)
    model = gpt2(*shape, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    ids = torch.randint(shape[0], (2 if quick else 8, shape[-1]))
    with best_backend(quick) as backend:
        torchs = list(ways(model, ids, backend, SHARES[-1:] if quick else SHARES, show))
        show("measuring ops")
        step = gossamer.compile_training(model, loss_of, (ids,), memory_budget="100%")
        found, rounds = list[Match](), 3 if quick else 11
        for theirs in sorted(torchs, key=lambda way: way.peak):
            show(f"gossamer at the peak of {theirs.name}")
            found.append(match(step, model, ids, theirs, torchs, rounds))
        alike = seconds_alike(model, ids, rounds) * 1e3
    title = f"GPT-2, {shape[1]} layers of {shape[2]}, {len(ids)} x {shape[-1]} tokens: a step at equal measured peaks"
    return Section("training-steps", title, COLUMNS, [each.cells() for each in found], verdicts(found, alike))


def verdicts(found: list[Match], alike: float) -> list[str]:
    """Where the goal is reached, how far on the whole, and what no way can be without: `alike` milliseconds."""
    best = min(each.best for each in found)
    reached = [each for each in found if each.ratio >= GOAL]
    told = "reached" if reached == found else f"MISSED ({len(reached)} of {len(found)})"
    return [
        f"goal {GOAL:g} x the best of torch at every peak: {told}; geometric mean "
        f"{geometric_mean([each.ratio for each in found]):.2f}, lowest {min(each.ratio for each in found):.2f}",
        "best of torch: the fastest of its ways that take no more than this peak, timed in the same turns; peaks are "
        "what torch's allocator gave out beyond weights and batch, gradients among it",
        f"matrix products and attention alone, called one after the other as eager calls them, take {alike:.0f} ms, "
        f"which every way needs for eager's bits; {GOAL:g} x the fastest of torch would be {best / GOAL:.0f} ms in all",
        "again: what gossamer computes twice, of the time of a step that computes nothing twice",
    ]
