"""What tells the series of a run from each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from umlaut_async.text import duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from umlaut_async.store.run_queries import ProcessRow, SeriesRow

__all__ = ["labels"]


def labels(known: Sequence[SeriesRow], processes: Mapping[int, ProcessRow]) -> dict[int, str]:
    """Say of each series what tells it from the others of its type; nothing of one that is alone."""
    found = {}
    for series in known:
        others = [other for other in known if (other.type, other.unit) == (series.type, series.unit)]
        label = []
        if len({other.process_id for other in others}) > 1:
            label.append(_process_label(processes.get(series.process_id)))
        same = [other for other in others if other.process_id == series.process_id]
        if len({other.source for other in same}) > 1:
            label.append(series.source)
        if len({other.interval for other in same}) > 1:
            label.append(f"every {duration(series.interval / 1e9)}")
        alike = [other.id for other in same if (other.source, other.interval) == (series.source, series.interval)]
        if len(alike) > 1:
            label.append(f"no. {alike.index(series.id) + 1}")
        found[series.id] = ", ".join(label)
    return found


def _process_label(process: ProcessRow | None) -> str:
    if process is None:
        return "unknown process"
    return f"process {process.pid}" if process.rank is None else f"rank {process.rank}"
