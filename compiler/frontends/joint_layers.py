"""Which of a model's repeated blocks a module belongs to, by its path.

    h: ModuleList of 12 GPT2Block            "transformer.h.3.mlp" -> 3
    encoder.block, decoder.block: 6 each     "decoder.block.2"     -> 8: blocks are numbered through the model

Blocks stand in a list or sequence, are of one class, and have parameters of the same names and shapes; inside a block
no others are looked for.
"""

from collections.abc import Mapping

from torch import nn


def layers(model: nn.Module) -> dict[str, int]:
    """The path of every repeated block with its number."""
    found: dict[str, int] = {}

    def visit(module: nn.Module, path: str) -> None:
        children = [(f"{path}.{name}" if path else name, child) for name, child in module.named_children()]
        if isinstance(module, nn.ModuleList | nn.Sequential) and repeated([child for _, child in children]):
            found.update((name, len(found) + index) for index, (name, _) in enumerate(children))
            return
        for name, child in children:
            visit(child, name)

    visit(model, "")
    return found


def repeated(blocks: list[nn.Module]) -> bool:
    """At least two blocks of one structure, with parameters."""
    structures = {(type(block), tuple((n, p.shape) for n, p in block.named_parameters())) for block in blocks}
    return len(blocks) > 1 and len(structures) == 1 and bool(next(iter(structures))[1])


def layer_of(path: str, numbers: Mapping[str, int]) -> int | None:
    """The number of the block that the module at `path` is, or is in."""
    parts = path.split(".")
    prefixes = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
    return next((numbers[prefix] for prefix in prefixes if prefix in numbers), None)
