"""Small activations as zeros, by the user's wish: which threshold each gets, and what that does to the results.

    approximate=0.02       |x| <= 0.02 counts as 0
    approximate="25%"      of each activation a quarter of the examples' numbers stays, the largest

The thresholds stand on the activations (`sparse.threshold`), for `threshold-activations`. The error is measured on the
examples: the root mean square of the difference from the exact program, over that of the exact results, as
`gossamer.approximation_error` on the module.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor
from xdsl.dialects.builtin import FloatAttr, ModuleOp, f64

from ..dialects.diagnostics import UserError
from ..passes.analysis.memory import is_functional
from ..passes.threshold_activations import THRESHOLD, smooth_sites
from ..runtime.executor import Program
from .calibration import run_up_to
from .entry import entry_function

ERROR = "gossamer.approximation_error"
SAMPLE = 1 << 22
"""Numbers of one activation that are looked at."""


def set_thresholds(
    module: ModuleOp, approximate: float | str, weights: Mapping[str, Tensor], calls: Sequence[Sequence[object]]
) -> None:
    """Write a threshold on each activation that may have one. Raises UserError where `approximate` is none."""
    share = parse_share(approximate)
    sites = list(smooth_sites(entry_function(module)))
    if share is None:
        found = [float(approximate)] * len(sites)
    elif sites and is_functional(entry_function(module)):
        values: dict = {}
        clone = module.clone(value_mapper=values)
        observed = run_up_to(clone, [], [values[site.results[0]] for site in sites], weights, calls)
        found = [quantile(column, 1.0 - share) for column in zip(*observed, strict=True)]
    else:
        return
    for site, threshold in zip(sites, found, strict=True):
        site.attributes[THRESHOLD] = FloatAttr(threshold, f64)


def has_thresholds(module: ModuleOp) -> bool:
    """Has any activation a threshold?"""
    return any(THRESHOLD in op.attributes for op in module.walk())


def parse_share(approximate: float | str) -> float | None:
    """`"25%"` -> 0.25; None for a threshold. Raises UserError where it is neither."""
    text = str(approximate).strip()
    share = text.endswith("%")
    try:
        number = float(text.removesuffix("%")) / (100.0 if share else 1.0)
    except ValueError:
        number = math.nan
    if not 0.0 <= number < math.inf or (share and number > 1.0):
        raise UserError(
            f"approximate is a threshold or a share, got {approximate!r}",
            hint='approximate=0.02 takes |x| <= 0.02 for 0; approximate="25%" keeps the largest quarter',
        )
    return number if share else None


def quantile(observed: Iterable[Tensor], share: float) -> float:
    """The absolute value that `share` of the numbers do not exceed."""
    numbers = torch.cat([tensor.detach().abs().float().flatten()[:SAMPLE] for tensor in observed])
    numbers = numbers[numbers.isfinite()]
    if not numbers.numel():
        return 0.0
    place = min(max(math.ceil(share * numbers.numel()), 1), numbers.numel())
    return numbers.kthvalue(place).values.item() if share > 0 else 0.0


def measure_error(
    exact: ModuleOp, final: ModuleOp, weights: Mapping[str, Tensor], calls: Sequence[Sequence[object]]
) -> None:
    """Write the error of `final` on the examples."""
    if not is_functional(entry_function(exact)):
        return
    before, after = (Program.build(module, weights) for module in (exact, final))
    errors = [0.0]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for call in calls:
            for expected, found in zip(before(copies(call)), after(copies(call)), strict=True):
                if isinstance(expected, Tensor) and expected.is_floating_point() and expected.numel():
                    errors.append(distance(expected.double(), found.double()))
    final.attributes[ERROR] = FloatAttr(max(errors), f64)


def copies(call: Sequence[object]) -> list[object]:
    """The inputs again: a program may write them."""
    return [value.clone() if isinstance(value, Tensor) else value for value in call]


def distance(expected: Tensor, found: Tensor) -> float:
    """|found - expected| / |expected|, in the root mean square."""
    scale = expected.square().mean().sqrt().item()
    return (found - expected).square().mean().sqrt().item() / scale if scale else 0.0


def error_of(module: ModuleOp) -> float | None:
    """What `measure_error` wrote."""
    found = module.attributes.get(ERROR)
    return found.value.data if isinstance(found, FloatAttr) else None
