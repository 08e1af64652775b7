"""A gated feed-forward part, down(relu(gate x) * up x), with few active neurons; and what finding them costs.

The gate is dense; up is computed at active neurons only, multiplied as it is made; down skips along them. The limit is
3 / (1 + 2 density). The gate's weights lean against the input so that a chosen part of the neurons is active.
"""

from collections.abc import Callable

import torch
from gossamer.runtime.executor import Program
from torch import Tensor
from torch.nn.functional import linear

from .kernels import DTYPES, SETS, copies_of, lowered, pair, threads_of_torch


def program(text: str) -> Callable[..., list[Tensor]]:
    """A program with its kernels."""
    built = Program.build(lowered(text), {})
    return lambda *args: built(args)


def gated_text(width: int, hidden: int, element: str) -> str:
    """The program."""
    x, h = (f"tensor<1x{size}x{element}>" for size in (width, hidden))
    up, down = (f"tensor<{rows}x{columns}x{element}>" for rows, columns in ((hidden, width), (width, hidden)))
    d = f"!sparse.domain<{hidden}>"
    return f"""
    func.func @forward(%x: {x}, %g: {up}, %u: {up}, %w: {down}) -> {x} {{
      %z = aten.call "aten.linear.default"(%x, %g) : ({x}, {up}) -> {h}
      %h = aten.call "aten.relu.default"(%z) : ({h}) -> {h}
      %d = sparse.support %h : {h} -> {d}
      %m = sparse.matmul %x, %u[%d] n : {x}, {up}, {d} -> {h}
      %v = aten.call "aten.mul.Tensor"(%h, %m) : ({h}, {h}) -> {h}
      %y = sparse.matmul %v, %w[%d] k : {h}, {down}, {d} -> {x}
      func.return %y : {x}
    }}"""


def gated_row(
    width: int, hidden: int, dtype: str, threads: int, density: float, rounds: int
) -> tuple[float, tuple[str, ...]]:
    """The ratio to dense, and a row of the table of kernels."""
    with torch.no_grad(), threads_of_torch(threads):
        xs = [torch.rand(1, width).to(DTYPES[dtype]) for _ in range(SETS)]
        gate = torch.randn(hidden, width)
        scores = torch.stack([linear(x.float(), gate)[0] / x.float().sum() for x in xs])
        gate = (gate - scores.flatten().quantile(1 - density)).to(DTYPES[dtype])
        up, down = (torch.randn(*size).to(DTYPES[dtype]) / 50 for size in ((hidden, width), (width, hidden)))
        run = program(gated_text(width, hidden, dtype))

        def dense(i: int) -> Tensor:
            return linear(linear(xs[i], gate).relu() * linear(xs[i], up), down)

        times = pair(dense, lambda i: run(xs[i], gate, up, down)[0], rounds)
        ratio = times.ratio("peer", to="dense")
        apart = (run(xs[0], gate, up, down)[0] - dense(0)).float().abs().max().item()
    shown = (f"{times.median(name) * 1e6:.1f}" for name in ("dense", "peer"))
    title = ("reglu", f"{width}, {hidden}", "1", dtype, str(threads), f"{density:.2f}")
    return ratio, (*title, *shown, f"{ratio:.2f}", f"{3 / (1 + 2 * density):.2f}", "", "", "", f"{apart:.0e}")


def support_row(inputs: int, outputs: int, rounds: int) -> tuple[float, tuple[str, ...]]:
    """The share of the dense product that finding its active inputs costs, beyond the relu that is done anyway."""
    x, domain = f"tensor<1x{inputs}xf32>", f"!sparse.domain<{inputs}>"
    run = program(f"""
    func.func @forward(%x: {x}) -> ({x}, {domain}) {{
      %h = aten.call "aten.relu.default"(%x) : ({x}) -> {x}
      %d = sparse.support %h : {x} -> {domain}
      func.return %h, %d : {x}, {domain}
    }}""")
    with torch.no_grad(), threads_of_torch(1):
        xs = [torch.randn(1, inputs) - 1.6 for _ in range(SETS)]
        weights = copies_of(torch.randn(outputs, inputs))
        times = pair(lambda i: linear(xs[i], weights[i % len(weights)]), lambda i: run(xs[i]), rounds)
        relu = pair(lambda i: linear(xs[i], weights[i % len(weights)]), lambda i: xs[i].relu(), rounds).median("peer")
    dense, own = times.median("dense"), times.median("peer")
    cost = (own - relu) / dense
    title = ("relu and support", str(inputs), "1", "f32", "1", "0.05")
    return cost, (*title, f"{dense * 1e6:.1f}", f"{own * 1e6:.1f}", f"{dense / own:.1f}", "", "", "", "", "0")
