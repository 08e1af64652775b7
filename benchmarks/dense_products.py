"""Dense products of a training step: the kernel that has the library's bits, against the library.

Forward, gradient of the input and gradient of the weight of each projection of a GPT-2 layer. Once with operands in
cache, and once after other memory was written, as between the ops of a step. The limit is what one core multiplies and
adds in registers alone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import geometric_mean

import torch
from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.kernel import SCRATCH
from gossamer.passes.kernels.product import product_kernel
from gossamer.passes.kernels.signature import Machine, named_kernel
from gossamer.passes.kernels.writing import fma, loop, number, vector_load, vector_store, zeros
from gossamer.runtime import native
from gossamer.runtime.bits import same_bits
from gossamer.runtime.kernel_code import Entry, code_of
from gossamer.runtime.kernels.dense_products import Product
from gossamer.runtime.product_trials import Layout, Way
from torch import Tensor
from xdsl.dialects.builtin import DYNAMIC_INDEX, MemRefType, ModuleOp, f32
from xdsl.ir import SSAValue

from .sections import Section
from .timing import interleaved

COLUMNS = (
    "product",
    "a",
    "b",
    "block",
    "packs first",
    "library GF/s",
    "ours",
    "x",
    "of the limit",
    "cold: library",
    "ours",
    "x",
)
CHAINS, STEPS = 12, 1 << 20
"""Of the limit: sums in registers, and how often each is added to."""
SPOILT = 3_000_000
"""Numbers that are written before a cold run: more than second-level cache holds."""
Show = Callable[[str], object]


@dataclass(frozen=True)
class Case:
    """a b, or of transposed matrices, and what it is for."""

    name: str
    rows: int
    depth: int
    columns: int
    a_turned: bool = False
    b_turned: bool = False

    def operands(self) -> tuple[Tensor, Tensor]:
        """Random ones."""
        return matrix(self.rows, self.depth, self.a_turned), matrix(self.depth, self.columns, self.b_turned)

    @property
    def work(self) -> float:
        """Multiplications and additions, 1e9 of them."""
        return 2e-9 * self.rows * self.depth * self.columns


def matrix(rows: int, columns: int, turned: bool) -> Tensor:
    """Random numbers, by rows or by columns."""
    return torch.randn(columns, rows).T if turned else torch.randn(rows, columns)


def cases(tokens: int, width: int) -> Iterator[Case]:
    """The products of one layer, there and back."""
    for name, inputs, outputs in (("qkv", width, 3 * width), ("up", width, 4 * width), ("down", 4 * width, width)):
        yield Case(f"{width} {name}", tokens, inputs, outputs)
        yield Case(f"{width} {name}, gradient of x", tokens, outputs, inputs, b_turned=True)
        yield Case(f"{width} {name}, gradient of w", inputs, tokens, outputs, a_turned=True)


def kernel() -> Product:
    """The kernel of this machine."""
    module = ModuleOp([product_kernel("product", Machine(*native.vectors()))])
    run_pipeline(module, "lower-kernels")
    (found,) = (op for op in module.ops if isinstance(op, ModuleOp))
    code = code_of(found)
    assert code is not None
    return Product(code, found.attributes[SCRATCH])


def limit(rounds: int) -> float:
    """1e9 multiplications and additions that a core does a second, on registers alone."""
    lanes = native.vectors()[0]

    def write(given: dict[str, SSAValue]) -> None:
        buffer = given["numbers"]
        x = vector_load(buffer, lanes, number(0))

        def step(_: SSAValue, sums: Sequence[SSAValue]) -> Sequence[SSAValue]:
            return [fma(x, total, x) for total in sums]

        sums = loop(number(0), number(STEPS), number(1), [zeros(lanes)] * CHAINS, step)
        for place, total in enumerate(sums):
            vector_store(total, buffer, number(place * lanes))

    buffer = MemRefType(f32, (DYNAMIC_INDEX,))
    module = ModuleOp([named_kernel("fill", {"numbers": buffer}, write, name="fill")])
    run_pipeline(module, "lower-kernels")
    (found,) = (op for op in module.ops if isinstance(op, ModuleOp))
    code, numbers = code_of(found), torch.full((CHAINS * lanes,), 0.5)
    assert code is not None
    entry, call = Entry.of(code, "fill"), numbers.data_ptr().to_bytes(8, "little")
    taken = interleaved({"fill": lambda: entry.start(call, 1)}, rounds=rounds).seconds["fill"]
    return 2e-9 * CHAINS * lanes * STEPS / min(taken)


def block_of(multiply: Product, a: Tensor, b: Tensor) -> int:
    """The length of blocks with which the kernel has the library's bits; 0 where none was found."""
    expected, found = torch.mm(a, b), torch.empty(len(a), b.shape[1])
    strides = (a.stride(0), a.stride(1)), (b.stride(0), b.stride(1))
    for block in Layout(len(a), a.shape[1], b.shape[1], *strides, (0, 0), False).blocks():
        multiply(a, b, None, found, Way(block, False))
        if same_bits(found, expected):
            return block
    return 0


@dataclass(frozen=True)
class Rates:
    """1e9 multiplications and additions a second: of the library, and of the kernel, by `way`."""

    case: Case
    way: Way
    warm: tuple[float, float]
    cold: tuple[float, float]

    def cells(self, most: float) -> tuple[str, ...]:
        """One row."""
        turned = ("by columns" if turned else "by rows" for turned in (self.case.a_turned, self.case.b_turned))
        (library, ours), (cold_library, cold) = self.warm, self.cold
        rates = f"{library:.1f}", f"{ours:.1f}", f"{ours / library:.2f}", f"{ours / most:.0%}"
        return (self.case.name, *turned, str(self.way.block), "ab"[self.way.b_first], *rates,
                f"{cold_library:.1f}", f"{cold:.1f}", f"{cold / cold_library:.2f}")  # fmt: skip


def measured(case: Case, multiply: Product, rounds: int) -> Rates | None:
    """Both, in turns; None where the library sums in no order that was tried."""
    a, b = case.operands()
    if not (block := block_of(multiply, a, b)):
        return None
    theirs, ours, others = torch.empty(len(a), b.shape[1]), torch.empty(len(a), b.shape[1]), torch.zeros(SPOILT)
    ways = {str(way): way for way in (Way(block, False), Way(block, True))}
    runs: dict[str, Callable[[], object]] = {
        name: partial(multiply, a, b, None, ours, way) for name, way in ways.items()
    }
    runs["library"] = lambda: torch.mm(a, b, out=theirs)
    warm, cold = (interleaved(runs, rounds=rounds, before=before) for before in (None, lambda: others.add_(1)))
    best = min(ways, key=cold.median)
    rates = ((case.work / turns.median("library"), case.work / turns.median(best)) for turns in (warm, cold))
    return Rates(case, ways[best], *rates)


def dense_products(quick: bool, show: Show) -> Section:
    """The table."""
    torch.manual_seed(0)
    multiply, rounds = kernel(), 3 if quick else 41
    show("the limit")
    most, found, apart = limit(rounds) * torch.get_num_threads(), list[Rates](), 0
    for width in (32,) if quick else (256, 768):
        for case in cases(48 if quick else 512, width):
            show(case.name)
            rates = measured(case, multiply, rounds)
            found += [rates] if rates else []
            apart += rates is None
    return Section(
        "dense-products",
        f"Products of GPT-2, f32, 512 tokens, threads={torch.get_num_threads()}: the kernel with the library's bits",
        COLUMNS,
        [rates.cells(most) for rates in found],
        [
            *verdict("with operands in cache", [rates.warm for rates in found]),
            *verdict("after other memory was written", [rates.cold for rates in found]),
            f"all results are the library's to the bit; {apart} more were left out, whose order of sums was not found",
            f"the limit: {most:.0f} GF/s, of multiplications and additions in registers alone, measured",
        ],
    )


def verdict(when: str, pairs: Sequence[tuple[float, float]]) -> list[str]:
    """How many times as fast as the library."""
    ratios = [ours / library for library, ours in pairs]
    return [f"{when}: {geometric_mean(ratios):.2f} x the library in the mean, {min(ratios):.2f} to {max(ratios):.2f}"]
