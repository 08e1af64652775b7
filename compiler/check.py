"""Translation validation: every pass must leave the results as they were.

    import ──── simplify ──── insert-gathers            run on the same inputs by the reference interpreter
    y = 1.25    y = 1.25      y = 1.31                  -> insert-gathers, at %linear = aten.call "aten.linear.default"

Passes that only move rows must give the same bits; those that reorder sums may differ by `TOLERANCE` of the largest
number. Rows that the caller does not care for are not compared. Once a result differs, both modules run again and the
first op whose value differs is named: ops of the two are matched by name and source line.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation

from ..dialects.diagnostics import place_of
from ..dialects.layout import Layout
from ..dialects.sparse import LayoutAttr, ScatterOp
from ..runtime.domain import Domain
from ..runtime.reference import run
from ..runtime.semantics import addresses
from .dont_care import leaf_names
from .dont_care import read as dont_care
from .entry import entry_function
from .pipeline import Stage, Trace

BITWISE = frozenset({"simplify", "detect-sparsity", "cse", "dce", "canonicalize"})
"""Passes after which every result has the same bits; all are so where the module asks for it."""
APPROXIMATE = frozenset({"threshold-activations", "restore-activations"})
"""Passes that change results, as the user asked for: those after them are held against what they made."""
TOLERANCE = {
    torch.float64: 1e-9,
    torch.float32: 1e-4,
    torch.float16: 1e-2,
    torch.bfloat16: 5e-2,
    torch.complex64: 1e-4,
    torch.complex128: 1e-9,
}
"""How far sums in another order may be off, relative to the largest absolute value of the tensor."""

Values: TypeAlias = Sequence[object]
Key: TypeAlias = tuple[str, str]


@dataclass(frozen=True)
class Difference:
    """The first pass whose results are not those before it."""

    stage: Stage
    result: str
    how: str
    op: Operation | None

    def __str__(self) -> str:
        lines = [f"pass '{self.stage.name}' changes the result '{self.result}': {self.how}"]
        if self.op is not None:
            place = place_of(self.op)
            lines.append(f"  first op that differs: {one_line(self.op)}" + (f", from {place}" if place else ""))
        return "\n".join(lines)


def one_line(op: Operation) -> str:
    """An op without its regions."""
    return str(op).partition("\n")[0]


def first_difference(trace: Trace, weights: Mapping[str, Tensor], inputs: Values) -> Difference | None:
    """Run every stage of `trace` on `inputs`; None when all agree."""
    stages = [stage for stage in trace.stages if stage.changed]
    before, expected = stages[0], execute(stages[0].module, weights, inputs)
    for after in stages[1:]:
        found = execute(after.module, weights, inputs)
        if after.name in APPROXIMATE:
            before, expected = after, found
            continue
        exact = after.name in BITWISE or "gossamer.exact" in after.module.attributes
        for name, wanted, got, rows in results(after.module, expected, found, inputs):
            if how := compare(wanted, got, exact=exact, rows=rows):
                op = first_differing_op(before.module, after.module, weights, inputs, exact=exact)
                return Difference(after, name, how, op)
        before, expected = after, found
    return None


def execute(module: ModuleOp, weights: Mapping[str, Tensor], inputs: Values, observe: Any = None) -> list[object]:
    """Results of one module. Random numbers start from the same seed; weights and inputs are copies."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        copies = {name: weight.detach().clone() for name, weight in weights.items()}
        arguments = [value.detach().clone() if isinstance(value, Tensor) else value for value in inputs]
        return run(module, copies, arguments, observe=observe)


def results(
    module: ModuleOp, expected: Values, found: Values, inputs: Values
) -> Iterator[tuple[str, object, object, Tensor | None]]:
    """Each result by name, as it was and as it is, and which of its leading rows somebody cares for."""
    function = entry_function(module)
    arguments = dict(zip(leaf_names(function.arg_attrs), inputs, strict=False))
    masks = dont_care(function)
    names = leaf_names(function.res_attrs) or [str(index) for index in range(len(found))]
    for name, before, after in zip(names, expected, found, strict=True):
        mask = arguments.get(masks.get(name, ""))
        yield name, before, after, mask != 0 if isinstance(mask, Tensor) else None


def compare(before: object, after: object, *, exact: bool, rows: Tensor | None = None) -> str:
    """What differs, in words; empty when nothing does. `rows` says which leading positions count."""
    if not isinstance(before, Tensor) or not isinstance(after, Tensor):
        return "" if type(before) is type(after) and (before == after or before != before) else f"{before} -> {after}"
    if (before.dtype, before.shape) != (after.dtype, after.shape):
        return f"{describe(before)} -> {describe(after)}"
    if rows is not None and before.shape[: rows.dim()] == rows.shape:
        before, after = before[rows], after[rows]
    wrong = different(before, after, exact=exact)
    count = int(wrong.sum())
    if not count:
        return ""
    first = tuple(wrong.nonzero()[0].tolist())
    return f"{count} of {wrong.numel()} numbers, such as {before[first].item()} -> {after[first].item()}"


def describe(tensor: Tensor) -> str:
    """`float32[4, 128]`"""
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"


def different(before: Tensor, after: Tensor, *, exact: bool) -> Tensor:
    """Which numbers differ: in their bits, or by more than the dtype's tolerance. All NaNs are one."""
    equal = (before == after) | ((before != before) & (after != after))
    tolerance = TOLERANCE.get(before.dtype)
    if tolerance is None or not before.numel():
        return ~equal
    if exact:
        signs = [torch.signbit(torch.view_as_real(t) if t.is_complex() else t) for t in (before, after)]
        same_sign = signs[0] == signs[1]
        return ~equal | ~(same_sign.all(-1) if before.is_complex() else same_sign | (before != before))
    finite = before.abs().nan_to_num(0, 0, 0)
    return ~equal & ~((before - after).abs() <= tolerance * finite.max())


def first_differing_op(
    before: ModuleOp, after: ModuleOp, weights: Mapping[str, Tensor], inputs: Values, *, exact: bool
) -> Operation | None:
    """The first op of `after` that computes something else than the op of its name and line in `before`."""
    old, new = observed(before, weights, inputs), observed(after, weights, inputs)
    domains = [value for _, _, value in new if isinstance(value, Domain) and not value.everywhere]
    by_key = [defaultdict[Key, list[object]](list), defaultdict[Key, list[object]](list)]
    for values, events in zip(by_key, (old, new), strict=True):
        for _, key, value in events:
            values[key].append(value)
    seen: dict[Key, int] = defaultdict(int)
    for op, key, value in new:
        index, seen[key] = seen[key], seen[key] + 1
        if key[0] and len(by_key[0][key]) == len(by_key[1][key]) and isinstance(value, Tensor):
            was, now = alike(by_key[0][key][index], value, op, domains)
            if was is not None and compare(was, now, exact=exact):
                return op
    return None


def observed(module: ModuleOp, weights: Mapping[str, Tensor], inputs: Values) -> list[tuple[Operation, Key, object]]:
    """Every value that running `module` computes, with its op, in order."""
    events: list[tuple[Operation, Key, object]] = []

    def observe(op: Operation, values: tuple) -> None:
        place = str(place_of(op))
        for result, value in zip(op.results, values, strict=True):
            kept = value.detach().clone() if isinstance(value, Tensor) else value
            events.append((op, (result.name_hint or "", place), kept))

    execute(module, weights, inputs, observe)
    return events


def alike(
    before: object, after: Tensor, op: Operation, domains: Sequence[Domain]
) -> tuple[Tensor, Tensor] | tuple[None, None]:
    """Both values brought to the rows that count; nothing when it is not known which those are."""
    if not isinstance(before, Tensor):
        return None, None
    if not domains:
        return before, after
    for domain in domains:
        layout = layout_of(op) or Layout.leading(len(domain.space), before.dim())
        was = active(before, layout, domain)
        now = after if after.shape != before.shape else active(after, layout, domain)
        if was is not None and now is not None and was.shape == now.shape:
            return was, now
    return None, None


def layout_of(op: Operation) -> Layout | None:
    """The layout of the full form of what `op` computes, where it says it."""
    attribute = op.layout if isinstance(op, ScatterOp) else op.attributes.get("sparse.layout")
    return attribute.data if isinstance(attribute, LayoutAttr) else None


def active(full: Tensor, layout: Layout, domain: Domain) -> Tensor | None:
    """The active rows of a full tensor; None when the domain does not fit it."""
    try:
        return full.flatten()[addresses(layout, full.shape, domain)]
    except ValueError:
        return None
