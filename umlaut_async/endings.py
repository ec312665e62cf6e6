"""What is still to be recorded when a run ends."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from umlaut_async.records import ValueRecord

    Action = Callable[[Callable[[ValueRecord], None]], None]
    """Is given what records a value. It must not hold the benchmark: that is ended when nothing else holds it."""

_logger = logging.getLogger("umlaut_async")


class LastActions:
    """Actions that are called before a run ends; one that fails does not keep the others from being called."""

    def __init__(self) -> None:
        self._actions: list[Action] = []

    def add(self, action: Action) -> None:
        """Have an action called."""
        self._actions.append(action)

    def __call__(self, record: Callable[[ValueRecord], None]) -> None:
        for action in self._actions:
            try:
                action(record)
            except Exception:
                _logger.exception("a tracker could not record its last value, which is a defect of umlaut_async")
