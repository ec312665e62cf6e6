"""Which of many runs to show: by tag, name, status and age."""

from __future__ import annotations

from fnmatch import fnmatchcase
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from umlaut_async.store.queries import RunInfo

__all__ = ["RunFilter"]


class RunFilter(NamedTuple):
    """What runs must be like; what is None does not matter."""

    tag: str | None = None
    name: str | None = None
    """With `*` for any letters."""
    status: str | None = None
    since: int | None = None
    """The earliest start, in nanoseconds since the epoch."""
    before: int | None = None
    """What the start is earlier than."""
    limit: int | None = None
    """How many at most."""

    def apply(self, runs: Iterable[RunInfo]) -> list[RunInfo]:
        """Return those of the runs that are so, in their order."""
        return list(islice(filter(self._admits, runs), self.limit))

    def _admits(self, run: RunInfo) -> bool:
        return (
            (self.tag is None or self.tag in (run.tags or ()))
            and (self.name is None or fnmatchcase(run.name, self.name))
            and (self.status is None or run.status == self.status)
            and (self.since is None or run.started >= self.since)
            and (self.before is None or run.started < self.before)
        )
