"""What the searches for garbage find, in threads of the package and in others."""

from __future__ import annotations

import gc
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from umlaut_async import gc_guard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Cycle:
    """Garbage that says where it was found."""

    def __init__(self, found: list[str]) -> None:
        self.found, self.itself = found, self

    def __del__(self) -> None:
        self.found.append(threading.current_thread().name)


@pytest.fixture(autouse=True)
def guarded() -> Iterator[None]:
    """Have the guard installed, and no search but those of the tests."""
    gc_guard.expect()
    gc_guard.not_started()
    enabled = gc.isenabled()
    gc.disable()
    yield
    gc_guard.owed = False
    if enabled:
        gc.enable()


def in_thread(name: str, *steps: Callable[[], Any]) -> None:
    thread = threading.Thread(target=lambda: [step() for step in steps], name=name)
    thread.start()
    thread.join()


@pytest.mark.parametrize("generation", [0, 1, 2])
def test_a_search_in_a_thread_of_the_package_finds_nothing(generation: int) -> None:
    found: list[str] = []
    Cycle(found)
    gc_guard.expect()
    in_thread("ours", gc_guard.enter, lambda: gc.collect(generation))
    assert found == []
    assert gc_guard.owed
    gc.collect()
    assert found == ["MainThread"]


@pytest.mark.parametrize("generation", [0, 1, 2])
def test_a_search_in_another_thread_finds_what_there_is(generation: int) -> None:
    found: list[str] = []
    Cycle(found)
    in_thread("theirs", lambda: gc.collect(generation))
    assert found == ["theirs"]
    assert not gc_guard.owed


def test_a_thread_that_starts_is_kept_from_finding_anything_before_it_says_so() -> None:
    found: list[str] = []
    Cycle(found)
    gc_guard.expect()
    in_thread("ours", gc.collect, gc_guard.enter)
    assert found == []
    gc.collect()
    assert found == ["MainThread"]


def test_the_threads_that_were_there_search_also_while_one_starts() -> None:
    found: list[str] = []
    gc_guard.expect()
    try:
        Cycle(found)
        assert gc.collect() > 0
        assert found == ["MainThread"]
    finally:
        gc_guard.not_started()


def test_a_thread_that_has_an_identifier_again_is_not_the_one_that_was_there() -> None:
    found: list[str] = []
    identifiers: list[int] = []
    before, after = threading.Event(), threading.Event()

    def old() -> None:
        identifiers.append(threading.get_ident())
        before.set()
        after.wait()

    thread = threading.Thread(target=old)
    thread.start()
    before.wait()
    gc_guard.expect()
    after.set()
    thread.join()
    time.sleep(0.05)  # Python has done with it, and soon the system too
    Cycle(found)
    in_thread("ours", lambda: identifiers.append(threading.get_ident()), gc.collect, gc_guard.enter)
    if len(set(identifiers)) > 1:
        pytest.skip("the system gave another identifier")
    assert found == []
    gc.collect()


def test_what_a_search_has_left_is_made_up_for_by_a_thread_of_the_user() -> None:
    found: list[str] = []
    Cycle(found)
    gc_guard.expect()
    in_thread("ours", gc_guard.enter, lambda: gc.collect(0), gc.enable, gc_guard.make_up, gc.disable)
    assert found == []
    gc_guard.make_up()
    # A program that has switched searches off has none.
    assert found == []
    gc.enable()
    gc_guard.make_up()
    assert found == ["MainThread"]
    assert not gc_guard.owed


def test_what_gc_says_of_itself_does_not_change() -> None:
    Cycle([])
    before = gc.get_stats()
    gc_guard.expect()
    collected: list[int] = []
    in_thread("ours", gc_guard.enter, lambda: collected.append(gc.collect()))
    after = gc.get_stats()
    assert collected == [0]
    assert after[2]["collections"] == before[2]["collections"] + 1
    assert gc.garbage == []
    gc.collect()
