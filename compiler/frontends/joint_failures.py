"""Why a training step cannot be captured, in one line, and what to do about it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from traceback import extract_tb
from typing import Any

import torch
from torch import distributions
from torch._functorch._aot_autograd.descriptors import (
    AOTInput,
    AOTOutput,
    ForwardTokenAOTInput,
    ForwardTokenAOTOutput,
    InputMutationAOTOutput,
    ParamAOTInput,
)
from torch.fx import Graph

from ...dialects.diagnostics import UserError
from .failures import chain, first_line, place_of_error, rule_for
from .literals import literal

RULES: tuple[tuple[str, str, str], ...] = (
    (
        r"(?s)expert_hit|grouped.?mm|Expected inputs of BF16",
        "its experts read the rows that were routed to them",
        'model.set_experts_implementation("batched_mm"), where the model has that; else let all experts read all rows',
    ),
    (
        r"_ctc_loss",
        "the memory that ctc_loss takes depends on the lengths of its targets",
        "compile a loss up to the log-probabilities, or train this model in eager",
    ),
    (
        r"_pack_padded_sequence",
        "pack_padded_sequence leaves out rows by values of a tensor",
        "run the layer on padded sequences, and weigh the loss by a mask",
    ),
    (
        r"(?s)^torch.distributions: .*_local_scalar_dense",
        "torch.distributions looks at the values of its arguments",
        "pass validate_args=False to the distribution",
    ),
    (
        r"\.numpy\(\) is not supported",
        "it leaves torch by .numpy()",
        "compute it by torch, or before, and pass it in the batch",
    ),
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
    place = place_of_error(error)
    said = "\n".join([*(f"{type(e).__name__}: {e}" for e in chain(error)), place.excerpt() if place else ""])
    if any(distributions.__path__[0] in frame.filename for e in chain(error) for frame in extract_tb(e.__traceback__)):
        said = f"torch.distributions: {said}"
    own = next(((reason, advice) for pattern, reason, advice in RULES if re.search(pattern, said)), None)
    reason, advice = own or rule_for(error) or (first_line(error), "see that loss_fn(model, *example).backward() runs")
    return UserError(
        f"a training step of {type(model).__name__} cannot be captured: {reason}",
        place=place,
        details=[f"torch: {first_line(error)}"],
        hint=advice,
    )


def refuse_opaque(batch: Mapping[str, Any]) -> None:
    """Raise UserError where a leaf of the batch is an object that a step cannot look into."""
    for name, leaf in batch.items():
        if isinstance(leaf, torch.Tensor):
            continue
        try:
            literal(leaf)
        except UserError:
            kind = type(leaf).__name__
            register = f"call torch.export.register_dataclass({kind}) once" if is_dataclass(leaf) else ""
            advice = f"pass dict({name})" if isinstance(leaf, Mapping) else register or "pass its tensors one by one"
            message = f"argument '{name}' is a {kind}, which a step cannot look into"
            raise UserError(
                message, hint=f"{advice}; tensors, numbers, texts, tuples, lists and dicts can be passed"
            ) from None


def refuse_draws(streams: Sequence[str]) -> None:
    """Raise UserError where the loss draws numbers that are no tensors."""
    if streams:
        message = f"the loss draws from {streams[0]}, and a step would draw once, when it is compiled"
        raise UserError(message, hint="draw before, and pass what was drawn; or draw by torch, on tensors")


def no_place(descriptor: AOTInput | AOTOutput, graph: Graph) -> UserError:
    """The error for what a step has no place for, such as a parameter that forward writes."""
    if isinstance(descriptor, InputMutationAOTOutput) and isinstance(descriptor.mutated_input, ParamAOTInput):
        return UserError("forward writes a parameter", hint="keep what forward writes in a buffer")
    if isinstance(descriptor, ForwardTokenAOTInput | ForwardTokenAOTOutput):
        if any(torch.ops.aten._linalg_check_errors.default in node.args for node in graph.nodes):
            return UserError(
                "the loss calls an op of torch.linalg that raises where a matrix is singular",
                hint="call torch.linalg.inv_ex, solve_ex or cholesky_ex, and take the first result",
            )
        return UserError(
            "the loss calls an op that acts beside what it returns, such as torch.distributed.all_reduce in place",
            hint="communicate by torch.distributed._functional_collectives: x = all_reduce(x, 'sum', group)",
        )
    return UserError(f"a training step has no place for {descriptor.expr()}")
