"""Max pooling of spikes: a logical or over windows, as neurons that fire where a window has a spike.

    max_pool2d(%z, [2, 2])    ->    snn.population @max_pool_0 <..> : f32 threshold euler {threshold = 0.0} fires gt ..
                                    snn.projection @neurons_0 to @max_pool_0 { snn.pool sum <2, 2> .. }

Exact: a maximum of zeros and ones is 1 where their sum is above 0; what surrounds them counts as 0. Windows of currents
have no such form.
"""

from xdsl.dialects.builtin import AnyFloat, FloatAttr

from ...dialects.aten import CallOp
from ...dialects.neurons import Compare, Discretisation, Model
from ...dialects.snn import PopulationOp
from ...dialects.snn_maps import Pooling, PoolOp
from .calls import argument, rank
from .linear_maps import per_axis, refuse, sizes

MAX_POOLS = {f"aten.max_pool{axes}d{form}.default": axes for axes in (1, 2) for form in ("", "_with_indices")}
"""The axes of each."""


def spike_pool(op: CallOp, axes: int) -> PoolOp:
    """The sum over the windows of a maximum."""
    kernel = per_axis(op, 1, "kernel_size", axes, 1)
    stride = kernel if argument(op, 2, "stride") in (None, ()) else per_axis(op, 2, "stride", axes, 1)
    padding, dilation = per_axis(op, 3, "padding", axes, 0), per_axis(op, 4, "dilation", axes, 1)
    if set(dilation) != {1} or argument(op, 5, "ceil_mode", False) or rank(op.operands[0]) != axes + 2:
        raise refuse(op, "dilation, ceil_mode and an input without a batch have no map")
    pool = PoolOp(Pooling.SUM, kernel, stride, padding)
    pool.location = op.location
    return pool


def spike_or(op: CallOp, name: str, type: AnyFloat) -> PopulationOp:
    """Neurons that fire where anything comes in."""
    threshold = {"threshold": FloatAttr(0.0, type)}
    found = PopulationOp(name, sizes(op.results[0]), type, Model.THRESHOLD, Discretisation.EULER, threshold,
                         fires=Compare.GT)  # fmt: skip
    found.location = op.location
    return found
