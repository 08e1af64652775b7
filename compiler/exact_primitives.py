"""Which elementwise calls a kernel computes with eager's bits on this machine: tried once, and kept.

    exact_primitives()   ->   ("aten.add.Tensor", "aten.mul.Tensor", ..)
    exact_guesses()      ->   ("aten.tanh.default",) where what kernels guess has the bits of the library, too

Each primitive runs as part of a map, and eagerly, on some thousand numbers: random ones of all sizes, zeros of both
signs, infinities, NaN, the smallest and the largest, each with each; an odd number of them, as torch's code for whole
vectors and that for what is left over may differ. NaN counts as NaN, whatever its bits. What differs is left to eager.
Guesses (`primitives.py`) are tried on every single number that may be in doubt, 2 s for tanh.
What was found is kept as `machine.py` keeps rates, for this text of the kernels, this compiler, and what torch chooses
its code by.
"""

import hashlib
import inspect
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product

import torch
from torch import Tensor
from xdsl.dialects.builtin import FunctionType, ModuleOp, f32, i1
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Region, SSAValue

from ..dialects.aten import CallOp, tensor_type
from ..dialects.exact import MapOp
from ..dialects.meanings import YieldOp
from ..dialects.template import Argument, Ref, Template
from ..passes.kernels import elementwise, primitives, tanh
from ..passes.kernels.elementwise import elementwise_kernel
from ..passes.kernels.primitives import COMPARISONS, PRIMITIVES
from ..runtime import native
from ..runtime.bits import same_bits
from ..runtime.executor import Program
from .machine import cache_file, kept
from .pipeline import run_pipeline

SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, 3.0, 1e-45, -1e-45, 1.2e-38, -1.1e-38, 3.4e38, -3.4e38, 1e20, -1e-20)
LITERALS: dict[str, tuple[Argument, ...]] = {"s": (0.044715, -3.0), "e": (2, 3.0), "p": (0.1, 0.5)}
"""What is tried for arguments that are numbers; `threshold_backward` and comparisons meet ties at -3."""

CHUNK = 1 << 20
"""Numbers that are tried at a time where all are."""


def exact_primitives() -> tuple[str, ...]:
    """The primitives that may be fused here; none where nothing compiles."""
    return tuple(name for name in PRIMITIVES if found().get(name))


def exact_guesses() -> tuple[str, ...]:
    """Those of them that may be guessed."""
    return tuple(name for name in exact_primitives() if found().get(guess_of(name)))


def guess_of(name: str) -> str:
    """What the guess at a primitive is called."""
    return f"guess: {name}"


@cache
def found() -> dict[str, float]:
    """1 for each primitive, and guess at one, that has eager's bits here, else 0; nothing where nothing compiles."""
    if not native.available():
        return {}
    texts = (inspect.getsource(part) for part in (elementwise, primitives, tanh, sys.modules[__name__]))
    digest = hashlib.sha256(" ".join((native.identity(), native.libraries(), *texts)).encode()).hexdigest()
    libraries = [name for name, primitive in PRIMITIVES.items() if primitive.library is not None]

    def measure() -> dict[str, float]:
        names = possible()
        right = set(names) - differing(*trial(len(tried()[0]), names))
        guessed = {guess_of(name): float(name in right and guessed_right(name)) for name in libraries}
        return {digest: 1.0} | {name: float(name in right) for name in PRIMITIVES} | guessed

    return kept(cache_file("elementwise"), (digest, *PRIMITIVES, *map(guess_of, libraries)), measure)


def possible() -> list[str]:
    """The primitives of which all is there that they call."""
    known = native.callable_names()
    return [name for name, each in PRIMITIVES.items() if each.library is None or each.library.name in known]


@torch.no_grad()
def guessed_right(name: str) -> bool:
    """Is the guess at a primitive eager's for all numbers for which it may not be?"""
    library = PRIMITIVES[name].library
    assert library is not None
    module, _ = trial(CHUNK, (name,), guessed=(name,))
    run_pipeline(module, "lower-kernels")
    fused, eager = (Program.build(module, {}, function) for function in ("fused", "eager"))
    mask = torch.zeros(CHUNK, dtype=torch.bool)
    return all(
        same_bits(*(program([x, x, mask])[0] for program in (fused, eager)))
        for part in all_between(*library.sizes)
        for x in (part, -part)
    )


def all_between(first: float, last: float) -> Iterator[Tensor]:
    """Every number from `first` to `last`, in order, by chunks; some more may follow."""
    start, end = torch.tensor([first, last]).view(torch.int32).tolist()
    for at in range(start, end + 1, CHUNK):
        yield torch.arange(at, at + CHUNK, dtype=torch.int32).view(torch.float32)


@torch.no_grad()
def differing(module: ModuleOp, examples: list[str]) -> set[str]:
    """The primitives of a trial that are not what eager computes."""
    run_pipeline(module, "lower-kernels")
    fused, eager = (Program.build(module, {}, name)(list(tried())) for name in ("fused", "eager"))
    return {name for name, one, two in zip(examples, fused, eager, strict=True) if not same_bits(one, two)}


def tried() -> tuple[Tensor, Tensor, Tensor]:
    """Two operands of numbers, and one of truth values."""
    special = torch.tensor([*SPECIAL, -3.0, 0.044715, float("inf"), float("-inf"), float("nan")])
    random = torch.Generator().manual_seed(0)
    pairs = torch.tensor(list(product(special.tolist(), repeat=2))).T
    plain = torch.randn(2, 2048, generator=random)
    scaled = plain * 2.0 ** torch.randint(-60, 60, plain.shape, generator=random)
    x, y = torch.cat([pairs, plain, scaled, special[None, -7:].expand(2, -1)], 1).contiguous()
    x, y = (torch.cat([part, part[: 1 - len(part) % 2]]) for part in (x, y))
    return x, y, torch.rand(len(x), generator=random) < 0.5


def calls(given: Sequence[SSAValue], size: int, names: Sequence[str]) -> Iterator[CallOp]:
    """Each of the primitives with each kind of arguments, of two operands of numbers and one of truth values."""
    x, y, mask = given
    for name in names:
        kinds = [("x", "s") if kind == "a" else (kind,) for kind in PRIMITIVES[name].kinds]
        literals = range(len(LITERALS["s"]))
        for chosen, which in product(product(*kinds), literals):
            numbers, operands, args = iter((x, y)), list[SSAValue](), list[Argument]()
            for kind in chosen:
                if kind in LITERALS:
                    args.append(LITERALS[kind][which])
                else:
                    args.append(Ref(len(operands)))
                    operands.append(mask if kind == "m" else next(numbers))
            if which and not set(chosen) & set(LITERALS):
                continue
            compares = name.split(".")[1] in COMPARISONS
            result = tensor_type(i1 if compares else f32, (size,))
            yield CallOp(name, Template(tuple(args)), operands, [result])


def trial(size: int, names: Sequence[str], guessed: Sequence[str] = ()) -> tuple[ModuleOp, list[str]]:
    """A function that calls these primitives, the same as one map, and which primitive each result is of."""
    types: list[Attribute] = [tensor_type(element, (size,)) for element in (f32, f32, i1)]
    meaning, direct, around = (Block(arg_types=types) for _ in range(3))
    made = list(calls(meaning.args, size, names))
    meaning.add_ops([*made, YieldOp(*(call.results[0] for call in made))])
    again = list(calls(direct.args, size, names))
    results = [call.results[0].type for call in again]
    direct.add_ops([*again, ReturnOp(*(call.results[0] for call in again))])
    fused = MapOp("trial", around.args, results, Region(meaning))
    around.add_ops([fused, ReturnOp(*fused.results)])
    kind = FunctionType.from_lists(types, results)
    functions = [FuncOp(name, kind, Region(block)) for name, block in (("fused", around), ("eager", direct))]
    return ModuleOp([*functions, elementwise_kernel(fused, "trial", guessed)]), [call.target.data for call in made]
