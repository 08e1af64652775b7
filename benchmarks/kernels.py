"""Generated kernels against torch's dense products, gathers, numba and g++: a decoder's step, by density and threads.

Every call has another active set, one of sixteen, and another copy of the weight, of so many that they exceed the
caches: as in a model, whose other weights pass between two calls, every peer reads its weight from memory.
Each peer takes turns with the dense product alone; ratios are of dense over the peer, the limit is 1 / density.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

import torch
from gossamer.compiler.context import make_context, parse_text
from gossamer.dialects.kernel import LaunchOp
from gossamer.passes.lower_kernels import LowerKernels
from gossamer.passes.lower_products import LowerProducts
from gossamer.runtime.domain import Domain
from gossamer.runtime.kernels.launch import launch
from gossamer.runtime.kernels.layouts import k_major as kept_k_major
from gossamer.runtime.kernels.products import skip_k, skip_n
from torch import Tensor
from torch.nn.functional import linear
from xdsl.dialects.builtin import ModuleOp

from . import native_peers
from .timing import Rounds, interleaved

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
SETS = 16
CACHES = 64 << 20
"""Bytes that copies of a weight are to exceed."""
COLUMNS = ("kernel", "shape", "rows", "type", "threads", "density", "dense us", "us", "x dense", "limit",
           "x gather+mm", "x numba", "x g++", "max difference")  # fmt: skip
DENSITIES = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
FEW = (0.05, 0.1, 0.5, 1.0)
FLOOR = 0.97
GOALS = {0.05: 14.0, 0.1: 8.0}


@dataclass(frozen=True)
class Case:
    """One product, `inputs` to `outputs`, that skips along `axis`."""

    axis: str
    inputs: int
    outputs: int
    rows: int = 1
    dtype: str = "f32"
    threads: int = 1
    densities: tuple[float, ...] = FEW

    @property
    def title(self) -> tuple[str, ...]:
        """What it is, in the table's columns."""
        shape = f"{self.inputs} to {self.outputs}"
        return f"skip {self.axis}", shape, str(self.rows), self.dtype, str(self.threads)


CASES = (
    Case("k", 3072, 768, densities=DENSITIES),
    Case("k", 8192, 2048, densities=DENSITIES),
    Case("k", 8192, 2048, threads=2),
    Case("k", 3072, 768, dtype="bf16"),
    Case("k", 8192, 2048, dtype="bf16"),
    Case("k", 3072, 768, rows=4),
    Case("k", 3072, 768, rows=16),
    Case("n", 768, 3072),
    Case("n", 2048, 8192, densities=DENSITIES),
    Case("n", 2048, 8192, threads=2),
    Case("n", 2048, 8192, dtype="bf16"),
)
SMALL = (Case("k", 64, 48), Case("n", 64, 48, dtype="bf16", densities=(0.5,)))


def lowered(text: str) -> ModuleOp:
    """A program with its kernels."""
    module, context = parse_text(text), make_context()
    for step in (LowerProducts(), LowerKernels()):
        step.apply(context, module)
    return module


def kernel(text: str) -> Callable[..., Tensor]:
    """The one launch of a program, as it is called when the program runs."""
    (op,) = (op for op in lowered(text).walk() if isinstance(op, LaunchOp))
    return launch(op)


def product(case: Case) -> Callable[..., Tensor]:
    """The kernel of a case: (meaning, x, weight, active)."""
    x, y = (f"tensor<{case.rows}x{width}x{case.dtype}>" for width in (case.inputs, case.outputs))
    w, domain = f"tensor<{case.outputs}x{case.inputs}x{case.dtype}>", f"!sparse.domain<{skipped(case)}>"
    return kernel(f"""
    func.func @forward(%x: {x}, %w: {w}, %d: {domain}) -> {y} {{
      %y = sparse.matmul %x, %w[%d] {case.axis} : {x}, {w}, {domain} -> {y}
      func.return %y : {y}
    }}""")


def skipped(case: Case) -> int:
    """The length of the axis that is skipped along."""
    return case.inputs if case.axis == "k" else case.outputs


def rotated(run: Callable[[int], object], start: int) -> Callable[[], object]:
    """`run` with another number of a set at each call."""
    numbers = count(start)
    return lambda: run(next(numbers) % SETS)


@contextmanager
def threads_of_torch(threads: int) -> Iterator[None]:
    """Torch with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def pair(dense: Callable[[int], object], peer: Callable[[int], object], rounds: int, *, budget: float = 2.0) -> Rounds:
    """Dense and a peer in turns."""
    runs = {"dense": rotated(dense, 0), "peer": rotated(peer, 7)}
    for run in runs.values():
        for _ in range(3):
            run()
    return interleaved(runs, rounds=rounds, budget=budget)


def copies_of(weight: Tensor) -> list[Tensor]:
    """The weight, so many times that no cache holds all."""
    copies = min(SETS, 1 + CACHES // (weight.numel() * weight.element_size()))
    return [weight, *(weight.clone() for _ in range(copies - 1))]


def density_row(
    case: Case, run: Callable[..., Tensor], weights: Sequence[Tensor], density: float, rounds: int
) -> tuple[float, tuple[str, ...]]:
    """The ratio to dense, and the row of the table."""
    dtype, size = DTYPES[case.dtype], skipped(case)
    turned = [found for w in weights if (found := kept_k_major(w) if case.axis == "k" else w) is not None]
    weight = weights[0]
    masks = [torch.rand(size).argsort() < max(1, round(size * density)) for _ in range(SETS)]
    xs = [torch.randn(case.rows, case.inputs).to(dtype) * (mask if case.axis == "k" else 1) for mask in masks]
    domains = [Domain.of(mask) for mask in masks]
    fallback = skip_k if case.axis == "k" else skip_n

    def read(w: Tensor) -> Tensor:
        return w.t() if case.axis == "k" else w

    def dense(i: int) -> Tensor:
        return linear(xs[i], weights[i % len(weights)])

    peers: dict[str, Callable[[int], Tensor] | None] = {
        "us": lambda i: run(fallback, xs[i], weight=weights[i % len(weights)], active=domains[i]),
        "gather": lambda i: fallback(xs[i], read(turned[i % len(weights)]), domains[i]),
        "numba": None,
        "g++": None,
    }
    if case.axis == "k" and case.rows == 1 and case.dtype == "f32" and case.threads == 1:
        for name, native in (("numba", native_peers.numba()), ("g++", native_peers.gcc())):
            if native is not None:
                peers[name] = lambda i, native=native: native(xs[i][0], turned[i % len(weights)], domains[i].rows)
    found = {name: pair(dense, peer, rounds) for name, peer in peers.items() if peer is not None}
    ratios = {name: times.ratio("peer", to="dense") for name, times in found.items()}
    exact = xs[0].double() @ weight.double().T
    exact = exact if case.axis == "k" else exact * masks[0]
    apart = (run(fallback, xs[0], weight=weight, active=domains[0]).double() - exact).abs().max().item()
    times = (f"{found['us'].median(name) * 1e6:.1f}" for name in ("dense", "peer"))
    others = (f"{ratios[name]:.2f}" if name in ratios else "" for name in ("gather", "numba", "g++"))
    limit = f"{1 / density:.1f}"
    return ratios["us"], (*case.title, f"{density:.2f}", *times, f"{ratios['us']:.2f}", limit, *others, f"{apart:.0e}")


def measure_case(case: Case, rounds: int) -> tuple[list[tuple[str, ...]], list[str]]:
    """All densities of a case, and what became of the goals."""
    rows, notes = [], []
    with torch.no_grad(), threads_of_torch(case.threads):
        run, weight = product(case), torch.randn(case.outputs, case.inputs).to(DTYPES[case.dtype])
        weights = copies_of(weight)
        for density in case.densities:
            ratio, row = density_row(case, run, weights, density, rounds)
            rows.append(row)
            goal = GOALS.get(density, FLOOR) if case.rows == 1 else FLOOR
            if ratio < goal:
                notes.append(f"{' '.join(case.title)} at {density:g}: goal {goal:g} MISSED ({ratio:.2f})")
    return rows, notes
