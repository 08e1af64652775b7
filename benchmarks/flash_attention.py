"""Attention of a training step, and its gradients: the kernels that have the library's bits, against the library.

Queries, keys and values are parts of one projection. Both take turns, after other memory was written, as between the
ops of a step. The limit is what one core multiplies and adds in registers alone, of the pairs that are looked at.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import geometric_mean

import numpy as np
import torch
from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.kernel import SCRATCH
from gossamer.passes.kernels.attention import attention_kernel
from gossamer.passes.kernels.attention_backward import attention_backward_kernel
from gossamer.passes.kernels.signature import Machine
from gossamer.runtime import native
from gossamer.runtime.attention_trials import Layout, Shape, Way, gives, library, operands
from gossamer.runtime.kernel_code import code_of
from gossamer.runtime.kernels.flash_attention import BACKWARD, FUNCTION, Attention
from gossamer.runtime.product_trials import tame
from xdsl.dialects.builtin import ModuleOp

from .dense_products import SPOILT, limit
from .sections import Section
from .timing import interleaved

COLUMNS = ("attention", "looks at", "", "sums over", "library ms", "ours", "x", "of the limit")
PRODUCTS = {FUNCTION: 2, BACKWARD: 5}
"""Products of matrices: scores and results; scores again and four gradients."""
NAMES = {FUNCTION: "there", BACKWARD: "back"}
SHAPES = (
    (8, 4, 64, 64, True), (8, 12, 128, 64, False), (4, 12, 256, 64, True), (1, 12, 1024, 64, True),
    (1, 8, 512, 128, True),
)  # fmt: skip
"""Sequences, heads, tokens, numbers of a head, causal: the step of `training-steps`, BERT, GPT-2, and a Llama's."""
Show = Callable[[str], object]


@dataclass(frozen=True)
class Taken:
    """Seconds of the library and of the kernel, by `way`."""

    shape: Shape
    function: str
    way: Way
    library: float
    ours: float

    @property
    def ratio(self) -> float:
        return self.library / self.ours

    def cells(self, most: float) -> tuple[str, ...]:
        """One row."""
        shape, sums = self.shape, f"{self.way.length} keys{', keys scaled' if self.way.scaled else ''}"
        pairs = shape.rows * (shape.rows + 1) / 2 if shape.causal else shape.rows * shape.columns
        work = 2e-9 * PRODUCTS[self.function] * shape.batches * shape.heads * shape.width * pairs
        name = f"{shape.batches} x {shape.rows} tokens, {shape.heads} heads of {shape.width}"
        looks = "those before" if shape.causal else "all"
        times = f"{self.library * 1e3:.2f}", f"{self.ours * 1e3:.2f}", f"{self.ratio:.2f}"
        return (name, looks, NAMES[self.function], sums, *times, f"{work / self.ours / most:.0%}")


def kernels() -> Iterator[Attention]:
    """Those of this machine."""
    machine = Machine(*native.vectors())
    makes = {FUNCTION: attention_kernel, BACKWARD: attention_backward_kernel}
    for function, make in makes.items():
        module = ModuleOp([make(function, machine)])
        run_pipeline(module, "lower-kernels")
        (found,) = (op for op in module.ops if isinstance(op, ModuleOp))
        code = code_of(found)
        assert code is not None
        yield Attention(code, function, found.attributes[SCRATCH])


def layout_of(shape: Shape, function: str) -> Layout:
    """Of parts of one projection, and of what torch gives."""
    rows, size = shape.rows, shape.heads * shape.width
    part, apart = ((rows * n * size, shape.width, n * size, 1) for n in (3, 1))
    sums = rows * shape.heads, 1, shape.heads
    return Layout(shape, (part,) * 3 if function == FUNCTION else (apart, part, part, part, apart, sums))


def measured(shape: Shape, kernel: Attention, rounds: int) -> Taken | None:
    """Both, in turns; None where the library sums in no order that was tried."""
    function = BACKWARD if kernel.is_backward else FUNCTION
    layout = layout_of(shape, function)
    given = operands(layout, 1.0, np.random.default_rng())
    expected = library(shape, given)
    way = next((way for way in layout.ways() if gives(kernel, shape, way, given, expected)), None)
    if way is None:
        return None
    for tensor in given:
        tame(tensor)
    others, results = torch.zeros(SPOILT), [torch.empty_like(each) for each in expected]
    runs: dict[str, Callable[[], object]] = {
        "library": lambda: library(shape, given), "ours": lambda: kernel(shape, (*given, *results), way)
    }  # fmt: skip
    turns = interleaved(runs, rounds=rounds, before=lambda: others.add_(1))
    return Taken(shape, function, way, turns.median("library"), turns.median("ours"))


@torch.no_grad()
def flash_attention(quick: bool, show: Show) -> Section:
    """The table."""
    rounds, found, apart = 3 if quick else 41, list[Taken](), 0
    show("the limit")
    most, both = limit(rounds) * torch.get_num_threads(), list(kernels())
    for batches, heads, tokens, width, causal in ((1, 2, 16, 16, True),) if quick else SHAPES:
        for kernel in both:
            show(f"{tokens} tokens")
            shape = Shape(batches, heads, tokens, tokens, width, causal, width**-0.5)
            taken = measured(shape, kernel, rounds)
            found += [taken] if taken else []
            apart += taken is None
    ratios = [taken.ratio for taken in found]
    return Section(
        "flash-attention",
        f"Attention and its gradients, f32, threads={torch.get_num_threads()}: kernels with the library's bits",
        COLUMNS,
        [taken.cells(most) for taken in found],
        [
            *verdict(ratios),
            f"all results are the library's to the bit; {apart} more were left out, whose order of sums was not found",
            f"the limit: {most:.0f} GF/s, of multiplications and additions in registers alone, measured; of attention, "
            "the two products of its result, and the five of its gradients, for pairs of tokens that are looked at",
        ],
    )


def verdict(ratios: list[float]) -> list[str]:
    """How many times as fast as the library."""
    told = "{:.2f} x the library in the mean, {:.2f} to {:.2f}"
    return [told.format(geometric_mean(ratios), min(ratios), max(ratios))] if ratios else []
