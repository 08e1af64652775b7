"""A decoding step whose activations are mostly zero: the second half of `make demo`.

    fast = gossamer.compile(model, (), {"input_ids": token, "past_key_values": cache})

OPT computes fc2(relu(fc1(x))): where the ReLU gives zero, a row of fc2's weight need not be read. In a ReGLU Llama,
down(relu(gate(x)) * up(x)), up need not be computed there either. Nothing has to be said about it: the compiler finds
where values are zero, looks at the example how often, and puts kernels in that skip. Weights are random; how the
density is set is told in `benchmarks/decode.py`: by the bias in front of the ReLU.
"""

import argparse
from collections import Counter

import gossamer
import torch
from gossamer.benchmarks.decode import DECODERS, Decode
from gossamer.benchmarks.experiments import EXPERIMENTS, Settings
from gossamer.benchmarks.sections import cores, machine, settle
from gossamer.compiler.explain import explain
from rich.console import Console

TOLERANCE = 1e-4
"""What sums in another order may differ by, over the largest value."""


def main() -> None:
    arguments = parse()
    settle(cores())
    console = Console(highlight=False, width=None if Console().is_terminal else 120)
    console.print(f"{machine()}\n")
    settings = Settings(quick=arguments.quick, rounds=arguments.rounds, budget=20.0, inductor=arguments.inductor)
    for name, make in DECODERS.items():
        workload = make(arguments.quick)
        show(workload, console)
        with console.status("") as status:
            section = EXPERIMENTS[name](settings, status.update)
        console.print(section.table(), "")


def parse() -> argparse.Namespace:
    known = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known.add_argument("--rounds", type=int, default=3, help="tens of rounds of timing")
    known.add_argument("--inductor", type=float, default=0.0, metavar="S", help="limit for torch.compile; 0: leave out")
    known.add_argument("--quick", action="store_true", help="tiny models")
    return known.parse_args()


def show(workload: Decode, console: Console) -> None:
    """What was found and done, and that it is equal. Raises AssertionError where it is not."""
    fast = gossamer.compile(workload.model, (), workload.inputs)
    found = explain(fast).skips
    with torch.inference_mode():
        expected, given = (model(**workload.inputs).last_hidden_state for model in (workload.model, fast))
    apart = workload.difference(expected, given)
    assert apart <= TOLERANCE, f"{workload.title}: differs from eager by {apart:.1e} of the largest value"
    console.print(f"{workload.title}\n{found}", markup=False)
    decisions = Counter((line.axis, line.decision, line.reason, line.threshold) for line in found.lines)
    for (axis, decision, reason, threshold), count in decisions.items():
        why = reason or f"up to density {threshold}"
        console.print(f"  {count} products along {axis}: {decision} ({why})", markup=False)
    console.print(f"  equal to eager: the largest difference is {apart:.1e} of the largest value\n")


if __name__ == "__main__":
    main()
