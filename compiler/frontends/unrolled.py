"""A model whose own code loops over time: read whole, and its loop found again.

    def forward(self, x):                                  func.func @forward(%x: tensor<?x?x8xf32>) {
        mem, out = self.lif.reset_mem(), []                  %z = snn.run @network(%x) records ["lif"]
        for t in range(25):                          ->      func.return %z
            spk, mem = self.lif(self.fc(x[t]), mem)        }
            out.append(spk)
        return torch.stack(out)

Export unrolls the loop, `roll-steps` rolls it, `raise-snn` makes a network of it; here its function becomes that of any
steps and any batch. What a model does to its input before the loop, or to what neurons gave after it, has no place in a
network and is refused at its line.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from xdsl.dialects.builtin import DictionaryAttr, FunctionType, ModuleOp, TensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, BlockArgument, OpResult, Region, SSAValue

from ...dialects.aten import CallOp, dims, tensor_type
from ...dialects.diagnostics import UserError, place_of
from ...dialects.snn import NetworkOp, RunOp
from .exporting import untouched
from .nir_network import entry
from .over_time import OverTime, library_of


class Unrolled(OverTime):
    """A model that takes all steps, with neurons as ops, from the states after a reset."""

    def forward(self, x: Tensor) -> Any:
        with self.stepping(), fresh(list(vars(self)["steps"])):
            return self.model(x)

    def order(self, x: Tensor) -> tuple[str, ...]:
        """The names of the neurons in the order in which the first step calls them."""
        names = self.names()
        return tuple(dict.fromkeys(names[module] for module in calls(self.model, x)))


@contextmanager
def fresh(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Let neurons hold their states after a reset, and then again what they held."""
    with ExitStack() as stack:
        for library in {library_of(module) for module in modules}:
            stack.enter_context(library.fresh([module for module in modules if library_of(module) is library]))
        yield


def calls(model: nn.Module, x: Tensor) -> list[nn.Module]:
    """The neurons that a model calls, in order, each as often as it is called."""
    found: list[nn.Module] = []
    modules = [module for module in model.modules() if library_of(module) is not None]
    with torch.no_grad(), untouched(model), fresh(modules):
        for module in modules:
            module.register_forward_pre_hook(lambda module, _: found.append(module))
        model(x)
    return found


REFUSALS = (RuntimeError, ValueError, IndexError, TypeError, AssertionError)
"""What layers of torch raise where an input is of another shape than they take."""


def loops(model: nn.Module, x: Tensor) -> bool:
    """Does a model, given `x` whole, call neurons more than once? One of one step may refuse an axis of steps."""
    try:
        found = calls(model, x)
    except REFUSALS:
        return False
    return len(found) > len(set(found))


def as_network(module: ModuleOp, example: Sequence[int]) -> list[str]:
    """Let the function of a rolled loop be one of any steps and batch; gives notes. `example` are the input's sizes.

    Raises UserError where it is more than a run.
    """
    function = next(op for op in module.ops if isinstance(op, FuncOp))
    runs = [op for op in function.body.block.ops if isinstance(op, RunOp)]
    if len(runs) != 1:
        raise UserError(f"the loop of the model is {len(runs)} networks, one is expected", place=place_of(function))
    run, notes = runs[0], []
    given = source_of(run, example, notes)
    network = cast(NetworkOp, run.find())
    if dims(run.inputs[0].type)[1] == 1:
        raise UserError("the example has a batch of 1", hint="two or more: a size of 1 would be taken for a fixed one")
    order = [result_of(value, run, notes) for value in cast(ReturnOp, function.body.block.last_op).arguments]
    if odd := next((op for op in function.body.block.ops if not op.results and not isinstance(op, ReturnOp)), None):
        raise UserError(f"`{odd.name}` is more than a network does: it writes state", place=place_of(odd))
    sizes = {op.sym_name.data: op.sizes for op in network.populations()}
    element = cast(TensorType, given.type).element_type
    inputs = [tensor_type(element, ["steps", "batch", *dims(run.inputs[0].type)[2:]])]
    names = [run.records.data[index].data for index in order]
    results = [
        tensor_type(cast(TensorType, run.results[index].type).element_type,
                    ["steps", "batch", *sizes[name.partition(".")[0]]])
        for index, name in zip(order, names, strict=True)
    ]  # fmt: skip
    block = Block(arg_types=inputs)
    block.args[0].name_hint = given.name_hint
    again = RunOp(run.network.root_reference.data, block.args, names, results)
    again.location = run.location
    block.add_ops([again, ReturnOp(*again.results_)])
    made = FuncOp(function.sym_name.data, FunctionType.from_lists(inputs, results), Region(block),
                  arg_attrs=function.arg_attrs, res_attrs=function.res_attrs)  # fmt: skip
    made.location = function.location
    made.attributes |= {name: value for name, value in function.attributes.items() if name != "aten.conditions"}
    made.attributes["aten.symbols"] = cast(DictionaryAttr, entry(["x"], ["y"])["aten.symbols"])
    module.body.block.insert_op_before(made, function)
    function.detach()
    function.erase()
    return notes


def source_of(run: RunOp, example: Sequence[int], notes: list[str]) -> BlockArgument:
    """The argument whose items along one axis are the steps of a run, or that is repeated in each."""
    value: SSAValue = run.inputs[0]
    count, axis, first = dims(value.type)[0], 0, 0
    while isinstance(value, OpResult):
        op, name = value.op, value.op.target.data if isinstance(value.op, CallOp) else value.op.name
        if name == "aten.expand.default":
            notes.append(f"the source runs {count} steps of the same input: give it in every step, [steps, batch, ..]")
            example = [cast(int, count)]
        elif name == "aten.slice.Tensor" and isinstance(op, CallOp):
            first += cast(int, op.template.data.get(2, "start", 0) or 0)
        elif name == "aten.permute.default" and isinstance(op, CallOp):
            axis = cast("tuple[int, ...]", op.template.data.get(1, "dims"))[axis]
        elif name != "aten.unsqueeze.default":
            raise UserError(
                f"`{name}` is done to the input before the loop: a network takes the input of its first layer",
                place=place_of(op), hint="do it in each step, or outside of the model",
            )  # fmt: skip
        value = op.operands[0]
    if first or count not in (example[axis], dims(value.type)[axis]):
        raise UserError(f"the loop of the model runs over {count} of {example[axis]} steps of its input",
                        place=place_of(run), hint="give it the steps that it reads")  # fmt: skip
    return cast(BlockArgument, value)


def result_of(value: SSAValue, run: RunOp, notes: list[str]) -> int:
    """Which record of a run a result of the model is."""
    turned = False
    while isinstance(value, OpResult) and isinstance(value.op, CallOp):
        if value.op.target.data not in ("aten.permute.default", "aten.clone.default"):
            raise UserError(
                f"`{value.op.target.data}` is done to what neurons gave after the loop: a network gives their spikes "
                "or states of all steps",
                place=place_of(value.op),
                hint="return torch.stack of them, and do the rest outside of the model",
            )
        turned = turned or value.op.target.data == "aten.permute.default"
        value = value.op.operands[0]
    if not isinstance(value, OpResult) or value.op is not run:
        raise UserError("a result of the model does not come from its neurons", place=place_of(run))
    if turned:
        notes.append(
            f"{run.records.data[value.index].data} is [steps, batch, ..] here, its axes are others in the source"
        )
    return value.index
