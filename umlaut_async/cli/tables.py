"""Tables on standard output: as wide as a terminal, or as wide as their content where it is none."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from umlaut_async.cli.text import safe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

# A table is only as wide as its cells need; at the 80 columns that are assumed of a pipe, cells would be cut.
_PIPED_WIDTH = 2000

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
        if column in right:
            made.add_column(column, justify="right", no_wrap=True)
        else:
            made.add_column(column, overflow="fold")
    return made


def status_text(status: str, shown: str | None = None) -> Text:
    """Return a status in its colour.

    Args:
        status: What decides on the colour.
        shown: What is shown, by default the status.
    """
    from rich.text import Text

    return Text(safe(shown or status), style=_STYLES.get(status, "red"))
