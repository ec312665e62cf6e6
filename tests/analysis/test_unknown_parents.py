"""Which calls are said to have an unknown parent, and which may be it."""

from __future__ import annotations

from umlaut_async.analysis.timeline import Call, Timeline
from umlaut_async.analysis.unknown_parents import MAIN, unknown_parents
from umlaut_async.store.models import key

OUTER, COROUTINE, INNER, OTHER = range(4)


def found(*calls: tuple[int, int | None, int, str, int, int], process: int = 1) -> dict[int, int]:
    """Return the numbers of the calls and of what they may lie in; a call is (number, parent, stage, task, …)."""
    made = [
        Call(key(process, number), None if parent is None else key(process, parent), stage, task, start, end)
        for number, parent, stage, task, start, end in calls
    ]
    timeline = Timeline(made, 1000, 4)
    answer = unknown_parents(timeline, {COROUTINE})
    return {calls[call][0]: calls[outer][0] for call, outer in answer.items()}


def test_a_call_in_a_thread_while_another_one_is_in_a_call() -> None:
    outer, inner = (1, None, OUTER, MAIN, 0, 100), (2, None, INNER, "Thread-1", 10, 20)
    assert found(outer, inner) == {2: 1}
    assert found((1, None, COROUTINE, "mine", 0, 100), inner) == {2: 1}
    assert found((1, None, OUTER, "Task-1", 0, 100), inner) == {2: 1}


def test_the_outermost_of_what_is_open_may_be_it() -> None:
    assert found(
        (1, None, OUTER, MAIN, 0, 100), (2, 1, OTHER, "pool_0", 5, 50), (3, None, INNER, "Thread-1", 10, 20)
    ) == {3: 1}


def test_nothing_is_unknown_where_nothing_could_be_the_parent() -> None:
    outer = 1, None, OUTER, MAIN, 0, 100
    assert found(outer, (2, None, INNER, "Thread-1", 100, 120)) == {}
    assert found(outer, (2, 1, INNER, "pool_0", 10, 20)) == {}
    assert found(outer, (2, None, INNER, MAIN, 10, 20)) == {}
    assert found(outer, (2, None, INNER, "Task-2", 10, 20)) == {}
    assert found(outer, (2, None, OUTER, "Thread-1", 10, 20)) == {}
    assert found(outer, (2, None, INNER, "mine", 10, 20), (3, None, COROUTINE, "mine", 30, 40)) == {}


def test_threads_beside_each_other_are_not_taken_for_nested() -> None:
    assert found((1, None, OUTER, "Thread-1", 0, 100), (2, None, INNER, "Thread-2", 10, 20)) == {}
    assert found(
        (1, None, OUTER, "Thread-1", 0, 100),
        (2, 1, OTHER, "Thread-1", 5, 90),
        (3, None, INNER, "Thread-2", 10, 20),
    ) == {}  # fmt: skip
