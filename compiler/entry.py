"""The entry of a compiled module, read from its `func.func`: how a call becomes inputs, and results become a structure.

    func.func @forward(%x: tensor<?x4xf32, #aten.dims<"s0", 4>> {aten.name = "x"}) -> (.. {aten.name = "y"})
        attributes {aten.forward = "(x, scale=2.0)", aten.inputs = #aten.template<(operand<0>, 2.0)>, ..}

The module holds all of it, so a model that was saved is called as it was before, without its class.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import torch
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, IntegerAttr, ModuleOp, StringAttr, TensorType
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute

from ..dialects.aten import AssignOp, ScalarType, TemplateAttr, dims
from ..dialects.diagnostics import UserError, place_of
from ..dialects.template import Ref
from ..runtime.calls import arguments
from ..runtime.dtypes import DTYPES
from .binding import Binder
from .leaves import ContiguousLeaf, FixedLeaf, Leaf, NumberLeaf, OpaqueLeaf, Symbol, TensorLeaf
from .signature import argument_names, assembler, parse_forward, parse_spec

ENTRY = "forward"
ADAPTED = "aten.adapted"
"""On a module: which modules of the model were read in another form, and in which."""

NOTES = "aten.notes"
"""On a module: what its import assumed where the model's file does not say."""


@dataclass(frozen=True)
class Entry:
    """`bind` makes the program's inputs of a call, `assemble` the model's results of the program's."""

    bind: Binder
    assemble: Callable[[list], Any]


def entry_function(module: ModuleOp) -> FuncOp:
    """The function that a call runs. Raises UserError where the module has none."""
    for op in module.ops:
        if isinstance(op, FuncOp) and op.sym_name.data == ENTRY:
            return op
    raise UserError(f"the module has no function @{ENTRY}", place=place_of(module))


def adapted_modules(module: ModuleOp) -> dict[str, str]:
    """The modules of the model that were read in another form, and in which."""
    notes = module.attributes.get(ADAPTED)
    items = notes.data.items() if isinstance(notes, DictionaryAttr) else ()
    return {name: form.data for name, form in items if isinstance(form, StringAttr)}


def import_notes(module: ModuleOp) -> list[str]:
    """What the import of a module assumed."""
    notes = module.attributes.get(NOTES)
    return [note.data for note in notes if isinstance(note, StringAttr)] if isinstance(notes, ArrayAttr) else []


def read_entry(function: FuncOp, device: torch.device | None = None) -> Entry:
    """The entry that `function` describes; tensors must be on `device`, or anywhere where it is None.

    Raises UserError where an attribute is missing or is no such text, and where they do not fit each other.
    """
    binder = read_binder(function, device)
    out_spec = parse_spec(text_of(function, "aten.out_spec"))
    outputs = leaves_of(function, "aten.outputs", function.function_type.outputs.data)
    if out_spec.num_leaves != len(outputs):
        raise no_fit(function)
    return Entry(
        binder, assembler(out_spec, [itemgetter(x.index) if isinstance(x, Ref) else always(x) for x in outputs])
    )


def read_binder(function: FuncOp, device: torch.device | None = None) -> Binder:
    """How a call becomes the inputs of `function`. Raises UserError as `read_entry` does."""
    forward = parse_forward(text_of(function, "aten.forward"))
    in_spec = parse_spec(text_of(function, "aten.in_spec"))
    inputs = leaves_of(function, "aten.inputs", function.function_type.inputs.data)
    if in_spec.num_children != 2 or in_spec.num_leaves != len(inputs):
        raise no_fit(function)
    leaves = input_leaves(function, argument_names(in_spec, forward), inputs, device)
    return Binder(forward, in_spec, leaves, texts_of(function, "aten.conditions"))


def no_fit(function: FuncOp) -> UserError:
    """The error for a structure of another number of leaves than there are arguments or results."""
    name = function.sym_name.data
    return UserError(f"the arguments or results of @{name} do not fit their structure", place=place_of(function))


def input_leaves(
    function: FuncOp, names: Sequence[str], inputs: Sequence[object], device: torch.device | None
) -> list[Leaf]:
    """What every leaf of the arguments must be."""
    types, symbols = function.function_type.inputs.data, symbols_of(function, names, inputs)
    return [
        as_marked(function, leaf.index, leaf_of(name, types[leaf.index], symbols, device))
        if isinstance(leaf, Ref)
        else FixedLeaf(name, leaf)
        for name, leaf in zip(names, inputs, strict=True)
    ]


def as_marked(function: FuncOp, index: int, leaf: Leaf) -> Leaf:
    """`leaf`, argument `index` of the function, with what its attributes say of its value or its place in memory."""
    attributes = function.arg_attrs.data[index].data if function.arg_attrs is not None else {}
    if isinstance(leaf, OpaqueLeaf) and isinstance(text := attributes.get("aten.value"), StringAttr):
        return OpaqueLeaf(leaf.name, text.data)
    if "aten.contiguous" not in attributes or not isinstance(leaf, TensorLeaf):
        return leaf
    return ContiguousLeaf(leaf, any(isinstance(use.operation, AssignOp) for use in function.args[index].uses))


def text_of(function: FuncOp, name: str) -> str:
    """A text attribute of the function. Raises UserError where it is missing."""
    attribute = function.attributes.get(name)
    if not isinstance(attribute, StringAttr):
        raise missing(function, name)
    return attribute.data


def texts_of(function: FuncOp, name: str) -> list[str]:
    """A list of texts among the attributes of the function; empty where it has none of that name."""
    attribute = function.attributes.get(name)
    texts = attribute.data if isinstance(attribute, ArrayAttr) else ()
    return [text.data for text in texts if isinstance(text, StringAttr)]


def leaves_of(function: FuncOp, name: str, types: Sequence[Attribute]) -> list[object]:
    """Every leaf in a template attribute of the function: a `Ref` to one of `types`, or a constant.

    Raises UserError where it is missing.
    """
    attribute = function.attributes.get(name)
    if not isinstance(attribute, TemplateAttr) or any(index >= len(types) for index in attribute.data.refs()):
        raise missing(function, name)
    return arguments(attribute.data, list(map(Ref, range(len(types)))))[0]


def missing(function: FuncOp, name: str) -> UserError:
    return UserError(
        f"@{function.sym_name.data} has no such attribute as '{name}': it cannot be called as a model",
        place=place_of(function),
        hint="modules that gossamer.compile made and saved have it",
    )


def symbols_of(function: FuncOp, names: Sequence[str], inputs: Sequence[object]) -> dict[str, Symbol]:
    """The size symbols with their ranges, each with the first argument that has it; not expressions in symbols."""
    ranges = function.attributes.get("aten.symbols", DictionaryAttr({}))
    types = function.function_type.inputs.data
    first: dict[str, str] = {}
    for name, leaf in zip(names, inputs, strict=True):
        for size in sizes_of(types[leaf.index]) if isinstance(leaf, Ref) else ():
            first.setdefault(str(size), name)
    table = ranges.data.items() if isinstance(ranges, DictionaryAttr) else ()
    return {name: Symbol(name, *bounds(ends), first.get(name, "")) for name, ends in table if name.isidentifier()}


def bounds(attribute: Attribute) -> tuple[int, int | None]:
    """`[2, -1, 32]` -> (2, None)"""
    match attribute:
        case ArrayAttr(data=(IntegerAttr(value=low), IntegerAttr(value=high), *_)):
            return low.data, None if high.data < 0 else high.data
        case _:
            raise UserError(f"not the range of a size symbol: {attribute}")


def sizes_of(type: Attribute) -> Sequence[int | str]:
    """The sizes that an argument tells: of its axes, or its own value."""
    if isinstance(type, ScalarType):
        return (type.expression.data,)
    return dims(type) if isinstance(type, TensorType) else ()


def leaf_of(name: str, type: Attribute, symbols: Mapping[str, Symbol], device: torch.device | None) -> Leaf:
    """What the argument of this type must be."""
    match type:
        case TensorType() if (dtype := DTYPES.get(type.element_type)) is not None:
            return TensorLeaf.of(name, dtype, dims(type), symbols, device)
        case ScalarType(kind=StringAttr(data="int"), expression=expression):
            return NumberLeaf(name, symbols.get(expression.data))
        case _:
            return OpaqueLeaf(name)


def always(value: object) -> Callable[[list], object]:
    """A function that gives `value` whatever the results."""
    return lambda _: value
