"""Has the kernel of a cross entropy's gradient eager's bits on this machine? Tried once, and kept.

Scores of all sizes, on a grid as fine as a sum of log-probabilities has them, and special ones; targets that are
ignored; an odd number of classes. The kernel's exponential is SLEEF's own, operation by operation: an algorithm that
differs in one of them differs on some of four million numbers.
"""

import inspect
from functools import cache

import torch
from torch import Tensor

from ..passes.kernels import cross_entropy, exponential
from ..runtime import native
from ..runtime.bits import same_bits
from ..runtime.executor import Program
from .context import parse_text
from .machine import holds
from .pipeline import run_pipeline

ROWS, CLASSES, IGNORED = 4099, 1001, 7
TEXT = """
func.func @step(%d: tensor<f32>, %s: S, %t: T, %n: tensor<f32>) -> S {
  %g = aten.call "aten.nll_loss_backward.default"(%d, %s, %t, none, 1, 7, %n) : (tensor<f32>, S, T, tensor<f32>) -> S
  %h = aten.call "aten._log_softmax_backward_data.default"(%g, %s, 1, torch.float32) : (S, S) -> S
  func.return %h : S
}"""
SPECIAL = (0.0, -0.0, -1e-45, -1e-39, 1e-3, 5.0, -87.4, -103.9, -104.0, -104.1, 104.0, 105.0, 1e30, -1e30)
GRADIENTS = (0.37, -3.0, 0.0, 1e-42, float("inf"), float("nan"))


@cache
def exact_cross_entropy() -> bool:
    """May the gradient of a cross entropy be one kernel here? No where nothing compiles."""
    if not native.available():
        return False
    texts = (inspect.getsource(part) for part in (cross_entropy, exponential))
    return holds("cross-entropy", (native.identity(), *texts), is_exact)


@torch.no_grad()
def is_exact() -> bool:
    """The same, found by trial."""
    module = parse_text(TEXT.replace("S", f"tensor<{ROWS}x{CLASSES}xf32>").replace("T", f"tensor<{ROWS}xi64>"))
    eager = Program.build(module.clone(), {}, "step")
    run_pipeline(module, "fuse-cross-entropy,lower-kernels")
    fused, (scores, target), total = Program.build(module, {}, "step"), tried(), torch.tensor(1234.0)
    given = ([torch.tensor(gradient), scores, target, total] for gradient in GRADIENTS)
    return all(same_bits(fused(each)[0], eager(each)[0]) for each in given)


def tried() -> tuple[Tensor, Tensor]:
    """Scores and targets."""
    random = torch.Generator().manual_seed(0)
    scores = -(2.0 ** (torch.rand(ROWS, CLASSES, generator=random) * 36 - 29))
    special = torch.tensor([*SPECIAL, float("inf"), float("-inf"), float("nan")])
    scores[::50, ::9] = special[torch.randint(len(special), scores[::50, ::9].shape, generator=random)]
    target = torch.randint(CLASSES, (ROWS,), generator=random)
    target[::10] = IGNORED
    return scores, target
