"""The supervisor: puts metrics around the stages of a pipeline."""

from __future__ import annotations

import logging
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, overload

from umlaut_async.benchmark import Benchmark
from umlaut_async.blocks import Blocks, UnmeasuredBlock
from umlaut_async.calls import Call
from umlaut_async.errors import ArgumentError, ArgumentTypeError, ReadOnlyError, UmlautError
from umlaut_async.iteration import iterate
from umlaut_async.metrics import Metric
from umlaut_async.stage import Stage
from umlaut_async.switch import disabled
from umlaut_async.wrapping import wrap

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Coroutine, Iterable
    from types import FrameType, TracebackType

    from umlaut_async.iteration import AsyncIteration, Iteration

_logger = logging.getLogger("umlaut_async")

F = TypeVar("F", bound="Callable[..., Any]")
T = TypeVar("T")


class SupervisedBlock(Protocol):
    """What a supervised `with` block yields."""

    def track(self, num_entries: float) -> None:
        """Add entries to every metric of the block."""
        ...

    def close(self) -> None:
        """End the call of the block now; once it has ended this does nothing, and neither does leaving the block."""
        ...


class BenchmarkSupervisor:
    """Measure what it decorates, call by call.

        @BenchmarkSupervisor([TimeMetric("load time"), ThroughputMetric("load throughput")], bm)
        async def batches(paths):
            for path in paths:
                yield await read(path)

    It decorates functions, coroutine functions, generators and async generators, methods below or above `classmethod`
    and `staticmethod`, partials and callable objects. A call of a function or a coroutine lasts until it returns. That
    of a generator lasts from the first `next` until it is exhausted, closed or raises: it contains the time of its
    consumer, and the time inside the generator is kept beside it.

    With a name it also supervises a block, `with supervisor as call:` or `async with`, and `iterate` supervises a
    loader. Blocks of one supervisor may overlap. In a `with` block inside a generator the current call is not known
    between the steps of the generator: there, track entries by the call that `with` yields.

    Python does not say which block is left where that is not done in the function that entered it: by an `ExitStack`,
    or in another method, task or thread. The only such block that is open is the one that is left, or else what the
    same object has entered, or else the innermost of this context. Where several of them may be meant there is one
    warning: use one supervisor for each, or end the call by `close()` of what `with` yields.

    Args:
        metrics: What is measured; any non-empty iterable of metrics.
        benchmark: Where it is recorded.
        name: The name of the stage; by default that of what is decorated.

    Raises:
        ArgumentError: There are no metrics, one is given twice, or the name is empty.
        ArgumentTypeError: An argument is of the wrong type.
        ReadOnlyError: The benchmark is of mode 'r'.
    """

    def __init__(self, metrics: Iterable[Metric], benchmark: Benchmark, name: str | None = None) -> None:
        self.metrics = _checked_metrics(metrics)
        if not isinstance(benchmark, Benchmark):
            raise ArgumentTypeError(f"benchmark must be a Benchmark, not {type(benchmark).__name__}")
        if benchmark.mode == "r":
            raise ReadOnlyError("a benchmark of mode 'r' only reads; use mode 'a' to supervise stages")
        if name is not None and not isinstance(name, str):
            raise ArgumentTypeError(f"name must be a text, not {type(name).__name__}")
        if name == "":
            raise ArgumentError("name must not be empty; leave it out for the name of what is decorated")
        self.benchmark = benchmark
        self.name = name
        self._block_stages: dict[str, Stage] = {}
        self._blocks = Blocks(name)

    def __call__(self, target: F) -> F:
        """Return the target, supervised; its kind and its type stay what they were.

        Raises:
            ArgumentTypeError: It is no callable that can be supervised, such as a class or a property.
        """
        return (
            target if disabled() else wrap(target, self._enter_of, steps=any(metric.steps for metric in self.metrics))
        )

    @overload
    def iterate(self, loader: Iterable[T], name: str | None = None) -> Iteration[T]: ...
    @overload
    def iterate(self, loader: AsyncIterable[T], name: str | None = None) -> AsyncIteration[T]: ...
    def iterate(self, loader: Any, name: str | None = None) -> Any:
        """Return an iterable over the same items, each iteration over which is one call.

        It has the length and the attributes of the loader, and can be iterated as often.

        Args:
            loader: A sync or an async iterable, such as a PyTorch `DataLoader`.
            name: The name of the stage; by default that of the supervisor, else the type of the loader.
        """
        if disabled():
            return loader
        return iterate(loader, partial(_enter_of_loader, self, name))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.metrics, self.benchmark, self.name)

    def __deepcopy__(self, memo: object) -> Self:
        return self  # What is copied here has the same metrics for `track`.

    def __enter__(self) -> SupervisedBlock:
        try:
            return self._enter_block("with", sys._getframe(1))
        except Exception as failure:
            return _unmeasured(failure)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._leave_block(sys._getframe(1), error)
        except Exception as failure:
            _unmeasured(failure)

    # Not coroutines: they run at once, in the frame of the `async with`.
    def __aenter__(self) -> Coroutine[Any, Any, SupervisedBlock]:
        try:
            block = self._enter_block("async with", sys._getframe(1))
        except Exception as failure:
            block = _unmeasured(failure)
        return _ready(block)

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Coroutine[Any, Any, None]:
        try:
            self._leave_block(sys._getframe(1), error)
        except Exception as failure:
            _unmeasured(failure)
        return _ready(None)

    def _enter_block(self, kind: str, frame: FrameType) -> SupervisedBlock:
        if self.name is None:
            raise ArgumentError(
                "a `with` block has no name of its own: use BenchmarkSupervisor(metrics, benchmark, name=...)"
            )
        if kind not in self._block_stages:
            self._block_stages[kind] = self._stage(kind, self.name)
        block = (None if disabled() else self._block_stages[kind].enter()) or UnmeasuredBlock()
        self._blocks.add(frame, block)
        return block

    def _leave_block(self, frame: FrameType, error: BaseException | None) -> None:
        block = self._blocks.take(frame)
        if isinstance(block, Call):
            block.end(error)

    def _enter_of(self, kind: str, default: str) -> Callable[[], Call | None]:
        return self._stage(kind, self.name or default).enter

    def _stage(self, kind: str, name: str) -> Stage:
        return Stage(self.metrics, self.benchmark, kind, name)


def _enter_of_loader(
    supervisor: BenchmarkSupervisor, name: str | None, kind: str, default: str
) -> Callable[[], Call | None]:
    return supervisor._stage(kind, name or supervisor.name or default).enter


async def _ready(result: T) -> T:
    return result


def _unmeasured(failure: Exception) -> SupervisedBlock:
    """Report a failure of our own, unless the user was wrong, and return a block that is not measured."""
    if isinstance(failure, UmlautError):
        raise failure
    _logger.error("a block could not be measured, which is a defect of umlaut_async", exc_info=failure)
    return UnmeasuredBlock()


def _checked_metrics(metrics: object) -> tuple[Metric, ...]:
    if isinstance(metrics, (Metric, str)) or not hasattr(metrics, "__iter__"):
        raise ArgumentTypeError(f"metrics must be several metrics, such as [TimeMetric(...)], not {metrics!r}")
    checked = tuple(metrics)
    for metric in checked:
        if not isinstance(metric, Metric):
            raise ArgumentTypeError(f"metrics must be metrics, but one of them is {metric!r}")
    if len({id(metric) for metric in checked}) < len(checked):
        raise ArgumentError("metrics must be distinct, but one object is among them twice; make a second metric")
    if not checked:
        raise ArgumentError("metrics must not be empty; pass at least one, such as TimeMetric(...)")
    return checked
