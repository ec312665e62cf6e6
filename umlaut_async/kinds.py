"""The kinds of what is supervised, and the names that it has where it is given none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from umlaut_async.forwarding import Enter

FUNCTION: Final = "function"
COROUTINE: Final = "coroutine"
GENERATOR: Final = "generator"
ASYNC_GENERATOR: Final = "async generator"
ITERATE: Final = "iterate"
ASYNC_ITERATE: Final = "async iterate"
YIELDING: Final = frozenset({GENERATOR, ASYNC_GENERATOR, ITERATE, ASYNC_ITERATE})
"""The kinds whose calls give items."""

OpenHooks = Callable[[str, str], Enter]
"""Takes the kind and the default name of what is wrapped, once."""


def default_name(named: object) -> str:
    """Return the qualified name of a function, else that of the type, from its last enclosing function inwards."""
    name = getattr(named, "__qualname__", None) or type(named).__qualname__
    return str(name).rpartition("<locals>.")[2]
