"""What is trained on what: a model, accelerators, and how it is cut over them. As people write it, checked.

setting("gpt-6.7b", hardware="a100-nvlink", tensor_parallel=4, stages=4, micro_batch=8, memory="36GiB")
"""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ..dialects.byte_sizes import read_bytes
from ..dialects.diagnostics import UserError, did_you_mean
from ..passes.solvers.transformer import (
    BYTES_A_PARAMETER,
    MODELS,
    Execution,
    Sizes,
    Transformer,
    stage_parameters,
)
from ..passes.solvers.transformer_graph import Part
from ..passes.solvers.transformer_ops import Rates
from ..runtime.timeline.accelerator import Accelerator, load_accelerator

SCHEDULES = {
    "gpipe": "all forward passes, then all backward passes",
    "1f1b": "one forward pass, one backward pass",
    "interleaved": "1f1b over several chunks of the model on each device",
    "zb-h1": "zero bubble: gradients of weights fill stalls, in the memory of 1f1b",
    "zb-h2": "zero bubble with nearly twice the micro-batches in memory",
    "zb-v": "zero bubble with two chunks on each device, down and up again",
}


@dataclass(frozen=True)
class Setting:
    """Everything that a simulation is of. `memory` is bytes on each device, weights and states of the optimizer too."""

    name: str
    model: Transformer
    accelerator: Accelerator
    execution: Execution
    stages: int
    micro_batches: int
    schedule: str
    chunks: int
    memory: int

    @property
    def split(self) -> bool:
        """Whether the backward pass is split."""
        return self.schedule.startswith("zb")

    @property
    def pieces(self) -> int:
        """Chunks on all devices."""
        return self.stages * self.chunks

    @cached_property
    def place(self) -> tuple[int, ...]:
        """The device of each chunk."""
        down = tuple(range(self.stages))
        return (*down, *reversed(down)) if self.schedule == "zb-v" else down * self.chunks

    @cached_property
    def rates(self) -> Rates:
        """What one device does in a second."""
        a = self.accelerator
        return Rates(
            product=a.peak * a.product_efficiency,
            attention=a.peak * a.attention_efficiency,
            memory=a.bandwidth * a.bandwidth_efficiency,
            bus=a.bus_bandwidth,
            latency=a.latency,
            efficiency=a.window_efficiency,
        )

    @cached_property
    def transfer(self) -> float:
        """Seconds from one stage to the next; each rank sends its share, as Megatron does."""
        return self.accelerator.send(Sizes(self.model, self.execution).split)

    def part(self, chunk: int, layers: int) -> Part:
        """What a chunk is."""
        return Part(layers, first=chunk == 0, last=chunk == self.pieces - 1)

    def static(self, partition: tuple[int, ...], device: int) -> int:
        """Bytes of weights, gradients and states of the optimizer on a device."""
        own = (self.part(chunk, layers) for chunk, layers in enumerate(partition) if self.place[chunk] == device)
        return sum(map(self.static_part, own))

    def static_part(self, part: Part) -> int:
        """The same for one part."""
        own = stage_parameters(self.model, self.execution, part.layers, first=part.first, last=part.last)
        return BYTES_A_PARAMETER * own

    def even(self) -> tuple[int, ...]:
        """As many layers on each chunk as on any other, the first ones one more where they must."""
        each, more = divmod(self.model.layers, self.pieces)
        return tuple(each + (chunk < more) for chunk in range(self.pieces))

    def with_windows(self, efficiency: float) -> "Setting":
        """The same where collectives leave another share of their time free."""
        return replace(self, accelerator=self.accelerator.with_windows(efficiency))


def setting(
    model: str | Transformer,
    *,
    hardware: str | Path | Accelerator = "a100-nvlink",
    tensor_parallel: int = 1,
    stages: int = 4,
    micro_batch: int = 1,
    micro_batches: int = 16,
    schedule: str = "1f1b",
    chunks: int | None = None,
    sequence: int = 2048,
    flash: bool = False,
    sequence_parallel: bool = False,
    dropout: bool = True,
    overlap_weights: bool = False,
    memory: int | str | None = None,
) -> Setting:
    """A setting, checked. Raises UserError where it cannot be."""
    if isinstance(model, str) and model not in MODELS:
        raise UserError(f"no model is called '{model}'", hint=did_you_mean(model, MODELS))
    if schedule not in SCHEDULES:
        raise UserError(f"there is no schedule '{schedule}'", hint=did_you_mean(schedule, SCHEDULES))
    sizes = MODELS[model] if isinstance(model, str) else model
    accelerator = hardware if isinstance(hardware, Accelerator) else load_accelerator(hardware)
    counts = {"tensor_parallel": tensor_parallel, "stages": stages, "micro_batch": micro_batch,
              "micro_batches": micro_batches, "sequence": sequence}  # fmt: skip
    for name, value in counts.items():
        if value < 1:
            raise UserError(f"{name.replace('_', '-')} {value}: expected 1 or more")
    name = model if isinstance(model, str) else f"a transformer of {sizes.layers} layers"
    execution = Execution(sequence, micro_batch, tensor_parallel, flash, sequence_parallel, dropout, overlap_weights)
    budget = accelerator.budget if memory is None else read_bytes(memory)
    found = Setting(name, sizes, accelerator, execution, stages, micro_batches, schedule,
                    chunks_of(schedule, chunks), budget)  # fmt: skip
    refuse_misfits(found)
    return found


def chunks_of(schedule: str, chunks: int | None) -> int:
    """How many chunks each device has."""
    usual = {"interleaved": 2, "zb-v": 2}.get(schedule, 1)
    if chunks is None or chunks == usual or (schedule == "interleaved" and chunks > 0):
        return chunks or usual
    hint = "take 1 or more" if schedule == "interleaved" else "the schedule 'interleaved' takes any number"
    raise UserError(f"{schedule} has {usual} chunks on each device, not {chunks}", hint=hint)


def refuse_misfits(found: Setting) -> None:
    """Raise UserError where layers, heads or micro-batches cannot be shared out."""
    model, ranks = found.model, found.execution.ranks
    if model.heads % ranks or model.hidden % ranks:
        raise UserError(f"{found.name} has {model.heads} heads: {ranks} ranks cannot share them evenly",
                        hint="take a --tensor-parallel that divides them")  # fmt: skip
    if found.execution.sequence_parallel and found.execution.sequence % ranks:
        raise UserError(f"a sequence of {found.execution.sequence} cannot be shared evenly by {ranks} ranks")
    if found.pieces > model.layers:
        raise UserError(f"{found.name} has {model.layers} layers: too few for {found.pieces} chunks",
                        hint="take fewer stages or chunks")  # fmt: skip
    if found.schedule == "interleaved" and found.micro_batches % found.stages:
        raise UserError(f"interleaving takes micro-batches in groups of {found.stages}: "
                        f"{found.micro_batches} are no multiple of that")  # fmt: skip
