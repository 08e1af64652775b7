"""A decoder's feed-forward part, one row, with few active neurons; and what finding them costs.

| kind         | is                          | computed there                  | limit at density d |
|--------------|-----------------------------|---------------------------------|--------------------|
| relu         | down(relu(up x))            | down                            | 2 / (1 + d)        |
| squared relu | down(relu(up x)^2)          | down                            | 2 / (1 + d)        |
| reglu        | down(relu(gate x) * up x)   | up, multiplied as it is made;   | 3 / (1 + 2 d)      |
|              |                             | down                            |                    |

The first weight leans against the input so that a chosen part of the neurons is active.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from gossamer.runtime.executor import Program
from torch import Tensor
from torch.nn.functional import linear

from .kernels import DTYPES, SETS, copies_of, lowered, pair, threads_of_torch

RELU, SQUARED, GATED = "relu", "squared relu", "reglu"
DENSITIES = (0.05, 0.1)
OF_THE_LIMIT = {RELU: 0.85, SQUARED: 0.85, GATED: 0.84}
"""Goals at the lowest density; of the gated one 2.3 of 2.73."""


@dataclass(frozen=True)
class Case:
    """`width` to `hidden` and back."""

    kind: str
    width: int
    hidden: int
    dtype: str = "f32"
    threads: int = 1

    def limit(self, density: float) -> float:
        """If only weights cost, and only those that are needed."""
        return 3 / (1 + 2 * density) if self.kind == GATED else 2 / (1 + density)

    @property
    def text(self) -> str:
        """The program."""
        x, h = (f"tensor<1x{size}x{self.dtype}>" for size in (self.width, self.hidden))
        sizes = (self.hidden, self.width), (self.width, self.hidden)
        up, down = (f"tensor<{rows}x{columns}x{self.dtype}>" for rows, columns in sizes)
        d = f"!sparse.domain<{self.hidden}>"
        square = f'%v = aten.call "aten.mul.Tensor"(%h, %h) : ({h}) -> {h}'
        up_rows = f"%m = sparse.matmul %x, %u[%d] n : {x}, {up}, {d} -> {h}"
        gate = f'%v = aten.call "aten.mul.Tensor"(%h, %m) : ({h}, {h}) -> {h}'
        middle = {
            RELU: ("h", [f"%d = sparse.support %h : {h} -> {d}"]),
            SQUARED: ("v", [square, f"%d = sparse.support %v : {h} -> {d}"]),
            GATED: ("v", [f"%d = sparse.support %h : {h} -> {d}", up_rows, gate]),
        }
        last, ops = middle[self.kind]
        return f"""
        func.func @forward(%x: {x}, %g: {up}, %u: {up}, %w: {down}) -> {x} {{
          %z = aten.call "aten.linear.default"(%x, %g) : ({x}, {up}) -> {h}
          %h = aten.call "aten.relu.default"(%z) : ({h}) -> {h}
          {" ".join(ops)}
          %y = sparse.matmul %{last}, %w[%d] k : {h}, {down}, {d} -> {x}
          func.return %y : {x}
        }}"""

    def dense(self, x: Tensor, first: Tensor, up: Tensor, down: Tensor) -> Tensor:
        """What eager computes."""
        h = linear(x, first).relu()
        return linear({RELU: lambda: h, SQUARED: lambda: h * h, GATED: lambda: h * linear(x, up)}[self.kind](), down)


CASES = (
    Case(RELU, 768, 3072),
    Case(RELU, 2048, 8192),
    Case(RELU, 2048, 8192, threads=2),
    Case(RELU, 2048, 8192, dtype="bf16"),
    Case(SQUARED, 2048, 8192),
    Case(SQUARED, 2048, 8192, threads=2),
    Case(GATED, 2048, 8192),
    Case(GATED, 2048, 8192, threads=2),
    Case(GATED, 2048, 8192, dtype="bf16"),
)
SMALL = tuple(Case(kind, 32, 64) for kind in (RELU, SQUARED, GATED))


def program(text: str) -> Callable[..., list[Tensor]]:
    """A program with its kernels."""
    built = Program.build(lowered(text), {})
    return lambda *args: built(args)


def row(case: Case, density: float, rounds: int) -> tuple[float, tuple[str, ...]]:
    """The part of the limit that is reached, and a row of the table of kernels."""
    with torch.no_grad(), threads_of_torch(case.threads):
        dtype = DTYPES[case.dtype]
        xs = [torch.rand(1, case.width).to(dtype) for _ in range(SETS)]
        first = torch.randn(case.hidden, case.width)
        scores = torch.stack([linear(x.float(), first)[0] / x.float().sum() for x in xs])
        first = (first - scores.flatten().quantile(1 - density)).to(dtype)
        sizes = (case.hidden, case.width), (case.width, case.hidden)
        up, down = (torch.randn(*size).to(dtype) / 50 for size in sizes)
        firsts, ups, downs = map(copies_of, (first, up, down))
        run, copies = program(case.text), len(firsts)

        def given(i: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            return xs[i], firsts[i % copies], ups[i % copies], downs[i % copies]

        times = pair(lambda i: case.dense(*given(i)), lambda i: run(*given(i))[0], rounds)
        ratio = times.ratio("peer", to="dense")
        apart = (run(*given(0))[0] - case.dense(*given(0))).float().abs().max().item()
    shown = (f"{times.median(name) * 1e6:.1f}" for name in ("dense", "peer"))
    title = (case.kind, f"{case.width}, {case.hidden}", "1", case.dtype, str(case.threads), f"{density:.2f}")
    limit = case.limit(density)
    return ratio / limit, (*title, *shown, f"{ratio:.2f}", f"{limit:.2f}", "", "", "", f"{apart:.0e}")


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
