"""What can be sent of a message that cannot be sent as it is."""

from __future__ import annotations

import logging
from typing import Any

from umlaut_async.collector import wire

_logger = logging.getLogger("umlaut_async")

_RECORDS = ("calls", "values")
"""What the account of a run counts."""
_DEFECT = "%d record(s) could not be sent to the collector, which is a defect of umlaut_async"
_PARTS = ("series", "loops", "stages", "opened", "edges", "samples", *_RECORDS, "events")


def sendable(batch: wire.Batch) -> wire.Batch:
    """Return a message with floats for integers that are too long, and without what cannot be sent: that is counted."""
    batch.edges = [edge._replace(reading=_narrowed(edge.reading)) for edge in batch.edges]
    batch.calls = [
        (*call[:8], call[8] and {key: _narrowed(value) for key, value in call[8].items()}, *call[9:])
        for call in batch.calls
    ]
    failures: list[Exception] = []
    for part in _PARTS:
        kept, left_out = _divided(getattr(batch, part), failures)
        setattr(batch, part, kept)
        if left_out and part in _RECORDS:
            batch.dropped["defect"] = batch.dropped.get("defect", 0) + len(left_out)
        if part == "calls":
            batch.unrecorded += [call[1] for call in left_out]
    if failures:
        _logger.error(_DEFECT, len(failures), exc_info=failures[0])
    return batch


def _divided(items: list[Any], failures: list[Exception]) -> tuple[list[Any], list[Any]]:
    """Return what can be sent and what cannot."""
    kept: list[Any] = []
    left_out: list[Any] = []
    for item in items:
        try:
            wire.encode(item)
        except (OverflowError, TypeError, ValueError) as failure:
            failures.append(failure)
            left_out.append(item)
        else:
            kept.append(item)
    return kept, left_out


def _narrowed(number: Any) -> Any:
    return float(number) if isinstance(number, int) and number.bit_length() > 63 else number
