"""Products that skip, compiled to kernels, and what they must give."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from gossamer.compiler.context import make_context, parse_text
from gossamer.compiler.pipeline import parse_passes
from gossamer.runtime.executor import Program
from gossamer.runtime.kernel_code import Entry
from torch import Tensor
from xdsl.dialects.builtin import ModuleOp

NAMES = {torch.float32: "f32", torch.bfloat16: "bf16"}
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 1e-2}
"""Of the magnitude that was summed."""
PASSES = "lower-products,lower-kernels"


def product_text(rows: int | str, inputs: int, outputs: int, dtype: torch.dtype, axis: str, *, bias: bool) -> str:
    """A program with one product; the mask says what is active. `rows` may be a symbol."""
    element = NAMES[dtype]
    size = "?" if isinstance(rows, str) else str(rows)
    x, y = (f"tensor<{size}x{width}x{element}>" for width in (inputs, outputs))
    if isinstance(rows, str):
        x, y = (f'{kind[:-1]}, #aten.dims<"{rows}", {width}>>' for kind, width in ((x, inputs), (y, outputs)))
    w, b = f"tensor<{outputs}x{inputs}x{element}>", f"tensor<{outputs}x{element}>"
    active = inputs if axis == "k" else outputs
    with_bias = f" bias %b : {b}" if bias else ""
    return f"""
    func.func @forward(%x: {x}, %w: {w}, %m: tensor<{active}xi1>, %b: {b}) -> {y} {{
      %d = sparse.domain %m : tensor<{active}xi1> -> !sparse.domain<{active}>
      %y = sparse.matmul %x, %w[%d] {axis}{with_bias} : {x}, {w}, !sparse.domain<{active}> -> {y}
      func.return %y : {y}
    }}"""


def lowered(text: str) -> ModuleOp:
    """The program with its kernels, in LLVM's dialect."""
    module, context = parse_text(text), make_context()
    for step in parse_passes(PASSES):
        step.apply(context, module)
    module.verify()
    return module


@contextmanager
def starts() -> Iterator[list[Entry]]:
    """The kernels that are started meanwhile."""
    started, start = list[Entry](), Entry.start

    def noted(entry: Entry, call: Any, threads: int) -> None:
        started.append(entry)
        start(entry, call, threads)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Entry, "start", noted)
        yield started


def native(text: str) -> Callable[..., Tensor]:
    """The program, which must not fall back to what its launches mean."""
    program = Program.build(lowered(text), {})

    def run(*args: Tensor) -> Tensor:
        with torch.no_grad(), starts() as started:
            (found,) = program(args)
        assert started, "no kernel ran"
        return found

    return run


def expected(x: Tensor, w: Tensor, active: Tensor, b: Tensor | None, axis: str) -> tuple[Tensor, Tensor]:
    """The product in double precision, and the magnitude of what is summed."""
    x, w = x.double(), w.double()
    if axis == "k":
        x, w = x[:, active], w[:, active]
    bias = 0.0 if b is None else b.double()
    value, magnitude = x @ w.T + bias, x.abs() @ w.abs().T + abs(bias)
    return (value, magnitude) if axis == "k" else (torch.where(active, value, 0.0), magnitude)


def check_close(found: Tensor, value: Tensor, magnitude: Tensor) -> None:
    """Within what rounding explains; NaN and Inf are the same."""
    finite = value.isfinite()
    assert torch.equal(found.isnan(), value.isnan())
    assert torch.equal(found.double()[~finite & ~value.isnan()], value[~finite & ~value.isnan()])
    apart = (found.double() - value).abs()[finite]
    assert (apart <= TOLERANCE[found.dtype] * magnitude[finite] + 1e-30).all(), apart.max()
