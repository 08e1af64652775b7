"""Why a model does not export, in one line, and what to do about it.

model.py:41: error: BranchNet cannot be exported: a Python branch depends on values of a tensor
   41 |         if x.sum() > 0:
  torch.export: Could not guard on data-dependent expression Eq(u0, 1)
  hint: write the branch as torch.cond(predicate, f, g, (x,)), or use torch.where; ..
"""

import re
from collections.abc import Iterator, Sequence

import torch

from ...dialects.diagnostics import Place, UserError
from .locations import place_in, place_of_traceback

RULES: tuple[tuple[str, str, str], ...] = (
    (
        r"(?s)data.dependent.*for \w+ in expert_hit",
        "the loop over the experts that were hit depends on values of a tensor",
        'call model.set_experts_implementation("grouped_mm") where the model has it; else loop over all experts, or '
        "register a form that does (gossamer.adapters.register)",
    ),
    (
        r"Couldn't swap",
        "it casts a module inside forward",
        "cast the module once, before, and its input inside forward",
    ),
    (
        r"DynamicCache|not a known type|unrecognized type|pytree",
        "it takes or returns an object that torch.export cannot take apart",
        "register its class with torch.export.register_dataclass, or pass its tensors (a cache: use_cache=False)",
    ),
    (
        r"Constraints violated|specialized it to be a constant|not all values of",
        "its code fixes a size that dynamic_shapes lets vary",
        "leave that axis out, or pass dynamic_shapes='auto'; a loop over time can be a torch scan",
    ),
    (
        r"`?dynamic_shapes`? (is|has|must|contains)|in `dynamic_shapes`",
        "dynamic_shapes does not nest as the inputs do",
        "give a dict by argument name, or a tuple as args is, with {axis: Dim} for each tensor; or 'auto'",
    ),
    (
        r"__obj_flatten__|[Ss]cript_?[Oo]bject|torchbind",
        "it holds an object of C++ (packed weights)",
        "compile the model as it was before quantization, or keep that state in buffers",
    ),
    (
        r"extract specialized integer|_check_is_size",
        "a size or an index depends on values of a tensor",
        "state its bounds: n = t.item(); torch._check(n >= 0); torch._check(n <= x.shape[0])",
    ),
    (
        r"Could not guard|[Dd]ata-dependent",
        "a Python branch depends on values of a tensor",
        "write it as torch.cond(predicate, f, g, (x,)) or torch.where, or make the condition a Python constant",
    ),
    (
        r"Expected inputs of BF16",
        "torch traces its grouped product in bfloat16 only",
        "call model.bfloat16(), or loop over the experts",
    ),
    (
        r"side effects.*_buffers",
        "forward replaces a buffer",
        "write it in place: self.buffer.copy_(value)",
    ),
    (
        r"(fake|[Mm]eta)\W.*(impl|kernel)|register_fake",
        "an op does not say what shape its result has",
        "give the op a torch.library.register_fake",
    ),
    (
        r"ScriptModule|ScriptFunction",
        "it is a TorchScript program",
        "import the Python module that it was made from",
    ),
    (
        r"missing \d+ required|positional arguments? but|unexpected keyword|missing a required argument",
        "the example inputs do not fit its forward",
        "give args and kwargs as the model is called: model(*args, **kwargs)",
    ),
)
"""What torch says, or the line at which it says so; what that means; what to do. The first that fits is told."""

OTHERWISE = "see that model(*args, **kwargs) runs; torch.export.draft_export(model, args, kwargs) lists every obstacle"


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def first_line(error: BaseException) -> str:
    """What torch says, in one line; of violated constraints the first one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    violated = [line.removeprefix("- ").partition(". ")[0] for line in lines if line.startswith("- You marked")]
    return (violated or lines)[0]


def place_of_error(error: BaseException) -> Place | None:
    """The user's line at which `error` arose: in its traceback, or in the one it quotes."""
    places = [place_of_traceback(e.__traceback__) for e in chain(error)] + [place_in(str(e)) for e in chain(error)]
    return next(filter(None, places), None)


def rule_for(error: BaseException) -> tuple[str, str] | None:
    """Reason and advice of the first rule that fits."""
    place = place_of_error(error)
    symptoms = "\n".join([*map(str, chain(error)), place.excerpt() if place else ""])
    return next(((reason, advice) for pattern, reason, advice in RULES if re.search(pattern, symptoms)), None)


def export_failure(model: torch.nn.Module, failures: Sequence[Exception]) -> UserError:
    """The error to raise for the failures of all attempts, the plainest first."""
    told = next((error for error in failures if rule_for(error)), failures[0])
    reason, advice = rule_for(told) or (first_line(told), OTHERWISE)
    place = next(filter(None, map(place_of_error, (told, *failures))), None)
    return UserError(
        f"{type(model).__name__} cannot be exported: {reason}",
        place=place,
        details=list(dict.fromkeys(f"torch.export: {first_line(error)}" for error in failures)),
        hint=advice,
    )
