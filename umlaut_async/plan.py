"""The plan of a stage in one run: what each of its calls reads and samples, and where it reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from umlaut_async.calls import Call
    from umlaut_async.records import CallFields, Reading


class Link(Protocol):
    """The way of records to the collector, as the calls see it."""

    recording: bool
    open_calls: dict[int, Call]
    inherited: object | None
    """The link of the process from which this one was forked while it recorded the same run."""

    @property
    def numbers(self) -> Iterator[int]:
        """The numbers of calls."""
        ...

    def append(self, record: CallFields, /) -> None:
        """Hand over the record of a call that has ended."""
        ...

    def look(self) -> None:
        """Look whether too many records wait; done now and then."""
        ...

    def failed(self, failure: Exception) -> None:
        """Report a failure of our own, which must not reach the stage."""
        ...


class Subscription(Protocol):
    """A series, as the calls see it that want its samples."""

    def enter(self, number: int, started: int, reading: Reading) -> None:
        """Let a call begin to use the series; `reading` is its edge reading, if the call takes one."""
        ...

    def leave(self, number: int, ended: int, reading: Reading) -> None:
        """Let a call cease to use the series."""
        ...


class Metric(Protocol):
    """A metric, as it is found among copies."""

    description: str
    interval: float | None


class Plan:
    """What every call of one stage in one run reads, and where it reports.

    Args:
        link: The way to the collector of the run.
        stage: The number of the stage in the run.
        positions: The position of each metric of the stage, by the identity of the metric object.
        readers: What reads the edges, in the order of the record.
        subscriptions: The series that the stage samples, each with the position of its edge reading or None.
        kind: The kind of the stage.
        copied: The metrics of the stage, where they are copies: the code of the stage may know the originals.
    """

    __slots__ = ("copied", "kind", "known", "link", "positions", "readers", "stage", "subscriptions")

    def __init__(
        self,
        link: Link,
        stage: int,
        positions: dict[int, int],
        readers: tuple[Callable[[], Reading], ...],
        subscriptions: tuple[tuple[Subscription, int | None], ...],
        kind: str,
        copied: tuple[Metric, ...] = (),
    ) -> None:
        self.link = link
        self.stage = stage
        self.positions = positions
        self.readers = readers
        self.subscriptions = subscriptions
        self.kind = kind
        self.copied = copied
        self.known: list[Metric] = []

    def knows(self, metric: Metric) -> bool:
        """Return whether a metric is one of those of which this has copies, and take note of its position."""
        for position, copy in enumerate(self.copied):
            if type(copy) is type(metric) and (copy.description, copy.interval) == (
                metric.description,
                metric.interval,
            ):
                self.known.append(metric)  # It lives as long as its identity is used.
                self.positions[id(metric)] = position
                return True
        return False
