"""The public face: a model goes in, a faster one of the same kind comes out.

    import gossamer
    fast = gossamer.compile(model, (ids,), {"attention_mask": mask}, dont_care={"last_hidden_state": "attention_mask"})
    fast(ids, attention_mask=mask)          as the model
    fast.save("out/"); gossamer.load("out/")

Import, then the passes; what comes out runs on the model's own weights.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree
from xdsl.dialects.builtin import ModuleOp, UnitAttr
from xdsl.passes import ModulePass

from ..dialects.diagnostics import UserError, did_you_mean
from ..passes.insert_gathers import is_exact
from ..passes.insert_skips import STRICT_NAN
from .approximation import measure_error, set_thresholds
from .calibration import calibrate as measure_supports
from .check import first_difference
from .compiled import CompiledModel
from .defaults import default_pipeline
from .dont_care import annotate, measure
from .dump import Dump
from .entry import entry_function, read_entry
from .frontends import dynamo
from .frontends.torch_export import import_model
from .options import common_device, exactness, target_device
from .pipeline import Trace, run_pipeline
from .signature import forward_text, parse_forward
from .storage import load

__all__ = ["CompiledModel", "compile", "load"]


def compile(
    model: nn.Module | Callable[..., Any],
    args: torch.Tensor | tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    dont_care: Mapping[str, str] | None = None,
    target: str | None = None,
    exact: str | None = None,
    approximate: float | str | None = None,
    strict_nan: bool = False,
    pipeline: str | Sequence[str | ModulePass] | None = None,
    calibrate: Iterable[tuple[tuple[Any, ...], Mapping[str, Any]]] = (),
    dump: str | Path | None = None,
    check: bool = False,
    adapters: bool = True,
) -> CompiledModel:
    """Compile `model` for calls like `model(*args, **kwargs)`.

    `dynamic_shapes`   which sizes may vary, as torch.export has it; "auto": all that can
    `dont_care`        result -> argument: rows of the result where the argument is zero are never read
    `target`           "cpu", "cuda" or "cuda:1": model and examples are moved there; by default they stay
    `exact`            "bitwise" forbids what reorders sums
    `approximate`      a threshold: activations (silu, gelu) of at most that count as 0; or "25%": the share to keep
    `strict_nan`       keep NaN where eager multiplies 0 by an infinite activation
    `pipeline`         passes to run, as text or list; by default `DEFAULT_PIPELINE`
    `calibrate`        further `(args, kwargs)` to learn from how many rows are dead, and how many values zero
    `dump`             a folder for the text of every stage
    `check`            run the example before and after every pass, and compare
    `adapters`         read modules that do not export in an equal form that does (`gossamer.adapters`)

    The model stays as it is, and shares its weights with the result. Raises UserError where the model cannot be
    exported, an option does not fit it, or a pass is found to change a result.
    """
    attributes = exactness(exact)
    device = target_device(target) if target else None
    module = as_module(model)
    example = example_call(module, args, kwargs or {})
    if device is not None:
        module, example = module.to(device), to_device(example, device)
    imported = import_model(module, *example, dynamic_shapes, adapters)
    dynamo.register()
    device = device or common_device((imported.weights, example))
    function = entry_function(imported.module)
    imported.module.attributes |= attributes | ({STRICT_NAN: UnitAttr()} if strict_nan else {})
    calls = [example, *(to_device(example_call(module, *call), device) for call in calibrate)]
    inputs = list(starmap(read_entry(function, device).bind, calls))
    if dont_care:
        annotate(function, dont_care)
        measure(function, inputs)
    if approximate is not None:
        if is_exact(imported.module):
            raise UserError('exact="bitwise" and approximate contradict each other', hint="leave one of them out")
        set_thresholds(imported.module, approximate, imported.weights, inputs)
    if not is_exact(imported.module):
        measure_supports(imported.module, imported.weights, inputs)
    if pipeline is None:
        pipeline = default_pipeline(imported.module, device)
    trace = run_passes(imported.module, pipeline, dump)
    if approximate is not None:
        measure_error(trace.stages[0].module, imported.module, imported.weights, inputs)
    stages = {stage.name: partial(getattr, stage, "module") for stage in trace.stages}
    compiled = CompiledModel(imported.module, imported.weights, module, stages, device=device, training=module.training)
    if check and (difference := first_difference(trace, compiled.weights, compiled.bind(*example))):
        raise UserError(str(difference), hint="this is a bug in gossamer; leave the pass out with `pipeline`")
    return compiled


def run_passes(module: ModuleOp, pipeline: str | Sequence[str | ModulePass], dump: str | Path | None) -> Trace:
    """Run the passes on `module` in place, with what they made in the folder `dump`."""
    files = Dump(Path(dump)) if dump else None
    trace = Trace(watchers=[files] if files else [])
    run_pipeline(module, pipeline, trace=trace)
    if files:
        files.close(trace)
    return trace


def as_module(model: nn.Module | Callable[..., Any]) -> nn.Module:
    """`model` itself, or a module whose `forward` is that function. Raises UserError where it cannot be called."""
    if isinstance(model, CompiledModel):
        return model.original
    if isinstance(model, nn.Module):
        return model
    if not callable(model):
        raise UserError(f"a model is a torch.nn.Module or a function, got a {type(model).__name__}")
    module = nn.Module()
    owner = getattr(model, "__self__", None)
    if isinstance(owner, nn.Module):
        module.add_module("owner", owner)
        module.training = owner.training
    module.forward = model
    return module


Call = tuple[tuple[Any, ...], Mapping[str, Any]]


def example_call(module: nn.Module, args: Any, kwargs: Any) -> Call:
    """The example as `(args, kwargs)`. Raises UserError where `forward` cannot be called with it."""
    if isinstance(args, torch.Tensor):
        args = (args,)
    if not isinstance(args, tuple) or not isinstance(kwargs, Mapping):
        raise UserError(
            f"the example inputs are a tuple and a dictionary, got {type(args).__name__} and {type(kwargs).__name__}",
            hint="gossamer.compile(model, (x, y), {'mask': m}), or kwargs=inputs for keywords alone",
        )
    signature = parse_forward(forward_text(module.forward))
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        unknown = next((name for name in kwargs if name not in signature.parameters), None)
        hint = did_you_mean(unknown, signature.parameters) if unknown else f"it is forward{signature}"
        raise UserError(f"the model cannot be called with the example inputs: {error}", hint=hint) from None
    return args, dict(kwargs)


def to_device(example: Call, device: torch.device | None) -> Call:
    """The example with its tensors on `device`, or where they are."""
    return pytree.tree_map_only(torch.Tensor, lambda tensor: tensor.to(device), example)
