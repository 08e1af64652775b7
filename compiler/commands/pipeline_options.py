"""The options of `gossamer simulate --pipeline`."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..timeline_simulation import PipelineSimulation

OPTIONS = ("hardware", "tensor_parallel", "stages", "micro_batch", "micro_batches", "schedule", "chunks", "sequence",
           "flash", "sequence_parallel", "dropout", "overlap_weights", "memory")  # fmt: skip
"""Those that `compiler/timeline_setting.py` takes."""
SCHEDULES = ("gpipe", "1f1b", "interleaved", "zb-h1", "zb-h2", "zb-v")
POLICIES = ("none", "full", "selective", "uniform", "block", "no-overlap", "heu", "heu-moved", "mix", "opt")


def configure(add) -> list[argparse.Action]:
    """Declare the options; `add` is a group's `add_argument`."""
    return [
        add("--pipeline", metavar="MODEL", help="gpt-1.3b, gpt-2.7b, gpt-6.7b, gpt-13b or gpt-20b"),
        add("--hardware", default="a100-nvlink", metavar="NAME",
            help="an accelerator, or a .toml file (a100-nvlink)"),
        add("--tensor-parallel", type=int, default=1, metavar="N", help="ranks that share every layer (1)"),
        add("--stages", type=int, default=4, metavar="N", help="stages of the pipeline (4)"),
        add("--micro-batch", type=int, default=1, metavar="N", help="sequences in a micro-batch (1)"),
        add("--micro-batches", type=int, default=16, metavar="N", help="micro-batches in a step (16)"),
        add("--schedule", default="1f1b", choices=SCHEDULES, help="the order of tasks (1f1b)"),
        add("--chunks", type=int, metavar="N", help="chunks on each device, interleaved (2)"),
        add("--sequence", type=int, default=2048, metavar="N", help="tokens in a sequence (2048)"),
        add("--flash", action="store_true", help="attention that keeps no scores"),
        add("--sequence-parallel", action="store_true", help="ranks share norms, dropout and residuals too"),
        add("--no-dropout", action="store_false", dest="dropout", help="nothing is dropped"),
        add("--overlap-weights", action="store_true",
            help="gradients of weights are computed while the gradient of the input is reduced"),
        add("--memory", metavar="SIZE", help="on each device, as in 36GiB (what the accelerator has, less a tenth)"),
    ]  # fmt: skip


def simulated(arguments: argparse.Namespace) -> "PipelineSimulation":
    """A training step, by the policy that was asked for and by the baselines."""
    from ..terminal import progress
    from ..timeline_simulation import simulate_pipeline

    with progress("planning") as show:
        options = {name: getattr(arguments, name) for name in OPTIONS}
        return simulate_pipeline(arguments.pipeline, policy=arguments.policy, show=show, **options)
