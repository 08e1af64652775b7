"""Inputs of a compiled model from a file, by name.

    inputs.npz   input_ids [4, 128] int64, attention_mask [4, 128] int64        names are those of `gossamer explain`

A `.pt` file holds a dictionary, or a sequence in the order of the arguments; it is read without running code.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import torch
from safetensors.torch import load_file
from torch.utils._pytree import tree_flatten, tree_unflatten

from ..dialects.diagnostics import UsageError, UserError, did_you_mean
from ..dialects.template import Ref
from .compiled import CompiledModel
from .dont_care import leaf_names
from .entry import entry_function, input_leaves, text_of
from .example import Example
from .signature import argument_names, parse_forward, parse_spec


def read_npz(path: Path) -> dict[str, torch.Tensor]:
    with numpy.load(path, allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def read_torch(path: Path) -> Any:
    return torch.load(path, weights_only=True, map_location="cpu")


READERS: dict[str, Callable[[Path], Any]] = {
    ".npz": read_npz,
    ".safetensors": load_file,
    ".pt": read_torch,
    ".pth": read_torch,
}


def read_inputs(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """The inputs in a file by name. Raises UserError when it cannot be read, or holds what is no input."""
    if path.suffix not in READERS:
        raise UsageError(f"{path}: inputs are in {', '.join(READERS)} files")
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        found = READERS[path.suffix](path)
    except Exception as error:
        raise UserError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error
    if isinstance(found, Sequence) and not isinstance(found, str):
        found = dict(zip(names, found, strict=False))
    if not isinstance(found, Mapping):
        raise UserError(f"{path}: holds a {type(found).__name__}", hint=f"it should hold {', '.join(names)}")
    for name in found:
        if name not in names:
            raise UserError(f"{path}: the model has no input '{name}'", hint=did_you_mean(str(name), names))
    return dict(found)


def given_inputs(compiled: CompiledModel, file: Path | None) -> dict[str, Any]:
    """The inputs in `file` by name; none without a file."""
    return read_inputs(file, leaf_names(entry_function(compiled.module).arg_attrs)) if file else {}


def flat_inputs(compiled: CompiledModel, example: Example | None, given: Mapping[str, Any]) -> list[object]:
    """What the program is called with: the example, with what is `given` by name in place.

    Raises UserError where an input is missing or does not fit.
    """
    function = entry_function(compiled.module)
    if example is not None:
        args, kwargs = with_inputs(compiled, example, given)
        return compiled.bind(args, kwargs)
    names, types = leaf_names(function.arg_attrs), function.function_type.inputs.data
    if missing := [f"{name} : {type}" for name, type in zip(names, types, strict=True) if name not in given]:
        raise UserError("the model needs inputs", details=missing, hint="--inputs FILE.npz")
    sizes: dict[str, int] = {}
    flat: list[object] = []
    for leaf in input_leaves(function, names, [Ref(index) for index in range(len(names))], compiled.device):
        leaf.take(moved(given[leaf.name], compiled), sizes, flat)
    return flat


def with_inputs(compiled: CompiledModel, example: Example, given: Mapping[str, Any]) -> tuple[Any, Any]:
    """The example's `(args, kwargs)` with what is `given` by name in place."""
    function = entry_function(compiled.module)
    forward = parse_forward(text_of(function, "aten.forward"))
    names = argument_names(parse_spec(text_of(function, "aten.in_spec")), forward)
    leaves, spec = tree_flatten((example.args, example.kwargs))
    chosen = [moved(given.get(name, leaf), compiled) for name, leaf in zip(names, leaves, strict=True)]
    return tree_unflatten(chosen, spec)


def moved(value: Any, compiled: CompiledModel) -> Any:
    """`value` on the device of the program."""
    return value.to(compiled.device) if isinstance(value, torch.Tensor) and compiled.device else value
