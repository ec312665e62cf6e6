"""The messages between a measured process and a collector in another one."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import msgspec

# The decoders look up the types of fields.
from umlaut_async.collector.settings import Description, RunSettings  # noqa: TC001
from umlaut_async.records import Ending, StageRecord, Status, Steps, ValueRecord
from umlaut_async.scalars import underived


class Hello(NamedTuple):
    """Who connects."""

    pid: int
    settings: RunSettings | None
    """What the run is; None from a process that only tells of another run."""
    database: str
    """The key of the database that the process records into, see `Location.key`."""
    run: str
    """The uuid of the run that it records."""
    parent: int | None = None
    """The process from which it was forked."""
    shown: str = ""
    """The name of the database, as it may be shown."""
    program: Description | None = None
    """How its program describes the run that it joins."""


class AnnouncedSeries(NamedTuple):
    """A series, before anything that mentions its number."""

    number: int
    measure_type: str
    unit: str
    description: str
    interval: int | None
    source: str
    place: str
    provenance: str
    is_rate: bool
    outside: tuple[Any, ...] | None
    """How the collector reads it, see `umlaut_async.probes.outside`; None where the process itself does."""


class AnnouncedLoops(NamedTuple):
    """A source with a series for each event loop, before anything that mentions its number."""

    number: int
    source: str


class OpenCall(NamedTuple):
    """A call that has not ended."""

    number: int
    stage: int
    parent: int | None
    task: str
    started: int
    producing: int | None = None
    """The time inside the producer so far, of a generator; it is told of again as that grows."""


class Edge(NamedTuple):
    """A reading at an edge of a call, taken in the process itself."""

    source: int
    """What it is called in the record of the stage: a series, or all those of one source on several event loops."""
    series: int
    call: int
    first: bool
    at: int
    reading: Any


class Event(NamedTuple):
    """Something that a reader of the numbers must know."""

    t: int
    kind: str
    message: str
    data: str | None
    """JSON text, in which what UTF-8 has no form for is escaped."""


class Samples(NamedTuple):
    """Samples of a series that the process itself reads, since the last of these."""

    series: int
    times: bytes
    values: bytes
    since: bytes
    missed: int
    provenance: str | None
    unstored: list[tuple[int, float, int]] = []
    """Time, value and beginning of samples that count for calls, and are not to be stored."""


EndedCall = tuple[
    int, int, int | None, str, int, int, Status, str | None, dict[int, float] | None, int | None, Steps | None,
    tuple[Any, ...], tuple[Any, ...],
]  # fmt: skip
"""The fields of a `CallRecord`, the thread by its name."""


class Batch(msgspec.Struct, array_like=True, omit_defaults=True):
    """What a measured process says, to be taken in the order of the fields."""

    hello: str | None = None
    """See `greeting`."""
    series: list[AnnouncedSeries] = []
    loops: list[AnnouncedLoops] = []
    stages: list[StageRecord] = []
    opened: list[OpenCall] = []
    edges: list[Edge] = []
    samples: list[Samples] = []
    calls: list[EndedCall] = []
    values: list[ValueRecord] = []
    events: list[Event] = []
    unrecorded: list[int] = []
    """Open calls that were told of, have ended, and of which nothing is recorded."""
    dropped: dict[str, int] = {}
    """Records that never came this far, by the reason."""
    requests: list[tuple[int, Ending | None, Ending | None]] = []
    """Their numbers, and how they end or pause the run."""


class Reply(msgspec.Struct, array_like=True, omit_defaults=True):
    """What a collector says."""

    opened: bool | None = None
    """Whether the database could be opened, once that is known."""
    stored: int | None = None
    """How many records of this process are committed."""
    dropped: dict[str, int] = {}
    log: list[tuple[int, str]] = []
    """Lines for the log of the process: level and text."""
    answers: list[tuple[int, str | None, str]] = []
    """The numbers of requests that are settled, with the name and the text of an error or None."""
    dismissed: bool = False
    """Whether the run ends, so that this process is to send what it still has."""
    progress: int = 0
    """How much was taken and stored so far, of all processes; told to one that waits for its end."""


def _plain(value: Any) -> Any:
    """Return what is sent of a value of a class that msgspec does not know, as numpy's are that derive from plain ones.

    Raises:
        TypeError: There is nothing.
    """
    if (plain := underived(value)) is value:
        raise TypeError(f"a {type(value).__name__} cannot be sent")
    return plain


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
_batches = msgspec.msgpack.Decoder(Batch)
_replies = msgspec.msgpack.Decoder(Reply)

encode = _encoder.encode
decode_batch = _batches.decode
decode_reply = _replies.decode


def greeting(hello: Hello) -> bytes:
    """Return the message that says who connects."""
    # Names of files and arguments may be bytes that are no text in UTF-8. Python has a form for these, and so has JSON.
    return encode(Batch(hello=json.dumps(hello)))


def greeted(hello: str) -> Hello:
    """Return who has said so."""
    return msgspec.convert(json.loads(hello), Hello)
