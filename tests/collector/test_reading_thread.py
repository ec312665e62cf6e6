"""Probes that are read together: in one thread, counters first, and not held up by one another for long."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from umlaut_async.clock import now
from umlaut_async.collector import reading, reading_thread
from umlaut_async.collector.reading import Reader
from umlaut_async.collector.reading_thread import ReadingThreads
from umlaut_async.probes import Place, Probe, UnreadableError
from umlaut_async.probes.tree import tree_cpu, tree_io, tree_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Make = Callable[..., Reader]


@pytest.fixture
def make() -> Iterator[Make]:
    """Return a function that makes readers of one sampler."""
    threads = ReadingThreads(now)
    readers: list[Reader] = []

    def made(name: str, read: Callable[[], Any], **probe: Any) -> Reader:
        readers.append(Reader(Probe(name, read, "test", Place.THREAD, **probe), now, threads))
        return readers[-1]

    yield made
    for reader in readers:
        reader.close()


def hold(begun: threading.Event, released: threading.Event) -> bool:
    begun.set()
    return released.wait(10)


async def thread_of(reader: Reader) -> object:
    return (await reader.read(None))[1]


async def test_probes_that_are_read_together_share_a_thread_until_the_last_of_them_is_closed(make: Make) -> None:
    first, second = (make(name, threading.get_ident, together="tree") for name in ("first", "second"))
    other, alone = make("other", threading.get_ident, together="other tree"), make("alone", threading.get_ident)
    threads = [await thread_of(reader) for reader in (first, second, other, alone)]
    assert threads[0] == threads[1]
    assert len(set(threads)) == 3
    first.close()
    assert await thread_of(second) == threads[0]
    second.close()
    for thread in threading.enumerate():
        if thread.ident == threads[0]:
            await asyncio.to_thread(thread.join, 10)
            assert not thread.is_alive()
    third, fourth = (make(name, threading.get_ident, together="tree") for name in ("third", "fourth"))
    assert await thread_of(third) == await thread_of(fourth)


def test_the_readings_of_one_tree_are_taken_together() -> None:
    for pid in (None, 1):
        assert tree_cpu(pid).together == tree_memory(pid).together == tree_io(pid).together is not None
    assert tree_cpu(1).together != tree_cpu(2).together


async def test_what_closes_a_probe_is_called_when_its_thread_ends(make: Make) -> None:
    closed = threading.Event()
    reader = make("sensor", lambda: 5, close=closed.set)
    assert (await reader.read(None))[1] == 5
    assert not closed.is_set()
    reader.close()
    assert await asyncio.to_thread(closed.wait, 10)


async def test_counters_are_read_before_what_else_is_asked_for_at_once(make: Make) -> None:
    order: list[str] = []
    begun, going = threading.Event(), threading.Event()
    holder = make("holder", partial(hold, begun, going), together="tree")
    gauge = make("gauge", lambda: order.append("gauge"), together="tree")
    counter = make("counter", lambda: order.append("counter"), together="tree", rate=lambda *_: 0.0)
    held = asyncio.ensure_future(holder.read(None))
    await asyncio.to_thread(begun.wait, 10)
    both = asyncio.gather(gauge.read(None), counter.read(None))
    await asyncio.sleep(0)
    going.set()
    await asyncio.gather(held, both)
    assert order == ["counter", "gauge"]


async def test_a_reading_that_is_held_up_by_another_probe_is_taken_elsewhere_from_then_on(make: Make) -> None:
    reads: list[int] = []
    begun, released = threading.Event(), threading.Event()

    def read() -> int:
        reads.append(threading.get_ident())
        return len(reads)

    hanging = make("hanging", partial(hold, begun, released), together="tree", deadline=0.5)
    quick = make("quick", read, together="tree")
    assert (await quick.read(None))[1] == 1
    held = asyncio.ensure_future(hanging.read(None))
    await asyncio.to_thread(begun.wait, 10)
    for number in (2, 3):
        assert (await quick.read(None))[1] == number
    with pytest.raises(UnreadableError, match=r"within 0\.5 s"):
        await held
    with pytest.raises(UnreadableError, match="an earlier read"):
        await hanging.read(None)
    released.set()
    # What was withdrawn is not read when its turn would have come.
    assert (await thread_of(make("third", threading.get_ident, together="tree"))) == reads[0]
    assert len(reads) == 3
    assert reads[1] == reads[2] != reads[0]


async def test_a_reading_that_waits_for_the_interpreter_stays_where_it_is(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_HELD_UP", 0)
    first, second = (make(name, threading.get_ident, together="tree") for name in ("first", "second"))
    at_once = [await asyncio.gather(thread_of(first), thread_of(first)) for _ in range(200)]
    assert {thread for both in at_once for thread in both} == {await thread_of(second)}


async def test_where_no_thread_can_be_started_a_reading_that_is_held_up_is_absent(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    begun, released = threading.Event(), threading.Event()
    holder, quick = make("holder", partial(hold, begun, released), together="tree"), make("quick", int, together="tree")
    held = asyncio.ensure_future(holder.read(None))
    await asyncio.to_thread(begun.wait, 10)
    with monkeypatch.context() as patched:
        patched.setattr(reading_thread, "start_daemon", fail)
        with pytest.raises(UnreadableError, match="no thread could be started"):
            await quick.read(None)
    released.set()
    await held
    assert (await quick.read(None))[1] == 0
