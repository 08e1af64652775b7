"""What tests ask an imported module."""

from typing import Any

from gossamer.compiler.frontends.torch_export import Imported
from gossamer.dialects.aten import CallOp, Effects, TemplateAttr, WeightOp
from gossamer.runtime.executor import Program
from gossamer.tests.zoo import run
from torch import nn
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, IntegerAttr


def calls(imported: Imported, target: str = "") -> list[CallOp]:
    """Calls of the targets that contain `target`, those in regions included."""
    return [op for op in imported.module.walk() if isinstance(op, CallOp) and target in op.target.data]


def effects(op: CallOp) -> Effects | None:
    return op.effects.data if op.effects else None


def declared(imported: Imported) -> dict[str, WeightOp]:
    return {op.sym_name.data: op for op in imported.module.ops if isinstance(op, WeightOp)}


def leaf_names(imported: Imported, end: str) -> list[str]:
    """`aten.name` of all arguments ("arg_attrs") or results ("res_attrs")."""
    attributes = getattr(imported.function, end)
    return [entry.data["aten.name"].data for entry in attributes]


def template(imported: Imported, end: str) -> str:
    attribute = imported.function.attributes[f"aten.{end}"]
    assert isinstance(attribute, TemplateAttr)
    return attribute.data.text


def symbols(imported: Imported) -> dict[str, tuple[int, ...]]:
    table = imported.function.attributes["aten.symbols"]
    assert isinstance(table, DictionaryAttr)
    found = {}
    for name, numbers in table.data.items():
        assert isinstance(numbers, ArrayAttr)
        found[name] = tuple(n.value.data for n in numbers if isinstance(n, IntegerAttr))
    return found


def result_of(imported: Imported, *args: Any, **kwargs: Any) -> Any:
    return run(imported, Program.build(imported.module, imported.weights), args, kwargs)


class Wrap(nn.Module):
    """A function as a model."""

    def __init__(self, function: Any):
        super().__init__()
        self.function = function

    def forward(self, *inputs: Any) -> Any:
        return self.function(*inputs)
