"""What adapters of routed experts share.

`every_expert`   the loop that is total: all experts, each on its tokens, those that were not hit on none
`activation_of`  the op's name for an activation
`cast_apart`     a router whose forward casts its classifier in place: a stand-in for it casts a copy
"""

from collections.abc import Callable
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def every_expert(
    hidden: Tensor,
    indices: Tensor,
    weights: Tensor,
    count: int,
    run: Callable[[int, Tensor], Tensor],
    finish: Callable[[Tensor], Tensor] = lambda rows: rows,
) -> Tensor:
    """result[t] = sum over k of finish(weights[t, k] * run(indices[t, k], hidden[t])), in the order of eager loops."""
    result = torch.zeros_like(hidden)
    for expert in range(count):
        slots, tokens = torch.where(indices.t() == expert)
        rows = finish(run(expert, hidden[tokens]) * weights[tokens, slots, None])
        result = result.index_add(0, tokens, rows.to(result.dtype))
    return result


def activation_of(module: nn.Module) -> str | None:
    """The name of an activation of torch or transformers to `gossamer::moe_experts`; None where it has none."""
    function = vars(module).get("act")
    match type(module).__name__:
        case "ReLU":
            return "relu"
        case "SiLU" | "SiLUActivation":
            return "silu"
        case "GELU":
            return "gelu_tanh" if module.approximate == "tanh" else "gelu"
        case "GELUActivation" if function is functional.gelu:
            return "gelu"
        case "GELUTanh" if getattr(function, "func", None) is functional.gelu:
            return "gelu_tanh"
    return None


class CastApart(nn.Module):
    """A linear layer whose `to` casts copies of its weights, and not itself."""

    linear: nn.Linear
    dtype: torch.dtype | None

    def __init__(self, linear: nn.Linear, dtype: torch.dtype | None = None):
        super().__init__()
        vars(self).update(linear=linear, dtype=dtype)

    def to(self, dtype: torch.dtype) -> "CastApart":  # pyright: ignore[reportIncompatibleMethodOverride]
        return CastApart(self.linear, dtype)

    def forward(self, x: Tensor) -> Tensor:
        bias = self.linear.bias
        return functional.linear(x, self.linear.weight.to(self.dtype), None if bias is None else bias.to(self.dtype))


def cast_apart(module: Any) -> Callable[..., Any] | None:
    """`self.classifier = self.classifier.to(self.dtype)` in forward: a copy of the module takes what is written."""
    if type(module.classifier) is not nn.Linear:
        return None
    stand_in = copy(module)
    vars(stand_in)["_modules"] = {**module._modules, "classifier": CastApart(module.classifier)}

    def cast_classifier(*args: Any, **kwargs: Any) -> Any:
        stand_in.training = module.training
        return type(module).forward(stand_in, *args, **kwargs)

    return cast_classifier
