"""torch.export as a function: the model and the example inputs stay as they were.

Non-strict first, then strict; each attempt on its own clones of the inputs, since a failed one leaves marks of
dynamic sizes on them. Then `run_decompositions({})`: functional, writes explicit, no op decomposed. Where that
fails the graph as exported is used, whose in-place ops run in order. Never core ATen.
"""

import io
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass, field, replace

import torch
from torch.export import AdditionalInputs, Dim, ExportedProgram, ShapesCollection
from torch.export.graph_signature import InputKind
from torch.utils import _pytree as pytree
from torch.utils._pytree import TreeSpec

from ...dialects.diagnostics import UserError
from . import transformers
from .adapters import adapted
from .composites import kept_whole
from .failures import export_failure
from .functional import repair
from .surgery import inline_no_grad, keep_old_values

CONTAINERS = (dict, list, set)
ASSIGNED = re.compile(r"The tensor attributes? (.*?) (?:was|were) assigned during export")


@dataclass(frozen=True)
class Export:
    """An exported program; `original` is its graph before decompositions, the specs are those of the model.

    `adapted` are the modules that were read in another form.
    """

    program: ExportedProgram
    original: torch.fx.GraphModule
    in_spec: TreeSpec
    out_spec: TreeSpec
    strict: bool
    functional: bool
    adapted: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def untouched(model: torch.nn.Module) -> Iterator[None]:
    """Undo what tracing writes into the Python attributes of a model's modules."""
    saved = []
    for module in model.modules():
        attributes = dict(vars(module))
        held = [(value, value.copy()) for value in attributes.values() if isinstance(value, CONTAINERS)]
        saved.append((vars(module), attributes, held))
    try:
        yield
    finally:
        for living, attributes, held in saved:
            for container, content in [*held, (living, attributes)]:
                container.clear()
                container.extend(content) if isinstance(container, list) else container.update(content)


@contextmanager
def quiet() -> Iterator[list[warnings.WarningMessage]]:
    """No warnings and log lines of torch about its own doings; gradients on, random streams where they were.

    Gives the list in which warnings are gathered.
    """
    loggers = [logging.getLogger(name) for name in logging.root.manager.loggerDict if name.split(".")[0] == "torch"]
    with ExitStack() as stack:
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(redirect_stderr(io.StringIO()))
        gathered = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")
        warnings.filterwarnings("error", message=r"(?s)While compiling, we found certain side effects.*_buffers")
        for logger in loggers:
            stack.callback(setattr, logger, "disabled", logger.disabled)
            logger.disabled = True
        yield gathered


def cloned(tree: object) -> object:
    """`tree` with new tensors, each its own: export would take two arguments that are one tensor for one."""
    return pytree.tree_map_only(
        torch.Tensor, lambda leaf: leaf.detach().clone().requires_grad_(leaf.requires_grad), tree
    )


def all_axes(tree: object) -> ShapesCollection:
    """Every axis of every tensor dynamic, as far as the model allows it."""
    shapes = ShapesCollection()
    for tensor in pytree.tree_leaves(tree):
        if isinstance(tensor, torch.Tensor):
            shapes[tensor] = dict.fromkeys(range(tensor.dim()), Dim.AUTO)
    return shapes


def attempt(
    model: torch.nn.Module,
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    dynamic_shapes: object,
    strict: bool,
) -> ExportedProgram:
    """One call of torch.export, on clones."""
    args, kwargs = cloned((args, dict(kwargs)))  # pyright: ignore[reportGeneralTypeIssues]
    shapes = all_axes((args, kwargs)) if dynamic_shapes == "auto" else dynamic_shapes
    return torch.export.export(model, args, dict(kwargs), dynamic_shapes=shapes, strict=strict)  # pyright: ignore


def export(
    model: torch.nn.Module,
    args: Sequence[object],
    kwargs: Mapping[str, object],
    dynamic_shapes: object,
    adapters: bool = True,
) -> Export:
    """Export `model`, with adapters if they are wanted.

    Raises UserError that says why it cannot be exported and what to do.
    """
    transformers.prepare(model)
    if isinstance(dynamic_shapes, ShapesCollection | AdditionalInputs):
        dynamic_shapes = dynamic_shapes.dynamic_shapes(model, tuple(args), dict(kwargs))
    failures: list[Exception] = []
    for strict in (False, True):
        try:
            with quiet() as gathered, adapted(model) if adapters else nullcontext({}) as notes, untouched(model):
                exported = decomposed(attempt(model, tuple(args), kwargs, dynamic_shapes, strict), strict)
        except Exception as error:
            failures.append(error)
        else:
            check_state(model, gathered)
            return replace(exported, adapted=notes)
    raise export_failure(model, failures) from failures[0]


def check_state(model: torch.nn.Module, gathered: Sequence[warnings.WarningMessage]) -> None:
    """Find tensors that forward keeps in plain attributes: the program will not.

    Raises UserError where the attribute had a value, so that the next call would read it; warns where it had none.
    """
    registered = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
    for name in (name for w in gathered if (found := ASSIGNED.search(str(w.message))) for name in found[1].split(", ")):
        *path, attribute = name.removeprefix("self.").partition("[")[0].split(".")
        value = getattr(model.get_submodule(".".join(path)), attribute, None)
        held = [leaf for leaf in pytree.tree_leaves(value) if leaf is not None]
        if held and all(id(leaf) in registered for leaf in held):
            continue
        if held:
            raise UserError(
                f"{type(model).__name__} keeps state in {name}, which is no buffer",
                hint=f"register it: self.register_buffer('{attribute}', ..)",
            )
        warnings.warn(f"{name} is written by forward and is no buffer: a compiled model leaves it alone", stacklevel=4)


def flatten_specs(program: ExportedProgram) -> tuple[TreeSpec, TreeSpec]:
    """Let `program` take and give flat tuples; the specs it had.

    Decompositions run the program on its nested form: a container that computes as it is put together
    (DynamicCache) would add ops and constants of its own.
    """
    signature = program.module_call_graph[0].signature
    assert signature is not None
    specs = signature.in_spec, signature.out_spec
    counts = [spec.num_leaves for spec in specs]
    signature.in_spec = pytree.tree_structure(((0,) * counts[0], {}))
    signature.out_spec = pytree.tree_structure((0,) * counts[1])
    signature.forward_arg_names = None
    program.example_inputs = None  # pyright: ignore[reportAttributeAccessIssue]
    return specs


def decomposed(program: ExportedProgram, strict: bool) -> Export:
    """The functional form of `program`, which is repaired in place; `program` itself where there is none."""
    inline_no_grad(program)
    keep_old_values(program)
    specs = flatten_specs(program)
    try:
        with kept_whole():
            functional = program.run_decompositions({})
    except Exception:
        return Export(program, program.graph_module, *specs, strict, False)
    inputs = functional.graph_signature.input_specs
    repair(functional.graph_module, frozenset(s.arg.name for s in inputs if s.kind is not InputKind.USER_INPUT))
    return Export(functional, program.graph_module, *specs, strict, True)
