"""What only the weights and the examples can tell the passes about zeros, written on the IR before they run.

    aten.weight parameter @up.w : tensor<64x16xf32> ..       ->   .. {sparse.finite}
    %g = aten.relu(%a)                                       ->   .. {sparse.support = 0.05 : f64}

`sparse.finite`: every number of a weight is finite; looked at once. `sparse.support`: the share of positions of the
last axis at which any row is not zero, the mean over the examples; for every value by which a product could skip.
`sparse.tiles`: the same for tiles of a few rows (`tile_calibration.py`). The examples run once each, up to the last
such value, and where there are tiles twice more. A model without any costs an analysis and nothing else.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FloatAttr, FunctionType, ModuleOp, UnitAttr, f64
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, BlockArgument, Operation, SSAValue
from xdsl.rewriter import Rewriter
from xdsl.traits import SymbolTable
from xdsl.transforms.dead_code_elimination import region_dce

from ..dialects.aten import AssignOp, CallOp, ParameterOp, UpdateOp, WeightOp
from ..dialects.sparse import DensityOp
from ..passes.analysis.memory import is_functional
from ..passes.analysis.skips import FINITE, Finder, products
from ..passes.analysis.supports import Columns, Support
from ..passes.choose_tiles import TILES
from ..passes.insert_skips import active
from ..passes.skip_plan import attribute, listed_attribute
from ..passes.solvers.tiles import Candidate
from ..passes.threshold_activations import THRESHOLDED, ThresholdActivations, is_threshold
from ..runtime.executor import Program
from .context import make_context
from .dont_care import entries
from .entry import entry_function
from .tile_calibration import measure_tiles, tile_ops, tiled_inputs


def calibrate(
    module: ModuleOp,
    weights: Mapping[str, Tensor],
    calls: Sequence[Sequence[object]],
    static: Mapping[int, Tensor] | None = None,
) -> None:
    """Write `sparse.finite` and `sparse.support` on `module`, of which `calls` are inputs.

    `static` are arguments that are weights, by position. Densities are those under thresholds, where an activation has
    one.
    """
    cut, origin = thresholded(module)
    function = entry_function(cut)
    finder = Finder.of(function)
    if not finder.all():
        return
    for marked in (entry_function(module), function):
        mark_finite(marked, weights, static or {})
    sites = finder.all()
    wanted = list(dict.fromkeys(support for site in sites for support in site.supports))
    if not wanted or not calls or not is_functional(function):
        return
    found = dict(zip(wanted, densities(cut, wanted, weights, calls), strict=True))
    for site in sites:
        for support in site.supports:
            if isinstance(support, Columns):
                annotate(entry_function(module), support, origin, found[support])
            elif isinstance(owner := origin[site.op.results[0]].owner, Operation):
                owner.attributes[listed_attribute(site)] = FloatAttr(found[support], f64)
    inputs = [x for x in tiled_inputs(function, sites) if x in origin]
    for x, tiles in measure_tiles(inputs, lambda kinds: tile_means(cut, kinds, weights, calls)).items():
        write(entry_function(module), origin[x], TILES, tiles)


def thresholded(module: ModuleOp) -> tuple[ModuleOp, Mapping[SSAValue, SSAValue]]:
    """The module as the program will see it, and which value of `module` each of its values is."""
    values: dict[SSAValue, SSAValue] = {}
    cut = module.clone(value_mapper=values)
    ThresholdActivations().apply(make_context(), cut)
    return cut, {new: old for old, new in values.items()}


def mark_finite(function: FuncOp, weights: Mapping[str, Tensor], static: Mapping[int, Tensor]) -> None:
    """Say so of every weight of a product that is finite."""
    read = [product.weight for _, product in products(function)]
    turned = [operand for value in read if isinstance(value.owner, CallOp) for operand in value.owner.operands]
    for value in dict.fromkeys([*read, *turned]):
        op = value.owner
        declared = SymbolTable.lookup_symbol(op, op.weight) if isinstance(op, ParameterOp) else None
        if isinstance(declared, WeightOp) and is_finite(weights[declared.sym_name.data]):
            declared.attributes[FINITE] = UnitAttr()
        if isinstance(value, BlockArgument) and value.index in static and is_finite(static[value.index]):
            mark_argument(function, value, FINITE, UnitAttr())


def mark_argument(function: FuncOp, value: SSAValue, name: str, attribute: Attribute) -> None:
    """Write an attribute on an argument."""
    arguments = entries(function.arg_attrs) or [{} for _ in function.args]
    arguments[list(function.args).index(value)][name] = attribute  # pyright: ignore[reportArgumentType]
    function.arg_attrs = ArrayAttr(map(DictionaryAttr, arguments))


@torch.no_grad()
def is_finite(weight: Tensor) -> bool:
    """Is every number finite? A sum tells, unless it overflows."""
    if not weight.is_floating_point():
        return True
    return bool(weight.sum(dtype=torch.float32).isfinite()) or bool(weight.isfinite().all())


def densities(
    module: ModuleOp, wanted: Sequence[Support], weights: Mapping[str, Tensor], calls: Sequence[Sequence[object]]
) -> list[float]:
    """The mean density of each support over `calls`."""
    values: dict[SSAValue, SSAValue] = {}
    clone = module.clone(value_mapper=values)
    ops: list[Operation] = []
    results: list[SSAValue] = []
    for support in wanted:
        ops += active(support.map(values.__getitem__))
        ops.append(density := DensityOp(ops[-1].results[0]))
        results.append(density.density)
    return means(run_up_to(clone, ops, results, weights, calls))


def tile_means(
    module: ModuleOp,
    wanted: Sequence[tuple[SSAValue, Candidate]],
    weights: Mapping[str, Tensor],
    calls: Sequence[Sequence[object]],
) -> list[float]:
    """The mean density of the tiles of each of these kinds over `calls`."""
    if not wanted:
        return []
    values: dict[SSAValue, SSAValue] = {}
    clone = module.clone(value_mapper=values)
    pairs = tile_ops([(values[x], kind) for x, kind in wanted])
    ops, results = [op for pair in pairs for op in pair], [density.density for _, density in pairs]
    return means(run_up_to(clone, ops, results, weights, calls))


def means(found: Sequence[Sequence[float]]) -> list[float]:
    """The mean of each number over the calls."""
    return [sum(column) / len(found) for column in zip(*found, strict=True)]


def run_up_to(
    module: ModuleOp,
    ops: Iterable[Operation],
    results: Sequence[SSAValue],
    weights: Mapping[str, Tensor],
    calls: Sequence[Sequence[object]],
) -> list[list[Any]]:
    """What `results` are for each of `calls`, once `ops` are appended; `module` loses what that does not need.

    Nothing is written, and the random stream stays where it is.
    """
    function = entry_function(module)
    block = function.body.block
    for op in list(block.ops):
        if isinstance(op, UpdateOp | AssignOp | ReturnOp):
            Rewriter.erase_op(op)
    for op in (*ops, ReturnOp(*results)):
        block.add_op(op)
    types = [list(block.arg_types), [result.type for result in results]]
    function.properties["function_type"] = FunctionType.from_lists(*types)
    function.properties.pop("res_attrs", None)
    region_dce(function.body)
    program = Program.build(module, weights)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        return [program.run(*call) for call in calls]


def annotate(function: FuncOp, columns: Columns, origin: Mapping[SSAValue, SSAValue], density: float) -> None:
    """Write a density on the op or argument that makes the value; under a threshold, on the activation."""
    value, name, found = columns.value, attribute(columns), FloatAttr(density, f64)
    if isinstance(value.owner, Operation) and is_threshold(value.owner):
        value, name = value.owner.operands[0], THRESHOLDED
    write(function, origin[value], name, found)


def write(function: FuncOp, value: SSAValue, name: str, found: Attribute) -> None:
    """Write an attribute on the op or argument that makes the value."""
    if isinstance(value.owner, Operation):
        value.owner.attributes[name] = found
        return
    mark_argument(function, value, name, found)
