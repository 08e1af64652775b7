"""A compiled model: called as the model was, with the model behind it for everything else.

    fast = gossamer.compile(model, (ids,), {"attention_mask": mask})
    fast(ids, attention_mask=mask)      the program; the same structure, dtypes and devices as the model gives
    fast.config, fast.state_dict()      the model's own
    fast.ir("insert-gathers")           the program's text after that pass

Weights are the model's own tensors: what writes them in place (`load_state_dict`, an optimizer) is seen by the program,
and the program's updates of buffers are seen by the model. A weight that is *replaced* is not.
"""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, Self

import torch
from torch import nn
from xdsl.dialects.builtin import ModuleOp

from ..dialects.diagnostics import UserError, did_you_mean
from ..runtime.executor import Program
from .context import print_module
from .entry import entry_function, read_entry
from .options import common_device

SHARED = (
    "_parameters",
    "_buffers",
    "_non_persistent_buffers_set",
    "_modules",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
"""What a compiled model has in common with its model: state, under the model's own names."""


class CompiledModel(nn.Module):
    """A drop-in for the model it was compiled from. Made by `gossamer.compile` and `gossamer.load`.

    `module` is the IR that runs, `weights` its tensors by name, `original` the model, `device` where the program runs
    (None: anywhere), and `stages` makes the module after each pass by its name, the first being `import`.
    """

    module: ModuleOp
    weights: dict[str, torch.Tensor]
    original: nn.Module
    stages: dict[str, Callable[[], ModuleOp]]
    device: torch.device | None
    program: Program

    def __init__(
        self,
        module: ModuleOp,
        weights: Mapping[str, torch.Tensor],
        original: nn.Module,
        stages: Mapping[str, Callable[[], ModuleOp]],
        *,
        device: torch.device | None = None,
        training: bool = False,
    ):
        super().__init__()
        self._set(module=module, original=original, stages=dict(stages), training=training)
        self._set(**{name: getattr(original, name) for name in SHARED})
        self._load(dict(weights), device)

    def _set(self, **attributes: Any) -> None:
        """Set attributes past torch, which would make a module among them a part of the model."""
        self.__dict__.update(attributes)

    def _load(self, weights: dict[str, torch.Tensor], device: torch.device | None) -> None:
        """Make the program that runs with `weights` on `device`."""
        entry = read_entry(entry_function(self.module), device)
        program = Program.build(self.module, weights, device=device)
        self._set(bind=entry.bind, assemble=entry.assemble, program=program, weights=weights, device=device)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the model gives. Raises UserError where an argument is not what the program was compiled for."""
        return self.assemble(self.program(self.bind(args, kwargs)))

    def ir(self, stage: str | None = None) -> str:
        """The text after the pass `stage` (`import`: before any), by default at the end.

        Raises UserError for an unknown one.
        """
        if stage is not None and stage not in self.stages:
            raise UserError(f"no stage '{stage}'", hint=did_you_mean(stage, self.stages))
        return print_module(self.stages[stage]() if stage else self.module)

    def explain(self) -> str:
        """Every place where the model could be sparse: what was found, what was done, why not."""
        from .explain import explain

        return str(explain(self))

    def save(self, folder: str | Path) -> None:
        """Write the program, its weights and its signature into `folder`, for `gossamer.load`.

        Raises UserError where the folder cannot be written, or holds what is not ours; nothing is left half-written.
        """
        from .storage import save

        save(self, folder)

    def train(self, mode: bool = True) -> Self:
        """Nothing, in the mode in which the model was compiled. Raises UserError for the other one."""
        if mode != self.training:
            names = {True: "training", False: "evaluation"}
            raise UserError(
                f"the model was compiled for {names[self.training]}, not for {names[mode]}",
                hint=f"model.train({mode}), and compile it again",
            )
        return self

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        """What `to`, `cuda`, `half` and their like come to. Raises UserError where a dtype would change."""
        for dtype in {tensor.dtype for tensor in self.weights.values()}:
            if (other := fn(torch.empty(0, dtype=dtype)).dtype) is not dtype:
                raise UserError(
                    f"a compiled model keeps its dtypes: {dtype} cannot become {other}",
                    hint="change the model, and compile it again",
                )
        self.original._apply(fn, recurse)
        own = tensors_of(self.original)
        weights = {name: own[name] if name in own else fn(tensor) for name, tensor in self.weights.items()}
        device = fn(torch.empty(0, device=self.device)).device if self.device else common_device(weights)
        self._load(weights, device)
        return self

    def __getattr__(self, name: str) -> Any:
        """What the compiled model has not itself is the model's."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("__") or "original" not in self.__dict__:
                raise
        return getattr(self.original, name)

    def __deepcopy__(self, memo: dict[int, Any]) -> "CompiledModel":
        """A copy with its own weights."""
        weights, original = copy.deepcopy((self.weights, self.original), memo)
        module, stages = self.module.clone(), self.stages
        return CompiledModel(module, weights, original, stages, device=self.device, training=self.training)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise UserError("a compiled model is not pickled", hint="compiled.save(folder), then gossamer.load(folder)")

    def __repr__(self) -> str:
        stage = list(self.stages)[-1]
        return f"CompiledModel({type(self.original).__name__}, {stage}, {self.device or 'any device'})"


def tensors_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers by every name that they have."""
    return {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
