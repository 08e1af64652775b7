"""What this machine does with tiles of rows, measured once and kept: the options of `choose-tiles`.

    choose-tiles{flops=1.9e+11 weights=2.2e+10 call=1.0e-06 cached=7.1e+10 cache=3.3e+07 half-flops=3.5e+11
                 rates=7.0e+10,1.3e+11,.. half-rates=1.1e+11,..}

The kernel is run at every height on rows without a zero, their weight in cache; the time to find tiles is taken off.
"""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import linear

from ..dialects.template import show_float
from ..dialects.tiles import HEIGHTS
from ..passes.lower_kernels import LowerKernels
from ..passes.lower_products import LowerProducts
from ..runtime import native
from ..runtime.executor import Program
from .context import make_context, parse_text
from .machine import best, cache_file, kept, skip_rates

ROWS, INPUTS, OUTPUTS = 32, 2048, 768
"""Of the product that is timed: a weight of 6 MB."""
LAST_CACHE = Path("/sys/devices/system/cpu/cpu0/cache/index3/size")
TYPES = {"f32": ("rate", torch.float32), "bf16": ("half_rate", torch.bfloat16)}
NAMES = tuple(f"{name}_{height}" for name, _ in TYPES.values() for height in HEIGHTS)


@cache
def tile_rates() -> dict[str, float]:
    """`cached`, `cache`, `half_flops`, and a rate for each type and height; measured when not yet known."""
    return kept(cache_file("tiles"), ("cached", "cache", "half_flops", *NAMES), measure)


@torch.no_grad()
def measure() -> dict[str, float]:
    """A product of one row in cache, one of bf16, and one by tiles of every height. About 5 s, most of it compiling."""
    x, w = torch.ones(ROWS, INPUTS), torch.ones(OUTPUTS, INPUTS)
    narrow, work = [x.bfloat16(), w.bfloat16()], 2.0 * ROWS * w.numel()
    half = best(lambda: linear(*narrow))
    seconds = best(lambda: linear(x[:1], w), repeats=20)
    found = {"cached": w.numel() * 4 / seconds, "cache": cache_size(), "half_flops": work / half}
    for element, (name, dtype) in TYPES.items():
        given = [x.to(dtype), w.to(dtype)]
        for height in HEIGHTS:
            runs = [partial(run, given) for run in programs(height, element)]
            whole, finding = (best(run, repeats=10) for run in runs)
            found[f"{name}_{height}"] = work / max(whole - finding, 0.1 * whole)
    return {name: float(f"{value:.1e}") for name, value in found.items()}


def programs(height: int, element: str) -> list[Callable[[list[Tensor]], object]]:
    """A product by tiles, and finding them alone."""
    x, w, y = (f"tensor<{m}x{n}x{element}>" for m, n in ((ROWS, INPUTS), (OUTPUTS, INPUTS), (ROWS, OUTPUTS)))
    tiles = f"!sparse.tiles<{height} : {ROWS}, {INPUTS}>"
    product = f"%y = sparse.matmul %x, %w[%t] k : {x}, {w}, {tiles} -> {y} func.return %y : {y}"
    density = f"%y = sparse.density %t : {tiles} func.return %y : f32"
    found = []
    for kind, ending in ((y, product), ("f32", density)):
        text = f"func.func @forward(%x: {x}, %w: {w}) -> {kind} {{ %t = sparse.tile %x : {x} -> {tiles} {ending} }}"
        module, context = parse_text(text), make_context()
        for step in (LowerProducts(), LowerKernels()):
            step.apply(context, module)
        found.append(Program.build(module, {}))
    return found


def cache_size() -> float:
    """Bytes of the last cache; 16 MB where the system does not say it."""
    try:
        text = LAST_CACHE.read_text().strip()
        return float(text.removesuffix("K")) * 1024
    except (OSError, ValueError):
        return float(1 << 24)


def tile_options(device: torch.device | None = None) -> str:
    """The options of `choose-tiles` as pipeline text; kernels are generated for the CPU."""
    if (device is not None and device.type != "cpu") or not native.available():
        return "{rates=0.0}"
    known, own = skip_rates(), tile_rates()
    numbers = {name: known[name] for name in ("flops", "weights", "call")}
    numbers |= {name: own[name] for name in ("cached", "cache", "half_flops")}
    texts = [f"{name.replace('_', '-')}={show_float(value)}" for name, value in numbers.items()]
    for name, _ in TYPES.values():
        texts.append(
            f"{name}s=".replace("_", "-") + ",".join(show_float(own[f"{name}_{height}"]) for height in HEIGHTS)
        )
    return "{" + " ".join(texts) + "}"
