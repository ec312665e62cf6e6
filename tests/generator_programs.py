"""Random programs against generators: a body, what its consumer does with it, and what both of them see.

A program is decoded from bytes, so that hypothesis can draw and shrink it cheaply. Its body becomes the source of a
real generator function; the same operations then drive that function as it is and wrapped, and give one trace each.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import types
import weakref
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Function = Callable[..., Any]


class Interrupt(BaseException):
    """Like KeyboardInterrupt, without its effect on an event loop."""


ERRORS: dict[str, type[BaseException]] = {
    kind.__name__: kind
    for kind in (
        ValueError,
        KeyError,
        Interrupt,
        GeneratorExit,
        asyncio.CancelledError,
        StopIteration,
        StopAsyncIteration,
    )
}
RAISED = tuple(ERRORS)
CAUGHT = ("ValueError", "Exception", "GeneratorExit", "BaseException", "CancelledError", "(KeyError, Interrupt)")


class Operation(NamedTuple):
    """One thing that the consumer does."""

    verb: str
    value: int
    error: str
    as_class: bool
    handling: bool
    """Whether the consumer is handling an exception of its own meanwhile."""
    mode: int
    turns: int


@dataclass
class Bytes:
    """The source of all decisions; an exhausted one decides for what is simplest."""

    data: bytes
    position: int = 0

    def below(self, limit: int) -> int:
        """Take the next decision out of `limit`."""
        self.position += 1
        return self.data[self.position - 1] % limit if self.position <= len(self.data) else 0

    def among(self, choices: tuple[str, ...]) -> str:
        """Take one of the choices."""
        return choices[self.below(len(choices))]


@dataclass
class Writer:
    """Writes the source of a body."""

    choices: Bytes
    is_async: bool
    lines: list[str] = field(default_factory=list)
    labels: int = 0

    def line(self, depth: int, text: str) -> None:
        self.lines.append("    " * depth + text)

    def label(self) -> int:
        self.labels += 1
        return self.labels

    def block(self, depth: int, in_handler: bool = False) -> None:
        """Write one to three statements."""
        for _ in range(1 + self.choices.below(3)):
            self.statement(depth, in_handler)

    def statement(self, depth: int, in_handler: bool) -> None:
        """Write one statement; the first kinds are the simple ones."""
        label = self.label()
        kind = self.choices.below(12 if depth < 5 else 7)
        if kind <= 2:
            self.line(depth, f"trace('sent', {label}, (yield {label}))")
        elif kind == 3:
            self.line(depth, f"await pause({self.choices.below(3)})" if self.is_async else f"trace('at', {label})")
        elif kind == 4:
            bare = in_handler and self.choices.below(2)
            self.line(depth, "raise" if bare else f"raise {self.choices.among(RAISED)}({label})")
        elif kind == 5:
            self.line(depth, "return" if self.is_async else f"return {label}")
        elif kind == 6:
            self.line(depth, "await poke()" if self.is_async else "poke()")
        elif kind == 7:
            self.line(depth, "for _ in range(2):")
            self.block(depth + 1, in_handler)
        else:
            self.line(depth, "try:")
            self.block(depth + 1, in_handler)
            if kind != 11:
                self.line(depth, f"except {self.choices.among(CAUGHT)} as error:")
                self.line(depth + 1, f"trace('caught', {label}, describe(error))")
                self.block(depth + 1, in_handler=True)
                if self.choices.below(4) == 3:
                    self.line(depth + 1, f"raise {self.choices.among(RAISED)}({label}) from error")
            if kind >= 10:
                self.line(depth, "finally:")
                self.line(depth + 1, f"trace('finally', {label})")
                self.block(depth + 1, in_handler)


@dataclass(frozen=True)
class Program:
    """A body and what is done with it."""

    source: str
    operations: tuple[Operation, ...]
    ending: int

    def __str__(self) -> str:
        return "\n".join([self.source, *map(str, self.operations), f"ending {self.ending}"])


VERBS = ("next", "next", "next", "send", "throw", "throw", "close", "break", "collect")


def decode(data: bytes, *, is_async: bool) -> Program:
    """Read a program out of bytes."""
    choices = Bytes(data)
    ending = choices.below(4)
    operations = tuple(
        Operation(
            choices.among((*VERBS, "shutdown", "turn") if is_async else VERBS),
            number,
            choices.among(RAISED),
            choices.below(2) == 1,
            choices.below(2) == 1,
            choices.below(6),
            choices.below(4),
        )
        for number in range(2 + choices.below(5))
    )
    writer = Writer(choices, is_async)
    writer.line(0, f"{'async ' if is_async else ''}def body(trace, pause, poke):")
    writer.block(1)
    writer.line(1, "yield 0")
    return Program("\n".join(writer.lines), operations, ending)


def compile_body(program: Program) -> Function:
    """Make the body a function."""
    namespace: dict[str, Any] = {"__name__": "program", "describe": describe, **ERRORS}
    exec(program.source, namespace)
    function: Function = namespace["body"]
    return function


def describe(error: BaseException | None, depth: int = 6) -> Any:
    """Return what one can see of an exception: type, arguments, cause, context."""
    if error is None or depth == 0:
        return None
    return (
        type(error).__name__,
        str(error).partition(" <")[0],
        describe(error.__cause__, depth - 1),
        describe(error.__context__, depth - 1),
        error.__suppress_context__,
    )


class Trace(list[Any]):
    """What was seen, in order."""

    def __call__(self, *entry: Any) -> None:
        self.append(entry)

    def outcome(self, error: BaseException, thrown: list[Any]) -> None:
        """Record an exception that came out, and whether it is the very one that was put in."""
        self("raised", describe(error), [error is given for given in thrown])

    def unraisable(self, event: Any) -> None:
        """Stand in for `sys.unraisablehook`."""
        self("unraisable", describe(event.exc_value), getattr(event.object, "__qualname__", None))

    def told_on_destruction(self) -> int | None:
        """Return the position behind the first report of a generator that ignored GeneratorExit at its destruction."""
        for position, entry in enumerate(self):
            if entry[0] == "unraisable" and "ignored GeneratorExit" in entry[1][1]:
                return position + 1
        return None


current: ContextVar[object] = ContextVar("current", default=None)
"""What the hooks of a test set around each step: a consumer must never see it."""


def thrown_by(operation: Operation) -> Any:
    """Return what the operation throws: an exception type or an exception."""
    kind = ERRORS[operation.error]
    return kind if operation.as_class else kind(operation.value)


def run_sync(function: Function, program: Program) -> Trace:
    """Drive a generator function through a program."""
    return _run(_drive_sync, function, program)


def _run(drive: Callable[[Function, Program, Trace], None], function: Function, program: Program) -> Trace:
    trace = Trace()
    hook, sys.unraisablehook = sys.unraisablehook, trace.unraisable
    try:
        copy_context().run(drive, function, program, trace)
        trace("collecting")
        gc.collect()
    finally:
        sys.unraisablehook = hook
    return trace


def _drive_sync(function: Function, program: Program, trace: Trace) -> None:
    def poke() -> None:
        try:
            generator = this()
            trace("poked", None if generator is None else next(generator))
        except ValueError as error:
            trace("poked", str(error))

    generator = function(trace, None, poke)
    this = weakref.ref(generator)
    for operation in program.operations:
        thrown: list[Any] = []
        try:
            if operation.handling:
                try:
                    raise LookupError("outside")
                except LookupError:
                    trace("item", _act_sync(generator, operation, thrown))
            else:
                trace("item", _act_sync(generator, operation, thrown))
        except BaseException as error:
            trace.outcome(error, thrown)
        trace("context", current.get())
    trace("dropping")
    del generator


def _act_sync(generator: Generator[Any, Any, Any], operation: Operation, thrown: list[Any]) -> Any:
    match operation.verb:
        case "next":
            return next(generator)
        case "send":
            return generator.send(operation.value)
        case "throw":
            thrown.append(thrown_by(operation))
            return generator.throw(thrown[0])
        case "close":
            return generator.close()
        case "break":
            for item in generator:
                return ("broke", item)
            return "exhausted"
        case _:
            return gc.collect() * 0


@types.coroutine
def turn() -> Iterator[None]:
    """Suspend once, for whoever drives."""
    yield


async def pause(turns: int) -> None:
    """Suspend for a few turns, in the way that both a loop and a driver by hand understand."""
    for _ in range(1 + turns):
        await turn()


def run_async(function: Function, program: Program) -> Trace:
    """Drive an async generator function through a program, on an event loop of its own."""
    return _run(_drive_on_loop, function, program)


def run_by_hand(function: Function, program: Program) -> Trace:
    """Drive an async generator function through a program, without any event loop."""
    return _run(_drive_by_hand, function, program)


def _start(function: Function, trace: Trace) -> Any:
    async def poke() -> None:
        try:
            generator = this()
            trace("poked", None if generator is None else await generator.asend(None))
        except RuntimeError as error:
            trace("poked", str(error))

    generator = function(trace, pause, poke)
    this = weakref.ref(generator)
    return generator


async def _act_async(generator: Any, operation: Operation, trace: Trace) -> None:
    thrown: list[Any] = []
    try:
        if operation.handling:
            try:
                raise LookupError("outside")
            except LookupError:
                trace("item", operation.value, await _step_async(generator, operation, thrown))
        else:
            trace("item", operation.value, await _step_async(generator, operation, thrown))
    except BaseException as error:
        trace.outcome(error, thrown)
        if isinstance(error, GeneratorExit):
            return  # Python 3.11 closes a step without telling its generator: to the hooks it still goes on.
    trace("context", current.get())


async def _step_async(generator: Any, operation: Operation, thrown: list[Any]) -> Any:
    match operation.verb:
        case "send":
            return await generator.asend(operation.value)
        case "throw":
            thrown.append(thrown_by(operation))
            return await generator.athrow(thrown[0])
        case "close":
            return await generator.aclose()
        case "break":
            async for item in generator:
                return ("broke", item)
            return "exhausted"
        case "shutdown":
            return await asyncio.get_running_loop().shutdown_asyncgens()
        case "turn":
            return await turn()
        case "collect":
            return gc.collect() * 0
        case _:
            return await anext(generator)


def _drive_on_loop(function: Function, program: Program, trace: Trace) -> None:
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(
        lambda _, context: trace("loop", context["message"].partition("<")[0], describe(context.get("exception")))
    )
    try:
        loop.run_until_complete(_consume(function, program, trace))
        if program.ending <= 1:
            loop.run_until_complete(_wind_up())
        trace("closing the loop")
    finally:
        loop.close()


async def _wind_up() -> None:
    """Do what `asyncio.run` does at its end."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


async def _consume(function: Function, program: Program, trace: Trace) -> None:
    generator = _start(function, trace)
    left: list[asyncio.Task[None]] = []
    for operation in program.operations:
        work = _act_async(generator, operation, trace)
        if operation.mode <= 2:
            await work
            continue
        task = asyncio.create_task(work)
        if operation.mode <= 4:
            await pause(operation.turns)
            task.cancel()
            await asyncio.wait([task])
            trace("cancelled", task.cancelled(), getattr(task, "cancelling", lambda: None)())
        else:
            left.append(task)
            await pause(operation.turns)
        del task
    trace("dropping")
    if program.ending & 1:
        del generator
        gc.collect()
        await pause(8)
        trace("dropped")


def _drive_by_hand(function: Function, program: Program, trace: Trace) -> None:
    generator = _start(function, trace)
    left: list[Coroutine[Any, Any, None]] = []
    for operation in program.operations:
        if operation.verb != "shutdown":
            work = _act_async(generator, operation, trace)
            _push(work, operation, trace)
            if program.ending & 1:
                left.append(work)
            del work
    trace("dropping")
    del generator
    left.clear()


def _push(work: Coroutine[Any, Any, None], operation: Operation, trace: Trace) -> None:
    """Run a coroutine to its end, or leave it, close it or throw into it after some turns.

    Like a task it has a context of its own.
    """
    context = copy_context()
    try:
        for number in range(100):
            context.run(work.send, None)
            if operation.mode >= 3 and number == operation.turns:
                if operation.mode == 3:
                    context.run(work.throw, asyncio.CancelledError(operation.value))
                elif operation.mode == 4:
                    context.run(work.close)
                    return
                else:
                    return
    except BaseException as error:
        trace("driver", describe(error))
