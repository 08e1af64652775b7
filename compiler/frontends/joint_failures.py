"""Why a training step cannot be captured, in one line, and what to do about it."""

import re

import torch

from ...dialects.diagnostics import UserError
from .failures import chain, first_line, place_of_error, rule_for

RULES: tuple[tuple[str, str, str], ...] = (
    (
        r"_local_scalar_dense|DataDependentOutput|convert a Functional|Could not guard|data.dependent",
        "Python code depends on values of a tensor",
        "write a branch as torch.where, and keep .item() and print out of loss_fn",
    ),
    (
        r"DynamicOutputShape|nonzero|unique|masked_select",
        "a size depends on values of a tensor",
        "weigh by a mask instead of selecting by it: (loss * mask).sum() / mask.sum()",
    ),
    (
        r"checkpoint",
        "it recomputes activations itself",
        "turn that off (model.gradient_checkpointing_disable()), and give memory_budget",
    ),
)
"""What torch says; what that means; what to do. The first that fits is told."""


def joint_failure(model: torch.nn.Module, error: Exception) -> UserError:
    """The error to raise for one that arose while the step was traced."""
    said = "\n".join(f"{type(e).__name__}: {e}" for e in chain(error))
    own = next(((reason, advice) for pattern, reason, advice in RULES if re.search(pattern, said)), None)
    reason, advice = own or rule_for(error) or (first_line(error), "see that loss_fn(model, *example).backward() runs")
    return UserError(
        f"a training step of {type(model).__name__} cannot be captured: {reason}",
        place=place_of_error(error),
        details=[f"torch: {first_line(error)}"],
        hint=advice,
    )
