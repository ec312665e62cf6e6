"""Tables on standard output: as wide as a terminal, or as wide as their content where it is none."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from umlaut_async.cli.text import safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import Console, RenderableType
    from rich.table import Column, Table
    from rich.text import Text

# A table is only as wide as its cells need; at the 80 columns that are assumed of a pipe, cells would be cut.
_PIPED_WIDTH = 2000

# Between two columns.
_GAP = 2
_LONGEST_WORD = 16

_STYLES = {"ok": "green", "running": "cyan", "closed": "green", "cancelled": "yellow"}


def console() -> Console:
    """Return standard output as rich sees it; what is printed there is never taken for markup."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    return Console(width=width, markup=False, highlight=False, emoji=False)


def table(columns: Iterable[str], right: frozenset[str] = frozenset()) -> Table:
    """Return an empty table.

    Args:
        columns: The headings.
        right: Those of the columns that hold numbers.
    """
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True, header_style="bold")
    for column in columns:
        _add_column(made, column, right=column in right)
    return made


def _add_column(made: Table, heading: str, *, right: bool, width: int | None = None) -> None:
    if right:
        made.add_column(heading, justify="right", no_wrap=True, width=width)
    else:
        made.add_column(heading, overflow="fold", width=width)


def fitted(made: Table, width: int, dispensable: Sequence[str] | None = None) -> tuple[Table, list[str]]:
    """Return a table with as many of its columns as can be read in so many characters, and those left out.

    Args:
        made: The table.
        width: The characters.
        dispensable: The headings of what may be left out, in this order; by default bars, then what stands furthest
            right, but never the first column, which names a row, nor its status.
    """
    from rich.cells import cell_len

    kept = list(range(len(made.columns)))
    least = [_least_width(column) for column in made.columns]
    headings = [str(column.header) for column in made.columns]
    if dispensable is None:
        order = sorted(kept[1:], key=lambda index: (headings[index] != "", -index))
        order = [index for index in order if headings[index] != "status"]
    else:
        order = [headings.index(heading) for heading in dispensable]
    for index in order:
        if sum(least[each] + _GAP for each in kept) - _GAP <= width:
            break
        kept.remove(index)
    smaller = table(())
    spare = width - sum(least[index] + _GAP for index in kept) + _GAP
    for index in kept:
        column = made.columns[index]
        # What is left over goes to the columns further left first; where nothing fits, widths are for rich to find.
        more = min(spare, max(map(cell_len, _texts(column))) - least[index])
        spare -= more
        fixed = least[index] + more if more >= 0 else None
        _add_column(smaller, headings[index], right=column.justify == "right", width=fixed)
    for row in zip(*(made.columns[index].cells for index in kept), strict=True):
        smaller.add_row(*row)
    return smaller, [heading for index, heading in enumerate(headings) if heading and index not in kept]


def _least_width(column: Column) -> int:
    """Return how wide a column must be to be read: as its widest number, or its longest word within reason."""
    from rich.cells import cell_len

    widest = max(map(cell_len, _texts(column)))
    if column.no_wrap:
        return widest
    if column.min_width is not None:
        return min(widest, column.min_width)
    return min(_LONGEST_WORD, max((cell_len(word) for text in _texts(column) for word in text.split()), default=0))


def _texts(column: Column) -> Iterator[str]:
    yield str(column.header)
    yield from map(str, column.cells)


def show_part(out: Console, part: RenderableType, dispensable: Sequence[str] | None = None) -> None:
    """Print something; of a table that is wider than a terminal the columns that fit, and the names of the others.

    Args:
        out: Where.
        part: What.
        dispensable: The headings of the columns that may be left out, as `fitted` takes them.
    """
    from rich.table import Table

    if not isinstance(part, Table):
        out.print(part)
        return
    part, left_out = fitted(part, out.width, dispensable)
    out.print(part)
    if left_out:
        out.print(f"(a wider terminal shows also: {', '.join(left_out)})")


def status_text(status: str, shown: str | None = None) -> Text:
    """Return a status in its colour.

    Args:
        status: What decides on the colour.
        shown: What is shown, by default the status.
    """
    from rich.text import Text

    return Text(safe(shown or status), style=_STYLES.get(status, "red"))
