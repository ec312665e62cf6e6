"""Tables in a terminal: as many columns as can be read there, and a word about the others."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from umlaut_async.cli.tables import fitted, show_part, table

COLUMNS = ("stage", "share", "", "time", "per call", "note", "status")
ROWS = (
    ("write_shards", "12.5 %", "███", "10.25 ms", "1.125 ms", "of the disk there", "ok"),
    ("step", "7.25 %", "██", "1.5 s", "250 ms", "-", "cancelled"),
)


def printed(width: int, rows: tuple[tuple[str, ...], ...] = ROWS) -> str:
    made = table(COLUMNS, right=frozenset({"share", "time", "per call"}))
    for *cells, status in rows:
        made.add_row(*cells, Text(status))
    out = Console(width=width, file=io.StringIO())
    show_part(out, made)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


@pytest.mark.parametrize("width", [30, 40, 50, 60, 66, 80, 120])
def test_what_is_shown_can_be_read_and_what_is_not_is_named(width: int) -> None:
    shown = printed(width)
    table_lines = [line for line in shown.splitlines() if not line.startswith("(")]
    assert max(map(cell_len, table_lines)) <= width
    headings = shown.splitlines()[0]
    named = " ".join(shown.partition("shows also: ")[2].split())
    for column, heading in enumerate(COLUMNS):
        assert not heading or (heading in headings) != (heading in named), heading
        if heading in ("share", "time", "per call") and heading in headings:
            assert all(row[column] in shown for row in ROWS), f"a number of {heading} is cut"
    for row in ROWS:
        assert row[0] in shown
        assert row[-1] in shown


def test_what_is_wide_enough_shows_all() -> None:
    shown = printed(120)
    assert "shows also" not in shown
    assert all(cell in shown for row in ROWS for cell in row)


def test_bars_go_first() -> None:
    shown = printed(60)
    assert "█" not in shown
    assert "shows also" not in shown


def test_texts_go_on_in_the_next_line_before_a_number_is_left_out() -> None:
    shown = printed(60)
    assert "of the disk there" not in shown
    assert "1.125 ms" in shown


def test_a_word_that_is_wider_than_a_terminal_is_folded() -> None:
    shown = printed(40, (("x" * 200, *ROWS[0][1:]),))
    assert shown.count("x") == 200
    assert "12.5 %" in shown
    assert max(map(len, shown.splitlines())) <= 40


def test_a_table_without_rows() -> None:
    made, left_out = fitted(table(COLUMNS), 200)
    assert (len(made.columns), made.row_count, left_out) == (len(COLUMNS), 0, [])
