"""What this machine does, measured once and kept: the rates that `guard-density` and `insert-skips` decide by.

    gossamer compile ..   ->   guard-density{flops=3.1e+11 bandwidth=9.8e+09 call=4.1e-06 sequence=3.5e-05}
                               insert-skips{weights=1.5e+10 copy-k=19.0 copy-n=3.0 ..}

Kept in a small file per processor, thread count and torch version under the user's cache folder
(`$XDG_CACHE_HOME/gossamer`, else `~/.cache/gossamer`), rounded to two digits, so that the same machine gives the same
program. A folder that cannot be written only means that it is measured again.
"""

import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import torch
from torch.nn.functional import linear, scaled_dot_product_attention
from xdsl.dialects.func import FuncOp

from ..dialects.aten import CallOp, dims, tensor_of
from ..dialects.diagnostics import UserError
from ..dialects.template import show_float
from ..passes.analysis.liveness import liveness
from ..passes.analysis.row_reductions import PRODUCTS
from ..passes.analysis.sites import candidates
from ..passes.solvers.sizes import product
from ..runtime import native
from ..runtime.cache import cache_folder
from ..runtime.dtypes import ELEMENT_TYPES
from ..runtime.native import libraries
from ..runtime.probe import ProductShape, stable_multiple
from .context import write_text

FORMAT = 2


def identity() -> str:
    """The processor, threads and torch version that rates hold for."""
    try:
        model = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor()
    return f"{FORMAT} {model} {platform.machine()} threads={torch.get_num_threads()} torch={torch.__version__}"


def cache_file(kind: str = "machine") -> Path:
    """Where this machine's rates are kept."""
    name = hashlib.sha256(identity().encode()).hexdigest()[:16]
    return cache_folder() / f"{kind}-{name}.json"


@cache
def rates() -> dict[str, float]:
    """flops, bandwidth, call and sequence as `solvers.break_even.Machine` has them; measured when not yet known."""
    return kept(cache_file(), ("flops", "bandwidth", "call", "sequence"), measure)


@cache
def skip_rates() -> dict[str, float]:
    """What `solvers.skipping.Skipper` has; measured when not yet known."""
    own = kept(cache_file("skips"), ("weights", "start_k", "copy_k", "start_n", "copy_n"), measure_skips)
    return own | {name: value for name, value in rates().items() if name != "sequence"}


def kept(file: Path, names: Sequence[str], measure: Callable[[], dict[str, float]]) -> dict[str, float]:
    """The rates in `file`, or else measured, and then kept there."""
    try:
        found = json.loads(file.read_text())["rates"]
        return {name: float(found[name]) for name in names}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    measured = measure()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps({"machine": identity(), "rates": measured}, indent=1) + "\n")
    except (OSError, UserError):
        pass
    return measured


def holds(kind: str, texts: Iterable[str], trial: Callable[[], bool]) -> bool:
    """What a trial on this machine finds, once for these texts and these builds of torch and its libraries."""
    digest = hashlib.sha256(" ".join((libraries(), *texts)).encode()).hexdigest()
    return bool(kept(cache_file(kind), (digest,), lambda: {digest: float(trial())})[digest])


def best(run: Callable[[], object], repeats: int = 7) -> float:
    """Seconds of the fastest of some runs, the first left out."""
    run()
    seconds: list[float] = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


@torch.no_grad()
def measure() -> dict[str, float]:
    """A large product, a large elementwise op, a small call, and attention on one short sequence. About 0.3 s."""
    x, w = torch.ones(1024, 768), torch.ones(2048, 768)
    product = best(lambda: linear(x, w))
    large, small = torch.ones(1 << 23), torch.ones(8)
    out = torch.empty_like(large)
    moved = best(lambda: torch.neg(large, out=out))
    call = best(lambda: [torch.neg(small) for _ in range(100)]) / 100
    q = torch.ones(1, 12, 8, 64)
    sequence = best(lambda: [scaled_dot_product_attention(q, q, q) for _ in range(20)]) / 20
    found = {
        "flops": 2.0 * 1024 * 768 * 2048 / product,
        "bandwidth": 2.0 * large.numel() * 4 / moved,
        "call": call,
        "sequence": sequence,
    }
    return {name: float(f"{value:.1e}") for name, value in found.items()}


@torch.no_grad()
def measure_skips() -> dict[str, float]:
    """A product of one row out of cache, and copies of parts of its weight. About 0.1 s."""
    x, w = torch.ones(1, 2048), torch.ones(4096, 2048)
    seconds = best(lambda: linear(x, w), repeats=20)
    found = {"weights": w.numel() * 4 / seconds}
    for name, axis, few, many in (("k", 1, 1 / 16, 1 / 4), ("n", 0, 1 / 8, 1 / 2)):
        low, high = (copy_seconds(w, axis, density) / seconds for density in (few, many))
        slope = max(high - low, 0.0) / (many - few)
        found |= {f"start_{name}": max(low - few * slope, 0.0), f"copy_{name}": slope}
    return {name: float(f"{value:.1e}") for name, value in found.items()}


def copy_seconds(weight: torch.Tensor, axis: int, density: float) -> float:
    """Seconds to copy a random part of a weight."""
    size = weight.shape[axis]
    chosen = torch.randperm(size, generator=torch.Generator().manual_seed(0))[: int(size * density)].sort().values
    return best(lambda: weight.index_select(axis, chosen), repeats=20)


def guard_options() -> str:
    """The options of `guard-density` as pipeline text."""
    return options_text(rates())


KERNEL = 1.1
"""What generated kernels are reckoned at: see `solvers.skipping.Skipper`."""


def skip_options(device: torch.device | None = None) -> str:
    """The options of `insert-skips` as pipeline text; kernels are generated for the CPU."""
    on_cpu = device is None or device.type == "cpu"
    return options_text(skip_rates() | ({"kernel": KERNEL} if on_cpu and native.available() else {}))


def options_text(options: Mapping[str, float]) -> str:
    """`{flops=1.0e+11 copy-k=8.0}`"""
    return "{" + " ".join(f"{name.replace('_', '-')}={show_float(value)}" for name, value in options.items()) + "}"


def exact_options(function: FuncOp) -> str:
    """The options of `insert-gathers` under `exact="bitwise"`; none where no number of rows keeps all bits.

    Tried for the number of rows that most products with a dead row have, if export made it static.
    """
    live = liveness(function, exact=True)
    sites = [
        (op, state) for op in candidates(function) if (state := live.live(op.results[0])) and op.target.data in PRODUCTS
    ]
    spaces = [product(state.space) for _, state in sites]
    rows = max(set(spaces), key=spaces.count, default=0)
    if not isinstance(rows, int):
        return ""
    shapes = [product_shape(op) for op, state in sites if product(state.space) == rows]
    known = [shape for shape in shapes if shape is not None]
    multiple = stable_multiple(known, rows) if known and len(known) == len(shapes) else 0
    return f"{{row-multiple={multiple} rows={rows}}}" if multiple else ""


def product_shape(op: CallOp) -> ProductShape | None:
    """The shape of a product with a static weight; only `aten.linear` is tried."""
    sizes = dims(op.operands[1].type)
    dtypes = {element: dtype for dtype, element in ELEMENT_TYPES.items()}
    dtype = dtypes.get(tensor_of(op.results[0]).element_type)
    if op.target.data != "aten.linear.default" or dtype is None or not all(isinstance(size, int) for size in sizes):
        return None
    outputs, inputs = (size for size in sizes if isinstance(size, int))
    return ProductShape(inputs, outputs, dtype, len(op.operands) == 3)
