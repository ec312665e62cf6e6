"""One answer that many wait for."""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from umlaut_async.errors import StoreError
    from umlaut_async.records import Answer


class Outcome:
    """One answer that many wait for, in any thread, without a lock."""

    def __init__(self) -> None:
        self.began = False
        self._begins = itertools.count()
        self._waiting: deque[Answer] = deque()
        self._outcome: list[StoreError | None] = []

    def begin(self) -> bool:
        """Return whether this is the first time."""
        self.began = True
        return next(self._begins) == 0

    @property
    def known(self) -> bool:
        """Whether the outcome is known."""
        return bool(self._outcome)

    def wait(self, answer: Answer) -> None:
        """Have the answer called once the outcome is known."""
        self._waiting.append(answer)
        # It may have become known between these two lines.
        if self._outcome:
            self._answer_all()

    def answer(self, error: StoreError | None) -> None:
        """Make the outcome known."""
        self._outcome.append(error)
        self._answer_all()

    def _answer_all(self) -> None:
        # Each answer is taken by exactly one thread, though several may be here.
        while self._waiting:
            try:
                answer = self._waiting.popleft()
            except IndexError:
                return
            try:
                answer(self._outcome[0])
            except BaseException:
                self._waiting.appendleft(answer)
                raise
