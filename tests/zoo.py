"""The zoo: small models with random weights, each with example inputs and what must come of it.

ZOO["BERT"].build()      Sample(model, args, kwargs, dynamic_shapes)
ZOO["BERT"].expected     "runs", or a regular expression that our error message matches
outcomes()               what comes of every one
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import torch
from gossamer.compiler.frontends.exporting import cloned
from gossamer.compiler.frontends.torch_export import Imported, import_model
from gossamer.dialects.aten import CallOp, TemplateAttr
from gossamer.dialects.diagnostics import UserError
from gossamer.dialects.template import Ref
from gossamer.runtime.executor import Program
from gossamer.tests.models.sample import RUNS, ZOO, Entry, Sample
from torch.export import Dim
from torch.utils import _pytree as pytree

FAMILIES = ("language", "experts", "vision", "sequences", "control_flow", "experts_by_hand", "corners")

for family in FAMILIES:
    import_module(f"gossamer.tests.models.{family}")


def grown(sample: Sample) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Inputs of twice the size on every dynamic axis; None where all sizes are fixed."""
    if sample.dynamic_shapes is None:
        return None

    def grow(value: Any, shape: Any) -> Any:
        if isinstance(value, torch.Tensor):
            for axis, dim in (shape or {}).items():
                value = value if dim is None or dim is Dim.STATIC else torch.cat([value, value], axis)
            return value
        if isinstance(value, Mapping):
            return {key: grow(item, (shape or {}).get(key)) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(grow(item, part) for item, part in zip(value, shape, strict=True))
        return value if shape is None else 2 * value

    shapes = sample.dynamic_shapes
    if isinstance(shapes, Mapping):
        return sample.args, {key: grow(value, shapes.get(key)) for key, value in sample.kwargs.items()}
    return grow(sample.args, shapes), dict(sample.kwargs)


def difference(left: object, right: object) -> float:
    """The largest absolute difference of two nests of tensors; infinite where they are not alike at all."""
    ours, theirs = pytree.tree_flatten(left), pytree.tree_flatten(right)
    if len(ours[0]) != len(theirs[0]):
        return float("inf")
    return max((leaf_difference(a, b) for a, b in zip(ours[0], theirs[0], strict=True)), default=0.0)


def leaf_difference(a: object, b: object) -> float:
    """The same of two leaves. Equal NaNs and infinities do not differ; -0.0 and 0.0 do not either."""
    if not (isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor)):
        return 0.0 if type(a) is type(b) and a == b else float("inf")
    if a.dtype != b.dtype or a.shape != b.shape or a.layout != b.layout:
        return float("inf")
    a, b = (t.detach().to_dense() if t.layout is not torch.strided else t.detach() for t in (a, b))
    wide = torch.complex128 if a.is_complex() else torch.float64
    x, y = a.to(wide), b.to(wide)
    same = (x == y) | (x.isnan() & y.isnan())
    gaps = torch.where(same, 0.0, (x - y).abs()).nan_to_num(nan=float("inf"))
    return float(gaps.max()) if gaps.numel() else 0.0


def run(imported: Imported, program: Program, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The results of a program as the model gives them."""
    inputs, outputs = (imported.function.attributes[f"aten.{end}"] for end in ("inputs", "outputs"))
    assert isinstance(inputs, TemplateAttr)
    assert isinstance(outputs, TemplateAttr)
    leaves = zip(pytree.tree_leaves((args, dict(kwargs))), inputs.data.args, strict=True)
    results = program([leaf for leaf, argument in leaves if isinstance(argument, Ref)])
    flat = [results[a.index] if isinstance(a, Ref) else a for a in outputs.data.args]
    return pytree.tree_unflatten(flat, imported.out_spec)


def differences(sample: Sample, twin: torch.nn.Module, imported: Imported) -> Iterator[float]:
    """How far results, arguments and buffers are from those of `twin`, at the example's sizes and grown."""
    program = Program.build(imported.module, imported.weights)
    for inputs in filter(None, [(sample.args, dict(sample.kwargs)), grown(sample)]):
        calls: list[Any] = [cloned(inputs), cloned(inputs)]
        given = [pytree.tree_leaves(call) for call in calls]
        torch.manual_seed(1)
        ours = run(imported, program, *calls[0])
        torch.manual_seed(1)
        yield difference(ours, twin(*calls[1][0], **calls[1][1]))
        yield difference(*given)
        yield difference(dict(sample.model.named_buffers()), dict(twin.named_buffers()))


class Outcome(NamedTuple):
    """What came of one model; `difference` is None where it was not run."""

    name: str
    mode: str
    sizes: str
    ops: int
    targets: int
    difference: float | None
    error: str


def outcome(entry: Entry) -> Outcome:
    """Import, run and compare one model."""
    sample, twin = entry.build(), entry.build().model
    sizes = "static" if sample.dynamic_shapes is None else "dynamic"
    try:
        imported = import_model(sample.model, sample.args, sample.kwargs, sample.dynamic_shapes)
    except UserError as error:
        return Outcome(entry.name, "", sizes, 0, 0, None, error.message)
    calls = Counter(op.target.data for op in imported.module.walk() if isinstance(op, CallOp))
    mode = "strict" if imported.strict else "non-strict"
    worst = max(differences(sample, twin, imported))
    return Outcome(entry.name, mode, sizes, calls.total(), len(calls), worst, "")


def outcomes() -> list[Outcome]:
    """What comes of every model."""
    return [outcome(entry) for entry in ZOO.values()]


__all__ = ["RUNS", "ZOO", "Entry", "Outcome", "Sample", "difference", "differences", "grown", "outcome", "outcomes"]
