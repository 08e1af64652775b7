"""What a model takes and gives, as text and back.

| text (an attribute of `func.func`) | means                                                                  |
|------------------------------------|------------------------------------------------------------------------|
| `aten.forward`                     | `(x, mask=None, *, scale=2.0)`: how `forward` is called                |
| `aten.in_spec`, `aten.out_spec`    | nesting of arguments and results: torch's tree specs as JSON           |
| `aten.inputs`, `aten.outputs`      | every leaf: an operand, or a literal on which the program is specialised |
| `aten.symbols`                     | `{s72 = [2, -1, 32]}`: smallest, largest (-1: any), size in the example |

A leaf is named by its path: `attention_mask`, `past_key_values.0.1`, `last_hidden_state`.
"""

import ast
import dataclasses
import importlib
import inspect
import json
import math
from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from torch.utils import _pytree as pytree
from torch.utils._pytree import TreeSpec

from ..dialects.diagnostics import UserError
from .frontends.transformers import unflatten

CLASSES: dict[str, type] = {}
"""Classes met while writing specs, by name: those that cannot be imported are known where they were made."""

LEAF_JSON = {"type": None, "context": None, "children_spec": []}


def spec_text(spec: TreeSpec) -> str:
    """`spec` as JSON, as `treespec_dumps` writes it; a class that torch has no name for is written `module.Class`.

    Raises UserError where the spec holds what JSON cannot (a key of a dict that is no text or number).
    """
    try:
        text = json.dumps((1, _to_json(spec)))
        if parse_spec(text) == spec:
            return text
    except (KeyError, TypeError):
        pass
    raise UserError(
        f"the structure {spec} cannot be written as text",
        hint="use texts and numbers as keys of dicts, and classes registered with torch.export.register_dataclass",
    )


def _to_json(spec: TreeSpec) -> dict[str, Any]:
    if spec.is_leaf():
        return LEAF_JSON
    if spec.type is namedtuple:
        context: object = class_name(spec.context)
    elif (dumped := pytree.SUPPORTED_SERIALIZED_TYPES[spec.type].to_dumpable_context) is not None:
        context = dumped(spec.context)
    else:
        context = json.dumps(spec.context, cls=pytree.EnumEncoder)
    return {
        "type": class_name(spec.type),
        "context": context,
        "children_spec": [_to_json(child) for child in spec.children()],
    }


def class_name(cls: Any) -> str:
    """The name under which torch knows `cls`, else its dotted name."""
    known = pytree.SUPPORTED_SERIALIZED_TYPES.get(cls)
    if known is not None and known.serialized_type_name != pytree.NO_SERIALIZED_TYPE_NAME_FOUND:
        return known.serialized_type_name
    name = f"{cls.__module__}.{cls.__qualname__}"
    CLASSES[name] = cls
    return name


def parse_spec(text: str) -> TreeSpec:
    """The spec that `spec_text` or `treespec_dumps` wrote.

    Raises UserError where the text is none, or names a class that cannot be imported.
    """
    try:
        return _from_json(json.loads(text)[1])
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError(f"not the structure of arguments or results: {text[:80]!r} ({error})") from error


def _from_json(node: dict[str, Any]) -> TreeSpec:
    if node["type"] is None:
        return pytree.treespec_leaf()
    cls = find_class(node["type"])
    if cls is namedtuple:
        context = find_class(node["context"])
        if not pytree.is_namedtuple_class(context):
            raise UserError(f"the model's structure uses '{node['context']}' as a named tuple, which it is not")
    elif (loads := pytree.SUPPORTED_SERIALIZED_TYPES[cls].from_dumpable_context) is not None:
        context = loads(node["context"])
    else:
        context = json.loads(node["context"], object_hook=pytree.enum_object_hook)
    return TreeSpec(cls, context, [_from_json(child) for child in node["children_spec"]])


def find_class(name: str) -> Any:
    """The class of a tree node by name, imported and registered with torch where it is not yet."""
    if (cls := pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE.get(name) or CLASSES.get(name)) is not None:
        return cls
    cls = import_class(name)
    if (registered := pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE.get(name)) is not None:
        return registered
    if cls not in pytree.SUPPORTED_NODES and dataclasses.is_dataclass(cls):
        pytree.register_dataclass(cls)
    elif cls not in pytree.SUPPORTED_NODES and name.startswith("transformers."):
        register_cache(name, cls)
    return cls


def register_cache(name: str, cls: type) -> None:
    """Make a cache of transformers a tree, as import does; the library itself does so only when asked."""
    if ":" in name:
        importlib.import_module("transformers.exporters.exporter_dynamo").register_pytree_node(cls)
    else:
        importlib.import_module("transformers.integrations.executorch").register_dynamic_cache_export_support()


def import_class(name: str) -> type:
    """The class `package.module.Outer.Inner`. Raises UserError that names what is missing."""
    parts = name.replace(":", ".").split(".")
    package, module, found = parts[0], None, 0
    for end in range(1, len(parts)):
        try:
            module, found = importlib.import_module(".".join(parts[:end])), end
        except ModuleNotFoundError:
            break
    hint = f"install '{package}', or import the module that defines it before"
    if package == "__main__":
        hint = "define it in a module that can be imported, and save the model again"
    if module is None:
        raise UserError(f"the model's structure uses '{name}', and there is no module '{package}' here", hint=hint)
    target: Any = module
    for part in parts[found:]:
        target = getattr(target, part, None)
    if not isinstance(target, type):
        raise UserError(f"the model's structure uses '{name}', which module '{module.__name__}' lacks", hint=hint)
    return target


def leaf_names(spec: TreeSpec) -> list[str]:
    """The path of every leaf: `["last_hidden_state", "hidden_states.0"]`; a lone leaf is `"output"`."""
    return [".".join(path) or "output" for path in _paths(spec, ())]


def argument_names(spec: TreeSpec, forward: inspect.Signature) -> list[str]:
    """The path of every leaf of `(args, kwargs)`; positional arguments go by the parameter they are for."""
    positional, keywords = spec.children()
    names = positional_names(forward, positional.num_children)
    paths = [(n, *path) for n, child in zip(names, positional.children(), strict=True) for path in _paths(child, ())]
    return [".".join(path) for path in (*paths, *_paths(keywords, ()))]


def positional_names(forward: inspect.Signature, count: int) -> list[str]:
    """Names of the first `count` positional arguments; those that `*args` takes are `args.0`, `args.1`, .."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [p.name for p in forward.parameters.values() if p.kind in kinds][:count]
    rest = next((p.name for p in forward.parameters.values() if p.kind is inspect.Parameter.VAR_POSITIONAL), "args")
    return names + [f"{rest}.{i}" for i in range(count - len(names))]


def _paths(spec: TreeSpec, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if spec.is_leaf():
        yield path
    for key, child in zip(child_keys(spec), spec.children(), strict=True):
        yield from _paths(child, (*path, str(key)))


def child_keys(spec: TreeSpec) -> Sequence[object]:
    """Keys of a dict, fields of a named tuple or of a dataclass, else positions."""
    count, context = spec.num_children, spec.context
    if spec.type is namedtuple:
        return context._fields
    for keys in (context, *context) if isinstance(context, list) else ():
        if isinstance(keys, list) and len(keys) == count and all(isinstance(k, str | int) for k in keys):
            return keys
    return range(count)


def assembler(spec: TreeSpec, leaves: Sequence[Callable[[list], object]]) -> Callable[[list], Any]:
    """A function from flat results to the model's own structure; `leaves` pick each leaf from the flat results."""
    remaining = iter(leaves)

    def build(node: TreeSpec) -> Callable[[list], Any]:
        if node.is_leaf():
            return next(remaining)
        children = [build(child) for child in node.children()]
        return partial(_assemble, unflatten(node.type), children, node.context)

    return build(spec)


def _assemble(unflatten: Callable, children: Sequence[Callable[[list], Any]], context: object, results: list) -> Any:
    return unflatten([child(results) for child in children], context)


def is_literal(value: object) -> bool:
    """Can `value` stand in a source text? Not inf and nan, nor what is compound, but for tuples of literals."""
    if type(value) is tuple:
        return all(map(is_literal, value))
    return type(value) in (bool, int, str, type(None)) or (type(value) is float and math.isfinite(value))


def forward_text(function: Callable[..., object]) -> str:
    """How `function` is called: `(x, mask=None, *, scale=2.0)`. A default that is no literal is written `...`."""

    def plain(parameter: inspect.Parameter) -> inspect.Parameter:
        default = parameter.default
        if default is not inspect.Parameter.empty and not is_literal(default):
            default = ...
        return parameter.replace(annotation=inspect.Parameter.empty, default=default)

    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return "(*args, **kwargs)"
    return str(inspect.Signature([plain(p) for p in parameters])).replace("Ellipsis", "...")


def parse_forward(text: str) -> inspect.Signature:
    """The signature that `forward_text` wrote. Raises UserError where the text is none."""
    try:
        match ast.parse(f"def forward{text}: ...").body:
            case [ast.FunctionDef(args=arguments)]:
                return inspect.Signature(list(_parameters(arguments)))
    except (SyntaxError, ValueError):
        pass
    raise UserError(f"not the signature of a function: {text!r}")


def _parameters(arguments: ast.arguments) -> Iterator[inspect.Parameter]:
    kind, empty = inspect.Parameter, inspect.Parameter.empty
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [empty] * (len(positional) - len(arguments.defaults)) + list(map(_value, arguments.defaults))
    for index, (argument, default) in enumerate(zip(positional, defaults, strict=True)):
        only = index < len(arguments.posonlyargs)
        yield kind(argument.arg, kind.POSITIONAL_ONLY if only else kind.POSITIONAL_OR_KEYWORD, default=default)
    if arguments.vararg:
        yield kind(arguments.vararg.arg, kind.VAR_POSITIONAL)
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield kind(argument.arg, kind.KEYWORD_ONLY, default=empty if default is None else _value(default))
    if arguments.kwarg:
        yield kind(arguments.kwarg.arg, kind.VAR_KEYWORD)


def _value(node: ast.expr) -> object:
    return ... if isinstance(node, ast.Constant) and node.value is ... else ast.literal_eval(node)
