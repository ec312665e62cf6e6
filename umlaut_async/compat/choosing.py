"""Which measurements are wanted, of those that are there."""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.errors import ArgumentError
from umlaut_async.legacy.forms import reading
from umlaut_async.legacy.views import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from umlaut_async.legacy.reading import Measured

__all__ = ["Choice", "choice_of", "choices", "chosen", "described"]

_NAMED = 8
# UMLAUT added this to the descriptions of latencies.
_ENTRIES = re.compile(r"\s*\(#Entries = [^()]*\)\s*\Z")
_QUERY = "SELECT DISTINCT uuid, measurement_type, measurement_description FROM measurement ORDER BY 1, 2, 3"


class Choice(NamedTuple):
    """All measurements of one type and description in one run."""

    uuid: str
    type: str
    description: str


def choice_of(measured: Measured) -> Choice:
    """Return what a measurement belongs to."""
    return Choice(measured.uuid, measured.measurement_type, measured.measurement_description)


def choices(db_file: str | os.PathLike[str]) -> list[Choice]:
    """Return what there is in a database, ours or UMLAUT's, without reading the measurements themselves.

    Raises:
        ArgumentError: This names no file, or there are no measurements in it.
        StoreError: It cannot be read; the leaf says why.
    """
    with contextlib.closing(connect(db_file)) as connection, reading(os.fspath(db_file)):
        rows = connection.execute(_QUERY).fetchall()
    if not rows:
        raise ArgumentError(f"{db_file} holds no measurements yet")
    return [Choice(*("" if cell is None else str(cell) for cell in row)) for row in rows]


def described(description: str) -> str:
    """Return a description on one line, without the number of entries that UMLAUT added to it."""
    return " ".join(_ENTRIES.sub("", description).split())


def chosen(
    found: Sequence[Choice],
    uuids: Sequence[str] | None,
    types: Sequence[str] | None,
    descriptions: Sequence[str] | None,
    warn: Callable[[str], None],
) -> list[Choice]:
    """Return what was asked for; None asks for everything.

    Args:
        found: What there is.
        uuids: The uuids of runs, or their beginnings.
        types: The types of measurement.
        descriptions: The descriptions, those of latencies with or without the number of entries.
        warn: Is told of each value that nothing has.

    Raises:
        ArgumentError: Nothing has all of it, or the beginning of a uuid is that of several.
    """
    left = list(found)
    if uuids is not None:
        wanted = _uuids(uuids, {choice.uuid for choice in found}, warn)
        left = [choice for choice in left if choice.uuid in wanted]
        _require(left, "run has one of these uuids; there are", (choice.uuid for choice in found))
    if types is not None:
        _warn_of_unknown("type", types, {choice.type for choice in left}, warn)
        known = sorted({choice.type for choice in left})
        left = [choice for choice in left if choice.type in types]
        _require(left, "measurement has one of these types; there are", known)
    if descriptions is not None:
        known = sorted({described(choice.description) for choice in left})
        # As they are stored, on one line, and without the number of entries.
        forms = {choice: _forms(choice.description) for choice in left}
        _warn_of_unknown("description", descriptions, {form for each in forms.values() for form in each}, warn)
        left = [choice for choice in left if forms[choice] & {*descriptions}]
        _require(left, "measurement has one of these descriptions; there are", known)
    return left


def _forms(description: str) -> set[str]:
    return {description, " ".join(description.split()), described(description)}


def _uuids(beginnings: Sequence[str], known: set[str], warn: Callable[[str], None]) -> set[str]:
    wanted: set[str] = set()
    for beginning in beginnings:
        found = (
            {beginning} if beginning in known else {uuid for uuid in known if beginning and uuid.startswith(beginning)}
        )
        if len(found) > 1:
            raise ArgumentError(f"{len(found)} runs have a uuid that begins with {beginning!r}: {_some(found)}")
        if not found:
            warn(f"no run has the uuid {beginning!r}")
        wanted |= found
    return wanted


def _warn_of_unknown(what: str, given: Sequence[str], known: set[str], warn: Callable[[str], None]) -> None:
    for value in given:
        if value not in known:
            warn(f"no measurement that was asked for has the {what} {value!r}")


def _require(left: list[Choice], what: str, known: Iterable[str]) -> None:
    if not left:
        raise ArgumentError(f"no {what} {_some(known)}")


def _some(values: Iterable[str]) -> str:
    ordered = [*dict.fromkeys(sorted(values))]
    return ", ".join(map(repr, ordered[:_NAMED])) + (", …" if len(ordered) > _NAMED else "")
