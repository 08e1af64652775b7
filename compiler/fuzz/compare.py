"""One call observed, and two of them compared.

Numbers agree when they differ by no more than a sum in another order makes them differ. How much that is, where it
is more than the dtype's tolerance, is tried: the eager model on arguments and weights moved by a few roundings. So a
comparison that hangs on a rounding (`x > 0` where x is 0 but for its last bit) is no mismatch.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..check import TOLERANCE, compare, different

JITTERS = 4
"""How often the eager model is run on moved arguments when a number differs."""
SLACK = 20.0
"""How far a number may differ, in times that it moves with its arguments."""
ROUNDINGS = 1000.0
"""How many roundings of the largest number of a call may be left where others cancel to nothing."""


@dataclass(frozen=True)
class Probe:
    """A call, with the results of which some rows count (result -> argument), and whether gradients are taken."""

    arguments: Mapping[str, Any]
    dont_care: Mapping[str, str]
    gradients: bool = False

    def rows(self, result: str) -> Tensor | None:
        """Which leading positions of a result somebody reads; None where all are read."""
        mask = self.arguments.get(self.dont_care.get(result, ""))
        return mask != 0 if isinstance(mask, Tensor) else None


@dataclass
class Outcome:
    """What a call gave and left behind; `written` are arguments that it wrote, if only with what they held."""

    results: list[Any]
    spec: Any
    shared: set[tuple[int, int]]
    written: set[str]
    arguments: dict[str, Any]
    buffers: dict[str, Tensor]
    gradients: dict[str, Tensor]


def observed(function: nn.Module, model: nn.Module, probe: Probe, *, jitter: int = 0) -> Outcome:
    """Call `function`, which has the state of `model`, on a copy of the arguments. The state is put back after it.

    Without torch's fused encoder layers, which give NaN where the layer as it is written gives numbers, and are no part
    of what export sees. `jitter` moves arguments and state by a few roundings, in a way of that number.
    """
    kept = {name: tensor.detach().clone() for name, tensor in model.state_dict(keep_vars=True).items()}
    arguments = copied(probe)
    if jitter:
        move([*arguments.values(), *model.parameters(), *model.buffers()], jitter)
    model.zero_grad()
    versions = {name: v._version for name, v in arguments.items() if isinstance(v, Tensor)}
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        torch.manual_seed(0)
        with torch.set_grad_enabled(probe.gradients):
            given = function(**arguments)
        results, spec = pytree.tree_flatten(given)
        state = [*model.parameters(), *model.buffers()]
        return Outcome(
            results=[r.detach() if isinstance(r, Tensor) else r for r in results],
            spec=spec,
            shared=shared([*results, *arguments.values(), *state]),
            written={name for name, v in arguments.items() if isinstance(v, Tensor) and v._version > versions[name]},
            arguments={name: v.detach().clone() if isinstance(v, Tensor) else v for name, v in arguments.items()},
            buffers={name: buffer.clone() for name, buffer in model.named_buffers()},
            gradients=differentiated(results, probe, arguments, model) if probe.gradients else {},
        )
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        with torch.no_grad():
            for name, tensor in model.state_dict(keep_vars=True).items():
                tensor.copy_(kept[name])


def copied(probe: Probe) -> dict[str, Any]:
    """The arguments, each its own; floats ask for gradients where those are compared."""
    copies = {name: v.clone() if isinstance(v, Tensor) else v for name, v in probe.arguments.items()}
    for value in copies.values():
        if probe.gradients and isinstance(value, Tensor) and value.is_floating_point():
            value.requires_grad_()
    return copies


@torch.no_grad()
def move(tensors: Sequence[Any], seed: int) -> None:
    """Move every float by a few of its last bits."""
    random = torch.Generator().manual_seed(seed)
    for tensor in tensors:
        if isinstance(tensor, Tensor) and tensor.is_floating_point():
            step = 4 * torch.finfo(tensor.dtype).eps
            noise = torch.rand(tensor.shape, generator=random, dtype=torch.float64) * 2 - 1
            tensor.mul_((1 + step * noise).to(tensor.dtype))


def differentiated(
    results: Sequence[Any], probe: Probe, arguments: Mapping[str, Any], model: nn.Module
) -> dict[str, Tensor]:
    """Gradients of the sum of all numbers that somebody reads, each with its own weight; zeros where there is none."""
    read = [(r, probe.rows(name)) for name, r in named(results)]
    parts = [weighted(r, rows) for r, rows in read if isinstance(r, Tensor) and r.requires_grad]
    if parts:
        torch.stack(parts).sum().backward()
    sources: dict[str, Any] = {**dict(model.named_parameters()), **arguments}
    floats = {n: t for n, t in sources.items() if isinstance(t, Tensor) and t.is_floating_point()}
    return {n: torch.zeros_like(t) if t.grad is None else t.grad.clone() for n, t in floats.items()}


def weighted(result: Tensor, rows: Tensor | None) -> Tensor:
    """The sum of a result's rows."""
    weights = torch.linspace(0.5, 1.5, result.numel() + 1, dtype=torch.float64)[1:].view(result.shape)
    products = result.double() * weights
    return products[rows].sum() if rows is not None else products.sum()


def named(results: Sequence[Any]) -> list[tuple[str, Any]]:
    """`r0`, `r1`, .. as models of the fuzzer call their results"""
    return [(f"r{k}", result) for k, result in enumerate(results)]


def shared(tensors: Sequence[Any]) -> set[tuple[int, int]]:
    """Which of `tensors` have memory in common."""
    found: set[tuple[int, int]] = set()
    places = [addresses(t) if isinstance(t, Tensor) and t.numel() else None for t in tensors]
    for j, right in enumerate(places):
        for i, left in enumerate(places[:j]):
            if left and right and left[0] == right[0] and not left[1].isdisjoint(right[1]):
                found.add((i, j))
    return found


def addresses(tensor: Tensor) -> tuple[int, frozenset[int]]:
    """The storage, and the places in it."""
    place = torch.tensor(int(tensor.storage_offset()))
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        place = place[..., None] + torch.arange(size) * stride
    return tensor.untyped_storage().data_ptr(), frozenset(place.flatten().tolist())


Again = Callable[[int], Iterator[Outcome]]


def differs(wanted: Outcome, found: Outcome, probe: Probe, *, exact: bool, again: Again) -> tuple[str, str]:
    """Kind of the first mismatch, and what it is in words; two empty texts where there is none."""
    if wanted.spec != found.spec:
        return "values", "the results nest otherwise"
    for position, (name, _) in enumerate(named(wanted.results)):
        take = partial(result_of, position)
        if how := value_differs(wanted, found, take, rows=probe.rows(name), exact=exact, again=again):
            return "values", f"{name}: {how}"
    words = alias_words(wanted, found)
    if words and all(alias_words(other, found) for other in again(0)):
        return "aliasing", words
    for kind in ("arguments", "buffers", "gradients"):
        for name in getattr(wanted, kind):
            take = partial(left_in, kind, name)
            bits = exact and kind != "gradients"
            rows = take(wanted).isfinite() if kind == "gradients" else None
            if how := value_differs(wanted, found, take, rows=rows, exact=bits, again=again):
                return kind, f"{name}: {how}"
    return "", ""


def result_of(position: int, outcome: Outcome) -> Any:
    return outcome.results[position]


def left_in(kind: str, name: str, outcome: Outcome) -> Any:
    """What a call left in an argument, a buffer or a gradient."""
    return getattr(outcome, kind)[name]


def alias_words(wanted: Outcome, found: Outcome) -> str:
    """Which pairs share memory in one alone; empty where none do.

    What a call writes (an argument, a buffer) and also returns may be returned as a copy, for export has it so; and
    results that were views of each other may be tensors of their own. README tells both.
    """
    results = len(wanted.results)
    names = [*(name for name, _ in named(wanted.results)), *wanted.arguments]
    lost = [
        pair
        for pair in wanted.shared - found.shared
        if max(pair) >= results and not wanted.written & {part_name(names, k) for k in pair}
    ]
    new = found.shared - wanted.shared
    parts = (("no more one memory", lost), ("one memory", new))
    return "; ".join(
        f"{what}: " + ", ".join(" and ".join(part_name(names, k) for k in pair) for pair in sorted(pairs))
        for what, pairs in parts
        if pairs
    )


def part_name(names: Sequence[str], index: int) -> str:
    return names[index] if index < len(names) else "state"


def value_differs(
    wanted: Outcome,
    found: Outcome,
    take: Callable[[Outcome], Any],
    *,
    rows: Tensor | None,
    exact: bool,
    again: Again,
) -> str:
    """How one value differs from what is wanted, in words; empty where it does not."""
    before, after = take(wanted), take(found)
    how = compare(before, after, exact=exact, rows=rows)
    if not how or not isinstance(before, Tensor) or not isinstance(after, Tensor) or before.shape != after.shape:
        return how
    if before.dtype != after.dtype:
        return how
    if exact:
        return how if all(compare(take(other), after, exact=True, rows=rows) for other in again(0)) else ""
    wrong = different(before, after, exact=False)
    if rows is not None and before.shape[: rows.dim()] == rows.shape:
        wrong &= rows.view(*rows.shape, *(1,) * (wrong.dim() - rows.dim()))
    wrong &= ~cancelled(before, after, wanted)
    if not wrong.any():
        return ""
    wrong &= ~excused(before, after, take, again)
    if not wrong.any():
        return ""
    first = tuple(wrong.nonzero()[0].tolist())
    return f"{int(wrong.sum())} of {wrong.numel()} numbers, such as {list(first)}: {before[first]} -> {after[first]}"


def cancelled(before: Tensor, after: Tensor, outcome: Outcome) -> Tensor:
    """Numbers whose difference is a rounding of the largest in the call: they are what is left of some that cancel."""
    if not before.is_floating_point():
        return torch.zeros(before.shape, dtype=torch.bool)
    known = [*outcome.results, *outcome.arguments.values(), *outcome.gradients.values()]
    floats = [t.abs().nan_to_num(0, 0, 0) for t in known if isinstance(t, Tensor) and t.is_floating_point()]
    largest = max((float(t.max()) for t in floats if t.numel()), default=1.0)
    step = min(ROUNDINGS * torch.finfo(before.dtype).eps, TOLERANCE[before.dtype])
    return (after - before).abs() <= step * max(largest, 1.0)


def excused(before: Tensor, after: Tensor, take: Callable[[Outcome], Any], again: Again) -> Tensor:
    """Numbers that may be what they are: they hang on a rounding, or NaN was cleared where it may be."""
    allowed = torch.zeros(before.shape, dtype=torch.bool)
    for jitter in range(1, JITTERS + 1):
        for outcome in again(jitter):
            moved = take(outcome)
            if not isinstance(moved, Tensor) or moved.shape != before.shape:
                continue
            if not before.is_floating_point():
                allowed |= moved != before
                continue
            near = (after - before).abs() <= SLACK * (moved - before).abs()
            allowed |= near | (moved.isfinite() != before.isfinite())
    for outcome in again(0):
        cleared = take(outcome)
        if isinstance(cleared, Tensor) and cleared.shape == after.shape:
            allowed |= ~different(cleared, after, exact=False)
    return allowed
