"""What is still to be done when a run ends, while values can be recorded."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_logger = logging.getLogger("umlaut_async")


class LastActions:
    """Actions that are called before a run ends; one that fails does not keep the others from being called."""

    def __init__(self) -> None:
        self._actions: list[Callable[[], None]] = []

    def add(self, action: Callable[[], None]) -> None:
        """Have an action called."""
        self._actions.append(action)

    def __call__(self) -> None:
        for action in self._actions:
            try:
                action()
            except Exception:
                _logger.exception("a tracker could not record its last value, which is a defect of umlaut_async")
