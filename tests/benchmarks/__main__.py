"""Print the table of benchmarks.

python -m tests.benchmarks [--json] [-k WORD ...]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from tests.benchmarks import (
    calls,
    collectors,
    commands,
    drawing,
    generators,
    gpus,
    processes,
    storing,
    synchronous,
    trees,
)

if TYPE_CHECKING:
    from tests.benchmarks.harness import Figures, Row

ROWS = [
    *calls.ROWS,
    *generators.ROWS,
    *processes.ROWS,
    *collectors.ROWS,
    *storing.ROWS,
    *trees.ROWS,
    *gpus.ROWS,
    *synchronous.ROWS,
    *drawing.ROWS,
    *commands.ROWS,
]


def main() -> None:
    """Measure the chosen rows, one after the other, and print them."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Compare our costs with peers'.")
    parser.add_argument("-k", metavar="WORD", nargs="+", help=f"only rows whose name has a word: {', '.join(names())}")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    rows = [row for row in ROWS if not options.k or any(word in row.name for word in options.k)]
    if not rows:
        parser.error(f"no row has such a name; there are {', '.join(names())}")
    began = time.monotonic()
    measured = []
    for row in rows:
        print(f"{row.name} …", file=sys.stderr)
        measured.append((row, row.measure()))
    if options.json:
        print(json.dumps([as_json(row, figures) for row, figures in measured], indent=2))
    else:
        print_table(measured, time.monotonic() - began)


def names() -> list[str]:
    """Return the names of all rows."""
    return [row.name for row in ROWS]


def print_table(measured: list[tuple[Row, Figures]], seconds: float) -> None:
    """Print one row for each measurement."""
    table = Table(title=f"Python {platform.python_version()}, {os.cpu_count()} cores; {seconds:.0f} s")
    for heading in ("row", "measured", "ours", "peer", "", "ratio", "least", "mark", ""):
        table.add_column(heading, justify="right" if heading in ("ours", "peer", "ratio", "least", "mark") else "left")
    for row, figures in measured:
        ours, peer = statistics.median(figures.ours), statistics.median(figures.peer)
        table.add_row(
            row.name,
            row.what,
            readable(row, ours),
            readable(row, peer),
            row.peer,
            f"{figures.ratio:.3f}",
            f"{figures.least_disturbed(row.rate):.3f}",
            "" if row.mark is None else f"{'≥' if row.rate else '≤'} {row.mark:g}",
            verdict(row, figures),
        )
    table.caption = "ours and peer: medians of rounds in turns; ratio: median of the rounds; least: of the best figures"
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def verdict(row: Row, figures: Figures) -> str:
    """Say whether the mark is met."""
    if row.mark is None:
        return ""
    return "met" if (figures.ratio >= row.mark if row.rate else figures.ratio <= row.mark) else "NOT met"


def readable(row: Row, figure: float) -> str:
    """Return a figure in a unit that suits it."""
    if row.rate:
        return f"{figure:,.0f}/s"
    if row.count:
        return f"{figure:,.0f}"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if abs(figure) >= size:
            return f"{figure / size:.2f} {unit}"
    return f"{figure / 1e-9:.0f} ns"


def as_json(row: Row, figures: Figures) -> dict[str, object]:
    """Return a row with every round."""
    return {
        "name": row.name,
        "measured": row.what,
        "peer": row.peer,
        "unit": "1/s" if row.rate else "" if row.count else "s",
        "ours": figures.ours,
        "peer_figures": figures.peer,
        "ratio": figures.ratio,
        "least": figures.least_disturbed(row.rate),
        "mark": row.mark,
    }


if __name__ == "__main__":
    main()
