"""`python -m gossamer.benchmarks.zoo`: what comes of every model of the zoo, as a Markdown table."""

from gossamer.tests.zoo import Outcome, outcomes

from .sections import settle

COLUMNS = ("model", "export", "sizes", "calls", "distinct ops", "largest difference from eager")


def row(outcome: Outcome) -> tuple[str, ...]:
    """The cells of one model; an error takes the place of a difference."""
    if outcome.difference is None:
        return (outcome.name, "", outcome.sizes, "", "", outcome.error)
    worst = f"{outcome.difference:.1e}" if outcome.difference else "0"
    return (outcome.name, outcome.mode, outcome.sizes, str(outcome.ops), str(outcome.targets), worst)


def table(rows: list[tuple[str, ...]]) -> str:
    """Rows as Markdown, the first one as the head."""
    head, *body = (f"| {' | '.join(cells)} |" for cells in rows)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *body])


def main() -> None:
    settle(1)
    print(table([COLUMNS, *map(row, outcomes())]))


if __name__ == "__main__":
    main()
