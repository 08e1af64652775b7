"""`python -m benchmarks`: measure gossamer and its peers, and write `benchmarks/RESULTS.md`.

python -m benchmarks                      all of them, about an hour on two cores
python -m benchmarks --only bert-short    one of them; its section alone is written anew
python -m benchmarks --quick              tiny sizes, to see that it runs; nothing is written
"""

import argparse
import shlex
import sys
from pathlib import Path

from rich.console import Console

from .experiments import EXPERIMENTS, Settings
from .sections import cores, settle, write

RESULTS = Path(__file__).with_name("RESULTS.md")
WIDTH = 120
"""Of tables that go to a file."""
QUICK = Settings(quick=True, rounds=3, budget=1.0, inductor=0.0)


def main(argv: list[str] | None = None) -> int:
    """Run what `argv` asks for."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = parser().parse_args(argv)
    settle(arguments.threads)
    quick = arguments.quick
    output = arguments.output or (None if quick else RESULTS)
    settings = (
        QUICK if quick else Settings(rounds=arguments.rounds, budget=arguments.budget, inductor=arguments.inductor)
    )
    command = shlex.join(["python", "-m", "benchmarks", *argv])
    for name in arguments.only or EXPERIMENTS:
        console, status = Console(width=None if sys.stdout.isatty() else WIDTH), Console(stderr=True)
        with status.status(f"{name}: starting") as shown:
            section = EXPERIMENTS[name](settings, lambda what, name=name: shown.update(f"{name}: {what}"))
        console.print(section.table(), "")
        if output:
            write(output, section, command)
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    known = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known.add_argument("--only", action="append", choices=EXPERIMENTS, metavar="NAME", help=", ".join(EXPERIMENTS))
    known.add_argument("--quick", action="store_true", help="tiny sizes, few rounds, no inductor; writes nothing")
    known.add_argument("--rounds", type=int, default=Settings.rounds, help="rounds at most (default: %(default)s)")
    known.add_argument("--budget", type=float, default=Settings.budget, metavar="S",
                       help="seconds of timing a workload, 3 rounds at least (default: %(default)s)")  # fmt: skip
    known.add_argument("--inductor", type=float, default=Settings.inductor, metavar="S",
                       help="seconds that inductor may take; 0 leaves it out (default: %(default)s)")  # fmt: skip
    known.add_argument("--threads", type=int, default=cores(), help="threads of torch (default: all cores)")
    known.add_argument("--output", type=Path, metavar="FILE", help=f"where to write (default: {RESULTS.name} here)")
    return known


if __name__ == "__main__":
    sys.exit(main())
