"""HTML put together so that text stays text: whatever is not marked as markup is made harmless and escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from umlaut_async.text import safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Markup", "details", "element", "joined", "table"]

LONGEST = 1000
_EMPTY = frozenset({"meta", "path", "line"})


class Markup(str):
    """HTML that `element` has made, or that is part of this package."""

    __slots__ = ()


def text(value: object) -> Markup:
    """Return a text as HTML that shows it, shortened if it is very long."""
    return value if isinstance(value, Markup) else Markup(escape(safe(value, longest=LONGEST)))


def element(name: str, /, *children: object, **attributes: object) -> Markup:
    """Return an element.

    Args:
        name: Its name.
        children: Text, or the markup of other elements.
        attributes: By name, with "_" for "-" and without one at the end; those that are None or False are left out.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text("" if value is True else value)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _EMPTY:
        return Markup(f"<{name}{given}/>")
    return Markup(f"<{name}{given}>{joined(children)}</{name}>")


def joined(children: Iterable[object]) -> Markup:
    """Return elements and texts one after the other."""
    return Markup("".join(map(text, children)))


def table(
    caption: object, headings: Sequence[object], rows: Iterable[Sequence[object]], numbers: Iterable[int] = ()
) -> Markup:
    """Return a table that scrolls by itself where it is wider than the page.

    Args:
        caption: What it shows.
        headings: One for each column.
        rows: Their cells; the first heads its row.
        numbers: Which columns hold numbers.
    """
    right = frozenset(numbers)
    head = [
        element("th", heading, scope="col", class_="number" if at in right else None)
        for at, heading in enumerate(headings)
    ]
    body = [
        element(
            "tr",
            *(
                element("th", cell, scope="row")
                if at == 0
                else element("td", cell, class_="number" if at in right else None)
                for at, cell in enumerate(row)
            ),
        )
        for row in rows
    ]
    made = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *head)),
        element("tbody", *body),
    )
    return element("div", made, class_="table", tabindex=0, role="region", aria_label=caption)


def details(summary: object, *children: object) -> Markup:
    """Return what is shown when its heading is opened, which needs no script."""
    return element("details", element("summary", summary), *children)
