"""Wrappers of callables that bind no instance where they are attributes of a class: objects, partials, builtins."""

from __future__ import annotations

import functools
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Unbound", "binds", "unbound"]

_PARTIALS_BIND = sys.version_info >= (3, 14)
_PARTIALS_HAVE_A_SAY = sys.version_info >= (3, 13)


def binds(target: object) -> bool:
    """Return whether a callable that is an attribute of a class gets the instance as its first argument."""
    if isinstance(target, functools.partial):
        return _PARTIALS_BIND and not isinstance(target, Unbound)
    return hasattr(type(target), "__get__") and not isinstance(target, types.MethodType)


class Unbound(functools.partial[Any]):
    """A function that binds no instance.

    It is a partial without arguments: `inspect` looks through that, and a call of it goes through no frame of Python.
    """

    parts: tuple[Any, ...]
    """What makes another one: a function and its arguments."""

    # Those of a partial for which it stands: a framework may look at them, or take them apart.
    @property
    def func(self) -> Callable[..., Any]:
        return super().func if (partial := self._partial) is None else partial.func

    @property
    def args(self) -> tuple[Any, ...]:
        return super().args if (partial := self._partial) is None else partial.args

    @property
    def keywords(self) -> dict[str, Any]:
        return super().keywords if (partial := self._partial) is None else partial.keywords

    @property
    def _partial(self) -> functools.partial[Any] | None:
        target = vars(self).get("__wrapped__")
        return target if isinstance(target, functools.partial) else None

    if _PARTIALS_HAVE_A_SAY:

        def __get__(self, instance: object, owner: type | None = None) -> Any:
            return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, (*self.parts, _attributes(self))

    def __copy__(self) -> Unbound:
        return self  # As a function is.

    def __deepcopy__(self, memo: object) -> Unbound:
        return self


def unbound(function: Callable[..., Any], target: object, parts: tuple[Any, ...]) -> Unbound:
    """Return what calls a function, with its name and attributes, and binds no instance.

    Args:
        function: What is called.
        target: What it stands for.
        parts: What makes another one: a function and its arguments.
    """
    made = Unbound(function)
    functools.update_wrapper(made, function)
    vars(made).update(__wrapped__=target, parts=parts)
    return made


def _attributes(made: Unbound) -> dict[str, Any]:
    """Return what a user, or a framework, has noted on a wrapper."""
    ours = {*functools.WRAPPER_ASSIGNMENTS, "__wrapped__", "parts"}
    return {name: value for name, value in vars(made).items() if name not in ours}


def _made_again(make: Callable[..., Unbound], *arguments: Any) -> Unbound:
    *parts, attributes = arguments
    made = make(*parts)
    vars(made).update(attributes)
    return made
