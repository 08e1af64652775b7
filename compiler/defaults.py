"""The pipeline that runs where none was asked for: the default passes, with what this machine was measured to do.

simplify, .., guard-density{flops=3.1e+11 ..}, insert-skips{weights=1.5e+10 ..}, lower-products, ..
"""

import torch
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp

from ..passes.choose_tiles import is_measured
from ..passes.insert_gathers import is_exact
from .approximation import has_thresholds
from .entry import entry_function
from .machine import exact_options, guard_options, skip_options
from .pipeline import DEFAULT_PIPELINE
from .tile_rates import tile_options


def default_pipeline(module: ModuleOp, device: torch.device | None = None) -> list[str]:
    """`DEFAULT_PIPELINE` with what this machine was measured to do: rates, and products that keep their bits.

    Where activations have thresholds, the passes for them stand around the one that skips.
    """
    options = {"guard-density": guard_options(), "insert-skips": skip_options(device)}
    if any(is_measured(function) for function in module.body.block.ops if isinstance(function, FuncOp)):
        options["choose-tiles"] = tile_options(device)
    if is_exact(module):
        options["insert-gathers"] = exact_options(entry_function(module))
    passes = [name + options.get(name, "") for name in DEFAULT_PIPELINE]
    if has_thresholds(module):
        place = DEFAULT_PIPELINE.index("insert-skips")
        passes[place : place + 1] = ["threshold-activations", passes[place], "restore-activations"]
    return passes
