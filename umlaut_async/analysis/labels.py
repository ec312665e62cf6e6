"""What tells the series of a run from each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from umlaut_async.text import duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
        found[series.id] = ", ".join([*label, *_within_process(series, same)])
    return found


def _within_process(series: SeriesRow, same: Sequence[SeriesRow]) -> Iterator[str]:
    """Yield what tells a series from the others of its type in its process."""
    if len({other.source for other in same}) > 1:
        yield series.source
    if len({other.interval for other in same}) > 1:
        yield f"every {duration(series.interval / 1e9)}"
    alike = [other for other in same if (other.source, other.interval) == (series.source, series.interval)]
    if len({other.description for other in alike}) > 1 and series.description:
        yield series.description
        alike = [other for other in alike if other.description == series.description]
    if len(alike) > 1:
        yield f"no. {[other.id for other in alike].index(series.id) + 1}"


def _process_label(process: ProcessRow | None) -> str:
    if process is None:
        return "unknown process"
    return f"process {process.pid}" if process.rank is None else f"rank {process.rank}"
