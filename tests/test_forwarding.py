"""Wrapped generators against plain ones: the same programs give the same traces, and each call ends once."""

from __future__ import annotations

import asyncio
import gc
import re
import sys
import traceback
import weakref
from contextlib import aclosing
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests import generator_programs as programs
from tests.generator_programs import current
from umlaut_async.wrapping import wrap

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextvars import Token

    from tests.support import RunScript


class RecordedCall:
    """Writes down what happens to it: R resume, Y suspend with an item, N without, E end, A abandon."""

    def __init__(self) -> None:
        self.events = ""
        self.error = 0
        self.token: Token[object] | None = None

    def resume(self) -> None:
        self.events += "R"
        self.token = current.set(self)

    def suspend(self, yielded: bool, /) -> None:
        self.events += "Y" if yielded else "N"
        assert self.token is not None
        try:
            current.reset(self.token)
        except ValueError:
            pass  # a step that was destroyed ends in the context of whoever destroyed it

    def end(self, error: BaseException | None, /) -> None:
        self.events += "E"
        self.error = id(error)  # the error itself would keep the frames of its traceback

    def abandon(self) -> None:
        self.events += "A"


class Recorder:
    """Hooks that keep their calls."""

    def __init__(self) -> None:
        self.calls: list[RecordedCall] = []

    def open(self, kind: str, name: str) -> Callable[[], RecordedCall]:
        return self.enter

    def enter(self) -> RecordedCall:
        self.calls.append(RecordedCall())
        return self.calls[-1]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def both_traces(
    run: Callable[[Any, programs.Program], programs.Trace], program: programs.Program, *, measured: bool
) -> tuple[programs.Trace, programs.Trace, list[RecordedCall]]:
    """Run a program plain and wrapped."""
    gc.freeze()  # the collector is called for each program: it is to look at nothing but what that leaves
    function, recorder = programs.compile_body(program), Recorder()
    wrapped = wrap(function, recorder.open if measured else lambda kind, name: lambda: None)
    traces = run(function, program), run(wrapped, program)
    for _ in range(3):
        if any("A" not in call.events for call in recorder.calls):
            gc.collect()  # what a finalizer has touched is garbage only to the next collection
    return *traces, recorder.calls


def check_sync(data: bytes, measured: bool) -> None:
    program = programs.decode(data, is_async=False)
    plain, wrapped, calls = both_traces(programs.run_sync, program, measured=measured)
    told = plain.told_on_destruction()
    assert wrapped[:told] == plain[:told], program
    for call in calls:
        assert re.fullmatch("(RY)*(RNE)?A", call.events), (call.events, program)


def check_on_loop(data: bytes, measured: bool) -> None:
    program = programs.decode(data, is_async=True)
    plain, wrapped, calls = both_traces(programs.run_async, program, measured=measured)
    assert wrapped == plain, program
    for call in calls:
        assert re.fullmatch("(RY)*(RNE|R)?A", call.events), (call.events, program)


def check_by_hand(data: bytes, measured: bool) -> None:
    program = programs.decode(data, is_async=True)
    plain, wrapped, calls = both_traces(programs.run_by_hand, program, measured=measured)
    assert wrapped == plain, program
    for call in calls:
        assert re.fullmatch("(RY)*(RNE|R)?A", call.events), (call.events, program)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("check", "in_ci", "in_soak"),
    [
        pytest.param(check_sync, 5_000, 100_000, id="generator"),
        pytest.param(check_on_loop, 5_000, 100_000, id="async-generator-on-a-loop"),
        pytest.param(
            check_by_hand,
            2_000,
            20_000,
            id="async-generator-by-hand",
            marks=pytest.mark.skipif(
                sys.version_info >= (3, 12), reason="what is destroyed in a step without a loop cannot be told"
            ),
        ),
    ],
)
def test_wrapped_and_plain_give_the_same_trace(
    check: Callable[[bytes, bool], None], in_ci: int, in_soak: int, soak: bool
) -> None:
    count, chunk = in_soak if soak else in_ci, 1_000
    programs_of_a_chunk = settings(
        max_examples=chunk, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    drawn = given(st.binary(min_size=24, max_size=120), st.sampled_from([True, True, True, False]))
    # Chunks, since hypothesis remembers every example that it has tried.
    tried = 0

    def check_and_count(data: bytes, measured: bool) -> None:
        nonlocal tried
        tried += 1
        check(data, measured)

    for number in range(count // chunk):
        try:
            seed(number)(programs_of_a_chunk(drawn(check_and_count)))()
        finally:
            gc.unfreeze()
            gc.collect()
    assert tried >= count


class Item:
    """Something that a weak reference can point to."""


class Thrown(ValueError):
    """An error that a weak reference can point to."""


def test_generator_keeps_nothing_that_passes_through(recorder: Recorder) -> None:
    def echo(argument: Item) -> Iterator[Any]:
        del argument
        while True:
            try:
                yield Item()
            except ValueError:
                pass

    gc.disable()
    try:
        argument, sent, thrown = Item(), Item(), Thrown()
        generator: Any = wrap(echo, recorder.open)(argument)
        references = [weakref.ref(next(generator)), weakref.ref(argument)]
        del argument
        references += [weakref.ref(generator.send(sent)), weakref.ref(sent)]
        del sent
        references += [weakref.ref(generator.throw(thrown)), weakref.ref(thrown)]
        del thrown
        assert [reference() for reference in references] == [None] * 6
    finally:
        gc.enable()


async def test_async_generator_keeps_nothing_that_passes_through(recorder: Recorder) -> None:
    async def echo(argument: Item) -> AsyncIterator[Any]:
        del argument
        while True:
            try:
                yield Item()
            except ValueError:
                pass

    gc.disable()
    try:
        argument, sent, thrown = Item(), Item(), Thrown()
        generator: Any = wrap(echo, recorder.open)(argument)
        references = [weakref.ref(await anext(generator)), weakref.ref(argument)]
        del argument
        references += [weakref.ref(await generator.asend(sent)), weakref.ref(sent)]
        del sent
        references += [weakref.ref(await generator.athrow(thrown)), weakref.ref(thrown)]
        del thrown
        assert [reference() for reference in references] == [None] * 6
        await generator.aclose()
    finally:
        gc.enable()


def test_error_leaves_with_one_more_frame_and_frees_what_it_met(recorder: Recorder) -> None:
    def fails() -> Iterator[int]:
        try:
            yield 1
        except ValueError as error:
            raise KeyError(1) from error

    gc.disable()
    try:
        generator: Any = wrap(fails, recorder.open)()
        next(generator)
        thrown = Thrown()
        gone = weakref.ref(thrown)
        with pytest.raises(KeyError) as caught:
            generator.throw(thrown)
        frames = [frame.name for frame in traceback.extract_tb(caught.tb)]
        assert frames[1:] == ["generator", "fails"]
        assert caught.value.__cause__ is thrown
        assert recorder.calls[0].error == id(caught.value)
        del caught, thrown, generator
        assert gone() is None
    finally:
        gc.enable()


def test_step_runs_in_its_call_and_the_consumer_never_does(recorder: Recorder) -> None:
    seen: list[object] = []

    def producer() -> Iterator[int]:
        seen.append(current.get())
        yield 1
        seen.append(current.get())

    for _ in wrap(producer, recorder.open)():
        assert current.get() is None
    assert current.get() is None
    assert seen == [recorder.calls[0]] * 2


async def test_steps_of_one_generator_may_come_from_different_tasks(recorder: Recorder) -> None:
    seen: list[object] = []

    async def producer() -> AsyncIterator[int]:
        for number in range(3):
            await asyncio.sleep(0)
            seen.append(current.get())
            yield number

    async with aclosing(wrap(producer, recorder.open)()) as generator:  # type: ignore[type-var]
        for _ in range(3):
            await asyncio.create_task(anext(generator), context=copy_context())  # type: ignore[arg-type]
            assert current.get() is None
    assert seen == [recorder.calls[0]] * 3
    assert recorder.calls[0].events == "RYRYRYRNEA"


async def test_generator_that_the_loop_revives_from_a_cycle_still_ends(recorder: Recorder) -> None:
    async def producer(ring: list[object]) -> AsyncIterator[int]:
        yield 1

    ring: list[object] = []
    generator = wrap(producer, recorder.open)(ring)
    ring.append(generator)
    await anext(generator)
    del generator, ring
    gc.collect()
    assert recorder.calls[0].events == "RY"
    await asyncio.sleep(0.01)
    gc.collect()
    assert recorder.calls[0].events == "RYRNEA"


@pytest.mark.parametrize("is_async", [False, True])
async def test_arguments_that_do_not_fit_are_the_error_of_the_call(recorder: Recorder, is_async: bool) -> None:
    def producer(one: int) -> Iterator[int]:
        yield one

    async def async_producer(one: int) -> AsyncIterator[int]:
        yield one

    with pytest.raises(TypeError, match="positional argument") as caught:
        if is_async:
            await anext(wrap(async_producer, recorder.open)(1, 2))  # type: ignore[call-arg]
        else:
            next(wrap(producer, recorder.open)(1, 2))  # type: ignore[call-arg]
    assert recorder.calls[0].error == id(caught.value)
    assert recorder.calls[0].events.startswith("RNE")


OPEN_GENERATORS = """
import asyncio, gc
from tests.test_forwarding import Recorder
from umlaut_async.wrapping import wrap

recorder, closed = Recorder(), []

@lambda function: wrap(function, recorder.open)
async def numbers(name, holder=None):
    try:
        for number in range(1000):
            await asyncio.sleep(0.01 if name == "cancelled" else 0)
            yield number
    finally:
        await asyncio.sleep(0)
        closed.append(name)

async def main():
    async for _ in numbers("broken off"):
        break
    await anext(numbers("abandoned"))
    ring = []
    ring.append(numbers("ring", ring))
    await anext(ring[0])
    del ring
    gc.collect()
    generator = numbers("cancelled")
    task = asyncio.ensure_future(anext(generator))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    global left
    left = numbers("left open")
    await anext(left)
    await asyncio.sleep(0.02)

asyncio.run(main())
del left
gc.collect()
print(sorted(closed), [call.events for call in recorder.calls])
"""


def test_async_generators_leave_nothing_on_stderr(run_script: RunScript) -> None:
    """Left by `break`, abandoned, in a cycle, cancelled in a step, still open at the end of `asyncio.run`."""
    result = run_script(OPEN_GENERATORS)
    assert result.stderr == ""
    assert result.stdout.split("] ")[0] == "['abandoned', 'broken off', 'cancelled', 'left open', 'ring'"
    assert result.stdout.split("] ")[1].strip() == str(["RYRNEA", "RYRNEA", "RYRNEA", "RNEA", "RYRNEA"])
