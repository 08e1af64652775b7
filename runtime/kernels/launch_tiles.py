"""Launches of the kernels that work on tiles of rows; see `passes/kernels/tile_index.py` and `skip_k_tiles.py`.

    t = launch(meaning, x)                           serial_order_8(call), then rows_8(call) in each thread
    y = launch(meaning, x, weight=w, active=t)       rows_8(call) in each thread

Where the number of rows is known only when it runs, tiles are as high as that number asks for, and no higher than the
program says.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ...dialects.aten import dims, tensor_of
from ...dialects.kernel import Form, LaunchOp
from ...dialects.tiles import HEIGHTS, SAMPLES, TileOp
from ..dtypes import DTYPES
from ..kernel_code import code_beside, launch_function
from ..tiles import Tiles
from .launch import CALL, FORMS, Entry, Meaning, is_traced, ready, threads_for
from .layouts import k_major
from .tiles import giving_up

MARGIN = 16
"""Numbers by which samples of a row may be padded, and more."""


def by_height(entries: list[Entry | None]) -> dict[int, Entry]:
    """The entry for each height."""
    return {entry.rows: entry for entry in entries if entry is not None}


def tile(op: LaunchOp, entries: list[Entry | None]) -> Callable[..., Tiles]:
    """Tiles of rows."""
    width, dtype = int(dims(op.x.type)[-1]), DTYPES[tensor_of(op.x).element_type]
    known, code = by_height(entries), code_beside(op, op.kernel)
    (said,) = (inner for inner in op.meaning.block.ops if isinstance(inner, TileOp))
    gives_up = giving_up(said)
    assert code is not None
    orders = {height: launch_function(code[f"serial_order_{height}"]) for height in known}

    def run(meaning: Meaning, x: Tensor) -> Tiles:
        rows = x.numel() // width
        if gives_up(x):
            return Tiles.all(x.shape, x.device)
        if not rows or not ready(x, dtype):
            return meaning(x)
        height = next((height for height in HEIGHTS if height in known and height >= rows), max(known))
        number, threads = -(-rows // height), threads_for(rows * width * dtype.itemsize)
        index = torch.empty(number * (height + 1 + width), dtype=torch.int64)
        scratch = torch.empty(max(threads * width, rows * (min(width, SAMPLES) + MARGIN + 1)))
        call = CALL.pack(x.data_ptr(), 0, 0, 0, index.data_ptr(), 0, 0, scratch.data_ptr(), rows)
        orders[height](call)
        known[height].start(call, threads)
        return Tiles(x.shape, height, index)

    return run


def product(op: LaunchOp, entries: list[Entry | None]) -> Callable[..., Tensor]:
    """Products by tiles."""
    assert op.weight is not None
    outputs = int(dims(op.weight.type)[0])
    dtype, known = DTYPES[tensor_of(op.x).element_type], by_height(entries)

    def run(meaning: Meaning, x: Tensor, weight: Tensor, active: Tiles, bias: Tensor | None = None) -> Tensor:
        entry = None if active.everywhere or not active.rows else known.get(active.height)
        read = None if entry is None else k_major(weight)
        if (
            entry is None
            or read is None
            or not (ready(x, dtype) and ready(read, dtype))
            or not (bias is None or ready(bias, dtype))
            or is_traced(x, weight, bias)
        ):
            return meaning(x, weight, active, *(() if bias is None else (bias,)))
        threads = threads_for(active.active * outputs * dtype.itemsize * active.height)
        output = x.new_empty((*x.shape[:-1], outputs))
        scratch = torch.empty(threads * active.active * active.height if active.height > 1 else 0)
        call = CALL.pack(
            x.data_ptr(),
            read.data_ptr(),
            0 if bias is None else bias.data_ptr(),
            0,
            active.index.data_ptr(),
            active.active,
            output.data_ptr(),
            scratch.data_ptr(),
            active.rows,
        )
        entry.start(call, threads)
        return output

    return run


FORMS[Form.TILE], FORMS[Form.SKIP_K_TILES] = tile, product
