"""What is wrapped stays what it was: its kind, its name, its behaviour, in every form in which it can be given."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import copy
import functools
import gc
import inspect
import pickle
import sys
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pytest

from umlaut_async.errors import ArgumentTypeError
from umlaut_async.iteration import iterate
from umlaut_async.wrapping import wrap

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

PREDICATES = (
    inspect.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
)


class RecordedCall:
    """Keeps what happened to a call."""

    def __init__(self) -> None:
        self.items = 0
        self.ends: list[BaseException | None] = []

    def resume(self) -> None: ...

    def suspend(self, yielded: bool, /) -> None:
        self.items += yielded

    def end(self, error: BaseException | None, /) -> None:
        self.ends.append(error)

    def abandon(self) -> None: ...


class Recorder:
    """Hooks that keep what was wrapped and what was called."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, str]] = []
        self.calls: list[RecordedCall] = []

    def open(self, kind: str, name: str) -> Callable[[], RecordedCall]:
        self.opened.append((kind, name))
        return self.enter

    def enter(self) -> RecordedCall:
        self.calls.append(RecordedCall())
        return self.calls[-1]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def function(*args: Any) -> Any:
    """Return the last two arguments."""
    return list(args[-2:])


async def coroutine(*args: Any) -> Any:
    """Return the last two arguments."""
    await asyncio.sleep(0)
    return list(args[-2:])


def generator(*args: Any) -> Any:
    """Yield the last two arguments."""
    yield from args[-2:]


async def async_generator(*args: Any) -> Any:
    """Yield the last two arguments."""
    for argument in args[-2:]:
        await asyncio.sleep(0)
        yield argument


RESULTS = {
    "function": list,
    "coroutine": types.CoroutineType,
    "generator": types.GeneratorType,
    "async generator": types.AsyncGeneratorType,
}
KINDS: dict[str, Callable[..., Any]] = {
    "function": function,
    "coroutine": coroutine,
    "generator": generator,
    "async generator": async_generator,
}


async def outcome(result: Any) -> Any:
    """Get out of what a call returned whatever is in it."""
    if inspect.isasyncgen(result):
        return [item async for item in result]
    if inspect.isgenerator(result):
        return list(result)
    return await result if inspect.isawaitable(result) else result


class Built(NamedTuple):
    """Something wrapped: how to call it so that it gets 1 and 2, and what its plain twin is."""

    call: Callable[[], Any]
    wrapped: Any
    plain: Any
    name: str
    is_object: bool = False
    """Whether what was wrapped is no function, so that its wrapper need not be one."""


Wrap = Callable[[Any], Any]


def stage(**members: Any) -> Any:
    """Return an object of a class with these members."""
    return type("Stage", (), members)()


def as_it_is(target: Any, wrap: Wrap) -> Built:
    wrapped = wrap(target)
    return Built(lambda: wrapped(1, 2), wrapped, target, target.__qualname__)


def in_a_partial(target: Any, wrap: Wrap) -> Built:
    wrapped = wrap(functools.partial(target, 1))
    return Built(lambda: wrapped(2), wrapped, target, target.__qualname__, is_object=True)


def in_nested_partials(target: Any, wrap: Wrap) -> Built:
    inner = functools.partial(target, 1)
    inner.note = "makes a partial of a partial stay one"  # type: ignore[attr-defined]
    wrapped = wrap(functools.partial(inner, 2))
    return Built(wrapped, wrapped, target, target.__qualname__, is_object=True)


def as_a_method(target: Any, wrap: Wrap) -> Built:
    plain, wrapped = stage(load=target).load, stage(load=wrap(target)).load
    return Built(lambda: wrapped(1, 2), wrapped, plain, target.__qualname__)


def as_a_bound_method(target: Any, wrap: Wrap) -> Built:
    wrapped = wrap(stage(load=target).load)
    return Built(lambda: wrapped(1, 2), wrapped, target, target.__qualname__, is_object=True)


def below_classmethod(target: Any, wrap: Wrap) -> Built:
    plain, wrapped = stage(load=classmethod(target)).load, stage(load=classmethod(wrap(target))).load
    return Built(lambda: wrapped(1, 2), wrapped, plain, target.__qualname__)


def above_classmethod(target: Any, wrap: Wrap) -> Built:
    plain, wrapped = stage(load=classmethod(target)).load, stage(load=wrap(classmethod(target))).load
    assert wrapped.__self__.__name__ == "Stage"
    return Built(lambda: wrapped(1, 2), wrapped, plain, target.__qualname__)


def below_staticmethod(target: Any, wrap: Wrap) -> Built:
    wrapped = stage(load=staticmethod(wrap(target))).load
    return Built(lambda: wrapped(1, 2), wrapped, target, target.__qualname__)


def above_staticmethod(target: Any, wrap: Wrap) -> Built:
    wrapped = stage(load=wrap(staticmethod(target))).load
    return Built(lambda: wrapped(1, 2), wrapped, target, target.__qualname__)


def in_a_partialmethod(target: Any, wrap: Wrap) -> Built:
    plain = stage(load=functools.partialmethod(target, 1)).load
    wrapped = stage(load=wrap(functools.partialmethod(target, 1))).load
    return Built(lambda: wrapped(2), wrapped, plain, target.__qualname__)


def as_a_callable_object(target: Any, wrap: Wrap) -> Built:
    wrapped = wrap(stage(__call__=target, weights=[1, 2, 3]))
    assert not hasattr(wrapped, "weights")
    return Built(lambda: wrapped(1, 2), wrapped, target, "Stage", is_object=True)


def as_an_object_with_slots(target: Any, wrap: Wrap) -> Built:
    wrapped = wrap(stage(__call__=target, __slots__=()))
    return Built(lambda: wrapped(1, 2), wrapped, target, "Stage", is_object=True)


def as_an_object_in_a_partial(target: Any, wrap: Wrap) -> Built:
    partial = functools.partial(stage(__call__=target), 1)
    wrapped = wrap(partial)
    # Where partials bind an instance, a function stands for them, which says more of itself than they do.
    plain = target if sys.version_info >= (3, 14) else partial
    return Built(lambda: wrapped(2), wrapped, plain, "Stage", is_object=True)


def through_super(target: Any, wrap: Wrap) -> Built:
    class Base:
        load = wrap(target)

    class Derived(Base):
        def load(self, *args: Any) -> Any:
            return super().load(*args)

    return Built(lambda: Derived().load(1, 2), Base.load, target, target.__qualname__)


FORMS = (
    as_it_is,
    in_a_partial,
    in_nested_partials,
    as_a_method,
    as_a_bound_method,
    below_classmethod,
    above_classmethod,
    below_staticmethod,
    above_staticmethod,
    in_a_partialmethod,
    as_a_callable_object,
    as_an_object_with_slots,
    as_an_object_in_a_partial,
    through_super,
)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_in_every_form(kind: str, form: Callable[[Any, Wrap], Built], recorder: Recorder) -> None:
    built = form(KINDS[kind], lambda target: wrap(target, recorder.open))
    assert recorder.opened == [(kind, built.name)]
    if form is not in_a_partialmethod:  # inspect looks through a partialmethod from Python 3.13 on
        assert [is_so(built.wrapped) for is_so in PREDICATES] == [is_so(built.plain) for is_so in PREDICATES]
        assert built.is_object or inspect.isfunction(built.wrapped) == inspect.isfunction(built.plain)
    result = built.call()
    assert type(result) is RESULTS[kind]
    assert await outcome(result) == [1, 2]
    (call,) = recorder.calls
    assert call.ends == [None]
    assert call.items == (2 if "generator" in kind else 0)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
@pytest.mark.parametrize("kind", KINDS)
async def test_call_that_hooks_refuse_runs_all_the_same(kind: str, form: Callable[[Any, Wrap], Built]) -> None:
    built = form(KINDS[kind], lambda target: wrap(target, lambda kind, name: lambda: None))
    assert await outcome(built.call()) == [1, 2]


@pytest.mark.parametrize(
    "error_type", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError]
)
@pytest.mark.parametrize("kind", KINDS)
async def test_the_very_error_comes_out_and_ends_the_call(
    kind: str, error_type: type[BaseException], recorder: Recorder
) -> None:
    error = error_type("broken")

    def broken() -> Any:
        raise error

    async def broken_coroutine() -> Any:
        raise error

    def broken_generator() -> Any:
        yield broken()

    async def broken_async_generator() -> Any:
        yield broken()

    target = dict(zip(KINDS, (broken, broken_coroutine, broken_generator, broken_async_generator), strict=True))[kind]
    seen: BaseException | None = None
    try:
        await outcome(wrap(target, recorder.open)())
    except BaseException as raised:
        seen = raised
    assert seen is error
    assert seen.__context__ is None
    assert [call.ends for call in recorder.calls] == [[error]]


def test_wrapper_passes_for_its_function(recorder: Recorder) -> None:
    def load(path: NotDefinedAnywhere, size: int = 3) -> int:  # type: ignore[name-defined] # noqa: F821
        """Load it."""
        return size

    load.marked = True  # type: ignore[attr-defined]
    wrapped: Any = wrap(load, recorder.open)
    for attribute in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__", "marked"):
        assert getattr(wrapped, attribute) == getattr(load, attribute)
    assert wrapped.__wrapped__ is load
    assert inspect.signature(wrapped) == inspect.signature(load)
    assert recorder.opened == [("function", "load")]


def test_wrapper_of_an_object_has_its_name_and_leads_to_it(recorder: Recorder) -> None:
    class Model:
        """A model."""

        size: int

        def __call__(self, one: int) -> int:
            return one

    model = Model()
    wrapped: Any = wrap(model, recorder.open)
    assert (wrapped.__name__, wrapped.__doc__, wrapped.__module__) == ("Model", "A model.", __name__)
    assert wrapped.__wrapped__ is model
    assert "size" not in wrapped.__annotations__
    assert list(inspect.signature(wrapped).parameters) == ["one"]
    assert recorder.opened == [("function", "Model")]


def test_abstract_stays_abstract(recorder: Recorder) -> None:
    class Base(abc.ABC):
        @lambda method: wrap(method, recorder.open)
        @abc.abstractmethod
        def below(self) -> None: ...

        @lambda method: wrap(method, recorder.open)
        @classmethod
        @abc.abstractmethod
        def above(cls) -> None: ...

    assert Base.__abstractmethods__ == {"below", "above"}


async def test_old_style_coroutine_stays_awaitable(recorder: Recorder) -> None:
    @types.coroutine
    def old() -> Iterator[None]:
        yield
        return

    wrapped: Any = wrap(old, recorder.open)
    assert inspect.isgeneratorfunction(wrapped)
    await wrapped()
    assert recorder.calls[0].ends == [None]


@functools.lru_cache(maxsize=8)
def cached(number: int) -> int:
    return number + 1


@functools.singledispatch
def dispatching(value: object) -> str:
    return "object"


class Memory:
    """A callable object with methods of every kind, state, and properties that are not to be read."""

    size = 3

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        return self.calls

    def clear(self) -> None:
        self.calls = 0

    @classmethod
    def sizes(cls) -> int:
        return cls.size

    @staticmethod
    def name() -> str:
        return "memory"

    @property
    def dear(self) -> int:
        raise AssertionError("read")

    @functools.cached_property
    def dearer(self) -> int:
        raise AssertionError("read")


def test_the_methods_of_what_is_wrapped_are_there() -> None:
    load: Any = wrap(cached, Recorder().open)
    assert (load(1), load(1), load.cache_info()[:2], load.cache_parameters()["maxsize"]) == (2, 2, (1, 1), 8)
    load.cache_clear()
    assert cached.cache_info().currsize == 0

    shown: Any = wrap(dispatching, Recorder().open)
    shown.register(int, lambda _: "int")
    assert (shown(1), shown(""), shown.dispatch(int)(1), int in shown.registry) == ("int", "object", "int", True)

    partial: Any = wrap(functools.partial(pow, 2, mod=5), Recorder().open)
    assert (partial.func, partial.args, partial.keywords) == (pow, (2,), {"mod": 5})

    memory: Any = wrap(Memory(), Recorder().open)
    assert (memory(), memory(), memory.sizes(), memory.name()) == (1, 2, 3, "memory")
    memory.clear()
    assert memory() == 1
    # A copy of its state would be wrong at the next call.
    assert not {"calls", "size", "dear", "dearer"} & set(dir(memory))
    assert memory.__wrapped__.calls == 1


def test_attributes_that_are_set_later_stay() -> None:
    @functools.partial(wrap, open_hooks=Recorder().open)
    def counting() -> int:
        counting.calls += 1  # type: ignore[attr-defined]
        return int(counting.calls)  # type: ignore[attr-defined]

    counting.calls = 0  # type: ignore[attr-defined]
    assert (counting(), counting()) == (1, 2)


@functools.partial(wrap, open_hooks=Recorder().open)
def at_module_level(one: int) -> int:
    return one + 1


def test_function_of_a_module_is_pickled_and_copied_by_name() -> None:
    assert pickle.loads(pickle.dumps(at_module_level)) is at_module_level
    assert copy.deepcopy(at_module_level) is at_module_level
    assert at_module_level(1) == 2


@contextlib.contextmanager
def managed() -> Iterator[int]:
    yield 1


@contextlib.asynccontextmanager
async def async_managed() -> AsyncIterator[int]:
    yield 1


async def test_below_contextmanager_the_call_lasts_from_enter_to_exit(recorder: Recorder) -> None:
    below = contextlib.contextmanager(wrap(managed.__wrapped__, recorder.open))  # type: ignore[attr-defined]
    with pytest.raises(KeyError), below() as value:
        assert (value, recorder.calls[0].ends) == (1, [])
        raise KeyError
    async_below = contextlib.asynccontextmanager(wrap(async_managed.__wrapped__, recorder.open))  # type: ignore[attr-defined]
    async with async_below() as value:
        assert (value, recorder.calls[1].ends) == (1, [])
    assert isinstance(recorder.calls[0].ends[0], KeyError)
    assert recorder.calls[1].ends == [None]


@pytest.mark.parametrize(
    ("target", "advice"),
    [
        (Recorder, "decorate the methods"),
        (functools.partial(Recorder), "decorate the methods"),
        (property(function), "below @property"),
        (functools.cached_property(function), "below @property"),
        (classmethod(cast("Any", property(function))), "below @property"),
        (generator(), "decorate the function itself"),
        (async_generator(), "decorate the function itself"),
        (managed, "below @contextmanager"),
        (async_managed, "below @contextmanager"),
        (functools.partial(managed), "below @contextmanager"),
        (3, "a int cannot be supervised: it is not callable"),
        (None, "not callable"),
        ([function], "not callable"),
    ],
)
def test_what_cannot_be_wrapped_is_refused_with_advice(target: Any, advice: str, recorder: Recorder) -> None:
    with pytest.raises(ArgumentTypeError, match=advice):
        wrap(target, recorder.open)
    assert recorder.opened == []


def test_coroutine_object_is_refused(recorder: Recorder) -> None:
    made: Any = coroutine()
    with pytest.raises(ArgumentTypeError, match="has already been called"):
        wrap(made, recorder.open)
    made.close()


class Loader:
    """A sync iterable with length and attributes, like a `DataLoader`."""

    batch_size = 2

    def __init__(self) -> None:
        self.closed = 0
        self.open_in_iter: list[int] = []
        self.recorder = Recorder()

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[int]:
        self.open_in_iter.append(len(self.recorder.calls))
        return self._items()

    def _items(self) -> Iterator[int]:
        try:
            yield from range(3)
        finally:
            self.closed += 1


def test_iterate_is_a_reiterable_stand_in() -> None:
    loader = Loader()
    stand_in = iterate(loader, loader.recorder.open)
    assert loader.recorder.opened == [("iterate", "Loader")]
    assert len(stand_in) == 3
    assert stand_in.batch_size == 2
    assert not hasattr(stand_in, "nothing")
    assert not hasattr(stand_in, "_items")
    assert not hasattr(stand_in, "__aiter__")
    assert loader.recorder.calls == []
    assert [list(stand_in), list(stand_in)] == [[0, 1, 2]] * 2
    assert [(call.items, call.ends) for call in loader.recorder.calls] == [(3, [None])] * 2
    assert loader.open_in_iter == [1, 2], "iter() belongs to the call"


def test_iterate_has_length_and_truth_only_of_its_source(recorder: Recorder) -> None:
    unsized: Any = iterate((number for number in range(3)), recorder.open)
    with pytest.raises(TypeError, match=r"object of type 'generator' has no len\(\)"):
        len(unsized)
    assert unsized
    assert list(unsized) == [0, 1, 2]
    assert not iterate([], recorder.open)
    assert recorder.opened[0] == ("iterate", "<genexpr>")


def test_left_loop_closes_what_only_it_holds() -> None:
    loader = Loader()
    for _ in iterate(loader, loader.recorder.open):
        assert loader.closed == 0
        break
    assert loader.closed == 1
    assert isinstance(loader.recorder.calls[0].ends[0], GeneratorExit)


def test_left_loop_can_be_gone_on_with_where_the_source_allows_it(recorder: Recorder) -> None:
    class Stream:
        def __init__(self) -> None:
            self.items = (number for number in range(4))

        def __iter__(self) -> Iterator[int]:
            return self.items

    for source in ((number for number in range(4)), Stream(), iter([0, 1, 2, 3])):
        stand_in = iterate(source, recorder.open)
        for item in stand_in:
            assert item == 0
            break
        assert list(stand_in) == [1, 2, 3]


def test_error_of_iter_or_next_ends_the_call(recorder: Recorder) -> None:
    class Broken:
        def __iter__(self) -> Iterator[int]:
            raise OSError("no such shard")

    with pytest.raises(OSError, match="no such shard") as caught:
        list(iterate(Broken(), recorder.open))
    with pytest.raises(ZeroDivisionError) as divided:
        list(iterate(map((1).__floordiv__, [1, 0]), recorder.open))
    assert [call.ends for call in recorder.calls] == [[caught.value], [divided.value]]
    assert recorder.calls[1].items == 1


class AsyncLoader:
    """An async iterable that makes an async generator, or another async iterator."""

    def __init__(self, *, by_generator: bool) -> None:
        self.by_generator = by_generator
        self.closed = 0

    def __aiter__(self) -> AsyncIterator[int]:
        return self.items() if self.by_generator else Countdown()

    async def items(self) -> AsyncIterator[int]:
        try:
            for number in (2, 1, 0):
                yield number
        finally:
            await asyncio.sleep(0)
            self.closed += 1


class Countdown:
    """An async iterator that is not a generator."""

    left = 3

    def __aiter__(self) -> Countdown:
        return self

    async def __anext__(self) -> int:
        if not self.left:
            raise StopAsyncIteration
        await asyncio.sleep(0)
        self.left -= 1
        return self.left


@pytest.mark.parametrize("by_generator", [False, True])
async def test_async_iterate(by_generator: bool, recorder: Recorder) -> None:
    stand_in = iterate(AsyncLoader(by_generator=by_generator), recorder.open)
    assert recorder.opened == [("async iterate", "AsyncLoader")]
    assert not hasattr(stand_in, "__iter__")
    for _ in range(2):
        assert [item async for item in stand_in] == [2, 1, 0]
    assert [(call.items, call.ends) for call in recorder.calls] == [(3, [None])] * 2


async def test_async_iterate_closes_with_its_consumer(recorder: Recorder) -> None:
    loader = AsyncLoader(by_generator=True)
    iterator: Any = aiter(iterate(loader, recorder.open))
    assert await anext(iterator) == 2
    await iterator.aclose()
    assert loader.closed == 1
    assert isinstance(recorder.calls[0].ends[0], GeneratorExit)


async def test_async_iterate_leaves_the_generator_of_another_open(recorder: Recorder) -> None:
    loader = AsyncLoader(by_generator=True)
    items = loader.items()
    async for item in iterate(items, recorder.open):
        assert item == 2
        break
    gc.collect()
    await asyncio.sleep(0.01)
    assert loader.closed == 0
    assert [item async for item in items] == [1, 0]


async def test_async_iterate_leaves_the_end_of_a_generator_to_whoever_drops_it_last(recorder: Recorder) -> None:
    loader = AsyncLoader(by_generator=True)
    items: Any = loader.items()
    iterator: Any = aiter(iterate(items, recorder.open))
    assert await anext(iterator) == 2
    await iterator.aclose()
    assert loader.closed == 0
    del items, iterator
    gc.collect()
    await asyncio.sleep(0.01)
    assert loader.closed == 1


async def test_iterable_in_both_ways_stays_so(recorder: Recorder) -> None:
    class Both(Loader, AsyncLoader):
        def __init__(self) -> None:
            Loader.__init__(self)
            self.by_generator = True

    stand_in: Any = iterate(Both(), recorder.open)
    assert list(stand_in) == [0, 1, 2]
    assert [item async for item in stand_in] == [2, 1, 0]
    assert {kind for kind, _ in recorder.opened} == {"iterate", "async iterate"}


@pytest.mark.parametrize(
    ("source", "message"),
    [(3, "int is not iterable"), (None, "NoneType"), (generator, "generator is not iterable: call it first")],
)
def test_what_is_not_iterable_is_refused(source: Any, message: str, recorder: Recorder) -> None:
    with pytest.raises(ArgumentTypeError, match=message):
        iterate(source, recorder.open)
    assert recorder.opened == []
