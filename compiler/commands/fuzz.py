"""Compile random small models and compare them with eager torch; shrink what differs, and write it down.

examples:
  gossamer fuzz
  gossamer fuzz --models 5000 --seed 100000 --jobs 4 --out found
  gossamer fuzz --exact bitwise
  gossamer fuzz --again found/values-linear-times_rows.py

The model of a number is always the same: `--seed 7 --models 1` is number 7. Exit code 1 says that something differs.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ...dialects.diagnostics import UsageError, UserError
from ..context import read_text
from ..terminal import print_table, progress

if TYPE_CHECKING:
    from ..fuzz.campaign import Campaign


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `gossamer fuzz`."""
    parser.add_argument("--models", type=int, default=200, metavar="N", help="how many models (200)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the number of the first (0)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes that share the work (1)")
    parser.add_argument("--seconds", type=float, metavar="S", help="stop after so long")
    parser.add_argument("--out", type=Path, default=Path("fuzz"), metavar="DIR",
                        help="where reproducers are written (fuzz); made when something differs")  # fmt: skip
    parser.add_argument("--exact", metavar="HOW", help="bitwise: compare bits, of programs that reorder no sum")
    parser.add_argument(
        "--again", type=Path, metavar="FILE", help="compare the model in a reproducer, and nothing else"
    )


def execute(arguments: argparse.Namespace) -> None:
    """Try the models. Raises UserError where one differs."""
    import torch

    from ..options import exactness

    exactness(arguments.exact)
    if arguments.models < 1:
        raise UsageError(f"--models {arguments.models}: expected 1 or more")
    if arguments.seed < 0:
        raise UsageError(f"--seed {arguments.seed}: expected 0 or more")
    if arguments.jobs < 1:
        raise UsageError(f"--jobs {arguments.jobs}: expected 1 or more")
    torch.set_num_threads(1)
    if arguments.again:
        again(arguments.again, arguments.exact)
        return
    from ..fuzz.campaign import Campaign

    campaign = Campaign(exact=arguments.exact, folder=arguments.out)
    with progress("generating") as show:
        campaign.run(arguments.models, arguments.seed, arguments.seconds, show, arguments.jobs)
    report(campaign)


def again(file: Path, exact: str | None) -> None:
    """The model of one reproducer. Raises UserError where it still differs."""
    from ..fuzz.campaign import space_of
    from ..fuzz.judge import RefusedError, judge

    try:
        mismatch = judge(space_of(read_text(file)), exact=exact)
    except KeyError as missing:
        raise UserError(f"{file}: is no reproducer: it has no {missing}") from None
    except RefusedError as reason:
        raise UserError(f"{file}: cannot be compared: {reason}") from None
    if mismatch:
        raise UserError(f"{file}: {mismatch}")
    print("the results are equal")


def report(campaign: "Campaign") -> None:
    """Say what came of it."""
    refused = sum(campaign.refused.values())
    print(f"{campaign.models} models, {refused} of which cannot be compared, {len(campaign.failures)} mismatches")
    if campaign.applied:
        print_table((">models", "in which"), [(str(n), what) for what, n in campaign.applied.most_common()], sys.stdout)
    if not campaign.failures:
        return
    rows = [
        (str(f.seed), f.mismatch.kind, str(1 + campaign.again[name]), str(f.file or name))
        for name, f in campaign.failures.items()
    ]
    print_table((">model", "differs", ">times", "reproducer"), rows, sys.stdout)
    raise UserError("results differ from those of eager torch")
