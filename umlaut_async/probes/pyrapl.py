"""Import pyRAPL without its side effects."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import traceback
import warnings
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = "pyRAPL"


def pyrapl() -> ModuleType:
    """Return the module `pyRAPL`, imported without what its outputs drag in.

    Importing `pyRAPL.outputs` imports pandas and pymongo, or where these are missing logs on the root logger, which
    gives that a handler. So another module stands in for it during the import, and afterwards all is forgotten in
    `sys.modules`: who imports pyRAPL for himself gets a whole one. If that was done before, it is returned as it is.

    Raises:
        ImportError: It is not installed.
    """
    _silence()
    return importlib.import_module(_NAME) if _NAME in sys.modules else _without_outputs()


@cache
def _without_outputs() -> ModuleType:
    outputs = ModuleType(f"{_NAME}.outputs")
    outputs.__dict__.update(Output=object, PrintOutput=object)
    sys.modules[outputs.__name__] = outputs
    try:
        return importlib.import_module(_NAME)
    finally:
        for name in list(sys.modules):
            if name.partition(".")[0] == _NAME:
                del sys.modules[name]


@contextlib.contextmanager
def closing_on_error() -> Iterator[None]:
    """Close the files that pyRAPL has open where it fails, since it leaves them to the garbage collector."""
    try:
        yield
    except Exception as error:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            for value in frame.f_locals.values():
                if isinstance(value, io.TextIOBase):
                    value.close()
        raise


def _silence() -> None:
    """Ignore warnings about pyRAPL's own code: it has invalid escapes and leaves files to the garbage collector.

    Something that is to be undone would be no better: filters belong to the whole process, and other threads may change
    them meanwhile.
    """
    warnings.filterwarnings("ignore", module=rf"(.*[/\\])?{_NAME}\b")
