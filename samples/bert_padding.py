"""BERT on a padded batch, where seven tokens of ten are padding: `make demo`.

    fast = gossamer.compile(model, (), batch, dont_care={"last_hidden_state": "attention_mask"})

Nobody reads the hidden state of padding. Told so, the compiler finds that every linear and every attention of the
encoder is needed on the mask's rows alone; it packs them once at the bottom, and unpacks them once at the top.
Weights are random: what is shown is speed, and equality to eager torch.
"""

import argparse
import time
from collections import Counter
from dataclasses import replace

import gossamer
import torch
from gossamer.benchmarks.experiments import COLUMNS, Settings, contenders, measure, rows
from gossamer.benchmarks.sections import cores, machine, settle
from gossamer.benchmarks.workloads import BASE, TINY, Workload, bert
from gossamer.compiler.explain import Explanation, explain, show_domain
from rich.console import Console
from rich.table import Table

FIRST_SITES = 8
TOLERANCE = 1e-4
"""What twelve layers may differ by when sums are reordered in fp32."""


def main() -> None:
    arguments = parse()
    settle(cores())
    console = Console(highlight=False, width=None if Console().is_terminal else 120)
    workload = make_workload(arguments)
    console.print(f"{workload.title}, fp32\n{machine()}\n")

    start = time.perf_counter()
    fast = gossamer.compile(workload.model, (), workload.inputs, **workload.options)
    console.print(f"gossamer.compile took {time.perf_counter() - start:.0f} s")
    found = explain(fast)
    show(found, console)
    check(workload, fast)

    settings = Settings(quick=arguments.quick, rounds=arguments.rounds, budget=40.0, inductor=arguments.inductor)
    with console.status("") as status:
        measured = measure(contenders(workload, settings, status.update, fast), settings, status.update)
    console.print(result(found, rows(workload, measured), f"medians of {len(measured.rounds)} interleaved rounds"))


def parse() -> argparse.Namespace:
    known = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known.add_argument("--layers", type=int, default=12)
    known.add_argument("--batch", type=int, default=32)
    known.add_argument("--length", type=int, default=128)
    known.add_argument("--density", type=float, default=0.3, help="share of tokens that are not padding")
    known.add_argument("--rounds", type=int, default=5, help="rounds of timing")
    known.add_argument(
        "--inductor", type=float, default=90.0, metavar="S", help="limit for torch.compile; 0: leave out"
    )
    known.add_argument("--quick", action="store_true", help="a tiny model, without torch.compile")
    return known.parse_args()


def make_workload(arguments: argparse.Namespace) -> Workload:
    if arguments.quick:
        arguments.rounds, arguments.inductor = 3, 0.0
        return bert(4, 32, arguments.density, TINY, vocabulary=100)
    return bert(arguments.batch, arguments.length, arguments.density, replace(BASE, layers=arguments.layers))


def show(found: Explanation, console: Console) -> None:
    """`print(fast.explain())`, shortened: the domains and the first sites."""
    for number, domain in enumerate(found.domains):
        console.print(f"domain {number}: {show_domain(domain)}", markup=False)
    table = Table("op", "rows that are read", "class", "decision", "line", box=None, padding=(0, 2, 0, 0))
    for site in found.sites[:FIRST_SITES]:
        table.add_row(site.op, site.rows.replace("[", r"\["), site.legality, site.decision, short(site.source))
    console.print("", table, f"... and {max(len(found.sites) - FIRST_SITES, 0)} more\n", sep="\n")


def short(source: str) -> str:
    """`/../modeling_bert.py:197:9` -> `modeling_bert.py:197`"""
    return ":".join(source.rpartition("/")[2].split(":")[:2])


@torch.inference_mode()
def check(workload: Workload, fast: gossamer.CompiledModel) -> None:
    """Raise AssertionError where a row that is read differs from eager's by more than reordered sums may."""
    expected, given = workload.model(**workload.inputs), fast(**workload.inputs)
    live = workload.inputs["attention_mask"].bool()
    pairs = {
        "last_hidden_state": (given.last_hidden_state[live], expected.last_hidden_state[live]),
        "pooler_output": (given.pooler_output, expected.pooler_output),
    }
    for name, (own, eager) in pairs.items():
        torch.testing.assert_close(own, eager, atol=TOLERANCE, rtol=0.0, msg=lambda told, name=name: f"{name}: {told}")


def result(found: Explanation, peers: list[tuple[str, ...]], how: str) -> Table:
    """Sites, decisions, and every peer beside the limit."""
    told = "differences are from eager, on rows that are read; the limit counts arithmetic only, not caches"
    table = Table(caption=f"{how}; {told}", caption_justify="left")
    for number, column in enumerate(COLUMNS):
        table.add_column("sites, or " * (column == "ms") + column, justify="right" if 0 < number < 5 else "left")
    table.add_row("sites found", str(len(found.sites)))
    reasons = Counter((site.decision, site.reason) for site in found.sites)
    for (decision, reason), count in reasons.items():
        table.add_row(f"  {decision}", str(count), "", "", "", reason)
    table.add_section()
    for cells in peers:
        table.add_row(*cells, style="bold" if cells[0] == "gossamer" else None)
    return table


if __name__ == "__main__":
    main()
