"""A training step as one program: forward, loss and backward in one call, with gradients where torch has them.

    step = gossamer.compile_training(model, lambda model, x, y: cross_entropy(model(x), y), (x, y))
    for x, y in data:
        optimizer.zero_grad()
        loss = step(x, y)                 as: loss = loss_fn(model, x, y); loss.backward()
        optimizer.step()

Loss, gradients and buffers are eager's, bit for bit, and so are the random numbers drawn; with `randomness="keyed"`
each random op draws from a key of its own (`passes/key_random_ops.py`), and torch's stream is left alone.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from xdsl.dialects.builtin import DenseArrayBase, ModuleOp, StringAttr, TensorType
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute
from xdsl.passes import ModulePass

from ..dialects.aten import AssignOp
from ..dialects.diagnostics import UserError, did_you_mean
from ..passes.elide_caches import ElideCaches
from ..passes.fuse_attention import FuseAttention
from ..passes.fuse_cross_entropy import FuseCrossEntropy
from ..passes.fuse_elementwise import FuseElementwise
from ..passes.lower_kernels import LowerKernels
from ..passes.tile_products import TileProducts
from ..runtime import native
from ..runtime.dtypes import DTYPES, describe
from ..runtime.executor import Program, find
from ..runtime.gradients import accumulate, storage
from ..runtime.shards import part_of
from .context import print_module
from .entry import read_binder
from .exact_attention import exact_attention
from .exact_cross_entropy import exact_cross_entropy
from .exact_primitives import exact_guesses, exact_primitives, guess_of
from .explain_memory import MemoryReport, explain_memory
from .frontends.joint import ImportedStep, import_step
from .memory_budget import fit
from .offload import link_to
from .pipeline import run_pipeline
from .ranks import agree, has_collectives, in_common
from .step_costs import Progress, silent
from .training_state import Compiled

RANDOMNESS = ("eager", "keyed")

OTHER_SHAPE = (
    "a step is compiled for the shapes of its example: compile another for this batch, or leave it out "
    "(DataLoader(.., drop_last=True))"
)

Scale = torch.Tensor | float | torch.amp.GradScaler | None


def compile_training(
    model: nn.Module,
    loss_fn: Callable[..., torch.Tensor],
    example: torch.Tensor | tuple[Any, ...],
    *,
    randomness: str = "eager",
    seed: int | None = None,
    memory_budget: int | str | None = None,
    rung: str | None = None,
    offload: bool | str | Path | None = None,
    fuse: bool = True,
) -> "TrainingStep":
    """Compile the training step of which `loss_fn(model, *example)` is the loss.

    The step is called as `loss_fn` is, without the model: `step(*batch)`, with batches of the example's shapes. It runs
    in the mode (`train` or `eval`), under the autocast, and for the parameters (those that require a gradient) that it
    was compiled with. Neither the model nor the random streams change here. Parameters, buffers and batches may be
    DTensors: on each rank the step computes with its parts.

    `randomness`   "eager": torch's own stream, in eager's order; "keyed": a function of the seed and the step's number
    `seed`         of keyed randomness; by default torch's (`torch.initial_seed()`)

    `memory_budget`   bytes that the step may take with its weights and batch (2**31, "2GiB"), or a share of what
                      keeping all takes beyond them ("60%"), or "device": what is free there now, less a tenth;
                      what does not fit is computed again
    `rung`            how that is chosen (`passes/solvers/recompute_plan.py`)
    `offload`         what does not fit may also leave the device and come back: True on a GPU, to pinned memory of its
                      host; a folder on a CPU, to a file there that has no name. Measured once; only where it is faster

    `fuse`   whether products, losses and chains of elementwise ops become kernels with the same bits (on the CPU, where
             llvmlite is there), and attention reads keys and values without copies

    Raises UserError where the step cannot be captured, saying why, where and what to do, and where it cannot fit.
    """
    if not isinstance(model, nn.Module):
        raise UserError(f"a model is a torch.nn.Module, got a {type(model).__name__}")
    if not callable(loss_fn):
        raise UserError(
            f"loss_fn is a function of (model, *batch), got a {type(loss_fn).__name__}",
            hint="gossamer.compile_training(model, lambda model, x, y: mse_loss(model(x), y), (x, y))",
        )
    if isinstance(example, torch.Tensor):
        example = (example,)
    if not isinstance(example, tuple | list):
        raise UserError(f"the example is a tuple: a batch, got a {type(example).__name__}", hint="write `(batch,)`")
    if randomness not in RANDOMNESS:
        raise UserError(f"no randomness '{randomness}'", hint=did_you_mean(randomness, RANDOMNESS))
    if seed is not None and randomness != "keyed":
        raise UserError("a seed is for keyed randomness", hint='randomness="keyed"; else torch.manual_seed(..) counts')
    if offload and memory_budget is None:
        raise UserError("offload is for a memory budget", hint='memory_budget="60%"')
    compiled = Compiled.of(model, *([loss_fn] if isinstance(loss_fn, nn.Module) else []))
    imported = import_step(model, loss_fn, tuple(example))
    if has_collectives(imported.module):
        run_pipeline(imported.module, "raise-collectives,open-windows")
        agree(imported.function)
    if randomness == "keyed":
        run_pipeline(imported.module, "key-random-ops")
    if fuse and text(imported.function.attributes, "train.device") in ("", "cpu"):
        run_pipeline(imported.module, kernel_passes(imported.function))
    step = TrainingStep(imported, compiled, torch.initial_seed() if seed is None else seed)
    if memory_budget is not None:
        step.fit(tuple(example), memory_budget, rung, offload=offload)
    return step


ATTENTION, CROSS_ENTROPY, PRODUCTS = "attention", "cross entropy", "products"
"""What a step may compute in another way beside primitives."""


def kernel_passes(function: FuncOp) -> list[ModulePass]:
    """What makes kernels of a step that have eager's bits on this machine, and on all ranks that it trains with."""
    primitives, guesses = exact_primitives(), exact_guesses()
    others = {ATTENTION: exact_attention(), CROSS_ENTROPY: exact_cross_entropy(), PRODUCTS: native.available()}
    known = [*primitives, *map(guess_of, guesses), *(name for name, holds in others.items() if holds)]
    exact = in_common(function, known)
    found: list[ModulePass] = [ElideCaches()] if ATTENTION in exact else []
    found += [FuseCrossEntropy()] if CROSS_ENTROPY in exact else []
    if fused := tuple(name for name in exact if name in primitives):
        found.append(FuseElementwise(fused, tuple(name for name in guesses if guess_of(name) in exact)))
    if PRODUCTS in exact:
        lanes, registers = native.vectors()
        found += [FuseAttention(lanes, registers), TileProducts(lanes=lanes, registers=registers)]
    return [*found, LowerKernels()]


class TrainingStep:
    """Called with a batch, gives its loss and leaves gradients in the parameters. Made by `compile_training`.

    `module` is the IR that runs, `kept` the one that computes nothing twice, `weights` their tensors by name. Keyed
    random numbers are those of `seed` and `number`, which counts the calls and may be set.
    """

    def __init__(self, imported: ImportedStep, compiled: Compiled, seed: int = 0):
        self.seed, self.number = seed, 0
        self.module: ModuleOp = imported.module
        self.kept = imported.module
        self.weights = imported.weights
        self.whole = imported.parameters
        self.layouts = imported.layouts
        self.compiled = compiled
        function = imported.function
        self.bind = read_binder(function)
        self.program = Program.build(self.module, self.weights, "step")
        arguments = [attributes.data for attributes in (function.arg_attrs or ())]
        self.inputs = [text(attributes, "aten.name") for attributes in arguments]
        self.strides = [strides_of(attributes) for attributes in arguments]
        self.keyed = any("train.key" in attributes for attributes in arguments)
        self.written = {a.index for a in function.args for use in a.uses if isinstance(use.operation, AssignOp)}
        _, *results = [attributes.data for attributes in (function.res_attrs or ())]
        self.parameters = [text(attributes, "train.gradient_of") for attributes in results]
        self.gradient_inputs = [text(attributes, "train.gradient_of_input") for attributes in results]
        loss = function.function_type.outputs.data[0]
        assert isinstance(loss, TensorType)
        self.one = torch.ones(
            loss.get_shape(), dtype=DTYPES[loss.element_type], device=text(function.attributes, "train.device") or None
        )

    def __call__(self, *batch: Any, scale: Scale = None) -> torch.Tensor:
        """The loss of a batch; its gradients, times `scale`, are added to those that the parameters have.

        `scale` is a number, a scalar tensor, or a `torch.amp.GradScaler`. Raises UserError where the batch, or what has
        become of the model, is not what the step was compiled for.
        """
        self.compiled.check()
        given = self.arguments(batch)
        inputs = [self.laid_out(index, value) for index, value in enumerate(given)]
        with torch.no_grad(), self.compiled.without_autocast():
            loss, *gradients = self.program([*inputs, self.tangent(scale), *self.key()])
            taken = {storage(t) for t in (*inputs, *self.weights.values()) if isinstance(t, torch.Tensor)}
            loss = loss.clone() if storage(loss) in taken else loss
            self.leave(gradients, given, taken | {storage(loss)})
        return self.layouts.loss.whole(loss) if self.layouts.loss else loss

    def leave(self, gradients: Sequence[torch.Tensor], given: Sequence[Any], taken: set[int]) -> None:
        """Leave gradients in the parameters and arguments that they are of; memory in `taken` belongs to others."""
        arguments = dict(zip(self.inputs, given, strict=False))
        for name, argument, gradient in zip(self.parameters, self.gradient_inputs, gradients, strict=True):
            target = self.whole[name] if name else arguments[argument]
            layout = self.layouts.gradients.get(name or argument)
            if target.requires_grad:
                accumulate(target, layout.whole(gradient) if layout else gradient, taken)
            taken.add(storage(gradient))

    def arguments(self, batch: tuple[Any, ...]) -> list[Any]:
        """The tensors of a batch. Raises UserError where they are not what the step is for."""
        parts, whole = self.layouts.parts(batch) if self.layouts.arguments else (batch, {})
        try:
            bound = self.bind(parts, {})
        except UserError as error:
            if "dynamic_shapes" not in error.hint:
                raise
            raise UserError(error.message, details=error.details, hint=OTHER_SHAPE) from None
        given = [whole.get(id(value), value) for value in bound]
        for name, value in zip(self.inputs, given, strict=False):
            self.layouts.check(name, value)
            if isinstance(value, torch.Tensor) and value.requires_grad:
                self.refuse_gradient(name, value)
        return given

    def laid_out(self, index: int, value: Any) -> Any:
        """An argument with the strides that it had in the example: itself, or a copy."""
        strides, value = self.strides[index], part_of(value)
        if strides is None or not isinstance(value, torch.Tensor) or value.stride() == strides:
            return value
        axes = zip(value.shape, value.stride(), strides, strict=True)
        if all(size < 2 or own == other for size, own, other in axes):
            return value
        if index in self.written:
            raise UserError(
                f"argument '{self.inputs[index]}' is written in place, and lies otherwise in memory than the example",
                details=[f"its strides are {list(value.stride())}, expected {list(strides)}"],
            )
        return torch.empty_strided(value.shape, strides, dtype=value.dtype, device=value.device).copy_(value)

    def refuse_gradient(self, name: str, value: torch.Tensor) -> None:
        """Raise UserError where the gradient that an argument requires would not reach it."""
        if not value.is_leaf:
            raise UserError(
                f"argument '{name}' is computed from what requires a gradient, which a step does not reach",
                hint=f"compute it inside loss_fn, or pass {name}.detach()",
            )
        if name not in self.gradient_inputs:
            raise UserError(
                f"argument '{name}' requires a gradient, and the step was compiled without",
                hint=f"pass {name}.detach(), or compile with an example that requires one",
            )

    def tangent(self, scale: Scale) -> torch.Tensor:
        """The gradient of the loss. Raises UserError for a scale that is no number."""
        if scale is None:
            return self.one
        if isinstance(scale, torch.amp.GradScaler):
            scaled = scale.scale(self.one)
            assert isinstance(scaled, torch.Tensor)
            return scaled.to(self.one.dtype)
        if not isinstance(scale, int | float) and not (isinstance(scale, torch.Tensor) and scale.numel() == 1):
            raise UserError(f"scale is {describe(scale)}, expected a number", hint="scale=scaler, or 1 / micro_batches")
        return self.one * scale

    def key(self) -> list[int]:
        """What keyed random ops share, where there are any; counts the calls."""
        if not self.keyed:
            return []
        self.number += 1
        return [self.seed, self.number - 1]

    def fit(
        self,
        batch: tuple[Any, ...],
        memory_budget: int | str,
        rung: str | None = None,
        progress: Progress = silent,
        offload: bool | str | Path | None = None,
    ) -> None:
        """Let the step run within `memory_budget` from now on. It runs some times, and changes nothing else.

        What its ops take is measured with the first batch. `progress(done, of)` is told of these runs. Raises UserError
        as a call does, and where the budget cannot be met.
        """
        self.compiled.check()
        numbers = [self.seed, self.number] if self.keyed else []
        with torch.no_grad(), self.compiled.without_autocast():
            given = [self.laid_out(index, value) for index, value in enumerate(self.arguments(batch))]
            inputs = [*given, self.tangent(None), *numbers]
            link = link_to(offload, self.one.device)
            self.module = fit(self.kept, self.weights, inputs, memory_budget, rung, progress, link)
        self.program = Program.build(self.module, self.weights, "step")

    @property
    def memory(self) -> MemoryReport:
        """What the step takes, in bytes and seconds, layer by layer. Raises UserError before `fit`."""
        return explain_memory(find(self.module, "step"))

    def explain(self) -> str:
        """What is kept, what is computed again and what moves, layer by layer, with its bytes and seconds."""
        return str(self.memory)

    def ir(self) -> str:
        """The text of the program."""
        return print_module(self.module)


def text(attributes: Mapping[str, Attribute], name: str) -> str:
    """A text among attributes; empty where there is none."""
    return found.data if isinstance(found := attributes.get(name), StringAttr) else ""


def strides_of(attributes: Mapping[str, Attribute]) -> tuple[int, ...] | None:
    """The strides that an argument had in the example."""
    found = attributes.get("aten.strides")
    return tuple(map(int, found.get_values())) if isinstance(found, DenseArrayBase) else None
