"""Rows of a result that nobody reads: `dont_care={"last_hidden_state": "attention_mask"}`.

    (tensor<?x?x768xf32> {aten.name = "last_hidden_state"})
        ->  (tensor<?x?x768xf32> {aten.name = "last_hidden_state", sparse.dont_care = "attention_mask"})

Rows where the argument is zero may hold anything; its rank r says that rows run over the first r axes of the result.
A result is named by its path. `"hidden_states"` means every leaf below it and `"*"` every result, as far as they run
over the mask's axes (a pooled output does not, and stays exact). Export may give one size two symbols: then the sizes
of the example decide, and a call in which they differ is refused (`aten.conditions`).
"""

from collections.abc import Mapping, Sequence

import torch
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FloatAttr, StringAttr, TensorType, f64
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute

from ..dialects.aten import dims
from ..dialects.diagnostics import UserError, did_you_mean
from ..passes.guard_density import hints
from .sizes import evaluate

NAME, DONT_CARE, DENSITY, CONDITIONS = "aten.name", "sparse.dont_care", "sparse.density", "aten.conditions"


def annotate(function: FuncOp, dont_care: Mapping[str, str]) -> None:
    """Write `sparse.dont_care` on the results of `function`.

    Raises UserError for a name that is none, and where a mask's axes are not the first axes of the result.
    """
    if not isinstance(dont_care, Mapping):
        raise UserError(f"dont_care is a dictionary, result -> argument, got {dont_care!r}")
    results = entries(function.res_attrs)
    types = function.function_type.outputs.data
    masks = dict(zip(leaf_names(function.arg_attrs), function.function_type.inputs.data, strict=True))
    sizes = hints(function)
    equal: dict[str, None] = {}
    for pattern, argument in dont_care.items():
        if argument not in masks:
            raise UserError(f"dont_care: there is no argument '{argument}'", hint=did_you_mean(argument, masks))
        named = matching(pattern, leaf_names(function.res_attrs))
        fitting = [index for index in named if runs_over(types[index], masks[argument], sizes)]
        if not fitting:
            raise UserError(
                f"dont_care: '{argument}' must run over the first axes of '{pattern}'",
                details=[f"'{argument}' is {show(masks[argument])}, '{pattern}' is {show(types[named[0]])}"],
            )
        for index in fitting:
            results[index][DONT_CARE] = StringAttr(argument)
            pairs = zip(dims(masks[argument]), dims(types[index]), strict=False)
            equal |= dict.fromkeys(f"Eq({a}, {b})" for a, b in pairs if a != b)
    function.res_attrs = ArrayAttr(map(DictionaryAttr, results))
    if equal:
        before = function.attributes.get(CONDITIONS)
        kept = before.data if isinstance(before, ArrayAttr) else ()
        function.attributes[CONDITIONS] = ArrayAttr(dict.fromkeys((*kept, *map(StringAttr, equal))))


def measure(function: FuncOp, calls: Sequence[Sequence[object]]) -> None:
    """Write `sparse.density` on every argument that a `sparse.dont_care` names: its share of non-zeros in `calls`."""
    arguments = entries(function.arg_attrs)
    used = {*read(function).values()}
    for index, name in enumerate(leaf_names(function.arg_attrs)):
        masks = [mask for mask in (call[index] for call in calls) if isinstance(mask, torch.Tensor)]
        if name in used and (total := sum(mask.numel() for mask in masks)):
            density = sum(int(mask.count_nonzero()) for mask in masks) / total
            arguments[index][DENSITY] = FloatAttr(density, f64)
    function.arg_attrs = ArrayAttr(map(DictionaryAttr, arguments))


def read(function: FuncOp) -> dict[str, str]:
    """What `annotate` wrote: result -> argument."""
    named = zip(leaf_names(function.res_attrs), entries(function.res_attrs), strict=True)
    return {name: entry[DONT_CARE].data for name, entry in named if isinstance(entry.get(DONT_CARE), StringAttr)}  # pyright: ignore


def entries(attributes: ArrayAttr[DictionaryAttr] | None) -> list[dict[str, Attribute]]:
    """The attributes of each argument, or of each result."""
    return [dict(entry.data) for entry in attributes or ()]


def leaf_names(attributes: ArrayAttr[DictionaryAttr] | None) -> list[str]:
    """`aten.name` of each argument, or of each result; its position where it has none."""
    named = (entry.get(NAME) for entry in entries(attributes))
    return [name.data if isinstance(name, StringAttr) else str(i) for i, name in enumerate(named)]


def matching(pattern: str, names: Sequence[str]) -> list[int]:
    """Results that `pattern` means. Raises UserError where it means none."""
    found = [i for i, name in enumerate(names) if pattern in ("*", name) or name.startswith(pattern + ".")]
    if not found:
        known = {".".join(name.split(".")[:depth]) for name in names for depth in range(1, name.count(".") + 2)}
        raise UserError(f"dont_care: there is no result '{pattern}'", hint=did_you_mean(pattern, known))
    return found


def runs_over(result: Attribute, mask: Attribute, sizes: Mapping[str, int]) -> bool:
    """Are the mask's axes the first axes of the result, in the example where two symbols stand for them?"""
    if not isinstance(result, TensorType) or not isinstance(mask, TensorType):
        return False
    full, rows = dims(result), dims(mask)

    def equal(a: int | str, b: int | str) -> bool:
        return a == b or (isinstance(a, str) and isinstance(b, str) and evaluate(a, sizes) == evaluate(b, sizes))

    return len(rows) <= len(full) and all(map(equal, rows, full))


def show(type: Attribute) -> str:
    """`['s72', 's53', 768]`"""
    return str(list(dims(type))) if isinstance(type, TensorType) else f"no tensor but {type}"
