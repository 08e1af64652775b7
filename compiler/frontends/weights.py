"""The tensors of an exported program: live, each once, with every name it has.

    encoder.weight ─┐ one storage, offset,       aten.weight parameter @encoder.weight : tensor<8x8xf32>
    decoder.weight ─┘ sizes and strides               digest ".." aliases ["decoder.weight"]

Two names with one storage but different `requires_grad` stay two weights: gradients reach only one of them.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from ...dialects.aten import WeightKind, WeightOp
from ...dialects.diagnostics import UserError
from ...runtime.weights import digest
from .types import type_of

KINDS: dict[InputKind, WeightKind] = {
    InputKind.PARAMETER: WeightKind.PARAMETER,
    InputKind.BUFFER: WeightKind.BUFFER,
    InputKind.CONSTANT_TENSOR: WeightKind.CONSTANT,
}


@dataclass
class Weight:
    """A tensor of the model, its canonical name and its other names."""

    name: str
    kind: WeightKind
    tensor: torch.Tensor
    aliases: list[str]


def identity(tensor: torch.Tensor) -> tuple[object, ...]:
    """Equal for two tensors that are the same memory read in the same way."""
    if tensor.layout is not torch.strided or tensor.numel() == 0:
        return (id(tensor),)
    where = (tensor.device, tensor.untyped_storage().data_ptr(), tensor.storage_offset())
    return (*where, tensor.dtype, tensor.shape, tensor.stride(), tensor.requires_grad)


class Weights:
    """All weights of a program, found by any of their names."""

    def __init__(self, live: Mapping[str, torch.Tensor]):
        self.live = live
        self.by_identity: dict[tuple[object, ...], Weight] = {}
        self.by_name: dict[str, Weight] = {}

    def add(self, name: str, kind: WeightKind, tensor: torch.Tensor) -> Weight:
        """The weight called `name`: a new one, or one more name of a known one."""
        if tensor.is_meta:
            raise UserError(
                f"the weight '{name}' has no values: it is on the meta device",
                hint="give the model its weights first, by model.to_empty(device=..) and load_state_dict(..)",
            )
        weight = self.by_identity.setdefault(identity(tensor), Weight(name, kind, tensor, []))
        if name != weight.name and name not in weight.aliases:
            weight.aliases.append(name)
        return self.by_name.setdefault(name, weight)

    def add_aliases(self) -> None:
        """Names that export dropped because they mean a tensor that it kept under another name."""
        for name, tensor in self.live.items():
            if name not in self.by_name and (weight := self.by_identity.get(identity(tensor))):
                self.add(name, weight.kind, tensor)

    def declarations(self) -> Iterator[WeightOp]:
        """One `aten.weight` each, in the order they were added. Digests are computed in parallel."""
        weights = list(self.by_identity.values())
        with ThreadPoolExecutor() as pool:
            digests = list(pool.map(lambda weight: digest(weight.tensor), weights))
        for weight, text in zip(weights, digests, strict=True):
            yield WeightOp(weight.name, weight.kind, type_of(weight.tensor), text, weight.aliases)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Live tensors by canonical name."""
        return {weight.name: weight.tensor for weight in self.by_identity.values()}


def live_tensors(program: ExportedProgram, model: torch.nn.Module | None) -> dict[str, torch.Tensor]:
    """Parameters, buffers and constants by name: the model's own where it is given, else the program's."""
    tensors = {name: t for name, t in program.constants.items() if isinstance(t, torch.Tensor)}
    if model is None:
        return {**program.state_dict, **tensors}
    tensors |= dict(model.named_parameters(remove_duplicate=False))
    return tensors | dict(model.named_buffers(remove_duplicate=False))


def collect(program: ExportedProgram, model: torch.nn.Module | None) -> Weights:
    """The weights that the program's signature names. Raises UserError for a script object."""
    weights = Weights(live_tensors(program, model))
    for spec in program.graph_signature.input_specs:
        if spec.kind in KINDS:
            weights.add(str(spec.target), KINDS[spec.kind], weights.live[str(spec.target)])
        elif spec.kind is InputKind.CUSTOM_OBJ:
            raise UserError(
                f"the model holds a script object, '{spec.target}': a compiled program holds tensors only",
                hint="keep its state in buffers and call a torch.library custom op",
            )
    weights.add_aliases()
    return weights
