"""Which of a model's repeated blocks a module belongs to, by its path.

    h: ModuleList of 12 GPT2Block            "transformer.h.3.mlp" -> 3
    encoder.block, decoder.block: 6 each     "decoder.block.2"     -> 8: blocks are numbered through the model

Blocks stand in a list or sequence, are of one class, and have most of their parameters' names and shapes in common (the
first block of T5 has one more than the others); inside a block no others are looked for.
"""

from collections.abc import Mapping

from torch import nn


def layers(model: nn.Module) -> dict[str, int]:
    """The path of every repeated block with its number."""
    found: dict[str, int] = {}

    def visit(module: nn.Module, path: str) -> None:
        children = [(f"{path}.{name}" if path else name, child) for name, child in module.named_children()]
        if isinstance(module, nn.ModuleList | nn.Sequential) and repeated([child for _, child in children]):
            for name, _ in children:
                found[name] = len(found)
            return
        for name, child in children:
            visit(child, name)

    visit(model, "")
    return found


def repeated(blocks: list[nn.Module]) -> bool:
    """At least two blocks of one class that have most parameters, by name and shape, in common."""
    parameters = [{(name, p.shape) for name, p in block.named_parameters()} for block in blocks]
    if len(blocks) < 2 or len({type(block) for block in blocks}) > 1:
        return False
    return 2 * len(set.intersection(*parameters)) > max(map(len, parameters))


def layer_of(path: str, numbers: Mapping[str, int]) -> int | None:
    """The number of the block that the module at `path` is, or is in."""
    parts = path.split(".")
    prefixes = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
    return next((numbers[prefix] for prefix in prefixes if prefix in numbers), None)
