"""The rows that wait to be stored, those of one record together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from umlaut_async.store.models import process_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from umlaut_async.collector.rows import Unit


class Units:
    """The rows of records, the oldest first.

    Attributes:
        data: How many characters wait in values that are no numbers.
    """

    def __init__(self) -> None:
        self._units: list[Unit] = []
        self.data = 0
        self.add = self._units.append

    def __len__(self) -> int:
        return len(self._units)

    def add_value(self, unit: Unit) -> None:
        """Add the row of a value of the user."""
        self.data += _size(unit)
        self._units.append(unit)

    def first(self, count: int) -> Sequence[Unit]:
        """Return the oldest."""
        return self._units[:count]

    def let_go(self, count: int) -> None:
        """Let go of the oldest, which are stored or lost."""
        if self.data:
            self.data -= sum(_size(unit) for unit in self._units[:count] if unit[0] is None)
        del self._units[:count]


def process_of_unit(unit: Unit) -> int:
    """Return the key of the process that a unit belongs to; its last row, whatever it is, begins with a key."""
    row = unit[-1]
    assert row is not None
    return process_of(row[0])


def _size(unit: Unit) -> int:
    value = unit[-1]
    assert value is not None
    return len(value[_DATA] or "")


_DATA = 8
"""The position of the data in the row of a result."""
