"""Why a call may not be removed, merged or moved.

| call                                                            | effect    |
|-----------------------------------------------------------------|-----------|
| the schema says that an argument is written                     | `mutates` |
| batch norm in training: it writes its running statistics        | `mutates` |
| it gives nothing back (`_assert_scalar`): it lives by its effect | `mutates` |
| it draws random numbers, and not with `train=False`, `dropout=0` | `random`  |
"""

from collections.abc import Mapping

import torch

from ...dialects.aten import Effects

QUIET: dict[str, object] = {"train": False, "training": False, "dropout": 0.0, "dropout_p": 0.0}
"""Arguments, and the value with which a random op draws nothing."""

TRAINING = ("training", "use_input_stats")
"""Arguments by which a normalisation writes its running statistics."""

SIDE_EFFECTS = frozenset({"print", "triton_kernel_wrapper_mutation"})
"""Higher-order ops that take no function and yet do something."""


def bound(node: torch.fx.Node) -> Mapping[str, object]:
    """Arguments of a call of an overload by name, defaults included."""
    assert isinstance(node.target, torch._ops.OpOverload)
    schema = node.target._schema.arguments
    defaults = {a.name: a.default_value for a in schema if a.has_default_value()}
    given = {a.name: value for a, value in zip(schema, node.args, strict=False)}
    return {**defaults, **given, **node.kwargs}


def effects_of(node: torch.fx.Node) -> Effects | None:
    """The effect of one call; None for a pure one. Functions given to a higher-order op speak for themselves."""
    if isinstance(node.target, torch._ops.HigherOrderOperator):
        return Effects.MUTATES if node.target.name() in SIDE_EFFECTS else None
    if not isinstance(node.target, torch._ops.OpOverload):
        return None
    schema, arguments = node.target._schema, bound(node)
    updates_statistics = (
        arguments.get("running_mean") is not None
        and any(arguments.get(name) is True for name in TRAINING)
        and not schema.name.endswith("functional")
    )
    if schema.is_mutable or updates_statistics or not schema.returns:
        return Effects.MUTATES
    draws = torch.Tag.nondeterministic_seeded in node.target.tags
    quiet = any(name in arguments and arguments[name] == value for name, value in QUIET.items())
    return Effects.RANDOM if draws and not quiet else None
